use crate::errors::NeedsOperator;
use anyhow::Result;
use host::{Cmd, Secret, files};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a command may take to give the token: a person may have to type a passphrase meanwhile.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// The longest token that is taken from anywhere.
const LONGEST: u64 = 4096;
/// How much a command may write after its first line.
const REST: u64 = 1 << 20;

/// Where a project says that its token is. `HCLOUD_TOKEN` comes before all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// A command whose first line of output is the token: `["pass", "show", "hetzner"]`.
    pub token_command: Option<&'a [String]>,
    /// A context of the hcloud CLI; the active one where none is named.
    pub context: Option<&'a str>,
}

/// The first token there is, and where it was. A source that was named and fails is an error: the next one may hold
/// the token of another project.
pub(super) fn find(
    sources: &Sources<'_>,
    environment: &BTreeMap<String, String>,
) -> Result<(Secret, String)> {
    let set = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    if let Some(token) = set("HCLOUD_TOKEN") {
        return Ok((Secret::new(token.into()), "HCLOUD_TOKEN".into()));
    }
    let mut looked = vec!["HCLOUD_TOKEN is not set".to_owned()];
    match sources.token_command {
        Some(line) if !line.is_empty() => {
            return Ok((from_command(line, environment, COMMAND_LIMIT)?, "token_command".into()));
        }
        _ => looked.push("the project has no token_command".into()),
    }
    match context_file(environment) {
        None => looked.push("there is no home directory with a context of the hcloud CLI".into()),
        Some(path) => {
            let wanted = sources.context.or_else(|| set("HCLOUD_CONTEXT"));
            match from_context(&path, wanted)? {
                Ok((token, name)) => return Ok((token, format!("the hcloud CLI's context {name:?}"))),
                Err(why) => looked.push(why),
            }
        }
    }
    Err(NeedsOperator(format!(
        "connecting to Hetzner: no API token was found: {}. Make a token with read and write permission in the Cloud \
         Console and export it as HCLOUD_TOKEN, or rehearse with `rehearsal = true` in project.toml's [cloud]",
        looked.join("; ")
    ))
    .into())
}

/// Runs a command in the caller's own environment, for password managers and their agents, and takes the first line it
/// writes. What it says on stderr is for the person who watches.
fn from_command(line: &[String], environment: &BTreeMap<String, String>, limit: Duration) -> Result<Secret> {
    let program = in_path(&line[0], environment);
    let mut cmd = Cmd::new(program).args(line[1..].iter().cloned());
    for (name, value) in environment {
        cmd = cmd.env(name, value);
    }
    let failed = |why: String| {
        NeedsOperator(format!(
            "getting the API token from token_command ({}): {why}; run it by hand to see what is wrong",
            line[0]
        ))
    };
    let start = Instant::now();
    let mut command = cmd.to_std().map_err(|e| failed(e.to_string()))?;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| failed(e.to_string()))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // A thread of its own, so that a program which leaves its output open cannot hold us.
        std::thread::spawn(move || {
            let (mut first, mut stdout) = (Vec::new(), BufReader::new(stdout));
            let read = stdout.by_ref().take(LONGEST).read_until(b'\n', &mut first);
            // Nobody listens any more where the command took too long.
            let _ = sender.send(read.map(|_| first));
            // The rest is read as well, as the program would otherwise end by a broken pipe.
            let _ = std::io::copy(&mut stdout.take(REST), &mut std::io::sink());
        });
    }
    let first = receiver.recv_timeout(limit);
    let ended = wait(&mut child, limit.saturating_sub(start.elapsed()));
    let first = match (first, ended) {
        (Ok(Ok(first)), Ok(Some(status))) if status.success() => first,
        (_, Ok(Some(status))) => return Err(failed(format!("it ended with {status}")).into()),
        (_, Ok(None)) => {
            return Err(failed(format!("it did not end within {} s", limit.as_secs())).into());
        }
        (_, Err(error)) => return Err(failed(error.to_string()).into()),
    };
    let token = first.trim_ascii();
    if token.is_empty() {
        return Err(failed("the first line of its output is empty".into()).into());
    }
    Ok(Secret::new(token.into()))
}

/// The program as the caller's shell would find it; `Cmd` itself looks in fixed directories only.
fn in_path(program: &str, environment: &BTreeMap<String, String>) -> PathBuf {
    let path = environment.get("PATH").map_or("", String::as_str);
    let found = std::env::split_paths(path)
        .filter(|dir| dir.is_absolute() && !program.contains('/'))
        .map(|dir| dir.join(program))
        .find(|candidate| host::find_program(candidate).is_ok());
    found.unwrap_or_else(|| program.into())
}

/// Waits for the program's end, and stops it where it takes too long.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The hcloud CLI's configuration. Keys that are not looked at pass.
#[derive(Deserialize)]
struct ContextFile {
    #[serde(default)]
    active_context: String,
    #[serde(default)]
    contexts: Vec<CliContext>,
}

#[derive(Deserialize)]
struct CliContext {
    #[serde(default)]
    name: String,
    #[serde(default)]
    token: String,
}

/// Where the hcloud CLI keeps its contexts.
fn context_file(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let named = set("HCLOUD_CONFIG").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config/hcloud/cli.toml")))
}

/// The token of a context and the context's name, or why there is none. A context that was asked for must be there.
fn from_context(path: &std::path::Path, wanted: Option<&str>) -> Result<Result<(Secret, String), String>> {
    let shown = path.display();
    let missing = |why: String| match wanted {
        Some(name) => {
            let what = format!("getting the API token from the hcloud CLI's context {name:?}: {why}");
            Err(NeedsOperator(format!("{what}; `hcloud context create {name}` makes one")).into())
        }
        None => Ok(Err(why)),
    };
    let Some(bytes) = files::read(path)? else { return missing(format!("there is no {shown}")) };
    // The parser's own message would quote the line, which may hold a token.
    let text = String::from_utf8(bytes).ok();
    let file: ContextFile = text.and_then(|text| toml::from_str(&text).ok()).ok_or_else(|| {
        NeedsOperator(format!(
            "reading {shown}: it is not a configuration of the hcloud CLI; repair it or remove it"
        ))
    })?;
    let name = wanted.unwrap_or(&file.active_context);
    if name.is_empty() {
        return missing(format!("{shown} has no active context"));
    }
    match file.contexts.iter().find(|context| context.name == name) {
        Some(context) if !context.token.trim().is_empty() => {
            Ok(Ok((Secret::new(context.token.trim().into()), name.into())))
        }
        Some(_) => missing(format!("the context {name:?} in {shown} has no token")),
        None => missing(format!("{shown} has no context {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// As the hcloud CLI writes it, with keys nobody here knows.
    const FILE: &str = r#"
active_context = "prod"
[preferences]
quiet = true
[[contexts]]
name = "test"
token = "of-test"
[[contexts]]
name = "prod"
token = "of-prod"
[contexts.preferences]
endpoint = "https://example.com"
[[contexts]]
name = "empty"
"#;

    struct Home(TempDir);

    impl Home {
        fn with(file: Option<&str>) -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            if let Some(file) = file {
                files::write(&home.0.path().join(".config/hcloud/cli.toml"), file.as_bytes(), 0o600).unwrap();
            }
            home
        }

        fn find(
            &self,
            sources: &Sources<'_>,
            more: &[(&str, &str)],
        ) -> Result<(String, String), anyhow::Error> {
            let home = self.0.path().display().to_string();
            let path = ("PATH".to_owned(), "relative:/usr/bin:/bin".to_owned());
            let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let environment = more.chain([("HOME".to_owned(), home), path]).collect();
            find(sources, &environment).map(|(t, s)| (String::from_utf8_lossy(t.expose()).into_owned(), s))
        }
    }

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn said(error: &anyhow::Error) -> String {
        assert_eq!(crate::exit_code(error), 4, "{error:#}");
        assert!(!format!("{error:#} {error:?}").contains("of-"), "a token is in {error:#}");
        format!("{error:#}")
    }

    #[test]
    fn sources_are_asked_in_order() {
        let home = Home::with(Some(FILE));
        let command = line(&["printf", "of-command\nmore"]);
        let all = Sources { token_command: Some(&command), context: None };
        let none = Sources::default();
        let named = Sources { token_command: None, context: Some("test") };
        let test = [("HCLOUD_CONTEXT", "test")];
        let prod = [("HCLOUD_CONTEXT", "prod")];
        let nothing: &[_] = &[];
        let rows = [
            (&all, [("HCLOUD_TOKEN", " of-env\n")].as_slice(), "of-env", "HCLOUD_TOKEN"),
            (&all, &[("HCLOUD_TOKEN", "")], "of-command", "token_command"),
            (
                &Sources { token_command: Some(&[]), context: None },
                &[],
                "of-prod",
                "the hcloud CLI's context \"prod\"",
            ),
            (&none, nothing, "of-prod", "the hcloud CLI's context \"prod\""),
            (&none, &test, "of-test", "the hcloud CLI's context \"test\""),
            (&named, nothing, "of-test", "the hcloud CLI's context \"test\""),
            (&named, &prod, "of-test", "the hcloud CLI's context \"test\""),
        ];
        for (sources, more, token, source) in rows {
            assert_eq!(home.find(sources, more).unwrap(), (token.to_owned(), source.to_owned()));
        }
    }

    #[test]
    fn another_file_is_read_where_it_is_named() {
        let home = Home::with(None);
        let other = home.0.path().join("other.toml");
        files::write(&other, FILE.as_bytes(), 0o600).unwrap();
        let more = [("HCLOUD_CONFIG", other.to_str().unwrap())];
        assert_eq!(home.find(&Sources::default(), &more).unwrap().0, "of-prod");
    }

    #[test]
    fn where_nothing_is_found_every_place_is_named() {
        let rows = [
            (None, "there is no /"),
            (Some(""), "has no active context"),
            (Some("active_context = \"gone\""), "has no context \"gone\""),
            (Some("active_context = \"a\"\n[[contexts]]\nname = \"a\""), "has no token"),
        ];
        for (file, expected) in rows {
            let error = said(&Home::with(file).find(&Sources::default(), &[]).unwrap_err());
            for place in ["HCLOUD_TOKEN is not set", "no token_command", expected, "rehearsal = true"] {
                assert!(error.contains(place), "{place} is not in: {error}");
            }
        }
        let homeless = find(&Sources::default(), &BTreeMap::new()).err().unwrap();
        assert!(said(&homeless).contains("no home directory"));
    }

    #[test]
    fn a_source_that_was_named_is_not_passed_over() {
        let home = Home::with(Some(FILE));
        let context = |name| Sources { token_command: None, context: Some(name) };
        assert!(
            said(&home.find(&context("other"), &[]).unwrap_err()).contains("hcloud context create other")
        );
        assert!(said(&home.find(&context("empty"), &[]).unwrap_err()).contains("has no token"));
        let broken = Home::with(Some("token = of-nobody"));
        assert!(said(&broken.find(&Sources::default(), &[]).unwrap_err()).contains("repair it"));
        for (words, expected) in [
            (["sh", "-c", "echo of-nobody; exit 3"].as_slice(), "exit status: 3"),
            (&["sh", "-c", "echo; echo of-nobody"], "is empty"),
            (&["true"], "is empty"),
            (&["no-such-program"], "not installed"),
        ] {
            let words = line(words);
            let sources = Sources { token_command: Some(&words), context: None };
            let error = said(&home.find(&sources, &[]).unwrap_err());
            assert!(error.contains(expected) && error.contains("token_command"), "{error}");
        }
    }

    #[test]
    fn a_command_has_the_callers_environment_and_a_bound() {
        let environment: BTreeMap<_, _> = [("OF_CALLER".to_owned(), "of-caller".to_owned())].into();
        let run = |script: &str, limit| from_command(&line(&["/bin/sh", "-c", script]), &environment, limit);
        let token = run("echo \"$OF_CALLER\"", COMMAND_LIMIT).unwrap();
        assert_eq!(token.expose(), b"of-caller");
        let endless = run("exec yes of-nobody", COMMAND_LIMIT);
        assert!(endless.err().unwrap().to_string().contains("ended with signal"), "it was not cut off");
        let slow = run("exec sleep 600", Duration::from_millis(50));
        assert!(slow.err().unwrap().to_string().contains("did not end"));
        let left_open = run("echo of-x; exec >&-; exec sleep 600", Duration::from_millis(300));
        assert!(left_open.err().unwrap().to_string().contains("did not end"));
    }
}
