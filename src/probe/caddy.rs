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
    redact,
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
    let config =
        answers.swap_remove(0).and_then(|answer| read(&asked, &answer)).map_err(|missing| explained(missing, part));
    CaddySeen {
        name: part.name.clone(),
        place: part.place.clone(),
        version: environment("CADDY_VERSION").map(|version| version.trim_start_matches('v').to_owned()),
        admin,
        way,
        config,
        published,
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
