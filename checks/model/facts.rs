//! Everything that was learned about a setup: plain values, recorded with `--record` and read with `--replay`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::model::{
    Paths, Setup,
    background::Background,
    caddy::Caddies,
    docker::{Containers, EngineSeen, Images, Networks},
    host::Host,
    left_out::LeftOut,
    mitmproxy::Mitmproxies,
    path,
    probed::Probed,
    setup,
    view::Views,
};

/// The version of the recording's form. Additive changes leave it as it is.
pub const SCHEMA: u32 = 1;

/// A fact, or why it could not be had.
pub type Known<T> = Result<T, Missing>;

/// All facts of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// The version of this form: [`SCHEMA`].
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    pub schema: u32,
    /// The version of the doctor that asked.
    pub doctor: String,
    /// How long the asking took, in milliseconds.
    pub elapsed_ms: u64,
    pub asked: Asked,
    pub engine: Known<EngineSeen>,
    pub containers: Known<Containers>,
    pub networks: Known<Networks>,
    #[serde(default = "not_asked::<Images>")]
    pub images: Known<Images>,
    pub host: Known<Host>,
    pub caddies: Known<Caddies>,
    pub mitmproxies: Known<Mitmproxies>,
    pub views: Known<Views>,
    /// What became of marked requests, with `--probe`.
    #[serde(default = "not_asked::<Probed>")]
    pub probed: Known<Probed>,
    /// For `doctor report`, which alone asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// What was in the answers and is not kept; empty in a recording of a doctor that did not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A recording of an older doctor lacks what that one did not ask for.
fn not_asked<T>() -> Known<T> {
    Err(Missing::NotAsked)
}

/// What the user asked for, as far as the judgement depends on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asked {
    /// `--host`: the Hosts whose paths are judged; empty means every Host that leads to mitmproxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// `--caddy`: the name of a container, or the URL of an admin API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caddy: Option<String>,
    /// `--mitmproxy`: the name of a container, or the URL of a mitmweb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitmproxy: Option<String>,
    /// `--project`: a compose project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The compose project that this folder would have: its name, in the form that compose makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// `--expect`: `HOST:PORT`s that must be reachable from where the doctor runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// `why` of an `[[expect]]` in `doctor.toml`: what an expected address is needed for, by address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub why: BTreeMap<String, String>,
    /// `[thresholds]` in `doctor.toml`.
    #[serde(default, skip_serializing_if = "Thresholds::are_usual")]
    pub thresholds: Thresholds,
    /// `--probe`: whether marked requests may be sent through the setup.
    #[serde(default)]
    pub probe: bool,
    /// `--compose`: what is judged is what these files describe, before `up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<Composed>,
}

/// Compose files that are judged before `up`, and how they were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Composed {
    /// As they were named.
    pub files: Vec<String>,
    pub project: String,
    /// Who resolved variables, overrides and profiles: `docker compose 2.27.0`; absent when compose is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// What compose warned of: variables that are not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What is not known for want of compose, and matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_resolved: Vec<String>,
    /// By the name of a Caddy's container: the file on this machine that its config is read from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, String>,
}

/// From where on checks warn of something that grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Thresholds {
    /// `dns-lookup`: a name that takes longer to resolve, in milliseconds.
    pub dns_ms: u64,
    /// `latency`: how much longer the whole path takes than the backend itself, in milliseconds.
    pub latency_ms: u64,
    /// `latency`: how many times as long the whole path takes, where that is at least 20 ms more.
    pub latency_times: u64,
    /// `memory`: how much of its limit mitmproxy uses, in percent.
    pub memory_percent: u64,
    /// `memory`: how much mitmproxy uses, whatever its limit is, in MiB.
    pub memory_mib: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { dns_ms: 500, latency_ms: 100, latency_times: 10, memory_percent: 80, memory_mib: 1024 }
    }
}

impl Thresholds {
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a fact could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// No selected check needs it.
    NotAsked,
    /// A question was asked and this came back.
    Failed {
        /// What was asked, of whom, from where: `GET http://127.0.0.1:2019/config/ from inside caddy`.
        asked: String,
        kind: Kind,
        /// What came back, in the words of the one who said it.
        why: String,
    },
    /// It stands on another fact, which could not be had.
    Because(FactId, Box<Missing>),
}

/// In which way a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is nothing at that address: no socket file, no such container, no such name.
    NotFound,
    /// The connection was refused or reset.
    Refused,
    /// This user may not.
    Denied,
    /// No answer in time.
    TimedOut,
    /// The doctor cannot speak to it (TLS, ssh, an API that is too old).
    Unsupported,
    /// An answer came and it is not what it should be.
    Garbage,
    /// An HTTP status that says no.
    Status(u16),
    /// A password or token is needed.
    NeedsToken,
    /// The password or token that was given is not taken.
    WrongToken,
    /// It is not running.
    NotRunning,
}

impl Missing {
    pub fn failed(asked: impl Into<String>, kind: Kind, why: impl Into<String>) -> Self {
        Self::Failed { asked: asked.into(), kind, why: why.into() }
    }

    #[must_use]
    pub fn because(self, fact: FactId) -> Self {
        Self::Because(fact, Box::new(self))
    }

    /// The same failure, told of a question in other words.
    #[must_use]
    pub fn asking(self, asked: &str) -> Self {
        match self {
            Self::Failed { kind, why, .. } => Self::failed(asked, kind, why),
            other => other,
        }
    }

    /// The end of the chain: the question that failed first.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Because(_, missing) => missing.root(),
            other => other,
        }
    }

    /// In which way the first question failed.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self.root() {
            Self::Failed { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

impl Missing {
    /// Whether the same question may be answered later without anybody's doing: what did not answer in time or is not there
    /// may still be on its way. A refusal means that only where who refuses `may_be_starting`; that somebody may not ask,
    /// or does not understand the answer, stays.
    #[must_use]
    pub fn may_heal(&self, may_be_starting: bool) -> bool {
        match self.kind() {
            Some(Kind::TimedOut | Kind::NotRunning | Kind::NotFound) => true,
            Some(Kind::Refused) => may_be_starting,
            _ => false,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked"),
            Self::Failed { asked, why, .. } => write!(f, "{asked}: {why}"),
            Self::Because(fact, missing) => write!(f, "{} not known: {missing}", fact.words()),
        }
    }
}

/// One thing that can be known.
pub trait Fact: Sized {
    const ID: FactId;
    fn of(context: &Context) -> &Known<Self>;
}

/// What a check asks for: a fact (`&T`), or a fact or the reason that it is missing (`Attempt<T>`).
pub trait Need {
    const ID: FactId;
    type Given<'c>;

    /// Hands it out.
    ///
    /// # Errors
    /// The reason, when the fact could not be had and the check did not ask for the reason itself.
    fn given(context: &Context) -> Result<Self::Given<'_>, Missing>;
}

impl<F: Fact + 'static> Need for F {
    const ID: FactId = F::ID;
    type Given<'c> = &'c F;

    fn given(context: &Context) -> Result<&F, Missing> {
        F::of(context).as_ref().map_err(Clone::clone)
    }
}

/// Asks for a fact, or for the reason that it is missing.
pub struct Attempt<F>(std::marker::PhantomData<F>);

impl<F: Fact + 'static> Need for Attempt<F> {
    const ID: FactId = F::ID;
    type Given<'c> = Result<&'c F, &'c Missing>;

    fn given(context: &Context) -> Result<Self::Given<'_>, Missing> {
        Ok(F::of(context).as_ref())
    }
}

/// The facts, and what follows from them without any further question.
#[derive(Debug)]
pub struct Context {
    pub asked: Known<Asked>,
    pub engine: Known<EngineSeen>,
    pub containers: Known<Containers>,
    pub networks: Known<Networks>,
    pub images: Known<Images>,
    pub host: Known<Host>,
    pub caddies: Known<Caddies>,
    pub mitmproxies: Known<Mitmproxies>,
    pub views: Known<Views>,
    pub probed: Known<Probed>,
    pub setup: Known<Setup>,
    pub paths: Known<Paths>,
}

impl Context {
    #[must_use]
    pub fn new(mut facts: Facts) -> Self {
        let setup = setup::find(&facts);
        // Where Caddy and mitmproxy both are processes on the host no engine is needed, and none answers: then there are
        // no containers to ask about, which is something else than not knowing them.
        if setup.as_ref().is_ok_and(Setup::is_on_the_host) && facts.containers.is_err() {
            (facts.containers, facts.networks) = (Ok(Containers::default()), Ok(Networks::default()));
        }
        let paths = match &setup {
            Ok(setup) => Ok(path::find(&facts, setup)),
            Err(missing) => Err(missing.clone().because(FactId::Setup)),
        };
        Self {
            asked: Ok(facts.asked),
            engine: facts.engine,
            containers: facts.containers,
            networks: facts.networks,
            images: facts.images,
            host: facts.host,
            caddies: facts.caddies,
            mitmproxies: facts.mitmproxies,
            views: facts.views,
            probed: facts.probed,
            setup,
            paths,
        }
    }
}

macro_rules! facts {
    ($($field:ident: $fact:ident, $words:literal;)*) => {
        /// Names a fact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum FactId { $($fact),* }

        impl FactId {
            /// As it stands in a sentence, before "not known".
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Self::$fact => $words),* }
            }
        }

        $(impl Fact for $fact {
            const ID: FactId = FactId::$fact;
            fn of(context: &Context) -> &Known<Self> { &context.$field }
        })*
    };
}
facts! {
    asked: Asked, "the request is";
    engine: EngineSeen, "the engine is";
    containers: Containers, "the containers are";
    networks: Networks, "the networks are";
    images: Images, "the images are";
    host: Host, "the host is";
    caddies: Caddies, "Caddy's config is";
    mitmproxies: Mitmproxies, "mitmproxy's options are";
    views: Views, "the views are";
    probed: Probed, "what became of the probes is";
    setup: Setup, "the setup is";
    paths: Paths, "the path is";
}
