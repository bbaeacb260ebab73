//! `doctor.toml`: the options that one does not want to type each time, and what only a file can say.
//!
//! What is said on the command line counts before what the environment says, and that before the file.
//!
//! A file that was merely found may be a stranger's. From it comes nothing that reads or writes another file, sends a
//! request, or leads the doctor (and mitmweb's password with it) to another machine: [`File::mistrusted`]. Such names are
//! left out, and the report says so. `output` and `record` are no names of any `doctor.toml`.
//!
//! Commands of checks of one's own ([`crate::own`]) are run from a file that was named, or with `--own-checks`.

mod file;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use caddy_doctor_checks::model::text;
use clap::parser::ValueSource;

use self::file::File;
use crate::{
    cli::{self, Cli, Command, Judging, Settings},
    error::Error,
};

/// How the file is called.
pub(crate) const NAME: &str = "doctor.toml";

/// What a `doctor.toml` says that is no option, for the judgement and the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// The file, as it is told to the reader.
    pub(crate) path: String,
    pub(crate) accept: Vec<Acceptance>,
    /// What was left out of it, and why: a sentence each.
    pub(crate) notes: Vec<String>,
}

/// An `[[accept]]`: somebody knows of a finding and lives with it, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// Whose findings.
    pub(crate) check: String,
    /// The parties, or the hop, that a finding has to be about; when it is empty, every finding of the check.
    pub(crate) about: Vec<String>,
    pub(crate) reason: String,
    /// The last day on which it counts, in UTC: `2026-12-31`.
    pub(crate) expires: String,
    pub(crate) is_expired: bool,
    /// Where it stands: `doctor.toml:12`.
    pub(crate) at: String,
}

/// Which file, and who chose it.
struct Place {
    path: PathBuf,
    /// The user named it, so it is trusted as he is.
    named: bool,
}

/// Reads the `doctor.toml` that counts, if there is one, into the options of a command that looks or judges, and checks that
/// every id that was said is one: only now are those of one's own known.
///
/// # Errors
/// One that was named and cannot be read, any that says something that is not understood, and an id that is none.
pub(crate) fn apply(cli: &mut Cli) -> Result<(), Error> {
    let given = std::mem::take(&mut cli.given);
    let (check, ids) = match &mut cli.command {
        None => (&mut cli.check, &[][..]),
        Some(Command::Check(check)) => (check.as_mut(), &[][..]),
        Some(Command::Fix(fix)) => (&mut fix.check, fix.ids.as_slice()),
        Some(Command::Report(report)) => (&mut report.check, &[][..]),
        Some(Command::Explain { settings, own, .. } | Command::List { settings, own, .. }) => {
            if let Some(place) = place(settings, &given) {
                *own = File::read(&place.path, true)?.own();
            }
            return Ok(());
        }
        // `doctor init` is to see what is there without it; the others look at nothing.
        Some(_) => return Ok(()),
    };
    if let Some(place) = place(&check.settings, &given) {
        let mut file = File::read(&place.path, !place.named && !check.own_checks)?;
        let notes = if place.named { Vec::new() } else { file.mistrusted() };
        file.merge_into(check, &|name| given.contains_key(name));
        check.judging.config = Some(Config { path: file.shown_path(), accept: file.accept(), notes });
    }
    let Judging { only, skip, own, .. } = &check.judging;
    for id in only.iter().chain(skip).chain(ids) {
        cli::check_of(id, own).map_err(Error::NoSuchCheck)?;
    }
    Ok(())
}

/// Which file counts.
fn place(settings: &Settings, given: &BTreeMap<String, ValueSource>) -> Option<Place> {
    let source = |name: &str| given.get(name).copied();
    // What stands on the command line counts before a variable here, too.
    let is_off = settings.no_config
        && !(source("no_config") == Some(ValueSource::EnvVariable)
            && source("config") == Some(ValueSource::CommandLine));
    match &settings.config {
        _ if is_off => None,
        Some(path) => Some(Place { path: path.clone(), named: true }),
        None => found(),
    }
}

/// The nearest `doctor.toml`, upwards from this folder.
fn found() -> Option<Place> {
    let folder = env::current_dir().ok()?;
    let path = folder.ancestors().map(|folder| folder.join(NAME)).find(|path| path.is_file())?;
    // In this folder its name says enough.
    let path = if path.parent() == Some(&folder) { PathBuf::from(NAME) } else { path };
    Some(Place { path, named: false })
}

/// Whether an address leads nowhere else than to this machine: a name of a container, or a URL of the loopback.
fn stays_here(reference: &str) -> bool {
    let Some((_, rest)) = reference.split_once("://") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((host, _)) = text::host_and_port(authority) else { return false };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A path that a file names counts from its folder.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for here in ["caddy", "http://127.0.0.1:2019", "http://localhost:8081/", "http://[::1]:8081"] {
            assert!(stays_here(here), "{here}");
        }
        for elsewhere in [
            "http://10.0.0.5:2019",
            "http://localhost.example.com",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1:x",
        ] {
            assert!(!stays_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn paths_count_from_the_folder_of_the_file() {
        assert_eq!(beside(Path::new("doctor.toml"), "secret"), PathBuf::from("secret"));
        assert_eq!(beside(Path::new("/a/doctor.toml"), "../secret"), PathBuf::from("/a/../secret"));
        assert_eq!(beside(Path::new("/a/doctor.toml"), "/secret"), PathBuf::from("/secret"));
    }
}
