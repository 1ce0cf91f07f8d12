//! Asking the front door something, as somebody, with curl: it sends what it is told to, however odd.

use super::scene::Scene;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use std::time::Duration;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Somebody on the internet.
    World,
    /// Somebody else there.
    Other,
    World6,
    /// Another address of the same household.
    Neighbour6,
    /// A device of the private network.
    Vpn,
    Vpn6,
    /// A container beside the front door.
    Container,
}

impl From {
    pub(super) const ALL: [Self; 7] =
        [Self::World, Self::Other, Self::World6, Self::Neighbour6, Self::Vpn, Self::Vpn6, Self::Container];

    pub(super) fn address(self) -> &'static str {
        match self {
            Self::World => "203.0.113.9",
            Self::Other => "203.0.113.10",
            Self::World6 => "2001:db8:9::9",
            Self::Neighbour6 => "2001:db8:9::a",
            Self::Vpn => "100.64.0.7",
            Self::Vpn6 => "fd7a:115c:a1e0::7",
            Self::Container => "10.128.0.99",
        }
    }

    /// The address of the server that they ask.
    pub(super) fn server(self) -> &'static str {
        if self.address().contains(':') { "2001:db8:1::1" } else { "198.51.100.1" }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    url: String,
    host: String,
    from: From,
    args: Vec<String>,
    upload: Option<u64>,
}

impl Ask {
    /// Over TLS.
    pub(super) fn of(host: &str, path: &str) -> Self {
        let url = format!("https://{host}{path}");
        Self { url, host: host.into(), from: From::World, args: Vec::new(), upload: None }
    }

    pub(super) fn url(url: &str) -> Self {
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        Self { url: url.into(), ..Self::of(host, "") }
    }

    pub(super) fn plainly(mut self) -> Self {
        self.url = self.url.replacen("https://", "http://", 1);
        self
    }

    pub(super) fn from(self, from: From) -> Self {
        Self { from, ..self }
    }

    pub(super) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn header(self, header: &str) -> Self {
        self.arg("-H").arg(header)
    }

    /// With the cookies of a file, which it is given more to.
    pub(super) fn with(self, cookies: &str) -> Self {
        self.arg("-b").arg(cookies).arg("-c").arg(cookies)
    }

    /// Whatever the certificate.
    pub(super) fn blindly(self) -> Self {
        self.arg("-k")
    }

    /// So many bytes.
    pub(super) fn upload(self, size: u64) -> Self {
        Self { upload: Some(size), ..self }
    }
}

/// What came of it; the status is 0 where there was no answer at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self { status, headers: headers.collect(), body: body.into() }
    }

    /// A header, by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Whether what stands behind the door was asked so; it says all it was asked, line by line.
    pub(super) fn upstream_saw(&self, part: &str) -> bool {
        self.body.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
    }
}

impl Scene {
    /// Asks.
    pub(super) fn ask(&self, ask: &Ask) -> Result<Answer> {
        let mut cmd =
            curl(ask.from, &ask.host).args(["-i", "--max-time", "60", "--cacert"]).path(self.trusted());
        if let Some(size) = ask.upload {
            let file = self.path("upload");
            std::fs::File::create(&file)?.set_len(size)?;
            cmd = cmd.args(["-H", "Expect:", "-T"]).path(file);
        }
        let output =
            Local.probe(&cmd.args(ask.args.clone()).arg(&ask.url).timeout(Duration::from_secs(90)))?;
        Ok(Answer::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Asks for each of `[1-N]`, as fast as one connection can.
    pub(super) fn many(&self, host: &str, path: &str, from: From) -> Result<Vec<u16>> {
        let cmd = curl(from, host)
            .args(["-w", "%{http_code}\n", "-o", "/dev/null", "--cacert"])
            .path(self.trusted());
        let cmd = cmd.args(["--no-globoff"]).arg(format!("https://{host}{path}"));
        let output = Local.run(&cmd.timeout(Duration::from_secs(120)))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| line.parse().context("a status")).collect()
    }
}

fn curl(from: From, host: &str) -> Cmd {
    let server = from.server();
    let server = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
    let cmd =
        Cmd::new("curl").args(["-s", "--path-as-is", "-g", "--noproxy", "*", "--interface", from.address()]);
    [80, 443].into_iter().fold(cmd, |cmd, port| cmd.arg("--resolve").arg(format!("{host}:{port}:{server}")))
}
