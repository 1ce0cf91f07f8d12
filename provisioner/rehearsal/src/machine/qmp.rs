use super::Failure;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU has for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A conversation with a running QEMU over its monitor socket.
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    pub(crate) fn connect(socket: &Path) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(
                "action_failed",
                format!("speaking to QEMU at {}: {e}; if the machine hangs, power it off", socket.display()),
            )
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.next_message()?;
        qmp.run("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and gives back what it returns; events in between are skipped.
    pub(crate) fn run(&mut self, command: &str, arguments: &Value) -> Result<Value, Failure> {
        let request = json!({"execute": command, "arguments": arguments});
        self.stream
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .map_err(|e| Failure::new("action_failed", format!("asking QEMU for {command}: {e}")))?;
        loop {
            let mut message = self.next_message()?;
            if let Some(error) = message.get("error") {
                let why = error["desc"].as_str().unwrap_or("no reason given");
                return Err(Failure::new("action_failed", format!("QEMU refused {command}: {why}")));
            }
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Runs a line of the human monitor. What it says is a complaint.
    pub(crate) fn human(&mut self, line: &str) -> Result<String, Failure> {
        let said = self.run("human-monitor-command", &json!({"command-line": line}))?;
        Ok(said.as_str().unwrap_or_default().trim().to_owned())
    }

    /// Waits for an event about a device.
    pub(crate) fn wait_for(&mut self, event: &str, device: &str) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let message = self.next_message()?;
            if message["event"] == event && message["data"]["device"] == device {
                return Ok(());
            }
        }
        Err(Failure::new("action_failed", format!("waiting for QEMU's {event} of {device}: it did not come")))
    }

    fn next_message(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let failed = |why: String| Failure::new("action_failed", format!("listening to QEMU: {why}"));
        if read.map_err(|e| failed(e.to_string()))? == 0 {
            return Err(failed("it hung up; the machine has ended".into()));
        }
        serde_json::from_str(&line).map_err(|e| failed(e.to_string()))
    }
}
