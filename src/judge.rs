//! Judges the facts: runs the checks, and computes statuses, root causes and the exit code, once and before any format.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use caddy_doctor_checks::{
    ALL, explaining,
    model::{
        Check, Context, Evidence, Explains, Facts, Finding, Gap, Group, Outlook, Path, Paths, Severity, Verdict,
        before_up, docker::EngineSeen,
    },
};

use crate::{
    accept,
    cli::Judging,
    own,
    report::{
        AcceptedReport, CheckReport, FindingReport, FixReport, Report, RootCause, SetupReport, Status, cut, cut::cut,
    },
};

/// The selected checks, in the order of the report.
pub(crate) fn selected(judging: &Judging) -> Vec<&'static Check> {
    let only = |check: &Check| judging.only.is_empty() || judging.only.iter().any(|id| id == check.id);
    own::all(&judging.own).filter(|check| only(check) && !judging.skip.iter().any(|id| id == check.id)).collect()
}

/// Judges; `own` are the checks of one's own, which have been run ([`crate::own`]).
pub(crate) fn judge(facts: Facts, judging: &Judging, mut own: Vec<Judged>) -> Report {
    let checks = selected(judging);
    let elapsed_ms = facts.elapsed_ms;
    let context = Context::new(facts);
    let mut judge = |check: &'static Check| match own.iter().position(|own| own.check.id == check.id) {
        Some(at) => own.swap_remove(at),
        None => run(check, &context),
    };
    let mut judged: Vec<Judged> = checks.iter().map(|check| judge(check)).collect();
    let mut notes = Vec::new();
    if let Some(config) = &judging.config {
        notes.clone_from(&config.notes);
        notes.extend(accept::settle(&mut judged, config));
    }
    let rows: Vec<CheckReport> = judged.iter().map(|own| row(own, &judged)).collect();

    let mut root_causes: Vec<RootCause> = rows
        .iter()
        .flat_map(|row| row.findings.iter().map(move |finding| (row, finding)))
        .filter(|(_, finding)| finding.consequence_of.is_empty() && finding.accepted.is_none())
        .map(|(row, finding)| RootCause {
            check: row.id,
            severity: finding.severity,
            about: finding.about.clone(),
            summary: finding.summary.clone(),
        })
        .collect();
    // The order of the checks stays within each severity.
    root_causes.sort_by_key(|cause| std::cmp::Reverse(cause.severity));

    let status = rows.iter().map(|row| row.status).fold(Status::Pass, worse);
    // What is accepted is told like a warning, and --strict does not count it.
    let is_warned = rows.iter().any(|row| row.status == Status::Warn && !row.is_accepted());
    let exit_code = match status {
        Status::Fail => 1,
        Status::Warn | Status::Unknown if judging.strict && is_warned => 1,
        Status::Unknown => 3,
        _ => 0,
    };
    Report {
        schema: crate::report::SCHEMA,
        doctor: env!("CARGO_PKG_VERSION"),
        status,
        exit_code,
        strict: judging.strict,
        partial: checks.len() < ALL.len() + judging.own.len(),
        elapsed_ms,
        config: judging.config.as_ref().map(|config| config.path.clone()),
        accepted: rows.iter().flat_map(|row| &row.findings).filter(|finding| finding.accepted.is_some()).count(),
        notes,
        setup: setup(&context, &rows),
        root_causes,
        checks: rows,
    }
    .cut()
}

/// A check that was run.
pub(crate) struct Judged {
    pub(crate) check: &'static Check,
    pub(crate) verdict: Verdict,
    /// Of each finding, whether it is accepted.
    pub(crate) accepted: Vec<Option<AcceptedReport>>,
    /// Why it broke, when it did.
    pub(crate) broken: Option<String>,
    duration_ms: u64,
}

impl Judged {
    /// What a check said, or why it broke.
    pub(crate) fn new(check: &'static Check, said: Result<Verdict, String>, start: Instant) -> Self {
        let (verdict, broken) = match said {
            Ok(verdict) => (verdict, None),
            Err(why) => (Verdict::default(), Some(why)),
        };
        let accepted = vec![None; verdict.findings.len()];
        let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { check, verdict, accepted, broken, duration_ms }
    }
}

fn run(check: &'static Check, context: &Context) -> Judged {
    let start = Instant::now();
    // A check that breaks is reported as a row of its own; the default message would only be noise.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let judged = catch_unwind(AssertUnwindSafe(|| before_up::judge(check, context)));
    std::panic::set_hook(hook);
    let said = judged.map_err(|panic| {
        let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        format!("the check itself broke, which is a bug of the doctor; please report it: {words}")
    });
    Judged::new(check, said, start)
}

/// The failures of checks before `check` that touch these parties: the check, and which of its findings. What is certain
/// whatever else comes up does not follow from what may heal by itself.
pub(crate) fn causes<'j>(
    check: &Check,
    judged: &'j [Judged],
    about: &'j [String],
    hop: Option<&'j str>,
    outlook: Outlook,
) -> impl Iterator<Item = (&'j Judged, usize)> {
    let before = explaining(check);
    judged.iter().filter(move |other| before.contains(&other.check.id)).flat_map(move |other| {
        let findings = other.verdict.findings.iter().enumerate();
        let touching = findings.filter(move |(_, own)| {
            own.severity == Severity::Fail
                && own.touches(about, hop)
                && !(outlook == Outlook::Certain && own.outlook == Outlook::MayHeal)
        });
        touching.map(move |(nth, _)| (other, nth))
    })
}

/// The checks that they are of.
fn explained_by(
    check: &Check,
    judged: &[Judged],
    about: &[String],
    hop: Option<&str>,
    outlook: Outlook,
) -> Vec<&'static str> {
    let mut ids: Vec<&'static str> = causes(check, judged, about, hop, outlook).map(|(own, _)| own.check.id).collect();
    ids.dedup();
    ids
}

fn row(own: &Judged, all: &[Judged]) -> CheckReport {
    let Judged { check, verdict, accepted, broken, duration_ms } = own;
    let pairs = || verdict.findings.iter().zip(accepted);
    let findings: Vec<FindingReport> =
        pairs().map(|(finding, accepted)| finding_report(check, finding, accepted.clone(), all)).collect();
    // What is accepted counts when there is nothing else.
    let mut open_findings: Vec<&Finding> =
        pairs().filter(|(_, accepted)| accepted.is_none()).map(|(finding, _)| finding).collect();
    let worst = open_findings.iter().map(|finding| finding.severity).max();
    if open_findings.is_empty() {
        open_findings = verdict.findings.iter().collect();
    }
    let (blocked, open): (Vec<(&Gap, Vec<&'static str>)>, Vec<_>) = verdict
        .gaps
        .iter()
        .map(|gap| (gap, explained_by(check, all, &gap.about, gap.hop.as_deref(), Outlook::Stays)))
        .partition(|(_, by)| !by.is_empty());
    let mut blocked_by: Vec<&'static str> = blocked.iter().flat_map(|(_, by)| by.iter().copied()).collect();
    blocked_by.sort_by_key(|id| all.iter().position(|other| other.check.id == *id));
    blocked_by.dedup();

    // What is not told one by one was not held against what is accepted either.
    let untold = (verdict.untold > 0 && worst.is_none())
        .then(|| format!("whether {} more findings are accepted as well was not looked at", verdict.untold));
    let open_reason = broken.clone().or_else(|| open.first().map(|(gap, _)| gap.reason.clone())).or(untold);
    let (status, reason) = match (worst, &open_reason) {
        (Some(Severity::Fail), reason) => (Status::Fail, (*reason).clone()),
        (_, Some(reason)) => (Status::Unknown, Some(reason.clone())),
        (Some(Severity::Warn), None) => (Status::Warn, None),
        (None, None) if !findings.is_empty() => (Status::Warn, None),
        (None, None) if !blocked.is_empty() => {
            (Status::Skip, Some(format!("blocked by {}", caddy_doctor_checks::model::text::list(&blocked_by))))
        }
        (None, None) => match &verdict.not_applicable {
            Some(reason) => (Status::Skip, Some(reason.clone())),
            None => (Status::Pass, None),
        },
    };
    let mut evidence = verdict.evidence.clone();
    if verdict.untold > 0 {
        evidence.push(Evidence::new("more findings", format!("{} like these, not told one by one", verdict.untold)));
    }
    let summary = match (open_findings.as_slice(), &reason) {
        ([first], _) => first.summary.clone(),
        ([first, rest @ ..], _) => format!("{}; and {} more", first.summary, rest.len() + verdict.untold),
        ([], Some(reason)) => reason.clone(),
        ([], None) => verdict.summary.clone(),
    };
    CheckReport {
        id: check.id,
        title: check.title(),
        group: check.group,
        status,
        summary,
        evidence,
        findings,
        blocked_by,
        may_be_answered: open.iter().find(|(gap, _)| gap.may_heal).map(|(gap, _)| gap.reason.clone()),
        reason,
        explain: format!("doctor explain {}", check.id),
        duration_ms: *duration_ms,
    }
}

fn finding_report(check: &Check, finding: &Finding, accepted: Option<AcceptedReport>, all: &[Judged]) -> FindingReport {
    let consequence_of = explained_by(check, all, &finding.about, finding.hop.as_deref(), finding.outlook);
    FindingReport {
        // An accepted failure fails nothing, whoever reads the report.
        severity: if accepted.is_some() { Severity::Warn } else { finding.severity },
        accepted,
        about: finding.about.clone(),
        hop: finding.hop.clone(),
        summary: finding.summary.clone(),
        evidence: finding.evidence.clone(),
        // What is asked by a check of one's own need not be in the way of requests; where it is, it names the hop.
        breaks: finding.explains == Explains::Everything && check.group != Group::Own,
        may_heal: finding.outlook == Outlook::MayHeal && consequence_of.is_empty(),
        certain: finding.outlook == Outlook::Certain,
        consequence_of,
        fixes: finding
            .fixes
            .iter()
            .map(|fix| FixReport {
                title: fix.title.clone(),
                commands: fix.action.commands(),
                edits: fix.edits.clone(),
                apply: fix.action.apply(),
                undo: fix.action.undo(),
                action: fix.action.clone(),
            })
            .collect(),
    }
}

/// The worst of fail, unknown, warn, pass; a skip is no worse than a pass.
fn worse(a: Status, b: Status) -> Status {
    let rank = |status| match status {
        Status::Skip | Status::Pass => 0,
        Status::Warn => 1,
        Status::Unknown => 2,
        Status::Fail => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn setup(context: &Context, rows: &[CheckReport]) -> SetupReport {
    use crate::report::{CaddyReport, EngineReport, MitmproxyReport};
    let engine = context.engine.as_ref().ok().and_then(|seen: &EngineSeen| {
        let engine = seen.answer.as_ref().ok()?;
        Some(EngineReport {
            name: engine.name.clone(),
            version: engine.version.clone(),
            endpoint: seen.endpoint.clone(),
        })
    });
    let mut report = SetupReport { engine, ..SetupReport::default() };
    let Ok(setup) = &context.setup else { return report };
    for part in &setup.caddies {
        let seen = context.caddies.as_ref().ok().and_then(|all| all.named(&part.name));
        report.caddy.push(CaddyReport {
            place: part.name.clone(),
            version: seen.and_then(|seen| seen.version.clone()),
            admin: seen.filter(|seen| seen.config.is_ok()).map(|seen| seen.admin.clone()),
        });
    }
    for part in &setup.mitmproxies {
        let seen = context.mitmproxies.as_ref().ok().and_then(|all| all.named(&part.name));
        report.mitmproxy.push(MitmproxyReport {
            place: part.name.clone(),
            program: seen.map_or("mitmproxy", |seen| seen.command_line.interface.name()),
            version: seen.and_then(|seen| seen.version.clone()),
            modes: seen.map(|seen| seen.modes().0.into_iter().map(|mode| mode.spec).collect()).unwrap_or_default(),
        });
    }
    if let Ok(paths) = &context.paths {
        report.paths = paths.paths.iter().map(|path| path_report(paths, path, rows)).collect();
        if report.paths.is_empty() {
            report.paths.extend(without_caddys_config(setup, paths, rows));
        }
    }
    report
}

fn path_report(paths: &Paths, path: &Path, rows: &[CheckReport]) -> crate::report::PathReport {
    let mut nodes = vec![("client".to_owned(), "client".to_owned())];
    nodes.push((
        path.caddy.clone(),
        match path.listen {
            Some((port, _)) => format!("{}:{port}", path.caddy),
            None => path.caddy.clone(),
        },
    ));
    let mut ids = vec![None];
    for hop in path.hops.iter().map(|at| &paths.hops[*at]) {
        nodes.push((hop.ends()[1].clone(), hop.leads_to()));
        ids.push(Some(hop.id()));
    }
    let mut report = drawn(path.host.clone(), &nodes, &ids, rows);
    report.undecided = path.undecided;
    report.path = Some(path.request_path.clone()).filter(|path| path != "/");
    report
}

/// What is known of the way when Caddy cannot be asked: that it is there, and where mitmproxy sends requests.
fn without_caddys_config(
    setup: &caddy_doctor_checks::model::Setup,
    paths: &Paths,
    rows: &[CheckReport],
) -> Option<crate::report::PathReport> {
    let target = paths.relevant().find(|hop| setup.mitmproxies.iter().any(|part| part.name == hop.from))?;
    let caddy = setup.caddies.first().map_or("no Caddy", |part| part.name.as_str()).to_owned();
    let nodes = [
        ("client".to_owned(), "client".to_owned()),
        (caddy.clone(), caddy),
        (target.from.clone(), target.from.clone()),
        (target.ends()[1].clone(), target.leads_to()),
    ];
    let words = if paths.unknown.is_empty() {
        "no dial of Caddy is known to lead there"
    } else {
        "where Caddy dials is not known"
    };
    Some(drawn(words.to_owned(), &nodes, &[None, None, Some(target.id())], rows))
}

/// `ids` names the hop before each node but the first, where it is one that checks speak of.
fn drawn(
    host: String,
    nodes: &[(String, String)],
    ids: &[Option<String>],
    rows: &[CheckReport],
) -> crate::report::PathReport {
    let failures = || rows.iter().flat_map(|row| &row.findings).filter(|finding| finding.is_failure());
    let mut report = crate::report::PathReport { host, ..Default::default() };
    for (at, pair) in nodes.windows(2).enumerate() {
        let broken = failures().any(|failure| match (&failure.hop, &ids[at]) {
            (Some(hop), Some(id)) => hop == id,
            (Some(_), None) => false,
            (None, _) => failure.breaks && failure.about.first() == Some(&pair[1].0),
        });
        report.hops.push(format!("{} -> {}", cut(&pair[0].1, cut::NAME), cut(&pair[1].1, cut::NAME)));
        if broken {
            report.broken.push(at);
        }
    }
    report
}

/// Which facts the selected checks need.
pub(crate) fn needs(judging: &Judging) -> Vec<caddy_doctor_checks::model::FactId> {
    selected(judging).iter().flat_map(|check| check.needs.iter().copied()).collect()
}
