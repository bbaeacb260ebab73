//! Judges the facts: runs the checks, and computes statuses, root causes and the exit code, once and before any format.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use caddy_doctor_checks::{
    ALL, explaining,
    model::{
        Check, Context, Evidence, Explains, Facts, Finding, Gap, Path, Paths, Severity, Verdict, docker::EngineSeen,
    },
};

use crate::{
    cli::Judging,
    report::{CheckReport, FindingReport, FixReport, Report, RootCause, SetupReport, Status},
};

/// The selected checks, in the order of the report.
pub(crate) fn selected(judging: &Judging) -> Vec<&'static Check> {
    let only = |check: &Check| judging.only.is_empty() || judging.only.iter().any(|id| id == check.id);
    ALL.iter().filter(|check| only(check) && !judging.skip.iter().any(|id| id == check.id)).copied().collect()
}

/// Judges.
pub(crate) fn judge(facts: Facts, judging: &Judging) -> Report {
    let checks = selected(judging);
    let elapsed_ms = facts.elapsed_ms;
    let context = Context::new(facts);
    let judged: Vec<Judged> = checks.iter().map(|check| run(check, &context)).collect();
    let rows: Vec<CheckReport> = judged.iter().map(|own| row(own, &judged)).collect();

    let mut root_causes: Vec<RootCause> = rows
        .iter()
        .flat_map(|row| row.findings.iter().map(move |finding| (row, finding)))
        .filter(|(_, finding)| finding.consequence_of.is_empty())
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
    let exit_code = match status {
        Status::Fail => 1,
        Status::Warn if judging.strict => 1,
        Status::Unknown if judging.strict && rows.iter().any(|row| row.status == Status::Warn) => 1,
        Status::Unknown => 3,
        _ => 0,
    };
    Report {
        schema: crate::report::SCHEMA,
        doctor: env!("CARGO_PKG_VERSION"),
        status,
        exit_code,
        partial: checks.len() < ALL.len(),
        elapsed_ms,
        setup: setup(&context, &rows),
        root_causes,
        checks: rows,
    }
}

/// A check that was run.
struct Judged {
    check: &'static Check,
    verdict: Verdict,
    /// Why it broke, when it did.
    broken: Option<String>,
    duration_ms: u64,
}

fn run(check: &'static Check, context: &Context) -> Judged {
    let start = Instant::now();
    // A check that breaks is reported as a row of its own; the default message would only be noise.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let judged = catch_unwind(AssertUnwindSafe(|| (check.run)(context)));
    std::panic::set_hook(hook);
    let (verdict, broken) = match judged {
        Ok(verdict) => (verdict, None),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let broken = format!("the check itself broke, which is a bug of the doctor; please report it: {words}");
            (Verdict::default(), Some(broken))
        }
    };
    Judged { check, verdict, broken, duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX) }
}

/// The checks that come before `check` and whose failure touches these parties.
fn explained_by(check: &Check, judged: &[Judged], about: &[String], hop: Option<&str>) -> Vec<&'static str> {
    let before = explaining(check);
    judged
        .iter()
        .filter(|other| before.contains(&other.check.id))
        .filter(|other| {
            let mut failures = other.verdict.findings.iter().filter(|finding| finding.severity == Severity::Fail);
            failures.any(|failure| failure.touches(about, hop))
        })
        .map(|other| other.check.id)
        .collect()
}

fn row(own: &Judged, all: &[Judged]) -> CheckReport {
    let Judged { check, verdict, broken, duration_ms } = own;
    let findings: Vec<FindingReport> =
        verdict.findings.iter().map(|finding| finding_report(check, finding, all)).collect();
    let (blocked, open): (Vec<(&Gap, Vec<&'static str>)>, Vec<_>) = verdict
        .gaps
        .iter()
        .map(|gap| (gap, explained_by(check, all, &gap.about, gap.hop.as_deref())))
        .partition(|(_, by)| !by.is_empty());
    let mut blocked_by: Vec<&'static str> = blocked.iter().flat_map(|(_, by)| by.iter().copied()).collect();
    blocked_by.sort_by_key(|id| ALL.iter().position(|check| check.id == *id));
    blocked_by.dedup();

    let open_reason = broken.clone().or_else(|| open.first().map(|(gap, _)| gap.reason.clone()));
    let (status, reason) = match (verdict.worst(), &open_reason) {
        (Some(Severity::Fail), reason) => (Status::Fail, (*reason).clone()),
        (_, Some(reason)) => (Status::Unknown, Some(reason.clone())),
        (Some(Severity::Warn), None) => (Status::Warn, None),
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
    let summary = match (verdict.findings.as_slice(), &reason) {
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
        reason,
        explain: format!("doctor explain {}", check.id),
        duration_ms: *duration_ms,
    }
}

fn finding_report(check: &Check, finding: &Finding, all: &[Judged]) -> FindingReport {
    FindingReport {
        severity: finding.severity,
        about: finding.about.clone(),
        hop: finding.hop.clone(),
        summary: finding.summary.clone(),
        evidence: finding.evidence.clone(),
        breaks: finding.explains == Explains::Everything,
        consequence_of: explained_by(check, all, &finding.about, finding.hop.as_deref()),
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
    let failures = || rows.iter().flat_map(|row| &row.findings).filter(|finding| finding.severity == Severity::Fail);
    let mut report = crate::report::PathReport { host, ..Default::default() };
    for (at, pair) in nodes.windows(2).enumerate() {
        let broken = failures().any(|failure| match (&failure.hop, &ids[at]) {
            (Some(hop), Some(id)) => hop == id,
            (Some(_), None) => false,
            (None, _) => failure.breaks && failure.about.first() == Some(&pair[1].0),
        });
        report.hops.push(format!("{} -> {}", pair[0].1, pair[1].1));
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
