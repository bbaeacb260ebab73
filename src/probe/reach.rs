//! Reaching an API that may not be published: from inside its namespace, over the published port, at the container's
//! address, or by exec. The same ladder serves Caddy's admin API and mitmweb.

use std::net::IpAddr;

use caddy_doctor_checks::model::{
    Known, Missing, Place,
    docker::{Attachment, Container},
    facts::Kind,
    setup::{Part, PartKind},
    text,
    view::Way,
};
use futures_util::future::join_all;
use reqwest::Client;

use super::{
    http::{self, Answer, Question},
    namespace::Namespace,
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
        let base = |host: &str, port: u16| format!("http://{}", text::join_port(host, port));
        let inside = questions(&base("127.0.0.1", port));
        if let PartKind::Address(url) = &part.kind {
            return Reached { way: Way::Here, answers: self.ask_all(&questions(url)).await };
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
            return Reached { way: Way::Here, answers: self.ask_all(&inside).await };
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
        let near = self.engine.is_some_and(|engine| engine.near) && *self.here == Place::Host;
        for way in [Way::Namespace, Way::Published, Way::Address, Way::Exec] {
            let answers = match way {
                Way::Namespace => self.in_namespace(owner, inside.clone()).await,
                Way::Published => match owner.published(port) {
                    Some((ip, port)) if near => self.ask_all(&questions(&base(ip, port))).await,
                    _ => continue,
                },
                Way::Address => match owner.networks.iter().find(|attached| self.is_routed(attached)) {
                    Some(Attachment { ip: Some(ip), .. }) => {
                        self.ask_all(&questions(&base(&ip.to_string(), port))).await
                    }
                    _ => continue,
                },
                _ => self.by_exec(&part.name, &inside).await,
            };
            match &answers[0] {
                Ok(_) => return Reached { way, answers },
                Err(missing) => {
                    failures.push(format!("{way}: {missing}"));
                    // In its own namespace it was asked at the one place that counts: no other way can do better.
                    let decided = way == Way::Namespace && entered(missing);
                    // By exec it is the tools of the image that may fail; what was asked over a socket tells more.
                    if last.is_none() || way != Way::Exec {
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

    async fn ask_all(&self, questions: &[Question]) -> Vec<Known<Answer>> {
        match http::client() {
            Ok(client) => self.ask_with(&client, questions).await,
            Err(missing) => vec![Err(missing)],
        }
    }

    async fn ask_with(&self, client: &Client, questions: &[Question]) -> Vec<Known<Answer>> {
        join_all(
            questions
                .iter()
                .map(async |question| self.deadline.ask(&question.words(), http::ask(client, question)).await),
        )
        .await
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
        let asked = questions[0].words();
        let answers = self.deadline.ask(
            &asked,
            namespace.run(move || async move {
                let client = match http::client() {
                    Ok(client) => client,
                    Err(missing) => return vec![Err(missing)],
                };
                let each = questions
                    .iter()
                    .map(async |question| deadline.ask(&question.words(), http::ask(&client, question)).await);
                join_all(each).await
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
            let mut command = vec!["sh", "-c", SCRIPT, "sh", &method, &question.url, question.body.unwrap_or_default()];
            let headers: Vec<String> =
                question.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            command.extend(headers.iter().map(String::as_str));
            // Arguments of a command are seen by everybody on the machine, its environment is not.
            let token = question.token.as_ref().map(|token| format!("DOCTOR_TOKEN={token}"));
            let output = engine.exec(container, &command, token.as_slice()).await?;
            read_output(&output).ok_or_else(|| {
                let why = "nothing answers there, or the image has neither python3, curl nor wget";
                Missing::failed(format!("{} by docker exec {container}", question.words()), Kind::Refused, why)
            })
        }))
        .await
    }
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
if has wget && [ "$method" = GET ] && answer=$(http_proxy= wget -q -T 2 -O - "$url" 2>/dev/null); then
  printf '200\n\n%s' "$answer"
fi
"#;

fn read_output(output: &str) -> Option<Answer> {
    let (status, rest) = output.split_once('\n')?;
    let (server, body) = rest.split_once('\n')?;
    Some(Answer {
        status: status.trim().parse().ok()?,
        server: (!server.trim().is_empty()).then(|| server.trim().to_owned()),
        api_version: None,
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
