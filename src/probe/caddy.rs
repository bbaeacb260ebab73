//! Caddy's admin API: its config, read only.

use caddy_doctor_checks::model::{
    Known, Missing,
    caddy::{CaddyConfig, CaddySeen},
    facts::Kind,
    path::listen_port,
    setup::{Part, PartKind},
};

use super::{
    http::{Answer, Question},
    reach::Reached,
    view::Looker,
};

/// Caddy's own default.
const PORT: u16 = 2019;

/// Asks a Caddy for its config.
pub(crate) async fn ask(looker: &Looker<'_>, part: &Part) -> CaddySeen {
    let container =
        looker.containers.and_then(|all| all.named(&part.name)).filter(|_| part.kind == PartKind::Container);
    let environment = |name: &str| container.and_then(|own| own.detail.as_ref()?.environment(name)).map(str::to_owned);
    // CADDY_ADMIN is obeyed from 2.6.3 on; an older one listens on its default all the same.
    let told = environment("CADDY_ADMIN").as_deref().and_then(listen_port).filter(|port| *port != PORT);
    let mut port = told.unwrap_or(PORT);
    let questions = |base: &str| vec![Question::get(format!("{base}/config/"))];
    let mut reached = looker.reach(part, port, &questions).await;
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
    let config =
        answers.swap_remove(0).and_then(|answer| read(&asked, &answer)).map_err(|missing| explained(missing, part));
    CaddySeen {
        name: part.name.clone(),
        place: part.place.clone(),
        version: environment("CADDY_VERSION").map(|version| version.trim_start_matches('v').to_owned()),
        admin,
        way,
        config,
    }
}

fn read(asked: &str, answer: &Answer) -> Known<CaddyConfig> {
    if answer.status != 200 {
        let why = format!("HTTP {}: {}", answer.status, super::redact::line(&String::from_utf8_lossy(&answer.body)));
        return Err(Missing::failed(asked, Kind::Status(answer.status), why));
    }
    CaddyConfig::read(&answer.body).map_err(|error| {
        Missing::failed(asked, Kind::Garbage, format!("what came back is not Caddy's config: {error}"))
    })
}

/// A port that refuses says nothing about where the admin API is instead.
fn explained(missing: Missing, part: &Part) -> Missing {
    match missing {
        Missing::Failed { asked, kind: Kind::Refused, why } if !matches!(part.kind, PartKind::Address(_)) => {
            Missing::Failed {
                asked,
                kind: Kind::Refused,
                why: format!(
                    "{why}; its admin API is off or at another address: name it with --caddy http://ADDRESS:PORT"
                ),
            }
        }
        other => other,
    }
}
