//! What every setup is made with: containers, processes, the doctor, requests; and the cleaning up.

use std::{
    cell::RefCell,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Everything that the lab makes carries it; only that is removed.
const LABEL: &str = "doctor.lab";
/// The Host that Caddy routes, unless a setup has others.
pub(crate) const HOST: &str = "api.example.com";
/// Where Caddy is published on this machine.
pub(crate) const ENTRY: u16 = 18080;
/// Names that setups use; a container of somebody else that has one of them is in the way.
const NAMES: &[&str] =
    &["caddy", "mitmproxy", "backend", "mitmproxy-shop", "shop", "edge", "inspector", "squatter", "tests", "db"];

pub(crate) const CADDY: &str = "caddy:2";
pub(crate) const MITMPROXY: &str = "mitmproxy/mitmproxy:10.4.2";
pub(crate) const MITMPROXY_8: &str = "mitmproxy/mitmproxy:8.1.1";
pub(crate) const MITMPROXY_12: &str = "mitmproxy/mitmproxy:12.2.3";
pub(crate) const MITMPROXY_11: &str = "mitmproxy/mitmproxy:11.0.2";
pub(crate) const BACKEND: &str = "doctor-lab/backend";

pub(crate) struct Lab {
    /// The engine that the lab started, if it did.
    engine: Option<u32>,
    folder: PathBuf,
    setup: RefCell<String>,
    processes: RefCell<Vec<Child>>,
    undo: RefCell<Vec<String>>,
}

/// What the doctor answered.
pub(crate) struct Diagnosis {
    pub(crate) code: i32,
    pub(crate) report: Value,
    pub(crate) text: String,
}

impl Lab {
    /// Makes sure of an engine and the images.
    pub(crate) fn open() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("the lab needs Linux: setups on the host's network mean something else elsewhere".to_owned());
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
        let engine = script(&here.join("engine.sh"))?;
        script(&here.join("images.sh"))?;
        let folder = std::env::temp_dir().join("doctor-lab");
        own_folder(&folder)?;
        fs::copy(here.join("backend.py"), folder.join("backend.py")).map_err(|error| error.to_string())?;
        let lab = Self {
            engine: engine.trim().parse().ok(),
            folder,
            setup: RefCell::default(),
            processes: RefCell::default(),
            undo: RefCell::default(),
        };
        lab.clear();
        lab.is_usable()?;
        let taken = lines("docker ps -a --format {{.Names}}");
        if let Some(name) = taken.iter().find(|name| NAMES.contains(&name.as_str())) {
            return Err(format!(
                "a container called {name} is on this engine and not the lab's; remove it, or point DOCKER_HOST to another engine"
            ));
        }
        Ok(lab)
    }

    /// Says in one sentence what would make setup after setup fail.
    fn is_usable(&self) -> Result<(), String> {
        let kernel = sh("docker info -f '{{.KernelVersion}}'");
        if kernel.trim() != sh("uname -r").trim() {
            return Err(
                "the engine runs on another machine, and the lab looks at its processes; unset DOCKER_HOST".to_owned()
            );
        }
        for port in [2019, 8080, 8081, 12019, 13000, ENTRY, 18081, 18082] {
            if listens("/proc/net/tcp", port) || listens("/proc/net/tcp6", port) {
                return Err(format!("port {port} of this machine is taken, and setups of the lab want it"));
            }
        }
        let networks = lines("docker network ls --format {{.Name}}");
        match networks.iter().find(|name| ["app-net", "edge-net", "front", "back"].contains(&name.as_str())) {
            Some(name) => Err(format!("a network called {name} is on this engine and not the lab's; remove it")),
            None => Ok(()),
        }
    }

    /// Ends the engine, when the lab started it.
    pub(crate) fn close(&self) {
        if let Some(pid) = self.engine {
            let _ = Command::new("kill").arg(pid.to_string()).status();
            // Another run would meet an engine that is going down.
            let gone = || !Path::new(&format!("/proc/{pid}")).exists();
            let deadline = Instant::now() + Duration::from_secs(20);
            while !gone() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Starts a setup: nothing of another one is there.
    pub(crate) fn begin(&self, name: &str) {
        name.clone_into(&mut self.setup.borrow_mut());
        // Fixes keep routes in the folder that they are run in, and never write over one that is there.
        for folder in ["empty", "pasted"].map(|own| self.folder.join(own)) {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
        }
    }

    /// Removes what carries the label, and ends the processes that were started.
    pub(crate) fn clear(&self) {
        for mut process in self.processes.borrow_mut().drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
        let containers = lines(&format!("docker ps -aq --filter label={LABEL}"));
        if !containers.is_empty() {
            let _ = Command::new("docker").args(["rm", "-f", "-v"]).args(&containers).output();
        }
        // A network of a fix goes only when nobody is on it any more.
        for command in self.undo.borrow_mut().drain(..).rev() {
            let _ = Command::new("sh").args(["-c", &command]).output();
        }
        let networks = lines(&format!("docker network ls -q --filter label={LABEL}"));
        if !networks.is_empty() {
            let _ = Command::new("docker").args(["network", "rm"]).args(&networks).output();
        }
    }

    /// Runs a command when the setup is cleared, whatever came of it.
    pub(crate) fn undo(&self, command: &str) {
        self.undo.borrow_mut().push(command.to_owned());
    }

    pub(crate) fn network(&self, name: &str) {
        self.network_with(name, "");
    }

    /// `options` are split at spaces.
    pub(crate) fn network_with(&self, name: &str, options: &str) {
        let mut words = vec!["network", "create", "--label", LABEL];
        words.extend(options.split_whitespace());
        words.push(name);
        docker(&words);
    }

    /// `docker run -d` with the lab's label; `arguments` are split at spaces.
    pub(crate) fn run(&self, name: &str, arguments: &str) {
        let output = self.try_run(name, arguments);
        assert!(output.status.success(), "docker run {name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The same, where it may fail.
    pub(crate) fn try_run(&self, name: &str, arguments: &str) -> Output {
        let mut command = Command::new("docker");
        command.args(["run", "-d", "--name", name, "--label", LABEL]).args(arguments.split_whitespace());
        command.output().expect("docker is there")
    }

    /// The backend in a container, on port 3000.
    pub(crate) fn backend(&self, name: &str, options: &str) {
        let script = self.folder.join("backend.py");
        let mount = format!("-v {}:/backend.py:ro", script.display());
        self.run(name, &format!("{options} --expose 3000 {mount} {BACKEND} python3 /backend.py 0.0.0.0 3000"));
        self.wait_for_port(name, 3000);
    }

    /// mitmweb in reverse mode to `target`, listening on 8080.
    pub(crate) fn mitmweb(&self, name: &str, options: &str, target: &str) {
        // One that is published is meant to be used.
        let web = if options.contains(":8081") { "--web-host 0.0.0.0" } else { "" };
        let command = format!("mitmweb --mode reverse:{target} --set keep_host_header=true {web}");
        self.run(name, &format!("{options} {MITMPROXY} {command}"));
        self.wait_for_port(name, 8080);
        self.wait_for_port(name, 8081);
    }

    /// Caddy with a Caddyfile.
    pub(crate) fn caddy(&self, name: &str, options: &str, caddyfile: &str) {
        let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", self.caddyfile(caddyfile).display());
        self.run(name, &format!("{options} {mount} {CADDY}"));
        self.wait_for_port(name, 2019);
    }

    /// Caddy with a config in its own form.
    pub(crate) fn caddy_json(&self, name: &str, options: &str, json: &str) {
        let path = self.folder.join(format!("caddy.{}.json", self.setup.borrow()));
        fs::write(&path, json).unwrap();
        let mount = format!("-v {}:/etc/caddy/caddy.json:ro", path.display());
        self.run(name, &format!("{options} {mount} {CADDY} caddy run --config /etc/caddy/caddy.json"));
        self.wait_for_port(name, 2019);
    }

    /// Gives a running Caddy another config, over its admin API.
    pub(crate) fn caddy_load(&self, name: &str, json: &str) {
        let header = "Content-Type: application/json";
        docker(&["exec", name, "wget", "-qO-", "--header", header, "--post-data", json, "http://127.0.0.1:2019/load"]);
    }

    pub(crate) fn caddyfile(&self, text: &str) -> PathBuf {
        let path = self.folder.join(format!("Caddyfile.{}", self.setup.borrow()));
        fs::write(&path, text).unwrap();
        path
    }

    /// A process on the host; it ends with the setup.
    pub(crate) fn process(&self, command: &mut Command) {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.processes.borrow_mut().push(child.expect("the process starts"));
    }

    /// The backend as a process on the host.
    pub(crate) fn host_backend(&self, address: &str, port: u16) {
        let script = self.folder.join("backend.py");
        self.process(Command::new("python3").arg(script).args([address, &port.to_string()]));
        wait_until("the backend on the host", || listens("/proc/net/tcp", port));
    }

    /// Caddy's program, taken out of its image: it is one static file.
    pub(crate) fn caddy_program(&self) -> PathBuf {
        let program = self.folder.join("caddy");
        if !program.exists() {
            docker(&["create", "--name", "squatter", "--label", LABEL, CADDY]);
            docker(&["cp", "squatter:/usr/bin/caddy", program.to_str().unwrap()]);
            docker(&["rm", "squatter"]);
        }
        program
    }

    /// mitmweb in a Python environment of the lab's own.
    pub(crate) fn mitmweb_program(&self) -> PathBuf {
        let environment = self.folder.join("venv");
        let program = environment.join("bin/mitmweb");
        if !program.exists() {
            sh(&format!(
                "python3 -m venv {0} && {0}/bin/pip install --quiet --disable-pip-version-check mitmproxy",
                environment.display()
            ));
        }
        program
    }

    /// Brings up a compose project from the text of its file, and takes it down with the setup.
    pub(crate) fn compose(&self, project: &str, file: &str) {
        let folder = self.folder.join(project);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("compose.yml");
        fs::write(&path, file).unwrap();
        let program = compose();
        let command = format!("{program} -p {project} -f {}", path.display());
        // Networks of an older form of the setup may still have a container of a fix on them.
        self.undo(&format!("{command} down -v --remove-orphans -t 1"));
        sh(&format!("{command} up -d"));
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until something listens on a port in a container's namespace.
    pub(crate) fn wait_for_port(&self, container: &str, port: u16) {
        wait_until(&format!("port {port} of {container}"), || {
            let pid = docker(&["inspect", "-f", "{{.State.Pid}}", container]);
            ["tcp", "tcp6"].iter().any(|table| listens(&format!("/proc/{}/net/{table}", pid.trim()), port))
        });
    }

    /// Runs the doctor as a user would, in an empty folder.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> Diagnosis {
        self.doctor_by(Command::new(env!("CARGO_BIN_EXE_doctor")), arguments)
    }

    /// Runs the doctor as a user who is not root but in the group of the socket.
    pub(crate) fn doctor_as_user(&self, arguments: &[&str]) -> Diagnosis {
        self.doctor_in_group(sh("stat -c %g /var/run/docker.sock").trim(), arguments)
    }

    /// Runs the doctor as a user who may not use the engine.
    pub(crate) fn doctor_as_nobody(&self, arguments: &[&str]) -> Diagnosis {
        self.doctor_in_group("65534", arguments)
    }

    fn doctor_in_group(&self, group: &str, arguments: &[&str]) -> Diagnosis {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups"]).arg(self.program());
        self.doctor_by(command, arguments)
    }

    /// The doctor where other users and containers may run it.
    fn program(&self) -> PathBuf {
        let program = self.folder.join("doctor");
        fs::copy(env!("CARGO_BIN_EXE_doctor"), &program).unwrap();
        program
    }

    /// Runs the doctor in a container of its own on `network`, with the engine's socket, as a CI job may.
    pub(crate) fn doctor_inside(&self, network: &str, arguments: &[&str]) -> Diagnosis {
        let folder = self.folder.display();
        let options = format!(
            "run --rm --name tests --label {LABEL} --network {network} -w {folder}/empty -v {folder}:{folder} \
             -v /var/run/docker.sock:/var/run/docker.sock {BACKEND} {}",
            self.program().display()
        );
        let mut command = Command::new("docker");
        command.args(options.split_whitespace());
        self.doctor_by(command, arguments)
    }

    pub(crate) fn doctor_by(&self, mut command: Command, arguments: &[&str]) -> Diagnosis {
        let facts = self.folder.join("facts/facts.json");
        let _ = fs::remove_file(&facts);
        let folder = self.folder.join("empty");
        // Another user writes the recording as well, and only here.
        fs::create_dir_all(self.folder.join("facts")).unwrap();
        sh(&format!("chmod 1777 {}", self.folder.join("facts").display()));
        command.args(["--format", "json", "--record"]).arg(&facts).args(arguments);
        let output = command.current_dir(&folder).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("not one JSON document: {error}\n{stdout}\n{stderr}"));
        let text = replayed(&facts);
        Diagnosis { code: output.status.code().unwrap_or(-1), report, text }
    }

    /// Writes an issue report with its recording: gives it, and the one that the recording gives where there is no engine.
    pub(crate) fn issue_report(&self) -> [String; 2] {
        let facts = self.folder.join("facts.json");
        let run = |option: &str, docker: Option<&str>| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
            command.args(["report", option]).arg(&facts);
            command.envs(docker.map(|endpoint| ("DOCKER_HOST", endpoint)));
            let output = command.output().unwrap();
            assert!(output.status.success(), "doctor report: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        [run("--attach", None), run("--replay", Some("unix:///nonexistent"))]
    }

    /// Runs the doctor with a variable in its environment.
    pub(crate) fn doctor_with(&self, name: &str, value: &str, arguments: &[&str]) -> Diagnosis {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
        command.env(name, value);
        self.doctor_by(command, arguments)
    }

    /// Sets options of a mitmweb as its web page does: `{"view_filter": "~u x"}`.
    pub(crate) fn set_option(&self, mitmproxy: &str, options: &str) {
        let script = format!(
            "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8081/options', {options:?}.encode(), \
             {{'Content-Type': 'application/json', 'X-XSRFToken': 'lab', 'Cookie': '_xsrf=lab; _mitmproxy_xsrf=lab'}}, method='PUT'))"
        );
        docker(&["exec", mitmproxy, "python3", "-c", &script]);
    }

    /// Runs `doctor fix`, which must succeed.
    pub(crate) fn fix(&self, arguments: &[&str]) -> String {
        self.fix_with("DOCTOR_LAB", "", arguments)
    }

    /// The same, with a variable in its environment.
    pub(crate) fn fix_with(&self, name: &str, value: &str, arguments: &[&str]) -> String {
        let before = lines("docker network ls -q --no-trunc");
        let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
        command.env(name, value);
        let output = command.arg("fix").args(arguments).current_dir(self.folder.join("empty")).output().unwrap();
        for id in lines("docker network ls -q --no-trunc").iter().filter(|id| !before.contains(id)) {
            self.undo(&format!("docker network rm {id}"));
        }
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "doctor fix {}:\n{text}", arguments.join(" "));
        text
    }

    /// Runs `doctor fix` at a terminal of its own, and types these lines.
    pub(crate) fn fix_at_terminal(&self, typed: &str) -> String {
        let line = format!("{} fix", env!("CARGO_BIN_EXE_doctor"));
        let mut command = Command::new("sh");
        command.args(["-c", "printf %s \"$1\" | script -qec \"$2\" /dev/null", "sh", typed, &line]);
        let output = command.current_dir(self.folder.join("empty")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Keeps what was recorded last as `tests/setups/NAME.json`, with its report, when that is asked for. What it tells of the
    /// machine itself, its kernel and its name servers, is replaced.
    pub(crate) fn keep(&self) {
        if std::env::var_os("DOCTOR_BLESS").is_none() {
            return;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups");
        let kept = folder.join(format!("{}.json", self.setup.borrow()));
        let mut facts = fs::read_to_string(self.folder.join("facts/facts.json")).unwrap();
        facts = facts.replace(sh("uname -r").trim(), "6.1.0");
        for server in sh("sed -n 's/^nameserver //p' /etc/resolv.conf").split_whitespace() {
            facts = facts.replace(&format!("\"{server}\""), "\"192.0.2.53\"");
        }
        fs::write(&kept, facts).unwrap();
        fs::write(kept.with_extension("txt"), replayed(&kept)).unwrap();
    }

    /// Sends a request through Caddy until it is answered with 200 by the backend; what the backend saw.
    pub(crate) fn travels(&self, host: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = request(ENTRY, host).unwrap_or_else(|error| error.to_string());
            if answer.starts_with("HTTP/1.1 200") && answer.contains("backend saw Host") {
                return answer;
            }
            assert!(Instant::now() < deadline, "no request travels the whole path; the last answer: {answer}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// That no request travels now: the setup is really broken.
    pub(crate) fn does_not_travel(&self, host: &str) {
        let answer = request(ENTRY, host).unwrap_or_else(|error| error.to_string());
        assert!(!answer.contains("backend saw Host"), "the setup is not broken: {answer}");
    }
}

impl Diagnosis {
    /// The root causes: severity, check and summary.
    pub(crate) fn root_causes(&self) -> Vec<String> {
        let causes = self.report["root_causes"].as_array().unwrap();
        let text = |cause: &Value, key: &str| cause[key].as_str().unwrap().to_owned();
        causes
            .iter()
            .map(|cause| format!("{} {}: {}", text(cause, "severity"), text(cause, "check"), text(cause, "summary")))
            .collect()
    }

    /// That these failures are the root causes, and nothing else failed on its own account.
    pub(crate) fn blames(&self, expected: &[&str]) -> &Self {
        let failures: Vec<String> =
            self.root_causes().into_iter().filter_map(|cause| cause.strip_prefix("fail ").map(str::to_owned)).collect();
        assert_eq!(failures, expected, "{}", self.text);
        let code = if expected.is_empty() { 0 } else { 1 };
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// That this warning is among the root causes.
    pub(crate) fn warns(&self, expected: &str) -> &Self {
        let wanted = format!("warn {expected}");
        assert!(self.root_causes().contains(&wanted), "no `{wanted}` in\n{}", self.text);
        self
    }

    /// That this check warns of something, whatever the figures are.
    pub(crate) fn warns_of(&self, check: &str) -> &Self {
        let wanted = format!("warn {check}: ");
        assert!(self.root_causes().iter().any(|cause| cause.starts_with(&wanted)), "no `{wanted}` in\n{}", self.text);
        self
    }

    /// That these checks are folded under the first root cause.
    pub(crate) fn folds(&self, expected: &[&str]) -> &Self {
        let root = self.report["root_causes"][0]["check"].as_str().unwrap();
        let list = |row: &Value, key: &str| -> Vec<String> {
            row[key].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        for id in expected {
            let row = self.report["checks"].as_array().unwrap().iter().find(|row| row["id"] == **id).unwrap();
            let mut causes = list(row, "blocked_by");
            causes
                .extend(row["findings"].as_array().unwrap().iter().flat_map(|finding| list(finding, "consequence_of")));
            assert!(causes.iter().any(|cause| cause == root), "{id} does not follow from {root}:\n{}", self.text);
        }
        self
    }

    pub(crate) fn status(&self, check: &str) -> String {
        let rows = self.report["checks"].as_array().unwrap();
        rows.iter().find(|row| row["id"] == check).unwrap()["status"].as_str().unwrap().to_owned()
    }

    /// The fixes of the first root cause.
    pub(crate) fn fixes(&self) -> &Value {
        let cause = &self.report["root_causes"][0];
        let check = self.report["checks"].as_array().unwrap().iter().find(|row| row["id"] == cause["check"]).unwrap();
        let findings = check["findings"].as_array().unwrap();
        &findings.iter().find(|own| own["summary"] == cause["summary"]).unwrap()["fixes"]
    }

    /// The text that makes a fix last.
    pub(crate) fn edit(&self, fix: usize) -> &str {
        self.fixes()[fix]["edits"][0]["text"].as_str().unwrap_or_else(|| panic!("no edit:\n{}", self.text))
    }

    /// The commands of a fix of the first root cause.
    pub(crate) fn commands(&self, fix: usize) -> String {
        let commands =
            self.fixes()[fix]["commands"].as_array().unwrap_or_else(|| panic!("no such fix:\n{}", self.text));
        assert!(!commands.is_empty(), "the fix has no command:\n{}", self.text);
        commands.iter().map(|command| format!("{}\n", command.as_str().unwrap())).collect()
    }

    /// Runs the printed commands of a fix as a person who pastes them would.
    pub(crate) fn heal(&self, lab: &Lab, fix: usize) {
        let commands = self.commands(fix);
        let before = lines("docker network ls -q --no-trunc");
        let output =
            Command::new("sh").args(["-c", &commands]).current_dir(lab.folder().join("pasted")).output().unwrap();
        // A container that is made anew has the label of the old one; a network that a fix makes has none.
        for id in lines("docker network ls -q --no-trunc").iter().filter(|id| !before.contains(id)) {
            lab.undo(&format!("docker network rm {id}"));
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the fix does not work as printed:\n{commands}\n{error}");
    }
}

/// `docker compose`, or the older separate program.
pub(crate) fn compose() -> &'static str {
    let plugin = Command::new("docker").args(["compose", "version"]).output();
    if plugin.is_ok_and(|output| output.status.success()) { "docker compose" } else { "docker-compose" }
}

/// The folder of the lab: programs are run from it, so nobody else may have made it.
fn own_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let owner = |path: &Path| fs::symlink_metadata(path).map(|own| own.uid()).map_err(failed);
    match owner(folder)? == owner(Path::new("/proc/self"))? {
        true => Ok(()),
        false => Err(format!("{} belongs to somebody else; remove it", folder.display())),
    }
}

fn script(path: &Path) -> Result<String, String> {
    let output =
        Command::new(path).stderr(Stdio::inherit()).output().map_err(|error| format!("{}: {error}", path.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{} failed", path.display()))
    }
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker is there");
    assert!(output.status.success(), "docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The report of a recording as a person would see it.
fn replayed(facts: &Path) -> String {
    let mut replay = Command::new(env!("CARGO_BIN_EXE_doctor"));
    let output = replay.arg("--replay").arg(facts).env("LC_ALL", "C.UTF-8").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn lines(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("docker is there");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come up in 30 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a table of sockets has a listener on a port.
pub(crate) fn listens(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    fs::read_to_string(table).is_ok_and(|text| {
        text.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() > 3 && fields[3] == "0A" && fields[1].ends_with(&port)
        })
    })
}

/// One request to this machine.
pub(crate) fn request(port: u16, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
