//! The command line.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use caddy_doctor_checks::model::{Thresholds, text};
use clap::{
    Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::{FalseyValueParser, Resettable},
    parser::ValueSource,
};
use clap_complete::Shell;

use crate::{
    config::Config,
    own::{self, Own},
};

/// Tells why traffic does not flow client -> Caddy -> mitmproxy -> backend, and what to type to make it flow.
#[derive(Debug, Parser)]
#[command(
    name = "doctor",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = "\
Examples:
  doctor                                     look at the setup, name the root cause, print what heals it
  doctor --host api.example.com              judge the path of this Host
  doctor --format json                       the same as one JSON document
  doctor --record facts.json                 keep what was seen; doctor --replay facts.json judges it again elsewhere
  doctor --compose compose.yml               judge a compose file before it is brought up
  doctor fix                                 do what heals it: asks for each, and looks again
  doctor report --attach facts.json          an issue report to paste, and a recording to attach
  doctor explain shared-network              what a check looks at, why it matters, how to fix it
  doctor demo                                a broken setup, judged without Docker

Every option can also be set in the environment: DOCTOR_HOST, DOCTOR_FORMAT, ...; most of them also
in doctor.toml, which doctor init writes.

Exit codes: 0 no failure, 1 at least one failure (with --strict also a warning), 2 wrong arguments,
            3 nothing failed but something could not be looked at.

It only looks: no container, route, option or captured flow is changed, except by doctor fix."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) check: Check,
    /// Where the options of [`Check`] come from, by the names of its fields: what is not here was not said.
    #[arg(skip)]
    pub(crate) given: BTreeMap<String, ValueSource>,
}

impl Cli {
    /// Reads the command line and the environment. A variable that is empty is as good as none: templates of CI systems
    /// set such.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let without_empty = |arg: Arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        };
        let command = Self::command().mut_args(without_empty).mut_subcommands(|own| own.mut_args(without_empty));
        let mut matches: ArgMatches = command.try_get_matches()?;
        let own = matches.subcommand().map_or(&matches, |(_, own)| own);
        let sources = own.ids().filter_map(|id| Some((id.to_string(), own.value_source(id.as_str())?)));
        let given = sources.filter(|(_, source)| *source != ValueSource::DefaultValue).collect();
        Ok(Self { given, ..Self::from_arg_matches_mut(&mut matches)? })
    }

    /// The format that was asked for on a command line that could not be read.
    pub(crate) fn wanted_format() -> Option<Format> {
        let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let behind = |(at, word): (usize, &String)| match word.strip_prefix("--format") {
            Some("") => Some(words.get(at + 1).cloned().unwrap_or_default()),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        let asked = words.iter().enumerate().find_map(behind);
        Format::from_str(&asked.or_else(|| std::env::var("DOCTOR_FORMAT").ok())?, false).ok()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look, judge and report; the default
    Check(Box<Check>),
    /// Mend what is wrong: plan, ask for each, apply, and look again
    #[command(after_help = "\
Examples:
  doctor fix                      say what would be done, ask for each, do it, look again
  doctor fix --dry-run            say it only
  doctor fix --yes                do what is safe without asking: for scripts
  doctor fix keep-host-header     of one check only, its warnings too

Safe is what loses nothing and can be taken back. What restarts, stops or makes something anew is done only when a
person at a terminal says yes. Without a terminal and without --yes nothing is done. It ends at the first that fails.

Exit codes: those of what is seen afterwards, or of the first look when nothing was done.")]
    Fix(Box<Fix>),
    /// Write an issue report in Markdown: what is wrong, what is there, what its logs say
    #[command(after_help = "\
Examples:
  doctor report                          show it
  doctor report -o issue.md              write it into a file
  doctor report --attach facts.json      write a recording as well, to be attached
  doctor report --replay facts.json      the same report from it, on any machine, without Docker

It is redacted, and fits into an issue of GitHub. Nothing is sent anywhere. Read it before you
give it away: what is a secret in a line of a log is told by its form.

Exit codes: 0 when it is written, whatever it says of the setup; 2 when it cannot be.")]
    Report(Box<IssueReport>),
    /// Write a doctor.toml from the setup that is found here
    #[command(after_help = "\
It looks as doctor check does, and writes doctor.toml into this folder, or the file that --config
names. What is active in it gives the same verdicts as without it; the rest waits behind a #.")]
    Init(Box<Init>),
    /// Judge a recorded setup that is built in: needs no Docker
    Demo {
        /// Which one; `doctor demo list` lists them
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Tell what a check looks at, why it matters and how to fix it
    Explain {
        /// The id of a check; without it, every check in a line
        id: Option<String>,
        #[command(flatten)]
        settings: Settings,
        #[arg(skip)]
        own: Vec<Own>,
    },
    /// List every check
    List {
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
        #[command(flatten)]
        settings: Settings,
        #[arg(skip)]
        own: Vec<Own>,
    },
    /// Print the completions of a shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// How long a run may take unless told otherwise.
const TIMEOUT: &str = "10s";

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) judging: Judging,

    /// The Host whose path is judged; repeatable [default: those that Caddy routes to mitmproxy]
    #[arg(
        long = "host",
        value_name = "NAME",
        env = "DOCTOR_HOST",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "What to look at"
    )]
    pub(crate) hosts: Vec<String>,

    /// Which container is Caddy, or the address of its admin API
    #[arg(long, value_name = "NAME|URL", env = "DOCTOR_CADDY", hide_env = true, value_parser = reference, help_heading = "What to look at")]
    pub(crate) caddy: Option<String>,

    /// Which container is mitmproxy, or the address of its mitmweb
    #[arg(long, value_name = "NAME|URL", env = "DOCTOR_MITMPROXY", hide_env = true, value_parser = reference, help_heading = "What to look at")]
    pub(crate) mitmproxy: Option<String>,

    /// The compose project to look at [default: the one of this folder, if there is one]
    #[arg(long, value_name = "NAME", env = "DOCTOR_PROJECT", hide_env = true, help_heading = "What to look at")]
    pub(crate) project: Option<String>,

    /// Judge a compose file before `up`: ports, images, networks, names, dials and modes; repeatable
    #[arg(
        long,
        value_name = "FILE",
        env = "DOCTOR_COMPOSE",
        hide_env = true,
        value_delimiter = ',',
        conflicts_with = "replay",
        help_heading = "What to look at"
    )]
    pub(crate) compose: Vec<PathBuf>,

    /// Send marked requests through the setup, to see where they end and how long they take
    #[arg(long, env = "DOCTOR_PROBE", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "What to look at")]
    pub(crate) probe: bool,

    /// A name and port that must be reachable from here, as tests use them; repeatable
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DOCTOR_EXPECT",
        hide_env = true,
        value_delimiter = ',',
        value_parser = expected,
        help_heading = "What to look at"
    )]
    pub(crate) expect: Vec<String>,

    /// A file with mitmweb's password or token (or set DOCTOR_WEB_PASSWORD)
    #[arg(
        long,
        value_name = "FILE",
        env = "DOCTOR_WEB_PASSWORD_FILE",
        hide_env = true,
        help_heading = "What to look at"
    )]
    pub(crate) web_password_file: Option<PathBuf>,

    /// How long the whole run may take, with --wait one look: 10s, 500ms
    #[arg(long, value_name = "TIME", env = "DOCTOR_TIMEOUT", hide_env = true, default_value = TIMEOUT, value_parser = duration, help_heading = "What to look at")]
    pub(crate) timeout: Duration,

    /// Look again until no failure is left that can heal by itself, at most this long: 60s, 2m
    #[arg(long, value_name = "TIME", env = "DOCTOR_WAIT", hide_env = true, value_parser = duration, conflicts_with = "replay", help_heading = "What to look at")]
    pub(crate) wait: Option<Duration>,

    /// Write what was seen into a file
    #[arg(long, value_name = "FILE", env = "DOCTOR_RECORD", hide_env = true, help_heading = "Recordings")]
    pub(crate) record: Option<PathBuf>,

    /// Judge what was recorded instead of looking
    #[arg(long, value_name = "FILE", env = "DOCTOR_REPLAY", hide_env = true, help_heading = "Recordings")]
    pub(crate) replay: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Run the checks of one's own of a doctor.toml that was found and not named
    #[arg(long, env = "DOCTOR_OWN_CHECKS", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Settings")]
    pub(crate) own_checks: bool,

    /// `[thresholds]` of `doctor.toml`.
    #[arg(skip)]
    pub(crate) thresholds: Option<Thresholds>,

    /// What an expected address is needed for, by address: `why` of an `[[expect]]` of `doctor.toml`.
    #[arg(skip)]
    pub(crate) why: BTreeMap<String, String>,

    #[command(flatten)]
    pub(crate) output: Output,

    /// Whether it is for an issue report.
    #[arg(skip)]
    pub(crate) for_report: bool,
}

impl Check {
    /// What was given to say what is looked at and judged, word by word; no password, and no name of a file with one.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: &str| words.extend([option.to_owned(), value.to_owned()]);
        self.hosts.iter().for_each(|host| add("--host", host));
        self.caddy.iter().for_each(|caddy| add("--caddy", caddy));
        self.mitmproxy.iter().for_each(|mitmproxy| add("--mitmproxy", mitmproxy));
        self.project.iter().for_each(|project| add("--project", project));
        self.compose.iter().for_each(|file| add("--compose", &file.to_string_lossy()));
        self.expect.iter().for_each(|expected| add("--expect", expected));
        if self.timeout != duration(TIMEOUT).unwrap_or_default() {
            add("--timeout", &format!("{}ms", self.timeout.as_millis()));
        }
        words.extend(self.probe.then(|| "--probe".to_owned()));
        words.extend(self.judging.options());
        words
    }
}

#[derive(Debug, Args)]
#[command(mut_arg("format", |arg| arg.hide(true).env(Resettable::Reset)))]
pub(crate) struct IssueReport {
    /// Write what was seen, redacted, into a file to be attached to the issue
    #[arg(long, value_name = "FILE", env = "DOCTOR_ATTACH", hide_env = true, help_heading = "Output")]
    pub(crate) attach: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) check: Check,
}

/// Which `doctor.toml`.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The settings to use [default: doctor.toml of this folder, or of one above it]
    #[arg(long, value_name = "FILE", env = "DOCTOR_CONFIG", hide_env = true, help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,

    /// Use no doctor.toml
    #[arg(long, env = "DOCTOR_NO_CONFIG", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Settings")]
    pub(crate) no_config: bool,
}

// It judges nothing and reports nothing, so what chooses checks or a file for the report is of no use there.
#[derive(Debug, Args)]
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "only" | "skip" | "strict" | "output" | "format" | "no_config" | "own_checks" => arg.hide(true),
    "config" => arg.help("The file to write [default: doctor.toml of this folder]"),
    _ => arg,
}))]
pub(crate) struct Init {
    /// Write over a file that is there
    #[arg(long, env = "DOCTOR_FORCE", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "What to do")]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) check: Check,
}

#[derive(Debug, Args)]
pub(crate) struct Fix {
    /// Only what these checks found, warnings as well [default: every failure]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// Tell what would be done, and do nothing
    #[arg(long, env = "DOCTOR_DRY_RUN", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "What to do")]
    pub(crate) dry_run: bool,

    /// Apply without asking what is safe: nothing is lost by it, and it can be taken back
    #[arg(long, env = "DOCTOR_YES", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "What to do")]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) check: Check,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Judging {
    /// Make these checks only
    #[arg(
        long,
        value_name = "ID,..",
        env = "DOCTOR_ONLY",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Which checks"
    )]
    pub(crate) only: Vec<String>,

    /// Leave these checks out
    #[arg(
        long,
        value_name = "ID,..",
        env = "DOCTOR_SKIP",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Which checks"
    )]
    pub(crate) skip: Vec<String>,

    /// A warning is a failure, too
    #[arg(long, env = "DOCTOR_STRICT", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Which checks")]
    pub(crate) strict: bool,

    /// The `[[check]]` entries of `doctor.toml`.
    #[arg(skip)]
    pub(crate) own: Vec<Own>,

    /// What `doctor.toml` says beside options.
    #[arg(skip)]
    pub(crate) config: Option<Config>,
}

impl Judging {
    /// What was given of it, as for [`Check::options`].
    pub(crate) fn options(&self) -> Vec<String> {
        let lists = [("--only", &self.only), ("--skip", &self.skip)].into_iter().filter(|(_, ids)| !ids.is_empty());
        let mut words: Vec<String> = lists.flat_map(|(option, ids)| [option.to_owned(), ids.join(",")]).collect();
        words.extend(self.strict.then(|| "--strict".to_owned()));
        words
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// How to write the report
    #[arg(long, value_enum, env = "DOCTOR_FORMAT", hide_env = true, default_value_t, help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the report into a file instead, or with FORMAT=FILE into one more; repeatable
    #[arg(short, long, value_name = "[FORMAT=]FILE", env = "DOCTOR_OUTPUT", hide_env = true, value_parser = target, help_heading = "Output")]
    pub(crate) output: Vec<Target>,

    /// Tell on standard error what is asked, from where, by which way and how long it took; -vv tells more
    #[arg(short, long, env = "DOCTOR_VERBOSE", hide_env = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The path, the root causes in full, and their fixes
    #[default]
    Text,
    /// A line for each problem
    Short,
    /// One document, schema version 1
    Json,
    /// To paste into an issue or a pull request
    Markdown,
    /// Annotations of GitHub Actions, and the summary of the step
    Github,
    /// JUnit XML: a test case for each check
    Junit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Text,
    Json,
}

/// A file to write, and the format where one was said.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) format: Option<Format>,
    pub(crate) path: PathBuf,
}

fn target(text: &str) -> Result<Target, String> {
    if let Some((format, path)) = text.split_once('=')
        && let Ok(format) = Format::from_str(format, false)
    {
        return Ok(Target { format: Some(format), path: path.into() });
    }
    if text.is_empty() {
        Err("the name of a file is missing".to_owned())
    } else {
        Ok(Target { format: None, path: text.into() })
    }
}

/// A name or an address. What may be a password in it is not taken in: no API of this setup asks for one there.
#[expect(clippy::unnecessary_wraps, reason = "clap's signature")]
pub(crate) fn reference(text: &str) -> Result<String, String> {
    Ok(text::without_user_info(text))
}

/// The check with this id, or a sentence with the nearest that there is.
pub(crate) fn check_of(id: &str, own: &[Own]) -> Result<&'static caddy_doctor_checks::model::Check, String> {
    if let Some(check) = own::all(own).find(|check| check.id == id) {
        return Ok(check);
    }
    Err(match text::nearest(id, own::all(own).map(|check| check.id)) {
        Some(near) => format!("there is no check `{id}`; did you mean `{near}`? `doctor list` lists them all"),
        None => format!("there is no check `{id}`; `doctor list` lists them all"),
    })
}

/// A host and a port.
pub(crate) fn expected(value: &str) -> Result<String, String> {
    match text::host_and_port(value) {
        Some((host, Some(_))) if !host.is_empty() && !host.contains('/') => Ok(value.to_owned()),
        _ => Err("say a host and a port, like mitmproxy:8080 or 127.0.0.1:8082".to_owned()),
    }
}

/// `10s`, `500ms`, `2m`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("`{unit}` is no unit of time; say 500ms, 10s or 2m")),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() && number * seconds < 86_400.0 => {
            Ok(Duration::from_secs_f64(number * seconds))
        }
        _ => Err("say a time above zero, like 500ms, 10s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        for wrong in ["0s", "-1s", "x", "10h", "1e300s", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_id_gets_a_guess() {
        assert!(check_of("shared-netwrok", &[]).unwrap_err().contains("did you mean `shared-network`"));
    }

    #[test]
    fn an_output_may_name_its_format() {
        assert_eq!(target("json=a=b.json").unwrap().path, PathBuf::from("a=b.json"));
        assert_eq!(target("report=1.txt").unwrap().format, None);
    }
}
