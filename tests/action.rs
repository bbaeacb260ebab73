//! `action.yml`, run as GitHub runs it, with a doctor that writes down what it is called with.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use fakes::Folder;

const INPUTS: [&str; 5] = ["doctor", "args", "wait", "strict", "junit"];

fn action() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml")).unwrap()
}

/// The lines that stand deeper than `key`, up to the next that does not, without that depth.
fn block(text: &str, key: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim() != key);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = depth(lines.next().unwrap_or_else(|| panic!("there is no `{key}` in {text}")));
    let inside: Vec<&str> = lines.take_while(|line| line.is_empty() || depth(line) > own).collect();
    let least = inside.iter().filter(|line| !line.is_empty()).map(|line| depth(line)).min().unwrap();
    inside.iter().map(|line| format!("{}\n", line.get(least..).unwrap_or_default())).collect()
}

/// The names at the top of a block.
fn keys(block: &str) -> Vec<&str> {
    let top = block.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    top.map(|line| line.split_once(':').unwrap().0).collect()
}

/// A program that writes down its arguments, each behind a number of bytes, and ends with 7.
fn recorder(folder: &Folder, name: &str) -> PathBuf {
    let script = "#!/bin/sh\nfor word; do printf '%s:%s\\n' \"${#word}\" \"$word\"; done >\"$RECORD\"\nexit 7\n";
    program(folder, name, script)
}

fn program(folder: &Folder, name: &str, script: &str) -> PathBuf {
    let path = folder.file(name, script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

struct Run {
    output: Output,
    /// The arguments of the doctor, when it was run.
    called_with: Option<Vec<String>>,
}

impl Run {
    fn says(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.output.stdout), String::from_utf8_lossy(&self.output.stderr))
    }
}

/// Runs the step as the runner does: `shell: bash` is this command, and inputs that are not given have their defaults.
fn run(folder: &Folder, inputs: &[(&str, &str)]) -> Run {
    let script = folder.file("step.sh", block(&action(), "run: |"));
    let record = folder.path("called-with");
    _ = fs::remove_file(&record);
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&script).current_dir(script.parent().unwrap());
    bash.env_clear().env("PATH", std::env::join_paths([folder.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap());
    bash.env("RECORD", &record)
        .env("RUNNER_TEMP", folder.path("temp dir"))
        .env("GITHUB_ACTION_PATH", folder.path("own"));
    for name in INPUTS {
        let given = inputs.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        let value = given.unwrap_or(if name == "strict" { "false" } else { "" });
        bash.env(format!("INPUT_{}", name.to_uppercase()), value);
    }
    let output = bash.output().expect("bash is needed: it is what the action says runs it");
    let called_with = fs::read_to_string(&record).ok().map(|text| {
        let mut rest = text.as_str();
        let mut words = Vec::new();
        while let Some((length, from)) = rest.split_once(':') {
            let (word, behind) = from.split_at(length.parse().unwrap());
            words.push(word.to_owned());
            rest = &behind[1..];
        }
        words
    });
    Run { output, called_with }
}

#[test]
fn every_input_reaches_the_script_as_a_variable_only() {
    let action = action();
    assert!(!action.contains('\t'), "YAML knows no tabs");
    assert_eq!(keys(&action), ["name", "description", "inputs", "runs"]);
    let inputs = block(&action, "inputs:");
    assert_eq!(keys(&inputs), INPUTS);
    for name in INPUTS {
        assert_eq!(keys(&block(&inputs, &format!("{name}:"))), ["description", "default"], "{name}");
    }
    let passed: Vec<String> = block(&action, "env:").lines().map(str::to_owned).collect();
    let wanted = INPUTS.map(|name| format!("INPUT_{}: ${{{{ inputs.{name} }}}}", name.to_uppercase()));
    assert_eq!(passed, wanted);
    assert_eq!(action.matches("${{").count(), INPUTS.len(), "an expression outside of env becomes text of the script");
    // What would upload something is another action, and there is none.
    assert!(!action.contains("uses:") && block(&action, "runs:").starts_with("using: composite\n"));
}

#[test]
fn the_examples_give_only_inputs_that_exist() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let (_, example) = page.split_once("- uses: ./tools/doctor").unwrap();
    let given = block(example, "with:");
    assert!(keys(&given).len() > 1 && keys(&given).iter().all(|name| INPUTS.contains(name)), "{given}");
    for name in INPUTS {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name} is not in the table of inputs");
    }
}

#[test]
fn a_given_doctor_is_run_and_its_exit_code_is_the_steps() {
    let folder = Folder::new();
    let path = recorder(&folder, "some where/doctor").display().to_string();
    let ran = run(&folder, &[("doctor", &path)]);
    assert_eq!(ran.called_with.as_deref(), Some(["check", "--format", "github"].map(str::to_owned).as_slice()));
    assert_eq!((ran.output.status.code(), ran.says().as_str()), (Some(7), ""));

    recorder(&folder, "bin/my-doctor");
    let by_name = run(&folder, &[("doctor", "my-doctor")]);
    assert!(by_name.called_with.is_some(), "{}", by_name.says());
}

#[test]
fn inputs_become_options() {
    let folder = Folder::new();
    let path = recorder(&folder, "doctor").display().to_string();
    let args = "--host api.example.com\n  --probe\t--expect\r\nmitmproxy:8080\n";
    let inputs = [("doctor", &*path), ("args", args), ("wait", "60s"), ("strict", "true"), ("junit", "out/a b.xml")];
    let wanted = [
        "check",
        "--format",
        "github",
        "--strict",
        "--wait=60s",
        "--output=junit=out/a b.xml",
        "--host",
        "api.example.com",
        "--probe",
        "--expect",
        "mitmproxy:8080",
    ];
    assert_eq!(run(&folder, &inputs).called_with.unwrap(), wanted);
}

#[test]
fn what_stands_in_an_input_is_never_run() {
    let folder = Folder::new();
    let path = recorder(&folder, "doctor").display().to_string();
    let hostile = [
        "\"; touch x; \"",
        "'; touch x; '",
        "$(touch x)",
        "`touch x`",
        "${IFS}*",
        "a\n::error::b\ntouch x",
        "-o x",
        "\\",
        "<(touch x)",
        "* ? [a-z]",
    ];
    let before = folder.names().len();
    for text in hostile {
        let as_words: Vec<&str> = text.split_whitespace().collect();
        let ran = run(&folder, &[("doctor", &path), ("args", text)]);
        assert_eq!(ran.called_with.unwrap()[3..], as_words, "args: {text}");
        for (input, option) in [("wait", "--wait="), ("junit", "--output=junit=")] {
            let ran = run(&folder, &[("doctor", &path), (input, text)]);
            assert_eq!(ran.called_with.unwrap()[3..], [format!("{option}{text}")], "{input}: {text}");
        }
        for input in ["doctor", "strict"] {
            let inputs = [("doctor", &*path), (input, text)];
            let ran = run(&folder, &inputs[usize::from(input == "doctor")..]);
            assert_eq!((ran.output.status.code(), &ran.called_with), (Some(2), &None), "{input}: {text}");
            let says = ran.says();
            let sentence = format!("::error title=doctor::the input {input} ");
            assert!(says.starts_with(&sentence) && says.lines().count() == 1, "{input}: {text}: {says}");
        }
    }
    // The step itself and what the doctor was called with.
    assert!(folder.names().len() <= before + 2 && !folder.path("x").exists(), "{:?}", folder.names());
}

#[test]
fn a_word_that_the_shell_knows_is_no_program() {
    let folder = Folder::new();
    for name in ["fail", "eval", "cd", "if", "-p", "--"] {
        let ran = run(&folder, &[("doctor", name), ("args", "touch x")]);
        assert_eq!(ran.output.status.code(), Some(2), "{name}: {}", ran.says());
    }
    assert!(!folder.path("x").exists());
}

#[test]
fn without_a_given_doctor_it_is_built_from_the_folder_of_the_action() {
    let folder = Folder::new();
    folder.file("own/Cargo.toml", "");
    recorder(&folder, "built");
    let cargo = "#!/bin/sh\npwd >\"$RUNNER_TEMP.built-in\"\nprintf '%s\\n' \"$@\" >\"$RUNNER_TEMP.built-with\"\n\
                 for target; do :; done\nmkdir -p \"$target/release\" && cp ../built \"$target/release/doctor\"\n";
    program(&folder, "bin/cargo", cargo);
    let ran = run(&folder, &[("args", "--probe")]);
    assert_eq!(ran.called_with.as_ref().unwrap()[3..], ["--probe"], "{}", ran.says());
    assert_eq!(ran.output.status.code(), Some(7));
    let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
    let target = folder.path("temp dir/doctor");
    let wanted = format!("build\n--release\n--locked\n--bin\ndoctor\n--target-dir\n{}\n", target.display());
    assert_eq!(read("temp dir.built-with"), wanted);
    assert_eq!(Path::new(read("temp dir.built-in").trim()).file_name(), Some("own".as_ref()));

    program(&folder, "bin/cargo", "#!/bin/sh\necho error: no >&2\nexit 101\n");
    let failed = run(&folder, &[]);
    assert_eq!(failed.output.status.code(), Some(2));
    assert!(failed.says().contains("::error title=doctor::the doctor could not be built"), "{}", failed.says());
}
