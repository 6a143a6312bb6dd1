//! Calls to the component over HTTP, as holders of tokens make them. Judges no answer.

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::unmet::{Outcome, Unmet};

/// One of the two endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Takes pseudonymisation and secondary tokens.
    Forward,
    /// Takes reverse tokens.
    Backward,
}

impl End {
    /// Its path.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Forward => "/api/request-psn",
            Self::Backward => "/api/request-psn-rev",
        }
    }
}

/// A component that listens.
#[derive(Debug)]
pub(crate) struct Component {
    address: String,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Told {
    /// The status.
    pub(crate) status: u16,
    /// `WWW-Authenticate`, or nothing.
    pub(crate) challenge: String,
    body: String,
}

/// No answer of it takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Component {
    /// At `host:port`.
    pub(crate) fn at(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Sends values, with a token or without credentials.
    pub(crate) async fn ask(&self, end: End, token: Option<&str>, values: &[String]) -> Outcome<Told> {
        let body = json!({ "data": values }).to_string();
        let credentials =
            token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{credentials}\
             Content-Length: {}\r\n\r\n{body}",
            end.path(),
            self.address,
            body.len(),
        );
        let answer = timeout(PATIENCE, self.send(&request)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        let answer = answer.map_err(Unmet::Component)?;
        Told::read(&answer).ok_or_else(|| Unmet::answer("component", "an answer of HTTP", &answer.len()))
    }

    async fn send(&self, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Told {
    fn read(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let (first, headers) = head.split_once("\r\n")?;
        let status = first.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        let value = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("www-authenticate").then(|| value.trim().to_owned())
        };
        let challenge = headers.lines().find_map(value).unwrap_or_default();
        Some(Self { status, challenge, body: body.to_owned() })
    }

    /// The values, if it is an answer with values.
    pub(crate) fn values(&self) -> Option<Vec<String>> {
        let body: Value = serde_json::from_str(&self.body).ok().filter(|_| self.status == 200)?;
        let value = |value: &Value| value.as_str().map(str::to_owned);
        body.get("data")?.as_array()?.iter().map(value).collect()
    }
}
