//! Caddy's admin API: its config, read only.

use std::collections::BTreeMap;

use caddy_doctor_checks::model::{
    Known, Missing,
    caddy::{CaddyConfig, CaddySeen, MatcherSet, Route},
    facts::Kind,
    left_out::LeftOut,
    path::listen_port,
    setup::{Part, PartKind},
};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    http::{Answer, Question},
    reach::Reached,
    redact,
    view::Looker,
};

/// Caddy's own default.
const PORT: u16 = 2019;

/// Asks a Caddy for its config. With it what is not kept of that.
pub(crate) async fn ask(looker: &Looker<'_>, part: &Part) -> (CaddySeen, Vec<LeftOut>) {
    let container =
        looker.containers.and_then(|all| all.named(&part.name)).filter(|_| part.kind == PartKind::Container);
    let environment = |name: &str| container.and_then(|own| own.detail.as_ref()?.environment(name)).map(str::to_owned);
    // CADDY_ADMIN is obeyed from 2.6.3 on; an older one listens on its default all the same.
    let told = environment("CADDY_ADMIN").as_deref().and_then(listen_port).filter(|port| *port != PORT);
    let mut port = told.unwrap_or(PORT);
    let questions = |base: &str| vec![Question::get(format!("{base}/config/"))];
    let published_port = told.unwrap_or(PORT);
    let published = looker.as_published(part, published_port, "/");
    let (mut reached, published) = tokio::join!(looker.reach(part, port, &questions), published);
    if told.is_some() && reached.answers[0].is_err() {
        let default = looker.reach(part, PORT, &questions).await;
        if default.answers[0].is_ok() {
            (reached, port) = (default, PORT);
        }
    }
    let Reached { way, mut answers } = reached;
    let admin = match &part.kind {
        PartKind::Address(url) => url.clone(),
        _ => format!("http://127.0.0.1:{port}"),
    };
    let asked = format!("GET {admin}/config/ of {}", part.name);
    let (config, left_out) = match answers.swap_remove(0) {
        Ok(answer) => {
            let config = read(&asked, &answer);
            let of = format!("the config of {}", part.name);
            let left_out = config.as_ref().map(|config| left_out(&of, &answer.body, config));
            let left_out = left_out.unwrap_or_default();
            (config, left_out)
        }
        Err(missing) => (Err(missing), Vec::new()),
    };
    let config = config.map_err(|missing| explained(missing, part));
    let seen = CaddySeen {
        name: part.name.clone(),
        place: part.place.clone(),
        version: environment("CADDY_VERSION").map(|version| version.trim_start_matches('v').to_owned()),
        admin,
        way,
        config,
        published,
    };
    (seen, left_out)
}

/// What a config has beside what is kept of it, by name only.
#[derive(Deserialize)]
struct Others {
    #[serde(default)]
    apps: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default)]
    logging: Option<IgnoredAny>,
    #[serde(default)]
    storage: Option<IgnoredAny>,
}

fn left_out(of: &str, json: &[u8], config: &CaddyConfig) -> Vec<LeftOut> {
    let Ok(Some(others)) = serde_json::from_slice::<Option<Others>>(json) else { return Vec::new() };
    let apps = others.apps.map_or(0, |apps| apps.keys().filter(|name| *name != "http").count());
    let others = apps + usize::from(others.logging.is_some()) + usize::from(others.storage.is_some());
    let servers = || config.servers().values();
    let policies = servers().map(|server| server.tls_policies).sum();
    let mut counts = Counts::default();
    for server in servers() {
        counts.routes(&server.routes);
        counts.routes(server.errors.iter().flat_map(|errors| &errors.routes));
        counts.routes(server.named_routes.values());
    }
    [
        LeftOut::counted(of, "parts beside its HTTP servers and its admin API", others),
        LeftOut::counted(of, "contents of TLS connection policies", policies),
        LeftOut::counted(of, "values of matchers other than host, path and method", counts.matchers),
        LeftOut::counted(of, "handlers of which only the name is kept", counts.handlers),
        (counts.all_handlers > counts.handlers)
            .then(|| LeftOut::uncounted(of, "what else its handlers have: headers, bodies, queries, certificates")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[derive(Default)]
struct Counts {
    matchers: usize,
    handlers: usize,
    all_handlers: usize,
}

impl Counts {
    fn routes<'r>(&mut self, routes: impl IntoIterator<Item = &'r Route>) {
        for route in routes {
            route.matches.iter().for_each(|set| self.matchers(set));
            for handler in &route.handle {
                let is_read = matches!(
                    handler.handler.as_str(),
                    "reverse_proxy"
                        | "subroute"
                        | "intercept"
                        | "headers"
                        | "rewrite"
                        | "invoke"
                        | "static_response"
                        | "error"
                );
                self.all_handlers += 1;
                self.handlers += usize::from(!is_read);
                handler.nested().for_each(|(_, routes)| self.routes(routes));
            }
        }
    }

    fn matchers(&mut self, set: &MatcherSet) {
        self.matchers += set.undecided.len();
        set.not.iter().flatten().for_each(|set| self.matchers(set));
    }
}

fn read(asked: &str, answer: &Answer) -> Known<CaddyConfig> {
    if answer.status != 200 {
        let why = format!("HTTP {}: {}", answer.status, redact::line(String::from_utf8_lossy(&answer.body).trim()));
        return Err(Missing::failed(asked, Kind::Status(answer.status), why));
    }
    CaddyConfig::read(&answer.body).map_err(|error| {
        let why = format!("what came back is not Caddy's config: {}", redact::json_error(&error));
        Missing::failed(asked, Kind::Garbage, why)
    })
}

/// That nobody answers says nothing about where the admin API is instead.
fn explained(missing: Missing, part: &Part) -> Missing {
    match missing {
        Missing::Failed { asked, kind: kind @ (Kind::Refused | Kind::Unsupported), why }
            if !matches!(part.kind, PartKind::Address(_)) =>
        {
            let hint = "its admin API may be off or at another address: name it with --caddy http://ADDRESS:PORT";
            Missing::Failed { asked, kind, why: format!("{why}; {hint}") }
        }
        other => other,
    }
}
