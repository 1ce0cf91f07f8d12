//! What may be asked of the container engine through the one stack that has its socket.

use super::Programs;
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use spec::StackSpec;
use stacks::{Plan, Wish};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.1:2375";

/// What is asked, and whether the engine hears of it.
const ROWS: &[(&str, &str, bool)] = &[
    ("GET", "/_ping", true),
    ("HEAD", "/_ping", true),
    ("GET", "/version", true),
    ("GET", "/v1.44/version", true),
    ("GET", "/v1.44/events?since=1", true),
    ("GET", "/containers/json", true),
    ("GET", "/v1.44/containers/json?all=1", true),
    ("GET", "/v1.44/containers/site-web_1.x/json", true),
    ("POST", "/v1.44/containers/json", false),
    ("POST", "/v1.44/containers/create", false),
    ("POST", "/containers/abc/exec", false),
    ("PUT", "/containers/abc/archive?path=/", false),
    ("DELETE", "/containers/abc", false),
    ("PATCH", "/containers/json", false),
    ("GET", "/containers/abc/archive?path=/etc/shadow", false),
    ("GET", "/containers/abc/export", false),
    ("GET", "/containers/abc/logs?stdout=1", false),
    ("GET", "/containers/abc/top", false),
    ("GET", "/containers/abc/attach/ws?stream=1", false),
    ("GET", "/exec/abc/json", false),
    ("GET", "/images/json", false),
    ("GET", "/images/abc/get", false),
    ("GET", "/info", false),
    ("GET", "/secrets", false),
    ("GET", "/volumes", false),
    ("GET", "/networks", false),
    ("GET", "//containers/json", false),
    ("GET", "/containers/json/", false),
    ("GET", "/containers/json;x", false),
    ("GET", "/CONTAINERS/json", false),
    ("GET", "/containers/abc/json/../archive", false),
    ("GET", "/containers/../images/json", false),
    ("GET", "/containers/%2e%2e/json", false),
    ("GET", "/containers/abc%2Farchive/json", false),
    ("GET", "/v1.44/../images/json", false),
    ("GET", "http://engine/images/json", false),
];

/// Each row, with the stack's own configuration.
pub(super) fn each_row(programs: &Programs) -> Result<()> {
    Local.run(&Cmd::new("ip").args(["link", "set", "lo", "up"]))?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    stand_in(&UnixListener::bind(&socket)?.try_clone()?);
    let config = configuration()?.replace("/run/docker.sock", &socket.display().to_string());
    fs::write(folder.path().join("haproxy.cfg"), config)?;
    let cmd = Cmd::new(&programs.haproxy).args(["-db", "-f"]).path(folder.path().join("haproxy.cfg"));
    let mut haproxy = cmd.to_std()?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let wrong = wait().map(|()| {
        ROWS.iter().filter_map(|row| judge(row).err()).map(|why| format!("{why:#}")).collect::<Vec<_>>()
    });
    haproxy.kill()?;
    haproxy.wait()?;
    let wrong = wrong?;
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    Ok(())
}

fn configuration() -> Result<String> {
    let stacks = [StackSpec { name: "socket-proxy".into(), ..StackSpec::default() }];
    let plan = Plan::resolve(Wish { project: "door", domain: None, vpn: None, stacks: &stacks })?;
    let files = plan.config(plan.stack("socket-proxy").context("it is planned")?)?;
    let (_, text) = files.into_iter().next().context("it has a configuration")?;
    Ok(text.shown())
}

/// An engine that says what it was asked.
fn stand_in(listener: &UnixListener) {
    let Ok(listener) = listener.try_clone() else { return };
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let asked = BufReader::new(&stream).read_line(&mut line);
            let body = if line.starts_with("HEAD") { "" } else { line.trim_end() };
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = asked.and_then(|_| stream.write_all(head.as_bytes()));
        }
    });
}

fn wait() -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(ADDRESS).is_err() {
        ensure!(start.elapsed() < Duration::from_secs(20), "HAProxy does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn judge(row: &(&str, &str, bool)) -> Result<()> {
    let (method, path, passes) = row;
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().context("no answer")??;
    let expected = if *passes { " 200 " } else { " 403 " };
    ensure!(status.contains(expected), "{method} {path}: {status}");
    Ok(())
}
