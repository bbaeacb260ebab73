//! One HTTP question at a time: no proxy, no redirect, an answer of at most [`CAP`] bytes.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{Missing, facts::Kind, probed::ProbeAnswer};
use http_body_util::BodyExt;
use reqwest::{Body, Client, Method, redirect::Policy};

/// Longer answers are not read.
pub(crate) const CAP: usize = 8 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header `Server`.
    pub(crate) server: Option<String>,
    pub(crate) api_version: Option<String>,
    /// The header `ETag`, or the trailer: Caddy sends a trailer from 2.5.2 to 2.7, and a header since 2.8.
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// For the log: `HTTP 200, 1834 bytes`.
    pub(crate) fn words(&self) -> String {
        format!("HTTP {}, {} bytes", self.status, self.body.len())
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    /// A password, which goes as `?token=` (mitmweb from 11.1.2) and as a bearer token (from 12.0.1).
    pub(crate) token: Option<String>,
    /// Longer answers are refused.
    pub(crate) cap: usize,
}

impl Question {
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self { method: Method::GET, url: url.into(), headers: Vec::new(), body: None, token: None, cap: CAP }
    }

    /// `GET http://127.0.0.1:2019/config/`
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// A client for servers on this machine or in a container: an exported `HTTP_PROXY` must not divert it, and reqwest would
/// obey one even for 127.0.0.1.
pub(crate) fn client() -> Result<Client, Missing> {
    built(Client::builder())
}

/// A client that speaks HTTP over a unix socket.
#[cfg(unix)]
pub(crate) fn unix_client(path: &str) -> Result<Client, Missing> {
    built(Client::builder().unix_socket(path))
}

fn built(builder: reqwest::ClientBuilder) -> Result<Client, Missing> {
    builder
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|error| Missing::failed("making an HTTP client", Kind::Unsupported, chain(&error)))
}

/// Asks, and reads the answer up to the cap. The caller sets the deadline.
///
/// # Errors
/// When no answer came, or one that is longer than the cap; an HTTP status is no error.
pub(crate) async fn ask(client: &Client, question: &Question) -> Result<Answer, Missing> {
    let mut request = match &question.token {
        Some(token) => client
            .request(question.method.clone(), format!("{}?token={}", question.url, percent_encoded(token)))
            .header("Authorization", format!("Bearer {token}")),
        None => client.request(question.method.clone(), &question.url),
    };
    for (name, value) in &question.headers {
        request = request.header(*name, value);
    }
    if let Some(body) = &question.body {
        request = request.body(body.clone());
    }
    let failed = |error: reqwest::Error| Missing::failed(question.words(), kind(&error), chain(&error.without_url()));
    let response = request.send().await.map_err(failed)?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        server: header("server"),
        api_version: header("api-version"),
        etag: header("etag"),
        body: Vec::new(),
    };
    let mut body = Body::from(response);
    while let Some(frame) = body.frame().await.transpose().map_err(failed)? {
        let chunk = match frame.into_data() {
            Ok(chunk) => chunk,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let trailer = trailers.get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
                answer.etag = answer.etag.or(trailer);
                continue;
            }
        };
        if answer.body.len() + chunk.len() > question.cap {
            let why = format!("the answer is longer than {} bytes, which the doctor does not read", question.cap);
            return Err(Missing::failed(question.words(), Kind::Garbage, why));
        }
        answer.body.extend_from_slice(&chunk);
    }
    // What it has grown to is up to twice as much, and lies there while it is made sense of.
    answer.body.shrink_to_fit();
    Ok(answer)
}

/// Asks, and tells of the answer only what shows who gave it, and how long it took until it began.
///
/// # Errors
/// When no answer came.
pub(crate) async fn probe(client: &Client, question: &Question) -> Result<(ProbeAnswer, Duration), Missing> {
    let start = Instant::now();
    let mut request = client.request(question.method.clone(), &question.url);
    for (name, value) in &question.headers {
        request = request.header(*name, value);
    }
    let failed = |error: reqwest::Error| Missing::failed(question.words(), kind(&error), chain(&error.without_url()));
    let mut response = request.send().await.map_err(failed)?;
    let began = start.elapsed();
    let headers = |name: &str| -> Vec<String> {
        let all = response.headers().get_all(name).iter();
        all.filter_map(|value| value.to_str().ok()).map(super::redact::line).collect()
    };
    let mut answer = ProbeAnswer {
        status: response.status().as_u16(),
        servers: headers("server"),
        via: headers("via"),
        location: headers("location").pop(),
        length: 0,
        said: None,
    };
    let mut body = Vec::new();
    while body.len() < question.cap
        && let Some(chunk) = response.chunk().await.map_err(failed)?
    {
        body.extend_from_slice(&chunk);
    }
    answer.length = body.len() as u64;
    // Of an error page that mitmproxy or Caddy wrote itself, the one paragraph; what a backend says is nobody's business.
    if answer.status >= 400 && answer.servers.iter().all(|own| own == "Caddy" || own.starts_with("mitmproxy ")) {
        let text = String::from_utf8_lossy(&body);
        let said = text.split_once("<p>").map_or(&*text, |(_, rest)| rest.split("</p>").next().unwrap_or(rest));
        answer.said = said.lines().next().map(super::redact::line).filter(|said| !said.is_empty());
    }
    Ok((answer, began))
}

/// A request as it is written to a socket, for those who have nothing better: in HTTP/1.0, so that the answer comes in one
/// piece and the connection ends with it.
///
/// # Errors
/// When a header holds a line break, which would begin another one.
pub(crate) fn written(question: &Question) -> Result<String, Missing> {
    let rest = question.url.split_once("://").map_or(&*question.url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let query = question.token.as_ref().map(|token| format!("?token={}", percent_encoded(token))).unwrap_or_default();
    let mut text = format!("{} /{path}{query} HTTP/1.0\r\nHost: {host}\r\n", question.method);
    let bearer = question.token.as_ref().map(|token| ("Authorization", format!("Bearer {token}")));
    let length = question.body.as_ref().map(|body| ("Content-Length", body.len().to_string()));
    for (name, value) in question.headers.iter().cloned().chain(bearer).chain(length) {
        if value.contains(char::is_control) {
            let why = format!("its header {name} would hold a control character");
            return Err(Missing::failed(question.words(), Kind::Unsupported, why));
        }
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(question.body.as_deref().unwrap_or_default());
    Ok(text)
}

/// Reads what came back for [`written`]. `None` when it is no answer, or one in pieces, which HTTP/1.0 does not have.
pub(crate) fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| {
        let found = headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    };
    if header("transfer-encoding").is_some() {
        return None;
    }
    let body = body.as_bytes().to_vec();
    Some(Answer { status, server: header("server"), api_version: None, etag: header("etag"), body })
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn kind(error: &reqwest::Error) -> Kind {
    if error.is_timeout() {
        return Kind::TimedOut;
    }
    match io_error(error).map(io::Error::kind) {
        Some(kind) => of_io(kind),
        None if error.is_connect() => Kind::Refused,
        None => Kind::Garbage,
    }
}

/// In which way an operation of the system failed.
pub(crate) fn of_io(kind: io::ErrorKind) -> Kind {
    match kind {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::TimedOut => Kind::TimedOut,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Kind::Garbage,
        _ => Kind::Refused,
    }
}

/// The system's own error below others.
pub(crate) fn io_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The last and most exact part of an error: `Connection refused (os error 111)`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_answer_is_that_of_its_beginning() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let question = Question { cap: 100, ..Question::get(format!("http://{}/", listener.local_addr().unwrap())) };
        let pause = Duration::from_millis(700);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfo").unwrap();
            std::thread::sleep(pause);
            stream.write_all(b"ur").unwrap();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = Instant::now();
        let (answer, began) = runtime.block_on(async { probe(&client().unwrap(), &question).await }).unwrap();
        server.join().unwrap();
        assert_eq!((answer.status, answer.length), (200, 4));
        assert!(began + pause / 2 < whole.elapsed(), "{began:?}");
    }

    #[test]
    fn a_password_is_encoded_and_not_in_the_words() {
        assert_eq!(percent_encoded("a&b ü"), "a%26b%20%C3%BC");
        let question = Question { token: Some("CANARY".into()), ..Question::get("http://127.0.0.1:8081/options") };
        assert_eq!(question.words(), "GET http://127.0.0.1:8081/options");
    }

    #[test]
    fn a_request_for_a_bare_socket_is_written_and_its_answer_read() {
        let question = Question {
            method: Method::PUT,
            headers: vec![("If-Match", "\"/config/ 1f\"".into())],
            body: Some("\"ü\"".into()),
            token: Some("a&b".into()),
            ..Question::get("http://127.0.0.1:2019/config/x")
        };
        let text = "PUT /config/x?token=a%26b HTTP/1.0\r\nHost: 127.0.0.1:2019\r\nIf-Match: \"/config/ 1f\"\r\n\
                    Authorization: Bearer a&b\r\nContent-Length: 4\r\n\r\n\"ü\"";
        assert_eq!(written(&question).unwrap(), text);
        let two_lines = Question { token: Some("a\r\nX: b".into()), ..Question::get("http://h/") };
        assert!(written(&two_lines).is_err());

        let answer = read("HTTP/1.0 200 OK\r\nEtag: \"/config/x 1f\"\r\nServer: mitmproxy 10.4.2\r\n\r\n{}\n").unwrap();
        assert_eq!((answer.status, answer.etag.as_deref()), (200, Some("\"/config/x 1f\"")));
        assert_eq!((answer.server.as_deref(), answer.body.as_slice()), (Some("mitmproxy 10.4.2"), &b"{}\n"[..]));
        assert!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").is_none());
        assert!(read("").is_none() && read("SSH-2.0\r\n\r\n").is_none());
    }
}
