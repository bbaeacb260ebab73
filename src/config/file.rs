//! What stands in a `doctor.toml`, and what is wrong with one: each error names its line, and the nearest right name.

use std::{fs, io::Read, ops::Range, path::PathBuf, time::Duration};

use caddy_doctor_checks::model::{Thresholds, text};
use clap::ValueEnum;
use serde::{Deserialize, de::DeserializeOwned};
use toml::{Spanned, Value, value::Date};

use super::{Acceptance, stays_here};
use crate::{
    cli::{self, Check, Format},
    error::Error,
    own::{self, Own},
};

/// No `doctor.toml` that a person writes is longer, in bytes.
const MOST: u64 = 1 << 20;

/// One that was read and understood.
pub(super) struct File {
    text: Text,
    keys: Keys,
    timeout: Option<Duration>,
    format: Option<Format>,
    expect: Vec<Expect>,
    accept: Vec<Acceptance>,
    own: Vec<Own>,
}

/// The names of the first level, as TOML gives them: `docs/config.schema.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    host: Option<Vec<Spanned<String>>>,
    caddy: Option<Spanned<String>>,
    mitmproxy: Option<Spanned<String>>,
    project: Option<Spanned<String>>,
    probe: Option<Spanned<bool>>,
    strict: Option<bool>,
    only: Option<Vec<Spanned<String>>>,
    skip: Option<Vec<Spanned<String>>>,
    timeout: Option<Spanned<String>>,
    format: Option<Spanned<String>>,
    web_password_file: Option<Spanned<String>>,
    expect: Option<Vec<Spanned<Value>>>,
    thresholds: Option<Thresholds>,
    #[serde(default)]
    accept: Vec<Spanned<Accept>>,
    /// Checks of one's own.
    #[serde(default)]
    check: Vec<Spanned<own::Entry>>,
}

/// An `[[expect]]`, or a string of the list `expect`, which has no `why`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Expect {
    address: String,
    why: Option<String>,
}

/// An `[[accept]]`.
///
/// `expires` is required: one without an end would hide a failure for good. Who wants that has to write a far date.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Accept {
    check: Spanned<String>,
    about: Option<Spanned<Value>>,
    reason: Spanned<String>,
    expires: Spanned<Value>,
}

impl File {
    /// Reads and checks it. Its own checks are `withheld` when nobody said that their commands may be run.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, or says something that the doctor does not know.
    pub(super) fn read(path: &std::path::Path, withheld: bool) -> Result<Self, Error> {
        let unreadable = |source: std::io::Error| Error::ConfigUnreadable { path: path.to_owned(), source };
        let mut content = String::new();
        let length = fs::File::open(path)
            .and_then(|file| file.take(MOST + 1).read_to_string(&mut content))
            .map_err(unreadable)?;
        if u64::try_from(length).is_ok_and(|length| length > MOST) {
            return Err(unreadable(std::io::Error::other("it is longer than 1 MiB")));
        }
        let text = Text { path: path.to_owned(), content };
        let mut keys: Keys = text.parse()?;
        let (spans, entries): (Vec<_>, Vec<own::Entry>) =
            std::mem::take(&mut keys.check).into_iter().map(|entry| (entry.span(), entry.into_inner())).unzip();
        let own = own::checks(&entries, path, withheld)
            .map_err(|(at, why)| text.error(spans.get(at).cloned().unwrap_or_default(), &why))?;

        for name in keys.host.iter().flatten().chain(&keys.caddy).chain(&keys.mitmproxy).chain(&keys.project) {
            if name.get_ref().trim().is_empty() {
                return Err(text.error(name.span(), "a name is empty"));
            }
        }
        for id in keys.only.iter().chain(&keys.skip).flatten() {
            text.known(id, &own)?;
        }
        let timeout = keys.timeout.as_ref().map(|own| text.value("timeout", own, cli::duration)).transpose()?;
        let format = keys.format.as_ref().map(|own| text.value("format", own, format)).transpose()?;
        let expect = keys.expect.iter().flatten().map(|own| text.expect(own)).collect::<Result<_, _>>()?;
        let today = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
        let today = Date {
            year: u16::try_from(today.year()).unwrap_or_default(),
            month: today.month().unsigned_abs(),
            day: today.day().unsigned_abs(),
        };
        let accept = keys.accept.iter().map(|accept| text.accept(accept, &own, today)).collect::<Result<_, _>>()?;
        Ok(Self { text, keys, timeout, format, expect, accept, own })
    }

    /// Drops what only a file that was named may say; gives a sentence for each.
    pub(super) fn mistrusted(&mut self) -> Vec<String> {
        let Self { text, keys, .. } = self;
        let mut notes = Vec::new();
        let mut note = |span: Range<usize>, name: &str, why: &str| {
            let at = text.at(span);
            let file = text::shell(&text.path.display().to_string());
            notes.push(format!("{at}: `{name}` is left out, since it {why}; --config {file} trusts the file"));
        };
        if let Some(probe) = keys.probe.take_if(|probe| *probe.get_ref()) {
            note(probe.span(), "probe", "sends requests");
        }
        if let Some(file) = keys.web_password_file.take() {
            note(file.span(), "web_password_file", "names another file");
        }
        for (name, reference) in [("caddy", &mut keys.caddy), ("mitmproxy", &mut keys.mitmproxy)] {
            if let Some(reference) = reference.take_if(|own| !stays_here(own.get_ref())) {
                note(reference.span(), name, "leads to another machine");
            }
        }
        notes
    }

    /// Fills in what neither the command line nor the environment said.
    pub(super) fn merge_into(&self, check: &mut Check, is_given: &dyn Fn(&str) -> bool) {
        let Self { keys, .. } = self;
        let list = |own: &Vec<Spanned<String>>| own.iter().map(|own| own.get_ref().clone()).collect::<Vec<String>>();
        if let Some(hosts) = keys.host.as_ref().filter(|_| !is_given("hosts")) {
            check.hosts = list(hosts);
        }
        for (name, own, option) in [
            ("caddy", &keys.caddy, &mut check.caddy),
            ("mitmproxy", &keys.mitmproxy, &mut check.mitmproxy),
            ("project", &keys.project, &mut check.project),
        ] {
            if let Some(own) = own.as_ref().filter(|_| !is_given(name)) {
                *option = Some(text::without_user_info(own.get_ref()));
            }
        }
        if let Some(probe) = keys.probe.as_ref().filter(|_| !is_given("probe")) {
            check.probe = *probe.get_ref();
        }
        if let Some(strict) = keys.strict.filter(|_| !is_given("strict")) {
            check.judging.strict = strict;
        }
        if let Some(only) = keys.only.as_ref().filter(|_| !is_given("only")) {
            check.judging.only = list(only);
        }
        if let Some(skip) = keys.skip.as_ref().filter(|_| !is_given("skip")) {
            check.judging.skip = list(skip);
        }
        if let Some(timeout) = self.timeout.filter(|_| !is_given("timeout")) {
            check.timeout = timeout;
        }
        if let Some(format) = self.format.filter(|_| !is_given("format")) {
            check.output.format = format;
        }
        let has_password = std::env::var_os("DOCTOR_WEB_PASSWORD").is_some_and(|password| !password.is_empty());
        if let Some(file) = keys.web_password_file.as_ref().filter(|_| !is_given("web_password_file") && !has_password)
        {
            check.web_password_file = Some(super::beside(&self.text.path, file.get_ref()));
        }
        if keys.expect.is_some() && !is_given("expect") {
            check.expect = self.expect.iter().map(|own| own.address.clone()).collect();
        }
        check.why = self.expect.iter().filter_map(|own| Some((own.address.clone(), own.why.clone()?))).collect();
        check.thresholds.clone_from(&keys.thresholds);
        check.judging.own.clone_from(&self.own);
    }

    pub(super) fn own(self) -> Vec<Own> {
        self.own
    }

    pub(super) fn accept(self) -> Vec<Acceptance> {
        self.accept
    }

    pub(super) fn shown_path(&self) -> String {
        self.text.path.display().to_string()
    }
}

/// The text of the file, to tell the line of what is wrong in it.
struct Text {
    path: PathBuf,
    content: String,
}

impl Text {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        toml::from_str(&self.content).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let message = said(error.message());
            // A wrong value is told with its name, which stands before it.
            let line = self.content.get(..span.start).and_then(|before| before.lines().last()).unwrap_or_default();
            match line.split_once('=') {
                Some((name, _)) if message.starts_with("invalid ") => {
                    self.error(span, &format!("`{}`: {message}", name.trim()))
                }
                _ => self.error(span, &message),
            }
        })
    }

    /// `doctor.toml:12`
    fn at(&self, span: Range<usize>) -> String {
        let before = self.content.as_bytes().iter().take(span.start);
        format!("{}:{}", self.path.display(), 1 + before.filter(|byte| **byte == b'\n').count())
    }

    fn error(&self, span: Range<usize>, why: &str) -> Error {
        Error::Config { at: self.at(span), why: why.to_owned() }
    }

    fn known(&self, id: &Spanned<String>, own: &[Own]) -> Result<(), Error> {
        cli::check_of(id.get_ref(), own).map(drop).map_err(|why| self.error(id.span(), &why))
    }

    /// A value that the command line has a reader for.
    fn value<T>(
        &self,
        name: &str,
        own: &Spanned<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        read(own.get_ref()).map_err(|why| self.error(own.span(), &format!("`{name}`: {why}")))
    }

    fn expect(&self, own: &Spanned<Value>) -> Result<Expect, Error> {
        let expect = match own.get_ref() {
            Value::String(address) => Expect { address: address.clone(), why: None },
            other => other.clone().try_into().map_err(|error: toml::de::Error| {
                self.error(own.span(), &format!("`expect`: {}", said(error.message())))
            })?,
        };
        match cli::expected(&expect.address) {
            Ok(_) => Ok(expect),
            Err(why) => Err(self.error(own.span(), &format!("`{}`: {why}", expect.address))),
        }
    }

    fn accept(&self, accept: &Spanned<Accept>, own: &[Own], today: Date) -> Result<Acceptance, Error> {
        let span = accept.span();
        let accept = accept.get_ref();
        self.known(&accept.check, own)?;
        let about = match accept.about.as_ref().map(|about| (about.get_ref(), about.span())) {
            None => Vec::new(),
            Some((Value::String(party), _)) => vec![party.clone()],
            Some((Value::Array(parties), span)) => parties
                .iter()
                .map(|party| party.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>()
                .filter(|parties| !parties.is_empty())
                .ok_or_else(|| self.error(span, "`about`: say the name of a party, or a list of names"))?,
            Some((_, span)) => return Err(self.error(span, "`about`: say the name of a party, or a list of names")),
        };
        if accept.reason.get_ref().trim().is_empty() {
            return Err(self.error(accept.reason.span(), "`reason` is empty"));
        }
        let expires = match accept.expires.get_ref() {
            Value::Datetime(toml::value::Datetime { date: Some(date), time: None, offset: None }) => *date,
            _ => {
                let why = "`expires`: say a day, without quotes and without a time, like 2026-12-31";
                return Err(self.error(accept.expires.span(), why));
            }
        };
        Ok(Acceptance {
            check: accept.check.get_ref().clone(),
            about,
            reason: accept.reason.get_ref().clone(),
            expires: expires.to_string(),
            is_expired: expires < today,
            at: self.at(span),
        })
    }
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_str(name, false).map_err(|_| {
        let known: Vec<String> = Format::value_variants()
            .iter()
            .filter_map(|own| Some(own.to_possible_value()?.get_name().to_owned()))
            .collect();
        match text::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("there is no format `{name}`; did you mean `{near}`?"),
            None => format!("there is no format `{name}`; there are {}", text::list(&known)),
        }
    })
}

/// What serde says, in one line; of a name that it does not know only the nearest that it does. Its words are
/// ``unknown field `hots`, expected one of `host`, `caddy` ``; what has other words stays as it is.
fn said(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((name, known)) = rest.split_once('`')
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return match (text::nearest(name, known.iter().copied()), name) {
            (_, "output" | "record" | "replay") => {
                format!(
                    "`{name}` is no name of doctor.toml: which files are written and read is said on the command line"
                )
            }
            (Some(near), _) => format!("there is no name `{name}`; did you mean `{near}`?"),
            (None, _) => format!("there is no name `{name}`; there are {}", text::list(&known)),
        };
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    let message: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    message.join("; ").replace("a sequence", "a list").replace("u64", "a whole number of at least 0")
}
