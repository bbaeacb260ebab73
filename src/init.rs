//! `doctor init`: writes a `doctor.toml` from the setup that is there.
//!
//! What is active in it changes no verdict: each name is tried on the facts first, and stands behind a `#` when it would.

use caddy_doctor_checks::model::{Context, Facts, Setup, Thresholds, facts::Asked, setup::PartKind};

use crate::{
    cli::{Init, Judging},
    config::NAME,
    error::Error,
    judge,
    report::{Report, json, shown},
};

pub(crate) fn init(arguments: Init) -> Result<u8, Error> {
    let Init { force, mut check } = arguments;
    let path = check.settings.config.clone().unwrap_or_else(|| NAME.into());
    if !force && path.symlink_metadata().is_ok() {
        return Err(Error::ConfigThere { path });
    }
    // Whichever checks are to be made later, everything is looked at now.
    check.judging = Judging::default();
    let facts = crate::facts(&check)?;
    let (text, found) = written(&facts);
    crate::write_file(&path, text.as_bytes())?;
    let found = if found.is_empty() { "no setup was found, so all of it are comments".to_owned() } else { found };
    crate::print(&shown(&format!("wrote {}: {found}", path.display())));
    crate::print("\n");
    Ok(0)
}

/// The file, and what of the setup is active in it.
fn written(facts: &Facts) -> (String, String) {
    let report = judge::judge(facts.clone(), &Judging::default(), Vec::new());
    let context = Context::new(facts.clone());
    let containers = context.containers.as_ref().ok();
    let setup = context.setup.as_ref().ok();
    // Only a container can be named, and only one.
    let name_of = |parts: fn(&Setup) -> &Vec<caddy_doctor_checks::model::Part>| match parts(setup?).as_slice() {
        [one] if one.kind == PartKind::Container => Some(one.name.clone()),
        _ => None,
    };
    let asked = &facts.asked;
    let caddy = asked.caddy.clone().or_else(|| name_of(|setup| &setup.caddies));
    let mitmproxy = asked.mitmproxy.clone().or_else(|| name_of(|setup| &setup.mitmproxies));
    let project = asked.project.clone().or_else(|| {
        let own = containers?.named(caddy.as_deref()?)?;
        Some(own.compose.as_ref()?.project.clone())
    });
    let mut hosts = asked.hosts.clone();
    if hosts.is_empty() {
        let all = context.paths.iter().flat_map(|paths| &paths.paths).map(|path| path.host.clone());
        hosts = all.filter(|host| !host.contains(['*', ' ', '{'])).collect();
        hosts.dedup();
    }

    let mut out = Out { facts, report: &report, text: HEAD.to_owned(), active: Vec::new() };
    out.section("The Hosts whose paths are judged. Without it: those that Caddy routes to mitmproxy.");
    let list: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
    let example = r#"["api.example.com"]"#;
    out.name("host", (!hosts.is_empty()).then(|| format!("[{}]", list.join(", "))), example, |asked| {
        asked.hosts.clone_from(&hosts);
    });
    out.section("Which container is Caddy and which is mitmproxy, or the address of its API.");
    out.name("caddy", caddy.as_deref().map(quoted), r#""caddy""#, |asked| asked.caddy.clone_from(&caddy));
    let value = mitmproxy.as_deref().map(quoted);
    out.name("mitmproxy", value, r#""mitmproxy""#, |asked| asked.mitmproxy.clone_from(&mitmproxy));
    out.section(
        "The compose project to look at. Without it: the one that this folder is called after, if there is one.",
    );
    out.name("project", project.as_deref().map(quoted), r#""shop""#, |asked| asked.project.clone_from(&project));
    out.text.push_str(OPTIONS);

    out.section(
        "What the tests must reach from where the doctor runs. Beside each address, what needs it.\n\
         Active, they make the check `vantage` try them.",
    );
    let parts = setup.into_iter().flat_map(Setup::parts).filter_map(|part| containers?.named(&part.name));
    let published = parts.flat_map(|own| {
        let ports = own.ports.iter().filter(|port| port.protocol == "tcp" && port.host_port.is_some());
        ports.filter_map(move |port| Some((own.published(port.container_port)?, own, port.container_port)))
    });
    let mut expected: Vec<(String, String)> = published
        .map(|((ip, host_port), own, port)| {
            let address = caddy_doctor_checks::model::text::join_port(ip, host_port);
            (address, format!("port {port} of {}", own.name))
        })
        .collect();
    expected.dedup();
    if expected.is_empty() {
        expected.push(("127.0.0.1:8080".to_owned(), "the tests send their requests there".to_owned()));
    }
    for (address, why) in expected.iter().filter(|(address, _)| !asked.expect.contains(address)) {
        out.text.push_str(&format!("# [[expect]]\n# address = {}\n# why = {}\n", quoted(address), quoted(why)));
    }
    // What was expected of this look is expected of the next.
    for address in &asked.expect {
        out.text.push_str(&format!("[[expect]]\naddress = {}\n", quoted(address)));
        out.active.push(format!("expect {}", quoted(address)));
    }

    out.section("From where on checks warn of something that grows; what stands here is usual.");
    let usual = serde_json::to_value(Thresholds::default()).unwrap_or_default();
    out.text.push_str("# [thresholds]\n");
    for (name, value) in usual.as_object().into_iter().flatten() {
        out.text.push_str(&format!("# {name} = {value}\n"));
    }

    out.section(
        "A finding to live with for a while: it is told and counted, and does not fail the run.\n\
         `about` is a party or a hop of the finding, or a list of them; without it every finding of the check is meant.\n\
         `expires` is the last day on which it counts, in UTC.",
    );
    let cause = report.root_causes.first();
    let check = cause.map_or("keep-host-header", |cause| cause.check);
    let about: Vec<String> =
        cause.map_or(vec![quoted("mitmproxy")], |cause| cause.about.iter().map(|own| quoted(own)).collect());
    out.text.push_str(&format!("# [[accept]]\n# check = {}\n", quoted(check)));
    if !about.is_empty() {
        out.text.push_str(&format!("# about = [{}]\n", about.join(", ")));
    }
    out.text.push_str("# reason = \"why it is no harm, and who knows more\"\n# expires = 2026-12-31\n");
    out.section(
        "A check of one's own: a program that gets the facts as JSON and prints a verdict (docs/own-checks.md of the doctor).\n\
         It is run when this file is named, or with --own-checks.",
    );
    out.text.push_str(
        "# [[check]]\n# id = \"test-hosts\"\n# title = \"Does Caddy serve only Hosts of the test domain?\"\n",
    );
    out.text.push_str("# command = [\"python3\", \"checks/test-hosts.py\"]\n# after = [\"caddy-admin\"]\n");
    let found = out.active.join(", ");
    (out.text, found)
}

const HEAD: &str = "\
# Settings of the doctor, used in this folder and below it.
# What is said on the command line counts first, then variables like DOCTOR_HOST, then this file.
# Written by `doctor init` from what it found; every name is in docs/config.md of the doctor.
";

const OPTIONS: &str = r#"
# Which checks are made (`doctor list`), and whether a warning is a failure.
# only = ["shared-network", "caddy-dial"]
# skip = ["latency"]
# strict = true

# How long the whole run may take, and how the report is written: text, short, json, markdown, github or junit.
# timeout = "10s"
# format = "text"

# These count only in a file that is named with --config or DOCTOR_CONFIG: who merely stands in somebody's folder sends
# nothing and reads no secret. Marked requests through the setup; a file with mitmweb's password.
# probe = true
# web_password_file = "mitmweb-password"
"#;

struct Out<'o> {
    facts: &'o Facts,
    report: &'o Report,
    text: String,
    active: Vec<String>,
}

impl Out<'_> {
    fn section(&mut self, comment: &str) {
        self.text.push('\n');
        for line in comment.lines() {
            self.text.push_str(&format!("# {line}\n"));
        }
    }

    /// A name with the value that was found, active when the verdicts are the same with it.
    fn name(&mut self, name: &str, value: Option<String>, example: &str, ask: impl Fn(&mut Asked)) {
        let Some(value) = value else {
            self.text.push_str(&format!("# {name} = {example}\n"));
            return;
        };
        let mut facts = self.facts.clone();
        ask(&mut facts.asked);
        let is_same = verdicts(&judge::judge(facts, &Judging::default(), Vec::new())) == verdicts(self.report);
        let comment = if is_same { "" } else { "# " };
        self.text.push_str(&format!("{comment}{name} = {value}\n"));
        if is_same {
            self.active.push(format!("{name} = {value}"));
        }
    }
}

/// What a reader acts on; by what a part was recognised is nothing of it.
fn verdicts(report: &Report) -> serde_json::Value {
    let checks: Vec<_> = report.checks.iter().map(|check| (check.id, check.status.name(), &check.findings)).collect();
    serde_json::json!([report.exit_code, report.root_causes, report.setup.paths, checks])
}

/// A TOML string: JSON's escapes are some of TOML's, and the writer escapes what TOML does not allow as it is.
fn quoted(text: &str) -> String {
    json::write(&text).trim_end().to_owned()
}
