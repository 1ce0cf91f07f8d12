//! `firstboot COMMAND --help`: what a command is for and how it is used. `--json` always prints one document on stdout.

/// Each command's text.
const TEXTS: [(&str, &str); 13] = [
    (
        "run",
        "Runs every step that does not hold yet, and looks at all the others. The systemd unit does this; run by hand it does \
         the same. Exit code 4 where it needs you: the volume is locked, or a \
         file was edited by hand.

example:
  firstboot run",
    ),
    (
        "escrow",
        "Prints what was sealed last, as the operator's side files it: the bundle (age), its manifest (JSON, no secret in it), \
         and the manifest's signature by this server's host key. Reads only.

examples:
  firstboot escrow manifest | jq .contents
  firstboot escrow bundle > bundle.age && age -d -i identity.txt bundle.age | tar -t",
    ),
    (
        "keys",
        "The volume's keyslots. `list` prints those in use, from the header alone: it works on a locked server. `rotate` and \
         `revoke` begin a change, which goes on only while somebody takes the escrow of it: `cargo xtask keys rotate --project NAME --slot unlock` does.

examples:
  firstboot keys list | jq -r '.slots[].number'
  firstboot keys revoke 6",
    ),
    (
        "stacks",
        "The stacks. `diff` shows how their files would change by the node spec on stdin. `logs`, `restart` and `run` are for one stack \
         that is enabled; `run` passes its arguments to the command that the stack's manifest names, inside its container. `list` prints each that lies on the volume or is wanted, with its containers, its data and the names of its \
         secrets. A stack that the node spec no longer names is stopped; what it left is kept, and stays in the escrow, until \
         `remove` begins to remove it, which goes on only while somebody takes the escrow: `cargo xtask stacks remove NAME --data --project NAME` does.

examples:
  firstboot stacks logs postgres --tail=50
  firstboot stacks list | jq -r '.[] | select(.enabled | not) | .name'
  firstboot stacks remove postgres",
    ),
    (
        "vpn",
        "The private network's devices. `list` prints each with whether it has a key. `renew` makes a device's key worthless \
         and asks for another, which goes on only while somebody takes the escrow of it: `cargo xtask vpn renew --project NAME DEVICE` does. \
         `certificate` prints what the control server answers with, for a device to trust.

examples:
  firstboot vpn list
  firstboot vpn certificate > control.pem",
    ),
    (
        "status",
        "How far this server is: absent, running, waiting at a gate, failed, stopped, locked or done, with the steps at \
         hand, the gates that wait, and the time each step took. Reads only.

examples:
  firstboot status
  firstboot status --json | jq -r .state
  firstboot status --json | jq '.gates, .steps'",
    ),
    (
        "events",
        "What happened on this server, over all boots; the events are numbered from 1. Without a flag, and with --follow, \
         one JSON document a line; with --json one document, an array. --follow goes on until first boot ends. Reads only.

examples:
  firstboot events --from 40
  firstboot events --follow
  firstboot events --json | jq '.[] | select(.event == \"step-finished\") | {step, millis}'",
    ),
    (
        "refresh",
        "Restarts the services whose program, or a library of which, an upgrade replaced; containers go on meanwhile, and the \
         stacks are looked at afterwards. Waits for a run of firstboot that is at work. What takes more, such as a reboot, is \
         printed. Exit code 1 when a service does not start or a stack is not healthy again.

example:
  firstboot refresh",
    ),
    (
        "verify",
        "Looks at everything and changes nothing: the volume, sshd, the firewall, the engine, each stack, what was edited by \
         hand, and the audit, unless --quick leaves that out. Exit code 0 when all passed or is excepted, 1 when not.

examples:
  firstboot verify
  firstboot verify --quick
  firstboot verify --json | jq -r '.[] | select(.result == \"fail\") | .what'",
    ),
    (
        "drift",
        "What was edited by hand of the files firstboot wrote, as unified diffs; a secret's content is never shown. firstboot \
         overwrites no edit: the step that wants the file otherwise stops with exit code 4, until you decide. `accept` keeps \
         the edit until firstboot wants something else there than now. `restore` copies the edit beside the file, then runs \
         every step that does not hold, which puts firstboot's version back and in force. Exit code 4 while an edit is not \
         accepted.

examples:
  firstboot drift
  firstboot drift --json | jq -r '.[].path'
  firstboot drift accept /etc/docker/daemon.json
  firstboot drift restore /etc/docker/daemon.json",
    ),
    (
        "acknowledge",
        "Says that the operator's side has done what a gate waits for; `cargo xtask provision --project NAME` does it. The value is the \
         gate's, word for word.

examples:
  firstboot status --json | jq '.gates'
  firstboot acknowledge firewall 0123456789abcdef",
    ),
    (
        "unlock",
        "Opens the volume with the key on stdin, a whole line, and brings up what was done before. `cargo xtask unlock --project NAME --identity FILE` brings the key \
         from the escrow over the pinned connection.

example:
  firstboot unlock < key",
    ),
    (
        "install",
        "Takes a node spec from stdin, checks it, files it, and starts first boot or lets it go on. Says the number of the \
         first event to follow, or `done`.

example:
  firstboot install < node.json",
    ),
];

/// The text of a command, if it has one of its own.
pub(crate) fn of(command: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(name, _)| *name == command).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_an_example_of_its_command() {
        for (name, text) in TEXTS {
            assert!(
                text.contains("example") && text.contains(&format!("\n  firstboot {name}"))
                    || name == "acknowledge",
                "{name}"
            );
        }
        assert_eq!(of("nonsense"), None);
    }
}
