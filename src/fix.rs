//! `doctor fix`: looks, plans what heals the root causes, asks for each, applies it, and looks again.
//!
//! What changes anything is in [`apply`]; here is what is decided, asked and said.

mod apply;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use caddy_doctor_checks::model::{Action, Apply, Facts, Severity};
use serde::Serialize;

use self::apply::Applier;
use crate::{
    cli::{Fix, Format},
    error::Error,
    gather::Secrets,
    report::{self, CheckReport, FindingReport, FixReport, Report, RootCause, Status, json, style::Styles, text},
    wait,
};

/// For how long it looks again when something was started, which takes a while until it answers.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// What became of one thing of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// It would be done.
    Planned,
    Applied,
    Failed,
    /// It was left out; the reason is there.
    Skipped,
}

/// One thing of the plan.
#[derive(Debug, Serialize)]
struct Step {
    check: &'static str,
    /// Other checks whose root causes the same heals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<&'static str>,
    /// The root cause.
    summary: String,
    #[serde(flatten)]
    fix: FixReport,
    /// What else a person could do, where nothing can be applied.
    #[serde(rename = "or", skip_serializing_if = "Vec::is_empty")]
    others: Vec<FixReport>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    about: Vec<String>,
}

impl Step {
    fn ends(&mut self, outcome: Outcome, reason: impl Into<Option<String>>) {
        (self.outcome, self.reason) = (outcome, reason.into());
    }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Document<'d> {
    schema: u32,
    doctor: &'static str,
    plan: &'d [Step],
    before: Before<'d>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Changed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'d Report>,
    exit_code: u8,
}

#[derive(Serialize)]
struct Before<'d> {
    status: Status,
    root_causes: &'d [RootCause],
}

/// The root causes of both looks.
#[derive(Serialize)]
struct Changed {
    gone: Vec<RootCause>,
    left: Vec<RootCause>,
    new: Vec<RootCause>,
}

/// Who says yes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// Nobody: the plan only, for this reason.
    None(&'static str),
    /// `--yes`, to what is safe.
    Yes,
    /// A person at a terminal.
    Ask,
}

/// Runs `doctor fix`.
pub(crate) fn fix(arguments: &Fix) -> Result<u8, Error> {
    let output = &arguments.check.output;
    let mut formats = output.output.iter().filter_map(|target| target.format).chain([output.format]);
    if let Some(format) = formats.find(|own| matches!(own, Format::Markdown | Format::Github | Format::Junit)) {
        return Err(Error::NoPlanInFormat { format: format!("{format:?}").to_lowercase() });
    }
    let facts = crate::facts(&arguments.check)?;
    let before = crate::judged(facts.clone(), &arguments.check)?;
    let mut plan = plan(&before, &arguments.ids);

    let asks = output.format != Format::Json && io::stdin().is_terminal() && io::stdout().is_terminal();
    let before_up = facts.asked.compose.is_some();
    let consent = match (arguments.dry_run, &arguments.check.replay, arguments.yes) {
        _ if before_up => {
            Consent::None("before `up` there are only files to change, and those edits are yours to make")
        }
        (true, _, _) => Consent::None("only the plan was asked for"),
        (_, Some(_), _) => Consent::None("a recording cannot be changed"),
        (_, _, true) => Consent::Yes,
        _ if asks => Consent::Ask,
        _ => Consent::None("there is no terminal to ask at; --yes applies what is safe"),
    };
    let is_elsewhere = output.output.iter().any(|target| target.format.is_none());
    let mut said = Said {
        plain: String::new(),
        live: (output.format != Format::Json && (!is_elsewhere || consent == Consent::Ask)).then(Styles::for_stdout),
    };
    say_plan(&mut said, &plan, &before, &arguments.ids);

    let mut after = None;
    if plan.iter().any(|step| step.outcome == Outcome::Planned) {
        match consent {
            Consent::None(why) => said.sentence("-", |_| Styles::default().dim, &format!("nothing was done: {why}")),
            _ => after = apply_all(arguments, &facts, &mut plan, consent, &mut said)?,
        }
    }
    let changed = after.as_ref().map(|after| changed(&before, after));
    if let (Some(changed), Some(after)) = (&changed, &after) {
        say_changed(&mut said, changed, after);
    }
    let exit_code = after.as_ref().map_or(before.exit_code, |after| after.exit_code);
    let document = Document {
        schema: report::SCHEMA,
        doctor: env!("CARGO_PKG_VERSION"),
        plan: &plan,
        before: Before { status: before.status, root_causes: &before.root_causes },
        changed,
        after: after.as_ref(),
        exit_code,
    };
    let document = json::write(&document);
    for target in &output.output {
        let as_json = target.format.unwrap_or(output.format) == Format::Json;
        crate::write_file(&target.path, if as_json { document.as_bytes() } else { said.plain.as_bytes() })?;
    }
    if output.format == Format::Json && !is_elsewhere {
        crate::print(&document);
    }
    Ok(exit_code)
}

/// The first fix of each root cause that can be applied: of failures first, of warnings when their check is named.
fn plan(report: &Report, ids: &[String]) -> Vec<Step> {
    let is_named = |check: &CheckReport| ids.iter().any(|id| id == check.id);
    let mut plan: Vec<Step> = Vec::new();
    for severity in [Severity::Fail, Severity::Warn] {
        for check in &report.checks {
            if !is_named(check) && (severity == Severity::Warn || !ids.is_empty()) {
                continue;
            }
            for finding in check.findings.iter().filter(|finding| finding.severity == severity) {
                if finding.consequence_of.is_empty() {
                    add(&mut plan, check, finding);
                } else if is_named(check) {
                    plan.push(of_others(check, finding));
                }
            }
        }
    }
    // What is made anew loses what was done to it before, so that comes first.
    plan.sort_by_key(|step| !makes_anew(&step.fix.action));
    plan
}

/// Whether a container may be another one afterwards: made anew by itself, or by compose.
fn makes_anew(action: &Action) -> bool {
    match action {
        Action::Steps(steps) => steps.iter().any(makes_anew),
        Action::Recreate(_) => true,
        Action::Command { apply, .. } => *apply == Apply::Disruptive,
        _ => false,
    }
}

fn add(plan: &mut Vec<Step>, check: &CheckReport, finding: &FindingReport) {
    let applicable = finding.fixes.iter().find(|fix| fix.apply != Apply::Manual);
    if let Some(fix) = applicable
        && let Some(same) = plan.iter_mut().find(|step| step.fix.action == fix.action)
    {
        if same.check != check.id && !same.also.contains(&check.id) {
            same.also.push(check.id);
        }
        return;
    }
    let unknown = || manual(format!("no fix is known; doctor explain {} tells more", check.id));
    let (fix, others) = match applicable {
        Some(fix) => (fix.clone(), Vec::new()),
        None => match finding.fixes.split_first() {
            Some((first, rest)) => (first.clone(), rest.to_vec()),
            None => (unknown(), Vec::new()),
        },
    };
    let mut step = Step {
        check: check.id,
        also: Vec::new(),
        summary: finding.summary.clone(),
        fix,
        others,
        outcome: Outcome::Planned,
        reason: None,
        about: finding.about.clone(),
    };
    if step.fix.apply == Apply::Manual {
        step.ends(Outcome::Skipped, "a person has to do it".to_owned());
    }
    plan.push(step);
}

/// A finding that goes away with another.
fn of_others(check: &CheckReport, finding: &FindingReport) -> Step {
    let causes = finding.consequence_of.join(", ");
    Step {
        check: check.id,
        also: Vec::new(),
        summary: finding.summary.clone(),
        fix: manual(format!("fix first what it follows from: {causes}")),
        others: Vec::new(),
        outcome: Outcome::Skipped,
        reason: Some(format!("it follows from {causes}")),
        about: finding.about.clone(),
    }
}

fn manual(title: String) -> FixReport {
    FixReport {
        title,
        commands: Vec::new(),
        edits: Vec::new(),
        undo: Vec::new(),
        apply: Apply::Manual,
        action: Action::Manual,
    }
}

/// Applies what there is consent to, up to the first that fails; then looks again, when anything was tried.
fn apply_all(
    arguments: &Fix,
    facts: &Facts,
    plan: &mut [Step],
    consent: Consent,
    said: &mut Said,
) -> Result<Option<Report>, Error> {
    let secrets = Secrets { web_password: crate::web_password(&arguments.check)? };
    let is_json = arguments.check.output.format == Format::Json;
    let show = move |line: &str| {
        let line = format!("      {}\n", report::shown(line));
        if is_json {
            let _ = io::stderr().write_all(line.as_bytes());
        } else {
            crate::print(&line);
        }
    };
    let mut applier = Applier::new(facts, &secrets, &show);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let count = plan.iter().filter(|step| step.outcome == Outcome::Planned).count();
    let mut stopped: Option<&str> = None;
    let mut tried = false;
    let mut starts = false;
    let mut anew: Vec<String> = Vec::new();
    for (at, step) in plan.iter_mut().filter(|step| step.outcome == Outcome::Planned).enumerate() {
        if let Some(why) = stopped {
            step.ends(Outcome::Skipped, why.to_owned());
        } else if consent == Consent::Yes && step.fix.apply == Apply::Disruptive {
            let why = "it is disruptive: run doctor fix at a terminal, or the command itself";
            step.ends(Outcome::Skipped, why.to_owned());
        } else if let Some(own) = step.about.iter().find(|own| anew.contains(own)) {
            step.ends(Outcome::Skipped, format!("{own} was made anew just now; run doctor fix once more"));
        } else {
            let answer = if consent == Consent::Ask { ask(step, at + 1, count) } else { Consented::Yes };
            match answer {
                Consented::Yes => {
                    tried = true;
                    match runtime.block_on(applier.apply(&step.fix.action, &step.about)) {
                        Ok(note) => {
                            starts |= starts_something(&step.fix.action);
                            if makes_anew(&step.fix.action) {
                                anew.extend(step.about.iter().cloned());
                            }
                            step.ends(Outcome::Applied, note);
                        }
                        Err(why) => {
                            step.ends(Outcome::Failed, why);
                            stopped = Some("a fix before it failed");
                        }
                    }
                }
                Consented::No => step.ends(Outcome::Skipped, "you said no".to_owned()),
                Consented::Quit => {
                    step.ends(Outcome::Skipped, "you ended it".to_owned());
                    stopped = Some("you ended it");
                }
            }
        }
        let reason = step.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let title = &step.fix.title;
        match step.outcome {
            Outcome::Applied => said.sentence("done", |styles| styles.pass, &format!("{title}{reason}")),
            Outcome::Failed => said.sentence("failed", |styles| styles.fail, &format!("{title}{reason}")),
            _ => said.sentence("left out", |styles| styles.warn, &format!("{title}{reason}")),
        }
    }
    runtime.shutdown_background();
    if !tried {
        return Ok(None);
    }
    let after = match arguments.check.wait {
        None if starts => wait::settled(&arguments.check, STARTS_WITHIN, false)?,
        _ => wait::look(&arguments.check)?,
    };
    Ok(Some(crate::judged(after, &arguments.check)?))
}

/// Whether something is started by it, which needs a while until it answers.
fn starts_something(action: &Action) -> bool {
    match action {
        Action::Steps(steps) => steps.iter().any(starts_something),
        Action::Start { .. } | Action::Unpause { .. } | Action::StopThenStart { .. } => true,
        Action::Recreate(_) | Action::Command { .. } => true,
        _ => false,
    }
}

enum Consented {
    Yes,
    No,
    Quit,
}

/// Asks the person at the terminal. The end of what he types is as good as `q`.
fn ask(step: &Step, at: usize, count: usize) -> Consented {
    let cost = if step.fix.apply == Apply::Disruptive { " It is disruptive." } else { "" };
    loop {
        crate::print(&format!("{at} of {count}: {}?{cost} [y/n/q] ", report::shown(&step.fix.title)));
        let mut line = String::new();
        if !io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {
            crate::print("\n");
            return Consented::Quit;
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Consented::Yes,
            "n" | "no" => return Consented::No,
            "q" | "quit" => return Consented::Quit,
            _ => {}
        }
    }
}

/// A root cause is the same when the same check has it about the same parties; one that followed from another before is not
/// new when that one is gone.
fn changed(before: &Report, after: &Report) -> Changed {
    let is_in = |causes: &[RootCause], cause: &RootCause| {
        causes.iter().any(|other| other.check == cause.check && other.about == cause.about)
    };
    let was_found = |cause: &RootCause| {
        let own = before.checks.iter().filter(|check| check.id == cause.check);
        own.flat_map(|check| &check.findings).any(|finding| finding.about == cause.about)
    };
    let gone = before.root_causes.iter().filter(|cause| !is_in(&after.root_causes, cause)).cloned();
    let (left, new) = after.root_causes.iter().cloned().partition(was_found);
    Changed { gone: gone.collect(), left, new }
}

/// What is said, as it is written into a file, and printed as it goes where it is to be.
struct Said {
    plain: String,
    live: Option<Styles>,
}

impl Said {
    fn say(&mut self, write: impl Fn(&Styles) -> String) {
        self.plain.push_str(&write(&Styles::default()));
        if let Some(styles) = &self.live {
            crate::print(&write(styles));
        }
    }

    fn sentence(&mut self, word: &str, style: impl Fn(&Styles) -> owo_colors::Style, sentence: &str) {
        self.say(|styles| text::sentence(styles, word, &style(styles), sentence));
    }
}

fn say_plan(said: &mut Said, plan: &[Step], report: &Report, ids: &[String]) {
    for (at, step) in plan.iter().filter(|step| step.outcome == Outcome::Planned).enumerate() {
        let mut fix = step.fix.clone();
        let cost = if fix.apply == Apply::Disruptive { "disruptive" } else { "safe" };
        fix.title = format!("{} ({cost})", fix.title);
        let checks: Vec<&str> = [step.check].into_iter().chain(step.also.iter().copied()).collect();
        let (number, checks) = ((at + 1).to_string(), checks.join(", "));
        said.say(|styles| text::step(styles, &number, &checks, &step.summary, &[("fix", &fix)]));
    }
    for step in plan.iter().filter(|step| step.outcome == Outcome::Skipped) {
        let fixes: Vec<(&str, &FixReport)> =
            [("you", &step.fix)].into_iter().chain(step.others.iter().map(|fix| ("or", fix))).collect();
        said.say(|styles| text::step(styles, "-", step.check, &step.summary, &fixes));
    }
    if plan.iter().any(|step| step.outcome == Outcome::Planned) {
        return;
    }
    let warned: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.status == Status::Warn && !ids.iter().any(|id| id == check.id))
        .filter(|check| {
            let mut fixes = check.findings.iter().filter(|own| own.accepted.is_none()).flat_map(|own| &own.fixes);
            fixes.any(|fix| fix.apply != Apply::Manual)
        })
        .map(|check| check.id)
        .collect();
    let nothing = match (plan, report.status) {
        ([_, ..], _) => "nothing here can be applied: a person has to do it",
        ([], Status::Unknown) => "nothing to fix, but something could not be looked at; doctor tells what",
        ([], _) => "nothing to fix",
    };
    let hint = match warned.as_slice() {
        [first, ..] if ids.is_empty() => format!("; doctor fix {first} would fix a warning"),
        _ => String::new(),
    };
    said.sentence("-", |styles| styles.dim, &format!("{nothing}{hint}"));
}

fn say_changed(said: &mut Said, changed: &Changed, after: &Report) {
    said.say(|_| "\n".to_owned());
    let cause = |cause: &RootCause| format!("{}  {}", cause.check, cause.summary);
    for own in &changed.gone {
        said.sentence("gone", |styles| styles.pass, &cause(own));
    }
    for own in &changed.left {
        said.sentence("left", |styles| styles.warn, &cause(own));
    }
    for own in &changed.new {
        said.sentence("new", |styles| styles.fail, &cause(own));
    }
    if after.status == Status::Unknown {
        said.sentence("-", |styles| styles.dim, "something could not be looked at; doctor tells what");
    }
    said.say(|_| format!("{}\n", text::counts(after)));
}
