//! What is seen from a place, by the best way there is: from here, from inside its namespace, by exec, or not at all.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{
    Known, Missing, Place,
    docker::{Container, Containers},
    facts::Kind,
    text,
    view::{ConnectionAnswer, ConnectionSeen, NameAnswer, NameSeen, View, Way},
};
use futures_util::future::join_all;

use super::{
    deadline::Deadline,
    docker::Engined,
    http,
    names::{self, Files},
    namespace::Namespace,
};

/// What is to be seen from a place.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    pub(crate) names: Vec<String>,
    /// Hosts and ports to connect to.
    pub(crate) connections: Vec<(String, u16)>,
}

/// More names and connections than this are not tried from one place.
const MOST: usize = 64;

impl Wish {
    pub(crate) fn ask_for(&mut self, name: &str) {
        if self.names.len() < MOST && !self.names.iter().any(|own| own == name) {
            self.names.push(name.to_owned());
        }
    }

    pub(crate) fn connect_to(&mut self, host: &str, port: u16) {
        let connection = (host.to_owned(), port);
        if self.connections.len() < MOST && !self.connections.contains(&connection) {
            self.connections.push(connection);
        }
    }
}

/// From where the doctor looks, and what it may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looker<'l> {
    /// The place that the doctor itself is in.
    pub(crate) here: &'l Place,
    pub(crate) containers: Option<&'l Containers>,
    pub(crate) engine: Option<&'l Engined>,
    pub(crate) deadline: Deadline,
}

/// A name that is not answered within this time is as good as unknown for whoever dials it.
const NAME: Duration = Duration::from_millis(800);
/// On one machine a connection is accepted or refused at once; what takes longer is dropped by a firewall.
const CONNECTION: Duration = Duration::from_millis(1000);

impl Looker<'_> {
    /// Looks from a place. It always gives a view: of a place that could not be entered one that says so.
    pub(crate) async fn look(&self, wish: Wish) -> View {
        let mut not_better = Vec::new();
        if wish.place == *self.here {
            return self.look_from_here(wish).await;
        }
        let mut view = View {
            place: wish.place.clone(),
            way: Way::Inferred,
            not_better: Vec::new(),
            names: Vec::new(),
            connections: Vec::new(),
        };
        let container = match &wish.place {
            Place::Host => None,
            Place::Container(name) => self.containers.and_then(|all| all.named(name)),
        };
        let Some(container) = container else {
            view.not_better.push(format!("{} is not where the doctor runs", wish.place));
            return view;
        };
        match self.look_from_namespace(container, &wish).await {
            Ok(seen) => return seen,
            Err(missing) => not_better.push(missing.to_string()),
        }
        match self.look_by_exec(container, &wish).await {
            Ok(seen) => return View { not_better, ..seen },
            Err(missing) => not_better.push(missing.to_string()),
        }
        View { not_better, ..view }
    }

    async fn look_from_here(&self, wish: Wish) -> View {
        let (names, connections) = tokio::join!(
            names::on_host(&wish.names, NAME.min(self.deadline.left())),
            connect_all(&wish.connections, &[])
        );
        View { place: wish.place, way: Way::Here, not_better: Vec::new(), names, connections }
    }

    async fn look_from_namespace(&self, container: &Container, wish: &Wish) -> Known<View> {
        if !self.engine.is_some_and(|engine| engine.local) || *self.here != Place::Host {
            return Err(Missing::failed(
                format!("entering the network namespace of {}", container.name),
                Kind::Unsupported,
                "the engine's processes are not visible from here",
            ));
        }
        let namespace = Namespace::of(container)?;
        let asked = format!("looking from inside {}", container.name);
        let (own, time, pid) = (wish.clone(), NAME.min(self.deadline.left()), namespace.pid);
        let (names, connections) = self
            .deadline
            .ask(
                &asked,
                namespace.run(move || async move {
                    let files = Files::of_process(pid)?;
                    let names = names::as_container(&files, &own.names, time).await;
                    let connections = connect_all(&own.connections, &names).await;
                    Ok((names, connections))
                }),
            )
            .await??;
        Ok(View { place: wish.place.clone(), way: Way::Namespace, not_better: Vec::new(), names, connections })
    }

    async fn look_by_exec(&self, container: &Container, wish: &Wish) -> Known<View> {
        let Some(engine) = self.engine else {
            return Err(Missing::failed(
                format!("docker exec {}", container.name),
                Kind::Unsupported,
                "there is no engine",
            ));
        };
        if !container.runs() {
            let why = format!("it is {}", container.status);
            return Err(Missing::failed(format!("docker exec {}", container.name), Kind::NotRunning, why));
        }
        let mut command = vec!["sh", "-c", SCRIPT, "sh"];
        command.extend(wish.names.iter().map(String::as_str));
        let connections: Vec<String> =
            wish.connections.iter().map(|(host, port)| text::join_port(host, *port)).collect();
        command.push("--");
        command.extend(connections.iter().map(String::as_str));
        let output = engine.exec(&container.name, &command, &[]).await?;
        read_output(&output, wish).ok_or_else(|| {
            let first = output.lines().next().unwrap_or("nothing");
            Missing::failed(
                format!("docker exec {} sh", container.name),
                Kind::Unsupported,
                format!("it printed: {first}"),
            )
        })
    }
}

/// Prints a line for each question: `name N RC FIRST-LINE`, `connect ADDRESS ANSWER`. It uses
/// what an image has: getent or python3 for names, python3, bash or nc for connections.
const SCRIPT: &str = r#"
PY='import socket,sys
h,p=sys.argv[1].rsplit(":",1)
try: socket.create_connection((h.strip("[]"),int(p)),1).close(); print("accepted")
except ConnectionRefusedError: print("refused")
except TimeoutError: print("timed out")
except Exception as e: print("failed",e)'
has() { command -v "$1" >/dev/null 2>&1; }
echo doctor
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  if has getent; then answer=$(getent ahosts "$1" 2>/dev/null || getent hosts "$1" 2>/dev/null); code=$?
  elif has python3; then answer=$(python3 -c 'import socket,sys; print(socket.gethostbyname(sys.argv[1]))' "$1" 2>/dev/null); code=$?
  else answer=; code=unknown; fi
  echo "name $1 $code" $answer
  shift
done
shift
for address; do
  if has python3; then answer=$(python3 -c "$PY" "$address" 2>/dev/null)
  elif has nc; then if nc -z -w 1 "${address%:*}" "${address##*:}" 2>/dev/null; then answer=accepted; else answer='failed nc could not connect'; fi
  else answer=unknown; fi
  echo "connect $address $answer"
done
"#;

fn read_output(output: &str, wish: &Wish) -> Option<View> {
    let mut lines = output.lines();
    lines.next().filter(|line| *line == "doctor")?;
    let mut view = View {
        place: wish.place.clone(),
        way: Way::Exec,
        not_better: Vec::new(),
        names: Vec::new(),
        connections: Vec::new(),
    };
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["name", name, code, answer @ ..] => {
                let mut ips: Vec<IpAddr> = answer.iter().filter_map(|word| word.parse().ok()).collect();
                ips.dedup();
                let answer = match *code {
                    "0" if !ips.is_empty() => NameAnswer::Addresses(ips),
                    "unknown" => continue,
                    // getent's for a name that is not found; python gives 1 for that and for everything else.
                    "2" => NameAnswer::NoSuchName,
                    code => NameAnswer::Failed(format!("its tool ended with exit code {code}")),
                };
                let server = "its own resolver".to_owned();
                view.names.push(NameSeen { name: (*name).to_owned(), server, answer, disagrees: None, took_ms: 0 });
            }
            ["connect", address, answer @ ..] => {
                let Some((host, Some(port))) = text::host_and_port(address) else { continue };
                let answer = match answer {
                    ["accepted"] => ConnectionAnswer::Accepted,
                    ["refused"] => ConnectionAnswer::Refused,
                    ["timed", "out"] => ConnectionAnswer::TimedOut,
                    ["failed", why @ ..] => ConnectionAnswer::Failed(why.join(" ")),
                    _ => continue,
                };
                view.connections.push(ConnectionSeen { host: host.to_owned(), ip: None, port, answer, took_ms: 0 });
            }
            _ => {}
        }
    }
    Some(view)
}

/// Connects to each address and closes at once. A name is tried at the addresses that it was seen to have.
async fn connect_all(wanted: &[(String, u16)], names: &[NameSeen]) -> Vec<ConnectionSeen> {
    join_all(wanted.iter().map(async |(host, port)| {
        let ips: Vec<IpAddr> = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => match names.iter().find(|seen| seen.name == *host).map(|seen| &seen.answer) {
                Some(NameAnswer::Addresses(ips)) => ips.clone(),
                _ => return None,
            },
        };
        let start = Instant::now();
        let mut answer = (ConnectionAnswer::Failed("it has no address".to_owned()), None);
        for ip in ips.into_iter().take(2) {
            answer = (connect(ip, *port).await, Some(ip));
            if answer.0 == ConnectionAnswer::Accepted {
                break;
            }
        }
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(ConnectionSeen { host: host.clone(), ip: answer.1, port: *port, answer: answer.0, took_ms })
    }))
    .await
    .into_iter()
    .flatten()
    .collect()
}

async fn connect(ip: IpAddr, port: u16) -> ConnectionAnswer {
    match tokio::time::timeout(CONNECTION, tokio::net::TcpStream::connect((ip, port))).await {
        Ok(Ok(_)) => ConnectionAnswer::Accepted,
        Ok(Err(error)) => match http::of_io(error.kind()) {
            Kind::TimedOut => ConnectionAnswer::TimedOut,
            _ if error.kind() == std::io::ErrorKind::ConnectionRefused => ConnectionAnswer::Refused,
            _ => ConnectionAnswer::Failed(error.to_string()),
        },
        Err(_) => ConnectionAnswer::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish { place: Place::Container("caddy".into()), names: vec![], connections: vec![] }
    }

    #[test]
    fn reads_what_the_script_prints() {
        let output = "doctor\nname mitmproxy 0 172.18.0.3 mitmproxy\nname nobody 2\nname x unknown\nconnect h:3000 refused\nconnect [::1]:1 timed out\n";
        let view = read_output(output, &wish()).unwrap();
        assert_eq!(view.names.len(), 2);
        assert_eq!(view.names[1].answer, NameAnswer::NoSuchName);
        assert_eq!(view.connections[0].answer, ConnectionAnswer::Refused);
        assert_eq!((view.connections[1].host.as_str(), view.connections[1].port), ("::1", 1));
    }

    #[test]
    fn an_image_without_a_shell_gives_no_view() {
        let output = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"sh\": executable file not found";
        assert!(read_output(output, &wish()).is_none());
    }
}
