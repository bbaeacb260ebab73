//! The lab: brings up real setups with a real Docker engine, runs the doctor on them, runs the commands that it prints,
//! and sees whether traffic then flows.
//!
//! `cargo test --test lab` runs all setups, `cargo test --test lab -- NAME..` those whose name contains one of the words.
//! With `DOCTOR_BLESS=1` it writes what was recorded to `tests/setups/`, with the report that each must give.
//! It needs a Docker engine; on Debian as root it installs and starts one. It removes only what carries its label.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod before_up;
mod bench;
mod broken;
mod healthy;
mod lab;
mod routing;
mod wait;

use std::{process::ExitCode, time::Instant};

use lab::Lab;

/// A real setup, and what the doctor must say of it.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// Brings it up.
    pub(crate) up: fn(&Lab),
    /// Looks at what the doctor says, and heals what can be healed.
    pub(crate) then: fn(&Lab),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let lab = match Lab::open() {
        Ok(lab) => lab,
        Err(why) => {
            eprintln!("lab: {why}");
            return ExitCode::FAILURE;
        }
    };
    if words.iter().any(|word| word == "bench") {
        bench::run(&lab);
        lab.close();
        return ExitCode::SUCCESS;
    }
    let setups = healthy::SETUPS.iter().chain(before_up::SETUPS).chain(broken::setups());
    let setups = setups.chain(routing::SETUPS).chain(wait::SETUPS);
    let chosen: Vec<&Setup> = setups
        .filter(|setup| words.is_empty() || words.iter().any(|word| setup.name.contains(word.as_str())))
        .collect();
    let (mut passed, mut failed) = (0, Vec::new());
    for setup in &chosen {
        let start = Instant::now();
        lab.clear();
        lab.begin(setup.name);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (setup.up)(&lab);
            (setup.then)(&lab);
        }));
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed.push(setup.name),
        }
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("setup {} ... {word} ({:.1} s)", setup.name, start.elapsed().as_secs_f32());
    }
    lab.clear();
    lab.close();
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
