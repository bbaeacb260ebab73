//! Runs one program: everything that it may do wrong ends here, in time.

#[cfg(unix)]
use std::sync::PoisonError;
use std::{io::ErrorKind, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use crate::probe::redact;

/// What a program may print, in bytes.
const MOST: usize = 1 << 20;
/// How much of the end of standard error is kept, in bytes.
const TAIL: usize = 4096;
/// How long is waited for what is left in the pipes of a program that has ended, and for the end of one that was killed.
const GRACE: Duration = Duration::from_millis(200);

/// Why there is nothing to read.
pub(super) enum Failed {
    /// It did not end in time, and was ended.
    TooLong,
    /// The rest of a sentence that begins with the program.
    Otherwise(String),
}

/// Runs it in `folder` with `input` on standard input, and gives what it printed. It need not read its input.
///
/// On Unix it gets a process group of its own, which ends with it: also what it started. What has left that group for a
/// session of its own is not followed, and not waited for.
pub(super) async fn run(command: &[String], folder: &Path, input: &[u8], time: Duration) -> Result<Vec<u8>, Failed> {
    let otherwise = |why: String| Failed::Otherwise(why);
    let [program, arguments @ ..] = command else { return Err(otherwise("has no name".to_owned())) };
    // A path counts from the folder; a name is looked up in PATH.
    let path = match Path::new(program).components().count() {
        1 => program.into(),
        _ => {
            std::path::absolute(folder.join(program)).map_err(|error| otherwise(format!("cannot be found: {error}")))?
        }
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .current_dir(folder)
        // It was given to the doctor, for mitmweb alone.
        .env_remove("DOCTOR_WEB_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| {
        otherwise(match error.kind() {
            ErrorKind::NotFound => "cannot be started: it is not there, or what its first line names is not".to_owned(),
            ErrorKind::PermissionDenied => "cannot be started: it is not executable (chmod +x)".to_owned(),
            _ => format!("cannot be started: {error}"),
        })
    })?;
    let mut group = Group::of(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // One that does not read on closes the pipe, or is waited for as long as it runs.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let talk = async { tokio::try_join!(feed, read(stdout, &mut printed), read_end(stderr, &mut said)) };
    let ended = timeout(time, async {
        let mut talk = std::pin::pin!(talk);
        let mut is_talking = true;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                talked = &mut talk, if is_talking => {
                    is_talking = false;
                    talked?;
                }
            }
        };
        // What it leaves behind would hold its pipes open.
        group.end();
        if is_talking && let Ok(talked) = timeout(GRACE, talk).await {
            talked?;
        }
        Ok(status)
    })
    .await;
    group.end();
    let status = match ended {
        Ok(Ok(Ok(status))) => status,
        Ok(Ok(Err(error))) => return Err(otherwise(format!("cannot be waited for: {error}"))),
        Ok(Err(TooMuch)) => {
            let _ = timeout(GRACE, child.kill()).await;
            return Err(otherwise("printed more than 1 MiB, which no verdict needs, and was ended".to_owned()));
        }
        Err(_) => {
            let _ = timeout(GRACE, child.kill()).await;
            return Err(Failed::TooLong);
        }
    };
    if status.success() {
        return Ok(printed);
    }
    let how = match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended from outside ({status})"),
    };
    let last = String::from_utf8_lossy(&said);
    let last = last.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(redact::line);
    Err(otherwise(match last {
        Some(last) => format!("{how}; its last words: {last}"),
        None if !printed.trim_ascii().is_empty() => format!("{how}; it printed: {}", first_words(&printed)),
        None => format!("{how} and said nothing"),
    }))
}

/// The first words of what was printed, for a sentence.
pub(super) fn first_words(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(&printed[..printed.len().min(400)]).into_owned();
    let line = redact::line(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

struct TooMuch;

async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), TooMuch> {
    let Some(from) = from else { return Ok(()) };
    let _ = from.take(MOST as u64 + 1).read_to_end(into).await;
    if into.len() > MOST { Err(TooMuch) } else { Ok(()) }
}

/// Reads on, however much it is, and keeps the end.
async fn read_end(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), TooMuch> {
    let Some(mut from) = from else { return Ok(()) };
    let mut some = [0; TAIL];
    while let Ok(length @ 1..) = from.read(&mut some).await {
        into.extend_from_slice(&some[..length]);
        into.drain(..into.len().saturating_sub(TAIL));
    }
    Ok(())
}

/// The process group of a program; on other systems than Unix there is none, and only the program itself is ended.
struct Group(Option<i32>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        let leader = leader.and_then(|leader| i32::try_from(leader).ok());
        #[cfg(unix)]
        groups::RUNNING.lock().unwrap_or_else(PoisonError::into_inner).extend(leader);
        Self(leader)
    }

    /// Ends what is left of it; once, since its number may be given anew later.
    fn end(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.0.take() {
            groups::RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|own| *own != leader);
            groups::kill(leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(unix)]
pub(super) mod groups {
    use std::{
        sync::{Mutex, Once, PoisonError},
        thread,
    };

    use nix::{sys::signal, unistd::Pid};
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
        low_level,
    };

    pub(super) static RUNNING: Mutex<Vec<i32>> = Mutex::new(Vec::new());

    pub(super) fn kill(leader: i32) {
        // An error says that nothing is left of it.
        let _ = signal::killpg(Pid::from_raw(leader), signal::Signal::SIGKILL);
    }

    /// From now on Ctrl-C, which reaches the doctor's own group only, ends the programs and then the doctor as it would have.
    pub(crate) fn end_when_interrupted() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Without it the doctor is ended as ever, and a program runs until it is done.
            let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
            thread::spawn(move || {
                for signal in signals.forever() {
                    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().for_each(kill);
                    let _ = low_level::emulate_default_handler(signal);
                }
            });
        });
    }
}
