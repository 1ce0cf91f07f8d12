//! What stands behind the door. It says in plain lines what it was asked, so that a row can tell what passed; where it
//! stands in for who provides sign-in, it gives out tokens like Keycloak's.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use host::{Cmd, Host as _, Local};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Listens at an address, for as long as this program runs.
pub(super) fn listen(address: IpAddr, port: u16, key: Option<PathBuf>) -> Result<()> {
    let listener =
        TcpListener::bind((address, port)).with_context(|| format!("listening on {address}:{port}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let key = key.clone();
            thread::spawn(move || while serve(&stream, key.as_deref()).is_ok_and(|more| more) {});
        }
    });
    Ok(())
}

struct Request {
    line: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Answers one request; whether there may be another on the connection.
fn serve(stream: &TcpStream, key: Option<&Path>) -> Result<bool> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(false);
    }
    let mut request = Request { line: line.trim_end().into(), headers: Vec::new() };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        request.headers.push((name.into(), value.trim().into()));
    }
    if let Some(protocol) = request.header("Upgrade") {
        let mut writer = stream;
        write!(
            writer,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        )?;
        let mut said = [0; 4];
        reader.read_exact(&mut said)?;
        write!(writer, "you said: {}", String::from_utf8_lossy(&said))?;
        stream.shutdown(std::net::Shutdown::Both)?;
        return Ok(false);
    }
    let (size, body) = body(&mut reader, &request)?;
    let provider = key.filter(|_| request.target().contains("/protocol/openid-connect/"));
    match provider {
        Some(key) => provide(stream, &request, &body, key)?,
        None => tell(stream, &request, size)?,
    }
    Ok(true)
}

/// How long the body was, and the beginning of it.
fn body(reader: &mut BufReader<&TcpStream>, request: &Request) -> Result<(u64, String)> {
    let length = request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0_u64);
    let mut start = Vec::new();
    reader.by_ref().take(length.min(1 << 16)).read_to_end(&mut start)?;
    let rest = std::io::copy(&mut reader.by_ref().take(length - start.len() as u64), &mut std::io::sink())?;
    Ok((start.len() as u64 + rest, String::from_utf8_lossy(&start).into_owned()))
}

fn tell(stream: &TcpStream, request: &Request, size: u64) -> Result<()> {
    let mut text = format!("{}\n", request.line);
    request.headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\n"));
    text += &format!("body: {size}\n");
    // A service's own 401 is the service's.
    let status = if request.target().ends_with("/its-own-401") { "401 Unauthorized" } else { "200 OK" };
    answer(stream, status, "Server: chatty/1.0\r\nX-Powered-By: chatty\r\n", &text)
}

fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &str) -> Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    Ok(stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?)
}

/// What Keycloak answers, as far as a log-in needs it: the code carries the role and the nonce.
fn provide(stream: &TcpStream, request: &Request, body: &str, key: &Path) -> Result<()> {
    let query = request.target().split_once('?').map_or("", |(_, query)| query);
    let json = |value: serde_json::Value| {
        answer(stream, "200 OK", "Content-Type: application/json\r\n", &value.to_string())
    };
    match request.target().rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default() {
        "auth" => {
            let role = request.header("X-Test-Role").unwrap_or("nothing");
            let (to, nonce, state) =
                (field(query, "redirect_uri"), field(query, "nonce"), field(query, "state"));
            let to = to.replace("%3A", ":").replace("%2F", "/");
            answer(stream, "302 Found", &format!("Location: {to}?code={role}~{nonce}&state={state}\r\n"), "")
        }
        "token" => {
            let code = field(body, "code").replace("%7E", "~");
            let (role, nonce) = code.split_once('~').context("the code is not one of ours")?;
            let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
            let issuer = "https://auth.example.org/realms/main";
            let claims = json!({
                "iss": issuer, "aud": "oauth2-proxy", "sub": "1", "exp": now + 300, "iat": now, "nonce": nonce,
                "email": "somebody@example.org", "email_verified": true, "preferred_username": "somebody",
                "realm_access": { "roles": [role] },
            });
            let token = signed(&claims, key)?;
            json(
                json!({ "access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": 300 }),
            )
        }
        "certs" => json(
            json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": modulus(key)?, "e": "AQAB" }] }),
        ),
        _ => json(json!({ "sub": "1", "email": "somebody@example.org", "preferred_username": "somebody" })),
    }
}

fn field(query: &str, name: &str) -> String {
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    fields.filter(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}

fn signed(claims: &serde_json::Value, key: &Path) -> Result<String> {
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    let cmd = Cmd::new("openssl").args(["dgst", "-sha256", "-sign"]).path(key).stdin(text.as_bytes());
    Ok(format!("{text}.{}", BASE64.encode(Local.run(&cmd)?.stdout)))
}

fn modulus(key: &Path) -> Result<String> {
    let output = Local.run(&Cmd::new("openssl").args(["rsa", "-noout", "-modulus", "-in"]).path(key))?;
    let text = String::from_utf8(output.stdout)?;
    let hex = text.trim().strip_prefix("Modulus=").context("openssl says no modulus")?;
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    Ok(BASE64.encode(bytes.collect::<Result<Vec<_>, _>>()?))
}
