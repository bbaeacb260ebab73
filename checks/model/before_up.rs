//! Judging a compose file before `up`: which checks have nothing to look at yet, and fixes as edits of files, since no
//! command can be given to a container that is not there.

use crate::model::{
    Action, Check, Composed, Context, Edit, Explains, Fix, Outlook, Verdict,
    docker::{Containers, Networks},
    fix::ApiAt,
    text::shell,
};

/// Why a check has nothing to look at.
pub const NOTHING_RUNS: &str = "nothing runs yet: this is the compose file, before `up`";

/// Checks that look only at what runs.
const OF_WHAT_RUNS: &[&str] = &["capture-filters", "flows-nonzero", "latency", "memory", "vantage"];

/// Checks whose pass rests on the file alone.
const BY_THE_FILE: &[&str] = &[
    "shared-network",
    "host-docker-internal",
    "dns-lookup",
    "proxy-env",
    "caddy-route",
    "caddy-dial",
    "caddy-listener",
    "reverse-mode",
    "keep-host-header",
];

/// Runs a check; before `up`, what it says is about files.
#[must_use]
pub fn judge(check: &Check, context: &Context) -> Verdict {
    let Some(composed) = context.asked.as_ref().ok().and_then(|asked| asked.compose.as_ref()) else {
        return (check.run)(context);
    };
    if OF_WHAT_RUNS.contains(&check.id) {
        return Verdict::not_applicable(NOTHING_RUNS);
    }
    let mut verdict = (check.run)(context);
    let (no_containers, no_networks) = (Containers::default(), Networks::default());
    let edits = Edits {
        composed,
        containers: context.containers.as_ref().unwrap_or(&no_containers),
        networks: context.networks.as_ref().unwrap_or(&no_networks),
    };
    if check.id == "docker-engine" {
        // What the file says of a hop does not follow from an engine that does not answer.
        verdict.findings.iter_mut().for_each(|finding| finding.explains = Explains::AllButHops);
    }
    for finding in &mut verdict.findings {
        finding.fixes.iter_mut().for_each(|fix| edits.of(fix));
        // A file does not change by waiting; a port may become free.
        if check.id != "port-conflict" {
            finding.outlook = Outlook::Certain;
        }
    }
    if BY_THE_FILE.contains(&check.id) {
        verdict.summary.push_str(", by the compose file");
    }
    verdict
}

struct Edits<'e> {
    composed: &'e Composed,
    containers: &'e Containers,
    networks: &'e Networks,
}

impl Edits<'_> {
    /// Leaves of a fix what can be done now; the rest becomes text for a file.
    fn of(&self, fix: &mut Fix) {
        let action = std::mem::replace(&mut fix.action, Action::Manual);
        if !self.is_about_planned(&action) {
            fix.action = action;
        } else {
            self.write(&action, &mut fix.edits);
            // Some titles tell what a command would do at once.
            fix.title.truncate(fix.title.trim_end_matches(" now").len());
        }
        for edit in &mut fix.edits {
            self.name_the_file(edit);
        }
    }

    fn is_about_planned(&self, action: &Action) -> bool {
        let is_planned = |name: &String| self.containers.is_planned(name);
        match action {
            Action::Connect { container, .. } | Action::Start { container } | Action::Unpause { container } => {
                is_planned(container)
            }
            Action::NewNetwork { containers, .. } => containers.iter().any(|(name, _)| is_planned(name)),
            Action::StopThenStart { stop, start } => is_planned(stop) || is_planned(start),
            Action::Recreate(recreate) => is_planned(&recreate.container),
            Action::SetOption { at, .. }
            | Action::SetDial { at, .. }
            | Action::AddRoute { at, .. }
            | Action::MoveRoute { at, .. }
            | Action::RemoveRoute { at, .. }
            | Action::SetCaddy { at, .. } => matches!(at, ApiAt::Inside { container, .. } if is_planned(container)),
            Action::Steps(steps) => steps.iter().any(|step| self.is_about_planned(step)),
            Action::Command { .. } | Action::Manual => false,
        }
    }

    /// What an action would do, as text, where the fix has none for it.
    fn write(&self, action: &Action, edits: &mut Vec<Edit>) {
        match action {
            Action::Steps(steps) => steps.iter().for_each(|step| self.write(step, edits)),
            Action::NewNetwork { network, containers } => {
                let mut text = "services:\n".to_owned();
                for (name, _) in containers {
                    let Some(own) = self.containers.named(name) else { continue };
                    let service = own.compose.as_ref().map_or(name, |compose| &compose.service);
                    let keys = own.networks.iter().map(|on| self.key(&on.network)).chain([network.clone()]);
                    text.push_str(&format!("  {service}:\n    networks: [{}]\n", keys.collect::<Vec<_>>().join(", ")));
                }
                text.push_str(&format!("networks:\n  {network}: {{}}\n"));
                edits.insert(0, Edit { file: self.compose_file(), language: "yaml", text });
            }
            Action::SetOption { at: ApiAt::Inside { container, .. }, option, value, .. } if edits.is_empty() => {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let text = format!("--set {option}={}", shell(&value));
                edits.push(Edit { file: format!("the command of {container}"), language: "sh", text });
            }
            Action::SetDial { dial, .. } if edits.is_empty() => {
                let text = format!("reverse_proxy {dial}\n");
                edits.push(Edit { file: "Caddyfile".to_owned(), language: "caddyfile", text });
            }
            _ => {}
        }
    }

    /// Under which name the file has a network.
    fn key(&self, network: &str) -> String {
        let named = self.networks.named(network).and_then(|own| own.compose_name.clone());
        named.unwrap_or_else(|| network.to_owned())
    }

    fn compose_file(&self) -> String {
        self.composed.files.last().cloned().unwrap_or_else(|| "compose.yml".to_owned())
    }

    /// `the command of mitmproxy` is in the compose file, and a Caddyfile is one on this machine.
    fn name_the_file(&self, edit: &mut Edit) {
        if let Some(name) = edit.file.strip_prefix("the command of ")
            && let Some(compose) =
                self.containers.named(name).filter(|own| own.is_planned()).and_then(|own| own.compose.as_ref())
        {
            edit.file = format!("{}, in the command of {}", self.compose_file(), compose.service);
        } else if edit.file == "compose.yml" {
            edit.file = self.compose_file();
        } else if edit.language == "caddyfile" {
            let of = edit.file.strip_suffix("Caddyfile").and_then(|name| name.strip_suffix("'s "));
            let config = match of {
                Some(name) => self.composed.configs.get(name),
                None if edit.file == "Caddyfile" && self.composed.configs.len() == 1 => {
                    self.composed.configs.values().next()
                }
                None => None,
            };
            if let Some(config) = config {
                edit.file.clone_from(config);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        docker::{Compose, PLANNED},
        example,
    };

    fn planned() -> crate::model::Facts {
        let mut facts = example::facts();
        for own in &mut facts.containers.as_mut().unwrap().0 {
            own.status = PLANNED.into();
            own.compose = Some(Compose { project: "p".into(), service: own.name.clone(), ..Compose::default() });
            own.networks[0].ip = None;
        }
        let configs = [("caddy".to_owned(), "/site/Caddyfile".to_owned())].into();
        facts.asked.compose =
            Some(Composed { files: vec!["/site/compose.yml".into()], configs, ..Composed::default() });
        facts
    }

    #[test]
    fn no_command_is_given_for_what_is_not_there() {
        let context = Context::new(planned());
        let mut found = 0;
        for check in crate::ALL {
            for finding in judge(check, &context).findings {
                found += 1;
                for fix in finding.fixes {
                    assert_eq!(fix.action, Action::Manual, "{}: {}", check.id, finding.summary);
                    assert!(!fix.edits.is_empty(), "{}: {}", check.id, finding.summary);
                }
            }
        }
        assert!(found > 0, "two networks are a finding");
    }

    #[test]
    fn what_only_looks_at_what_runs_is_skipped() {
        let context = Context::new(planned());
        for id in OF_WHAT_RUNS {
            let verdict = judge(crate::find(id).unwrap(), &context);
            assert_eq!(verdict.not_applicable.as_deref(), Some(NOTHING_RUNS), "{id}");
        }
    }

    #[test]
    fn edits_name_the_file_they_belong_to() {
        let context = Context::new(planned());
        let composed = context.asked.as_ref().unwrap().compose.as_ref().unwrap();
        let (containers, networks) = (context.containers.as_ref().unwrap(), context.networks.as_ref().unwrap());
        let edits = Edits { composed, containers, networks };
        let at = |name: &str| ApiAt::Inside { container: name.into(), url: "http://127.0.0.1:2019".into() };
        let dial =
            |name: &str| Action::SetDial { at: at(name), config_path: "/x".into(), dial: "m:8080".into(), old: None };
        let mut fix = Fix::new("dial", dial("caddy"));
        edits.of(&mut fix);
        assert_eq!((fix.action, fix.edits[0].file.as_str()), (Action::Manual, "/site/Caddyfile"));
        let mut running = Fix::new("dial", dial("another"));
        edits.of(&mut running);
        assert_eq!(running.action, dial("another"), "what runs can be told so");
        let set =
            Action::SetOption { at: at("mitmproxy"), option: "block_private", value: false.into(), password: false };
        let mut fix = Fix::new("set", set);
        edits.of(&mut fix);
        assert_eq!(fix.edits[0].text, "--set block_private=false");
        assert_eq!(fix.edits[0].file, "/site/compose.yml, in the command of mitmproxy");
    }
}
