//! `doctor`: tells why traffic does not flow client -> Caddy -> mitmproxy -> backend, and what to type to make it flow.
//!
//! Arguments, then facts ([`gather`], all I/O), then the judgement ([`judge`], none), then one of the formats ([`report`]).
//! The programs of checks of one's own ([`own`]) are run on the facts before the judgement.
//! Nothing of that changes anything; what does is in [`fix`], and runs for `doctor fix` alone.

mod accept;
mod cli;
mod config;
mod error;
mod explain;
mod fix;
mod gather;
mod init;
mod judge;
mod own;
mod probe;
mod recording;
mod report;
mod wait;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{Facts, facts::Asked};
use clap::CommandFactory;

use crate::{
    cli::{Check, Cli, Command, Format, IssueReport, Judging, Output, Target},
    error::Error,
    gather::{Request, Secrets},
    probe::{compose, log},
    report::{Report, cut::cut, github, issue::Issue, json, junit, markdown, short, style::Styles, text},
};

/// What a message may have, in bytes: it may quote a file.
const MOST_OF_AN_ERROR: usize = 2_000;

fn main() -> ExitCode {
    let mut cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            if error.exit_code() == 2
                && let Some(format) = Cli::wanted_format()
            {
                let message = error.to_string();
                let message = message.lines().next().unwrap_or_default();
                print(&written_error(format, message.strip_prefix("error: ").unwrap_or(message)));
            }
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // What the file says of the format counts for its own errors, and those of the run, too.
    let configured = config::apply(&mut cli);
    let output = match &cli.command {
        None => Some(cli.check.output.clone()),
        Some(Command::Check(check)) => Some(check.output.clone()),
        Some(Command::Fix(fix)) => Some(fix.check.output.clone()),
        Some(Command::Init(init)) => Some(init.check.output.clone()),
        Some(Command::Demo { output, .. }) => Some(output.clone()),
        Some(_) => None,
    };
    let format = output.as_ref().map_or(Format::Text, |output| output.format);
    let ran = match configured {
        Ok(()) => std::panic::catch_unwind(|| run(cli)),
        Err(error) => Ok(Err(error)),
    };
    match ran {
        Ok(Ok(code)) => ExitCode::from(code),
        // The default message of the panic is on standard error.
        Err(_) => {
            print(&written_error(format, "the doctor itself broke, which is a bug; please report it"));
            ExitCode::from(3)
        }
        Ok(Err(error)) => {
            let message = cut(&error.to_string(), MOST_OF_AN_ERROR).into_owned();
            let targets = || output.iter().flat_map(|output| &output.output);
            let had_a_report = match &error {
                Error::NoStepSummary { .. } => true,
                Error::Unwritable { path, .. } => targets().any(|target| target.path == *path),
                _ => false,
            };
            // Else the file of an earlier run would be taken for this one's.
            for target in targets().filter(|_| !had_a_report) {
                let text = written_error(target.format.unwrap_or(format), &message);
                let _ = if text.is_empty() { Ok(()) } else { write_file(&target.path, text.as_bytes()) };
            }
            print(&written_error(format, &message));
            let _ = writeln!(io::stderr(), "doctor: {}", report::shown(&message));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<u8, Error> {
    match cli.command {
        None => check(cli.check),
        Some(Command::Check(arguments)) => check(*arguments),
        Some(Command::Fix(arguments)) => fix::fix(&arguments),
        Some(Command::Report(arguments)) => issue(*arguments),
        Some(Command::Init(arguments)) => init::init(*arguments),
        Some(Command::Demo { name: Some(name), .. }) if name == "list" => {
            print(&recording::demos());
            Ok(0)
        }
        Some(Command::Demo { name, output }) => {
            log::begin(output.verbose);
            let facts = recording::demo(name.as_deref())?;
            log::say("a recording that is built in is judged; nothing is asked");
            finish(&judge::judge(facts, &Judging::default(), Vec::new()), &output)
        }
        Some(Command::Explain { id, own, .. }) => {
            print(&explain::explain(id.as_deref(), &own)?);
            Ok(0)
        }
        Some(Command::List { format, own, .. }) => {
            print(&explain::list(format, &own));
            Ok(0)
        }
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "doctor", &mut script);
            print(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}

fn check(arguments: Check) -> Result<u8, Error> {
    let facts = facts(&arguments)?;
    finish(&judged(facts, &arguments)?, &arguments.output)
}

/// Judges what was seen. Checks of one's own are run on it before, in the time that is left of the run.
pub(crate) fn judged(facts: Facts, arguments: &Check) -> Result<Report, Error> {
    let taken = if arguments.replay.is_some() { 0 } else { facts.elapsed_ms };
    let left = arguments.timeout.saturating_sub(Duration::from_millis(taken));
    let own = own::run(&arguments.judging, &facts, left)?;
    Ok(judge::judge(facts, &arguments.judging, own))
}

/// Writes an issue report. That it is written is all that was asked for, whatever it says of the setup.
fn issue(IssueReport { mut check, attach }: IssueReport) -> Result<u8, Error> {
    if !matches!(check.output.format, Format::Text | Format::Markdown) {
        return Err(Error::ReportHasOneForm);
    }
    check.for_report = true;
    // Whoever replays what is attached has neither these programs nor what is accepted here.
    check.judging.own.clear();
    check.judging.config = None;
    let facts = facts(&check)?;
    if let Some(path) = &attach {
        recording::write(path, &facts)?;
    }
    let recording = attach.as_deref().or(check.replay.as_deref());
    let issue = Issue::about(&facts, &check.judging, recording);
    let report = judged(facts, &check)?;
    let (own, others): (Vec<&Target>, _) = check.output.output.iter().partition(|target| target.format.is_none());
    for target in others {
        let format = target.format.unwrap_or_default();
        write_file(&target.path, written(&report, format, &Styles::default()).as_bytes())?;
    }
    let text = issue.write(report);
    for target in &own {
        write_file(&target.path, text.as_bytes())?;
    }
    if own.is_empty() {
        print(&text);
    }
    Ok(0)
}

/// What is seen now, or was when it was recorded.
fn facts(arguments: &Check) -> Result<Facts, Error> {
    if judge::selected(&arguments.judging).is_empty() {
        return Err(Error::NothingSelected);
    }
    log::begin(arguments.output.verbose);
    let facts = match &arguments.replay {
        Some(path) => {
            let mut facts = recording::read(path)?;
            log::say(format_args!("{} is judged; nothing is asked", path.display()));
            // What is asked for now counts; what was asked for when it was recorded is kept beside it.
            let asked = &mut facts.asked;
            if !arguments.hosts.is_empty() {
                asked.hosts.clone_from(&arguments.hosts);
            }
            asked.caddy = arguments.caddy.clone().or(asked.caddy.take());
            asked.mitmproxy = arguments.mitmproxy.clone().or(asked.mitmproxy.take());
            if !arguments.expect.is_empty() {
                asked.expect.clone_from(&arguments.expect);
            }
            asked.project = arguments.project.clone().or(asked.project.take());
            asked.why.extend(arguments.why.clone());
            asked.thresholds = arguments.thresholds.clone().unwrap_or_else(|| asked.thresholds.clone());
            facts
        }
        None => wait::look(arguments)?,
    };
    if let Some(path) = &arguments.record {
        recording::write(path, &facts)?;
    }
    Ok(facts)
}

/// One look; `probe` is whether it may send marked requests.
fn look(arguments: &Check, probe: bool) -> Result<Facts, Error> {
    let start = Instant::now();
    let plan = match arguments.compose.as_slice() {
        [] => None,
        files => Some(compose::read(files, arguments.project.as_deref(), arguments.timeout.mul_f32(0.6))?),
    };
    let request = Request {
        asked: Asked {
            hosts: arguments.hosts.clone(),
            caddy: arguments.caddy.clone(),
            mitmproxy: arguments.mitmproxy.clone(),
            project: arguments.project.clone(),
            folder: folder(),
            expect: arguments.expect.clone(),
            why: arguments.why.clone(),
            thresholds: arguments.thresholds.clone().unwrap_or_default(),
            probe,
            compose: None,
        },
        secrets: Secrets { web_password: web_password(arguments)? },
        timeout: arguments.timeout.saturating_sub(start.elapsed()),
        plan,
        needs: judge::needs(&arguments.judging),
        report: arguments.for_report.then(|| arguments.options()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let facts = runtime.block_on(log::waiting(gather::gather(request)));
    // A question that was given up on may still wait in a thread; the run does not.
    runtime.shutdown_background();
    Ok(facts)
}

/// What compose calls the project of this folder: by its name, or by `COMPOSE_PROJECT_NAME`.
fn folder() -> Option<String> {
    let named = std::env::var("COMPOSE_PROJECT_NAME").ok().filter(|name| !name.is_empty());
    let folder = named.or_else(|| Some(std::env::current_dir().ok()?.file_name()?.to_string_lossy().into_owned()))?;
    Some(compose::normal(&folder)).filter(|name| !name.is_empty())
}

fn web_password(arguments: &Check) -> Result<Option<String>, Error> {
    let Some(path) = &arguments.web_password_file else {
        return Ok(std::env::var("DOCTOR_WEB_PASSWORD").ok().filter(|password| !password.is_empty()));
    };
    let password =
        fs::read_to_string(path).map_err(|source| Error::PasswordUnreadable { path: path.clone(), source })?;
    Ok(Some(password.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Writes the report where it was asked for. The exit code is the report's, whatever the format.
fn finish(report: &Report, output: &Output) -> Result<u8, Error> {
    let mut to_stdout = true;
    let mut formats = output.output.iter().map(|target| target.format.unwrap_or(output.format));
    let is_for_github = formats.any(|format| format == Format::Github) || output.format == Format::Github;
    if is_for_github && let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        append_summary(Path::new(&path), &markdown::write(report))?;
    }
    for target in &output.output {
        to_stdout &= target.format.is_some();
        let text = written(report, target.format.unwrap_or(output.format), &Styles::default());
        write_file(&target.path, text.as_bytes())?;
    }
    if to_stdout {
        print(&written(report, output.format, &Styles::for_stdout()));
    }
    Ok(report.exit_code)
}

fn written(report: &Report, format: Format, styles: &Styles) -> String {
    match format {
        Format::Text => text::write(report, styles),
        Format::Short => short::write(report),
        Format::Json => json::write(report),
        Format::Markdown => markdown::write(report),
        Format::Github => github::write(report),
        Format::Junit => junit::write(report),
    }
}

/// What is written in place of a report that is not there; for a person there is standard error.
fn written_error(format: Format, message: &str) -> String {
    match format {
        Format::Text | Format::Short => String::new(),
        Format::Json => json::error(message),
        Format::Markdown => markdown::error(message),
        Format::Github => github::error(message),
        Format::Junit => junit::error(message),
    }
}

/// Adds to what the step has said before; a blank line keeps it apart.
fn append_summary(path: &Path, text: &str) -> Result<(), Error> {
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(format!("\n{text}").as_bytes()))
        .map_err(|source| Error::NoStepSummary { path: path.to_owned(), source })
}

/// Writes beside and renames, so that nothing half-written is left.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let unwritable = |source: io::Error| Error::Unwritable { path: path.to_owned(), source };
    // A pipe, a device or a link is written as it is.
    if fs::symlink_metadata(path).is_ok_and(|own| !own.is_file()) {
        return fs::write(path, bytes).map_err(unwritable);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let written =
        fs::OpenOptions::new().write(true).create_new(true).open(beside).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| fs::rename(beside, path)).map_err(|source| {
        if source.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(beside);
        }
        unwritable(source)
    })
}

/// Prints; a reader that has gone away (`doctor | head`) is no error.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
