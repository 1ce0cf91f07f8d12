//! A small HTTP client, so that a test sees exactly what goes over the wire.

use serde_json::Value;
use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Reply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Asks `http://127.0.0.1:PORT`; a connection that breaks off is an error.
pub(crate) fn ask(
    base: &str,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Result<Reply, Error> {
    parse(send(base, token, method, path, body)?)
}

/// Asks and does not wait for the answer.
pub(crate) fn send(
    base: &str,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Result<TcpStream, Error> {
    let authority = base.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = body.unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(stream)
}

/// Reads an answer to the end.
pub(crate) fn parse(mut stream: impl Read) -> Result<Reply, Error> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let broken = || Error::other("the connection broke off");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let mut reply = Reply { status, head: head.into(), body: Value::Null };
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if body.len() < length {
        return Err(broken());
    }
    reply.body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    Ok(reply)
}
