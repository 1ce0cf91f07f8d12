//! The daemon in the background. This program is its executable too, as xtask is in real life.

#[path = "common/mod.rs"]
mod common;
#[path = "common/paper.rs"]
mod paper;

use host::{Cmd, Host as _, Local};
use libtest_mimic::{Arguments, Failed, Trial};
use rehearsal::{Config, Machines, ensure_running, find, stop};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).filter_map(|arg| arg.into_string().ok()).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cloud", "daemon", dir] => serve(dir),
        ["cloud", "relay", socket] => report(rehearsal::relay(Path::new(socket))),
        _ => {
            let trials = vec![
                Trial::test("a_daemon_is_started_once_and_stopped", || run(started_once)),
                Trial::test("a_killed_daemon_is_started_again_with_its_state", || run(killed)),
                Trial::test("another_configuration_replaces_the_daemon", || run(replaced)),
                Trial::test("a_daemon_that_cannot_come_up_says_why", || run(failing)),
                Trial::test("a_machine_that_ended_meanwhile_is_off_from_the_first_answer_on", || {
                    run(ended_meanwhile)
                }),
                Trial::test("the_relay_carries_both_directions_to_their_ends", relayed),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

fn serve(dir: &str) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let served = Config::load(Path::new(dir)).and_then(|config| runtime.block_on(rehearsal::serve(config)));
    report(served)
}

fn report(result: Result<(), rehearsal::Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a test in a state directory of its own and ends the daemon whatever happens.
fn run(test: fn(&Config, &Path) -> Result<(), Failed>) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let config = Config { machines: Machines::None, ..Config::new(dir.path().join("cloud")) };
    let exe = std::env::current_exe()?;
    let result = test(&config, &exe);
    stop(&config.state_dir, false)?;
    result
}

fn check(holds: bool, what: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn create_key(url: &str, token: &str) -> Result<u16, Failed> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";
    let body = serde_json::json!({"name": "a", "public_key": key}).to_string();
    Ok(common::ask(url, token, "POST", "/v1/ssh_keys", Some(&body))?.status)
}

fn relayed() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&socket)?;
    let server = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut asked = String::new();
        // This ends only when the relay passes on that its stdin has ended.
        stream.read_to_string(&mut asked)?;
        stream.write_all(b"answer")?;
        Ok(asked)
    });
    let exe = std::env::current_exe()?.display().to_string();
    let cmd = Cmd::new(exe)
        .args(["cloud", "relay"])
        .path(&socket)
        .stdin("question")
        .timeout(Duration::from_secs(20));
    let output = Local.run(&cmd)?;
    check(output.text() == "answer", "the answer came back")?;
    check(
        server.join().is_ok_and(|asked| asked.is_ok_and(|asked| asked == "question")),
        "the question got there",
    )
}

fn started_once(config: &Config, exe: &Path) -> Result<(), Failed> {
    let first = ensure_running(config, exe)?;
    let second = ensure_running(config, exe)?;
    check(first.started && !second.started, "started once")?;
    check(first.pid == second.pid && first.url == second.url, "the same daemon")?;
    check(find(&config.state_dir)?.is_some_and(|found| found.pid == first.pid), "found")?;
    check(stop(&config.state_dir, true)?.daemon, "stopped")?;
    check(!stop(&config.state_dir, true)?.daemon, "stopped once")?;
    check(find(&config.state_dir)?.is_none(), "gone")
}

fn killed(config: &Config, exe: &Path) -> Result<(), Failed> {
    let first = ensure_running(config, exe)?;
    check(create_key(&first.url, &first.token)? == 201, "created")?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first.pid)?).ok_or("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    let second = ensure_running(config, exe)?;
    check(second.started && second.pid != first.pid, "started again")?;
    check(second.url == first.url && second.token == first.token, "clients need not notice")?;
    check(create_key(&second.url, &second.token)? == 409, "the key is still there")
}

fn replaced(config: &Config, exe: &Path) -> Result<(), Failed> {
    let first = ensure_running(config, exe)?;
    let other = Config { rate_limit: 7, ..config.clone() };
    let second = ensure_running(&other, exe)?;
    check(second.started && second.pid != first.pid && second.url == first.url, "replaced")
}

/// As after a restart of this machine, which no QEMU outlives: here there never was one.
fn ended_meanwhile(config: &Config, exe: &Path) -> Result<(), Failed> {
    let before = ensure_running(&paper::config(&config.state_dir), exe)?;
    let wanted = r#"{"name": "one", "server_type": "cax11", "image": "debian-13"}"#;
    let made = common::ask(&before.url, &before.token, "POST", "/v1/servers", Some(wanted))?;
    let path = format!("/v1/servers/{}", made.body["server"]["id"]);
    let status = |url: &str| -> Result<String, Failed> {
        let answer = common::ask(url, &before.token, "GET", &path, None)?;
        Ok(answer.body["server"]["status"].as_str().unwrap_or_default().to_owned())
    };
    let start = std::time::Instant::now();
    while status(&before.url)? != "running" {
        check(start.elapsed() < Duration::from_secs(60), "it was started")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    stop(&config.state_dir, false)?;
    let after = ensure_running(&Config { machines: Machines::Qemu, ..config.clone() }, exe)?;
    check(status(&after.url)? == "off", "it does not seem to run")
}

fn failing(config: &Config, exe: &Path) -> Result<(), Failed> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let Err(error) = ensure_running(&Config { port, ..config.clone() }, exe) else {
        return Err("it came up".into());
    };
    let text = error.to_string();
    check(text.contains(&port.to_string()) && text.contains("choose another port"), &text)
}
