//! What a container's own health check says, and whether it can be believed.

use crate::model::{
    Action, Apply, Explains, Finding, Fix, Severity,
    docker::{Container, Detail, Program},
    fix::{self, Change},
    mitmproxy::{CommandLine, Mode},
    text::shell,
};

/// `None` where it passes, or there is none.
pub(super) fn judge(container: &Container, detail: &Detail) -> Option<Finding> {
    let name = &container.name;
    let health = detail.health.as_ref()?;
    // In the start period an engine does not count what fails.
    if health.status == "starting" && (health.failing_streak > 0 || health.exit_code != 0) {
        return Some(
            Finding::warn([name], format!("{name} runs, and its health check has not passed yet"))
                .may_heal(true)
                .seen("its last probe", last_probe(health.exit_code, &health.output)),
        );
    }
    if health.status != "unhealthy" {
        return None;
    }
    let output = health.output.as_str();
    let mitmproxy = match &container.program {
        Some(Program::Mitmproxy(line)) => Some(line),
        _ => None,
    };
    let mut finding = if matches!(health.exit_code, 126 | 127) || has_no_tool(output) {
        Finding::warn(
            [name],
            format!("{name} works and is called unhealthy: the tool of its health check is not in its image"),
        )
    } else if mitmproxy.is_some() && is_refused(output) {
        Finding::warn(
            [name],
            format!("{name} works and is called unhealthy: mitmweb answers its health check with 403"),
        )
    } else {
        // The engine goes on asking: what starts slowly passes later.
        Finding::fail([name], format!("{name} runs and fails its own health check"))
            .explaining(Explains::Nothing)
            .may_heal(true)
    };
    finding = finding.seen("its last probe", last_probe(health.exit_code, output));
    if finding.severity == Severity::Warn
        && let Some(line) = mitmproxy
    {
        let ask = format!("import socket; socket.create_connection(('127.0.0.1', {}), 3)", port_of(line));
        let test = format!("  test: {}", serde_json::json!(["CMD", "python3", "-c", ask]));
        return Some(finding.fix(fix::recreate(
            container,
            "give it a health check that works in this image",
            Change::HealthCheck { command: format!("python3 -c \"{ask}\"") },
            &["healthcheck:", &test],
        )));
    }
    Some(finding.fix(Fix::new(
        "see what the check asks, and mend that",
        Action::Command {
            command: format!("docker inspect -f '{{{{json .Config.Healthcheck.Test}}}}' {}", shell(name)),
            apply: Apply::Manual,
        },
    )))
}

/// Whether the engine or a shell says that there is no such program. A check that ends in `|| exit 1` hides the exit code of that.
fn has_no_tool(output: &str) -> bool {
    let by_engine = output.contains("executable file not found") || output.contains("OCI runtime exec failed");
    // `/bin/sh: 1: curl: not found`, `sh: curl: not found`, `bash: line 1: curl: command not found`; of a script its name stands
    // there: `/health.sh: 2: curl: not found`
    let by_shell = |line: &str| {
        let line = line.trim();
        let mut fields = line.split(':').map(str::trim);
        let (speaker, place) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let is_shell = matches!(speaker.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash" | "busybox"));
        let number = place.strip_prefix("line ").unwrap_or(place);
        let is_script = speaker.contains('/') && !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
        (is_shell || is_script) && (line.ends_with(": not found") || line.ends_with(": command not found"))
    };
    by_engine || output.lines().any(by_shell)
}

/// Whether it tells of an answer with HTTP status 403, as python3, curl and wget say it.
fn is_refused(output: &str) -> bool {
    const WORDS: &[&str] = &["HTTP Error 403", "returned error: 403", "HTTP/1.1 403", "HTTP/1.0 403", "ERROR 403"];
    let words: Vec<&str> = output.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
    WORDS.iter().any(|words| output.match_indices(words).any(|(at, _)| is_whole(&output[at + words.len()..])))
        || words.windows(2).any(|own| own == ["403", "Forbidden"])
        || output.lines().any(|line| line.trim() == "403")
}

/// The port on which it takes requests, by its modes.
fn port_of(line: &CommandLine) -> u16 {
    let read = |spec: &String| Mode::read(spec, line.listen_port(), None);
    let mode = line.modes.iter().map(read).find(Mode::takes_requests);
    mode.map_or_else(|| line.listen_port(), |mode| mode.listen_port)
}

fn last_probe(exit_code: i64, output: &str) -> String {
    let first = output.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("printed nothing");
    format!("exit code {exit_code}: {first}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{docker::Health, example};

    fn unhealthy(exit_code: i64, output: &str, command: &[&str]) -> Finding {
        let mut own = example::container("mitmproxy", "app-net", "172.20.0.2");
        own.program = CommandLine::read(command).map(Program::Mitmproxy);
        let mut detail = *own.detail.clone().unwrap();
        detail.health =
            Some(Health { status: "unhealthy".into(), exit_code, output: output.into(), failing_streak: 9 });
        own.detail = Some(Box::new(detail.clone()));
        judge(&own, &detail).unwrap()
    }

    const MITMWEB: &[&str] = &["mitmweb", "--mode", "reverse:http://backend:3000"];

    #[test]
    fn a_health_check_without_its_tool_is_no_failure() {
        for (exit_code, output) in [
            (-1, "OCI runtime exec failed: exec: \"curl\": executable file not found in $PATH"),
            (127, ""),
            (1, "/bin/sh: 1: curl: not found"),
            (1, "/bin/sh: curl: not found"),
            (1, "bash: line 1: wget: command not found"),
            (1, "/health.sh: 2: curl: not found"),
        ] {
            assert_eq!(unhealthy(exit_code, output, MITMWEB).severity, Severity::Warn, "{output}");
        }
        for output in ["Connection refused", "backend: not found", "404 page: not found"] {
            assert_eq!(unhealthy(1, output, MITMWEB).severity, Severity::Fail, "{output}");
        }
    }

    #[test]
    fn a_403_is_a_status_and_no_number_that_has_these_digits() {
        for output in [
            "urllib.error.HTTPError: HTTP Error 403: Forbidden",
            "curl: (22) The requested URL returned error: 403",
            "wget: server returned error: HTTP/1.1 403 Forbidden",
            "403",
        ] {
            assert_eq!(unhealthy(1, output, MITMWEB).severity, Severity::Warn, "{output}");
        }
        for output in
            ["connect to 127.0.0.1 port 14030 failed", "127.0.0.1:403: refused", "took 403 ms", "HTTP Error 4031"]
        {
            assert_eq!(unhealthy(1, output, MITMWEB).severity, Severity::Fail, "{output}");
        }
    }

    #[test]
    fn the_health_check_that_is_printed_asks_where_the_mode_listens() {
        let command =
            unhealthy(127, "", &["mitmweb", "--mode", "reverse:http://backend:3000@9000"]).fixes.remove(0).action;
        assert!(command.commands()[0].contains(", 9000), 3)"), "{command:?}");
        let of = |command: &[&str]| port_of(&CommandLine::read(command).unwrap());
        assert_eq!(of(&["mitmweb", "--mode", "reverse:http://backend:3000@9000"]), 9000);
        assert_eq!(of(&["mitmweb", "--mode", "dns@5353", "--mode", "reverse:http://b:1", "-p", "8082"]), 8082);
        assert_eq!(of(&["mitmweb"]), 8080);
    }
}
