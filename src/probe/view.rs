//! What is seen from a place, by the best way there is: from here, from inside its namespace, by exec, or not at all.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{
    Known, Missing, Place,
    docker::{Container, Containers},
    facts::Kind,
    text,
    view::{ConnectionAnswer, ConnectionSeen, NameAnswer, NameSeen, Speaks, View, Way},
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    deadline::Deadline,
    docker::Engined,
    http, log,
    names::{self, Files},
    namespace::Namespace,
    reach, redact,
};

/// What is to be seen from a place.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    pub(crate) names: Vec<String>,
    pub(crate) connections: Vec<Connection>,
}

/// A connection to try.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connection {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether to greet the server in TLS. One that speaks plain HTTP may log that.
    pub(crate) greet: bool,
}

/// More names and connections than this are not tried from one place.
const MOST: usize = 64;

impl Wish {
    pub(crate) fn ask_for(&mut self, name: &str) {
        if self.names.len() < MOST && !self.names.iter().any(|own| own == name) {
            self.names.push(name.to_owned());
        }
    }

    pub(crate) fn connect_to(&mut self, host: &str, port: u16, greet: bool) {
        if let Some(own) = self.connections.iter_mut().find(|own| own.host == host && own.port == port) {
            own.greet |= greet;
        } else if self.connections.len() < MOST {
            self.connections.push(Connection { host: host.to_owned(), port, greet });
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
            Err(missing) => not_better.push(not_seen(Way::Namespace, container, &missing)),
        }
        match self.look_by_exec(container, &wish).await {
            Ok(seen) => return View { not_better, ..seen },
            Err(missing) => not_better.push(not_seen(Way::Exec, container, &missing)),
        }
        View { not_better, ..view }
    }

    async fn look_from_here(&self, wish: Wish) -> View {
        let names = names::on_host(&wish.names, NAME.min(self.deadline.left())).await;
        let connections = connect_all("from here", &wish.connections, &names).await;
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
        let from = reach::from(Way::Namespace, &container.name);
        let (names, connections) = self
            .deadline
            .limit(
                &asked,
                namespace.run(move || async move {
                    let files = Files::of_process(pid)?;
                    let names = names::as_container(&from, &files, &own.names, time).await;
                    let connections = connect_all(&from, &own.connections, &names).await;
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
            wish.connections.iter().map(|own| text::join_port(&own.host, own.port)).collect();
        command.push("--");
        command.extend(connections.iter().map(String::as_str));
        let output = engine.exec(&container.name, &command, &[]).await?;
        let view = read_output(&output, wish).ok_or_else(|| {
            let first = output.lines().next().unwrap_or("nothing");
            Missing::failed(
                format!("docker exec {} sh", container.name),
                Kind::Unsupported,
                format!("it printed: {}", redact::line(first)),
            )
        })?;
        let from = reach::from(Way::Exec, &container.name);
        for seen in &view.names {
            log::say(format_args!("the name {}, {from}: {}", seen.name, names::words(&seen.answer)));
        }
        for seen in &view.connections {
            let address = text::join_port(&seen.host, seen.port);
            log::say(format_args!("a connection to {address}, {from}: {}", answered(&seen.answer)));
        }
        Ok(view)
    }
}

/// A way that shows nothing of a place: the reason, which the log has as well.
fn not_seen(way: Way, container: &Container, missing: &Missing) -> String {
    log::say(format_args!("nothing is seen {}: {missing}", reach::from(way, &container.name)));
    missing.to_string()
}

/// Prints a line for each question: `name N RC FIRST-LINE`, `connect ADDRESS ANSWER`. It uses
/// what an image has: getent or python3 for names, python3, bash or nc for connections.
const SCRIPT: &str = r#"
PY='import socket,sys
h,p=sys.argv[1].rsplit(":",1)
said=[]
def ask(a):
  try: socket.create_connection(a,1).close(); return "accepted"
  except ConnectionRefusedError: return "refused"
  except TimeoutError: return "timed out"
  except Exception as e: return "failed %s"%e
try: said=[ask(a[4][:2]) for a in socket.getaddrinfo(h.strip("[]"),int(p),0,1)]
except Exception as e: said=["failed %s"%e]
print(next((w for w in ("accepted","refused","timed out") if w in said),said[0]))'
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
  elif case $address in localhost:*|127.*|:*) [ -r /proc/net/tcp ] ;; *) false ;; esac; then
    port=$(printf %04X "${address##*:}")
    if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$port [0-9A-F]*:0000 0A"; then answer=accepted; else answer=refused; fi
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
                    ["failed", why @ ..] => ConnectionAnswer::Failed(redact::line(&why.join(" "))),
                    _ => continue,
                };
                view.connections.push(ConnectionSeen {
                    host: host.to_owned(),
                    ip: None,
                    port,
                    answer,
                    speaks: None,
                    took_ms: 0,
                });
            }
            _ => {}
        }
    }
    Some(view)
}

/// Connects to each address and closes at once. A name is tried at the addresses that it was seen to have.
async fn connect_all(from: &str, wanted: &[Connection], names: &[NameSeen]) -> Vec<ConnectionSeen> {
    join_all(wanted.iter().map(async |Connection { host, port, greet }| {
        let ips: Vec<IpAddr> = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) if matches!(host.as_str(), "" | "localhost") => {
                vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
            }
            Err(_) => match names.iter().find(|seen| seen.name == *host).map(|seen| &seen.answer) {
                Some(NameAnswer::Addresses(ips)) => ips.clone(),
                _ => return None,
            },
        };
        let told = log::ask(format_args!("a connection to {}, {from}", text::join_port(host, *port)));
        let start = Instant::now();
        let (mut answer, mut last, mut speaks) = (ConnectionAnswer::Failed("it has no address".to_owned()), None, None);
        for ip in ips.into_iter().take(2) {
            (answer, speaks) = connect(ip, *port, *greet).await;
            last = Some(ip);
            if answer == ConnectionAnswer::Accepted {
                break;
            }
        }
        told.ends(answered(&answer));
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(ConnectionSeen { host: host.clone(), ip: last, port: *port, answer, speaks, took_ms })
    }))
    .await
    .into_iter()
    .flatten()
    .collect()
}

/// For the log.
fn answered(answer: &ConnectionAnswer) -> &str {
    match answer {
        ConnectionAnswer::Accepted => "accepted",
        ConnectionAnswer::Refused => "refused",
        ConnectionAnswer::TimedOut => "no answer in time",
        ConnectionAnswer::Failed(why) => why,
    }
}

async fn connect(ip: IpAddr, port: u16, greet: bool) -> (ConnectionAnswer, Option<Speaks>) {
    let stream = match tokio::time::timeout(CONNECTION, TcpStream::connect((ip, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let answer = match http::of_io(error.kind()) {
                Kind::TimedOut => ConnectionAnswer::TimedOut,
                _ if error.kind() == std::io::ErrorKind::ConnectionRefused => ConnectionAnswer::Refused,
                _ => ConnectionAnswer::Failed(error.to_string()),
            };
            return (answer, None);
        }
        Err(_) => return (ConnectionAnswer::TimedOut, None),
    };
    let speaks = if greet { tokio::time::timeout(CONNECTION, greeted(stream)).await.ok().flatten() } else { None };
    (ConnectionAnswer::Accepted, speaks)
}

/// What a server answers to the first message of a TLS handshake: another one (22) or an alert (21), as only TLS does
/// (RFC 8446, 5.1). One that says nothing in time leaves it open.
async fn greeted(mut stream: TcpStream) -> Option<Speaks> {
    stream.write_all(CLIENT_HELLO).await.ok()?;
    let mut first = [0];
    match stream.read(&mut first).await {
        Ok(1) if matches!(first[0], 21 | 22) => Some(Speaks::Tls),
        Ok(_) | Err(_) => Some(Speaks::NoTls),
    }
}

/// A ClientHello of TLS 1.2 with suites and groups that every server has; it names no host (RFC 5246, 7.4.1.2).
const CLIENT_HELLO: &[u8] = &[
    22, 3, 1, 0, 85, // record: handshake, 85 bytes
    1, 0, 0, 81, 3, 3, // ClientHello, 81 bytes, TLS 1.2
    100, 111, 99, 116, 111, 114, 100, 111, 99, 116, 111, 114, 100, 111, 99, 116, // random: 32 bytes
    111, 114, 100, 111, 99, 116, 111, 114, 100, 111, 99, 116, 111, 114, 100, 111, //
    0,   // no session
    0, 14, 0xc0, 0x2f, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2c, 0, 0x9c, 0, 0x2f, 0, 0x35, // seven suites
    1, 0, // no compression
    0, 26, // extensions
    0, 10, 0, 6, 0, 4, 0, 23, 0, 24, // groups: secp256r1, secp384r1
    0, 13, 0, 12, 0, 10, 4, 1, 4, 3, 5, 1, 8, 4, 2,
    1, // signatures: RSA and ECDSA with SHA-256, RSA-PSS, RSA with SHA-1
];

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

    /// As Caddy does: what is served on 127.0.0.1 only is reached by `localhost`, though that may be ::1 first.
    #[tokio::test]
    async fn localhost_is_tried_at_both_its_addresses() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = [Connection { host: "localhost".into(), port, greet: false }];
        let seen = connect_all("from here", &wanted, &[]).await.remove(0);
        assert_eq!((seen.answer, seen.ip), (ConnectionAnswer::Accepted, Some(Ipv4Addr::LOCALHOST.into())));
    }

    #[test]
    fn an_image_without_a_shell_gives_no_view() {
        let output = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"sh\": executable file not found";
        assert!(read_output(output, &wish()).is_none());
    }
}
