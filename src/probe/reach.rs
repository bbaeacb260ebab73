//! Reaching an API that may not be published: from inside its namespace, over the published port, at the container's
//! address, or by exec. The same ladder serves Caddy's admin API and mitmweb, and what is written to them.

use std::net::IpAddr;

use caddy_doctor_checks::model::{
    Known, Missing, Place,
    docker::{Attachment, Container},
    facts::Kind,
    setup::{Part, PartKind},
    text,
    view::{PublishedSeen, Way},
};
use futures_util::future::join_all;
use reqwest::Client;

use super::{
    deadline::Deadline,
    http::{self, Answer, Question},
    log,
    namespace::Namespace,
    redact,
    view::Looker,
};

/// What is asked of an API: one path each.
pub(crate) type Paths<'p> = &'p dyn Fn(&str) -> Vec<Question>;

/// How an API was reached, at which address in its own place, and what it answered to each question.
pub(crate) struct Reached {
    pub(crate) way: Way,
    pub(crate) answers: Vec<Known<Answer>>,
}

impl Looker<'_> {
    /// Asks an API of a part at `port` of its place, by the first way that gives an answer of any kind to the first
    /// question. `questions` makes them for a base URL.
    ///
    /// The namespace comes before the published port because there the API always accepts the Host `127.0.0.1`, and
    /// because a published port answers (with a reset) even when nothing is behind it.
    pub(crate) async fn reach(&self, part: &Part, port: u16, questions: Paths<'_>) -> Reached {
        let inside = questions(&base("127.0.0.1", port));
        if let PartKind::Address(url) = &part.kind {
            return Reached { way: Way::Here, answers: self.ask_all("from here", &questions(url)).await };
        }
        if let PartKind::Process { ports, .. } = &part.kind
            && !ports.is_empty()
            && !ports.contains(&port)
        {
            let why = format!("{} does not listen on port {port}", part.name);
            let missing = Missing::failed(inside[0].words(), Kind::Refused, why);
            return Reached { way: Way::Here, answers: vec![Err(missing)] };
        }
        let unasked = |kind: Kind, why: String| Reached {
            way: Way::Inferred,
            answers: vec![Err(Missing::failed(inside[0].words(), kind, why))],
        };
        // What answers in its place while it does not run itself is somebody else.
        let own = self.containers.and_then(|all| all.named(&part.name)).filter(|_| part.kind == PartKind::Container);
        if let Some(stopped) = own.filter(|own| !own.runs()) {
            return unasked(Kind::NotRunning, format!("{} is {}", stopped.name, stopped.status));
        }
        if part.place == *self.here {
            return Reached { way: Way::Here, answers: self.ask_all("from here", &inside).await };
        }
        let owner = match &part.place {
            Place::Container(name) => self.containers.and_then(|all| all.named(name)),
            Place::Host => None,
        };
        let Some(owner) = owner else {
            return unasked(Kind::Unsupported, format!("{} is on the host, and the doctor is not", part.name));
        };
        if !owner.runs() {
            return unasked(Kind::NotRunning, format!("{} is {}", owner.name, owner.status));
        }

        let mut failures: Vec<String> = Vec::new();
        let mut last = None;
        for way in [Way::Namespace, Way::Published, Way::Address, Way::Exec] {
            let answers = match way {
                Way::Exec => self.by_exec(&part.name, &inside).await,
                way => match self.by_socket(way, owner, port, questions).await {
                    Some(answers) => answers,
                    None => {
                        log::detail(|| {
                            format!("no way to {}, {}: there is none from here", part.name, from(way, &owner.name))
                        });
                        continue;
                    }
                },
            };
            match &answers[0] {
                Ok(_) => return Reached { way, answers },
                Err(missing) => {
                    log::say(format_args!("no way to {}, {}: {missing}", part.name, from(way, &owner.name)));
                    failures.push(format!("{way}: {missing}"));
                    // In its own namespace it was asked at the one place that counts: no other way can do better.
                    let decided = way == Way::Namespace && entered(missing);
                    // Only there a refusal says that nobody listens; elsewhere it may be meant for inside only.
                    if last.is_none() || decided {
                        last = Some(missing.clone());
                    }
                    if decided {
                        break;
                    }
                }
            }
        }
        let kind = last.as_ref().and_then(Missing::kind).unwrap_or(Kind::Refused);
        Reached {
            way: Way::Inferred,
            answers: vec![Err(Missing::failed(format!("asking {}", part.name), kind, failures.join("; ")))],
        }
    }

    /// Asks an API once more, for what must not be asked twice: in the way in which it answered before, and in no other.
    ///
    /// # Errors
    /// When no answer came; it may have been done all the same.
    pub(crate) async fn again(
        &self,
        way: Way,
        part: &Part,
        port: u16,
        question: &dyn Fn(&str) -> Question,
    ) -> Known<Answer> {
        let questions = |base: &str| vec![question(base)];
        let inside = question(&base("127.0.0.1", port));
        let owner = match &part.place {
            Place::Container(name) => self.containers.and_then(|all| all.named(name)),
            Place::Host => None,
        };
        let mut answers = match (way, owner) {
            (Way::Here, _) => {
                let question = if let PartKind::Address(url) = &part.kind { question(url) } else { inside.clone() };
                self.ask_all("from here", &[question]).await
            }
            (Way::Exec, _) => vec![self.by_written_exec(&part.name, &inside).await],
            (way, Some(owner)) => self.by_socket(way, owner, port, &questions).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        match answers.pop() {
            Some(answer) => answer,
            None => Err(Missing::failed(inside.words(), Kind::NotRunning, "the way to it is not there any more")),
        }
    }

    /// Asks in one of the ways that need no tool of the image; `None` when it is not there.
    async fn by_socket(
        &self,
        way: Way,
        owner: &Container,
        port: u16,
        questions: Paths<'_>,
    ) -> Option<Vec<Known<Answer>>> {
        match way {
            Way::Namespace => Some(self.in_namespace(owner, questions(&base("127.0.0.1", port))).await),
            Way::Published => {
                let near = self.engine.is_some_and(|engine| engine.near) && *self.here == Place::Host;
                let (ip, port) = owner.published(port).filter(|_| near)?;
                Some(self.ask_all(&from(way, &owner.name), &questions(&base(ip, port))).await)
            }
            Way::Address => {
                let ip = owner.networks.iter().find(|attached| self.is_routed(attached))?.ip?;
                Some(self.ask_all(&from(way, &owner.name), &questions(&base(&ip.to_string(), port))).await)
            }
            _ => None,
        }
    }

    /// What somebody on this machine sees of an API of a container who uses the port that is published for it.
    pub(crate) async fn as_published(&self, part: &Part, port: u16, path: &str) -> Option<PublishedSeen> {
        let near = self.engine.is_some_and(|engine| engine.near) && *self.here == Place::Host;
        let Place::Container(owner) = &part.place else { return None };
        let owner = self.containers.and_then(|all| all.named(owner)).filter(|own| near && own.runs())?;
        let (ip, host_port) = owner.published(port)?;
        let own = owner.ports.iter().find(|own| own.container_port == port && own.host_port == Some(host_port))?;
        let question = Question::get(format!("http://{}{path}", text::join_port(ip, host_port)));
        let from = from(Way::Published, &owner.name);
        let answer = self.ask_all(&from, std::slice::from_ref(&question)).await.swap_remove(0);
        Some(PublishedSeen {
            address: text::join_port(ip, host_port),
            host_ip: own.host_ip.clone(),
            answer: answer.map(|answer| {
                let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(2000)]).into_owned();
                let said = if answer.status < 400 { "" } else { body.lines().next().unwrap_or_default() };
                (answer.status, redact::line(said))
            }),
        })
    }

    /// Whether a container's address on a network leads to that container from here: over a bridge of this machine, or over
    /// a network that the doctor's own container is on as well. Elsewhere somebody else may have it.
    fn is_routed(&self, attached: &Attachment) -> bool {
        match self.here {
            Place::Host => {
                let has = |ip: IpAddr| std::net::UdpSocket::bind((ip, 0)).is_ok();
                self.engine.is_some_and(|engine| engine.system) && attached.gateway.is_some_and(has)
            }
            Place::Container(name) => {
                let own = self.containers.and_then(|all| all.named(name));
                own.is_some_and(|own| own.on(&attached.network).is_some())
            }
        }
    }

    async fn ask_all(&self, from: &str, questions: &[Question]) -> Vec<Known<Answer>> {
        match http::client() {
            Ok(client) => ask_with(&client, self.deadline, from, questions).await,
            Err(missing) => vec![Err(missing)],
        }
    }

    async fn in_namespace(&self, owner: &Container, questions: Vec<Question>) -> Vec<Known<Answer>> {
        if !self.engine.is_some_and(|engine| engine.local) || *self.here != Place::Host {
            return vec![Err(Missing::failed(
                format!("entering the network namespace of {}", owner.name),
                Kind::Unsupported,
                "the engine's processes are not visible from here",
            ))];
        }
        let namespace = match Namespace::of(owner) {
            Ok(namespace) => namespace,
            Err(missing) => return vec![Err(missing)],
        };
        let deadline = self.deadline.within();
        let (asked, from) = (questions[0].words(), from(Way::Namespace, &owner.name));
        let answers = self.deadline.limit(
            &asked,
            namespace.run(move || async move {
                match http::client() {
                    Ok(client) => ask_with(&client, deadline, &from, &questions).await,
                    Err(missing) => vec![Err(missing)],
                }
            }),
        );
        answers.await.unwrap_or_else(|missing| vec![Err(missing)])
    }

    async fn by_exec(&self, container: &str, questions: &[Question]) -> Vec<Known<Answer>> {
        let Some(engine) = self.engine else {
            return vec![Err(Missing::failed(
                format!("docker exec {container}"),
                Kind::Unsupported,
                "there is no engine",
            ))];
        };
        join_all(questions.iter().map(async |question| {
            let method = question.method.to_string();
            let body = question.body.as_deref().unwrap_or_default();
            let mut command = vec!["sh", "-c", SCRIPT, "sh", &method, &question.url, body];
            let headers: Vec<String> =
                question.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            command.extend(headers.iter().map(String::as_str));
            // Arguments of a command are seen by everybody on the machine, its environment is not.
            let token = question.token.as_ref().map(|token| format!("DOCTOR_TOKEN={token}"));
            let asked = format!("{} by docker exec {container}", question.words());
            let told = log::ask(&asked);
            let output = engine.exec(container, &command, token.as_slice()).await;
            let answer = output.and_then(|output| {
                let why = "nothing answers there, or the image has neither python3, curl nor wget";
                read_output(&output).ok_or_else(|| Missing::failed(asked, Kind::Refused, why))
            });
            told.ends_with(&answer, Answer::words);
            answer
        }))
        .await
    }

    /// By exec, with any tool that opens a connection: those of [`SCRIPT`] cannot all send every method, and hide headers.
    async fn by_written_exec(&self, container: &str, question: &Question) -> Known<Answer> {
        let asked = format!("{} by docker exec {container}", question.words());
        let failed = |kind: Kind, why: &str| Missing::failed(&asked, kind, why);
        let Some(engine) = self.engine else { return Err(failed(Kind::Unsupported, "there is no engine")) };
        let written = http::written(question)?;
        if written.len() > MOST_BY_EXEC {
            return Err(failed(Kind::Unsupported, "it is longer than an engine takes with a command"));
        }
        let rest = question.url.split_once("://").map_or(&*question.url, |(_, rest)| rest);
        let address = rest.split('/').next().unwrap_or(rest);
        let (host, port) = text::host_and_port(address).unwrap_or((address, None));
        let port = port.unwrap_or(80).to_string();
        let environment = [format!("DOCTOR_REQUEST={written}")];
        let told = log::ask(&asked);
        let output = engine.exec(container, &["sh", "-c", WRITE, "sh", host, &port], &environment).await;
        let answer = output.and_then(|output| match output.trim() {
            NO_TOOL => Err(failed(Kind::Unsupported, "the image has neither python3, nc nor bash")),
            "" => Err(failed(Kind::Refused, "nothing answers there")),
            _ => http::read(&output).ok_or_else(|| failed(Kind::Garbage, "what came back is no HTTP")),
        });
        told.ends_with(&answer, Answer::words);
        answer
    }
}

async fn ask_with(client: &Client, deadline: Deadline, from: &str, questions: &[Question]) -> Vec<Known<Answer>> {
    let each = questions.iter().map(async |question| {
        deadline.ask_from(from, &question.words(), Answer::words, http::ask(client, question)).await
    });
    join_all(each).await
}

/// For the log: from where and by which way something of a container is asked.
pub(super) fn from(way: Way, container: &str) -> String {
    match way {
        Way::Namespace => format!("from inside {container}"),
        Way::Published => format!("over the published port of {container}"),
        Way::Address => format!("at the address of {container}"),
        Way::Exec => format!("by docker exec {container}"),
        Way::Here | Way::Inferred | Way::Planned => "from here".to_owned(),
    }
}

fn base(host: &str, port: u16) -> String {
    format!("http://{}", text::join_port(host, port))
}

/// Whether the question was asked inside, so that the failure is the API's own.
fn entered(missing: &Missing) -> bool {
    matches!(missing, Missing::Failed { asked, kind, .. } if asked.contains("http://") && *kind != Kind::TimedOut)
}

/// Arguments: method, URL, body, headers. Prints the status, the header `Server`, and the body.
const SCRIPT: &str = r#"
PY='import os,sys,urllib.request as u,urllib.error as e,urllib.parse as p
m,l,b=sys.argv[1:4]
t=os.environ.get("DOCTOR_TOKEN")
h=dict(h.split(": ",1) for h in sys.argv[4:])
if t: l+="?token="+p.quote(t,safe=""); h["Authorization"]="Bearer "+t
r=u.Request(l,b.encode() or None,h,method=m)
try: a=u.build_opener(u.ProxyHandler({})).open(r,timeout=2)
except e.HTTPError as x: a=x
sys.stdout.buffer.write(b"%d\n%s\n"%(a.getcode(),(a.headers.get("Server") or "").encode())+a.read())'
has() { command -v "$1" >/dev/null 2>&1; }
if has python3; then exec python3 -c "$PY" "$@" 2>/dev/null; fi
method=$1 url=$2 body=$3
shift 3
if has curl && [ -z "$DOCTOR_TOKEN" ]; then
  for header; do set -- "$@" -H "$header"; shift; done
  exec curl -s --noproxy '*' -m 2 -o - -w '\n%{http_code}' -X "$method" ${body:+-d "$body"} "$@" "$url" | sed -e '1h;1!H;$!d;g' -e 's/^\(.*\)\n\([0-9]*\)$/\2\n\n\1/'
fi
# Some builds of busybox crash with -T.
if has wget && [ "$method" = GET ]; then
  answer=$(http_proxy= wget -q -T 2 -O - "$url" 2>/dev/null) || answer=$(http_proxy= wget -q -O - "$url" 2>/dev/null) || exit
  printf '200\n\n%s' "$answer"
fi
"#;

/// Arguments: host, port. Sends what is in the environment, where others do not see it, and prints what comes back.
const WRITE: &str = r#"
PY='import os,socket,sys
s=socket.create_connection((sys.argv[1],int(sys.argv[2])),4)
s.sendall(os.environb[b"DOCTOR_REQUEST"])
while True:
  b=s.recv(65536)
  if not b: break
  sys.stdout.buffer.write(b)'
has() { command -v "$1" >/dev/null 2>&1; }
if has python3; then exec python3 -c "$PY" "$1" "$2"; fi
if has nc; then printf %s "$DOCTOR_REQUEST" | nc "$1" "$2"; exit; fi
if has bash; then exec bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf %s "$DOCTOR_REQUEST" >&3 && cat <&3' bash "$1" "$2"; fi
echo doctor: no tool
"#;
const NO_TOOL: &str = "doctor: no tool";

/// Linux takes no longer variable than 128 KiB.
const MOST_BY_EXEC: usize = 120 << 10;

fn read_output(output: &str) -> Option<Answer> {
    let (status, rest) = output.split_once('\n')?;
    let (server, body) = rest.split_once('\n')?;
    Some(Answer {
        status: status.trim().parse().ok()?,
        server: (!server.trim().is_empty()).then(|| server.trim().to_owned()),
        api_version: None,
        etag: None,
        body: body.as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_script_prints() {
        let answer = read_output("403\nmitmproxy 11.1.3\n").unwrap();
        assert_eq!((answer.status, answer.server.as_deref(), answer.body.len()), (403, Some("mitmproxy 11.1.3"), 0));
        assert_eq!(read_output("200\n\n{\"a\":\n1}").unwrap().body, b"{\"a\":\n1}");
        assert!(read_output("").is_none());
    }
}
