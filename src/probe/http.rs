//! One HTTP question at a time: no proxy, no redirect, an answer of at most [`CAP`] bytes.

use std::{error::Error, io, time::Duration};

use caddy_doctor_checks::model::{Missing, facts::Kind};
use reqwest::{Client, Method, redirect::Policy};

/// Longer answers are not read.
pub(crate) const CAP: usize = 8 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header `Server`.
    pub(crate) server: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<&'static str>,
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
    if let Some(body) = question.body {
        request = request.body(body);
    }
    let failed = |error: reqwest::Error| Missing::failed(question.words(), kind(&error), chain(&error.without_url()));
    let mut response = request.send().await.map_err(failed)?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        server: header("server"),
        api_version: header("api-version"),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if answer.body.len() + chunk.len() > question.cap {
            let why = format!("the answer is longer than {} bytes, which the doctor does not read", question.cap);
            return Err(Missing::failed(question.words(), Kind::Garbage, why));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
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
    fn a_password_is_encoded_and_not_in_the_words() {
        assert_eq!(percent_encoded("a&b ü"), "a%26b%20%C3%BC");
        let question = Question { token: Some("CANARY".into()), ..Question::get("http://127.0.0.1:8081/options") };
        assert_eq!(question.words(), "GET http://127.0.0.1:8081/options");
    }
}
