use crate::{Cmd, Error, Host, Output};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Answer = Box<dyn Fn(&Cmd) -> Option<Output> + Send + Sync>;

/// An in-memory machine: files in a map, programs answered by closures, and a transcript of all that was run.
/// It proves decisions; what the tools themselves do is proved on a real kernel.
#[derive(Default)]
pub struct Fake {
    files: Mutex<BTreeMap<PathBuf, (Vec<u8>, u32)>>,
    answers: Mutex<Vec<Answer>>,
    transcript: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    /// An empty machine on which every program succeeds and says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every command line that starts with `prefix` with this exit code and stdout.
    /// The answer given last is asked first.
    pub fn answer(&self, prefix: &str, code: i32, stdout: &str) {
        let (prefix, stdout) = (prefix.to_owned(), stdout.as_bytes().to_vec());
        self.answer_with(move |cmd| {
            cmd.line().starts_with(&prefix).then(|| Output {
                stdout: stdout.clone(),
                code: Some(code),
                ..Output::default()
            })
        });
    }

    /// Answers commands by a function; `None` leaves the command to the answers given before.
    pub fn answer_with(&self, answer: impl Fn(&Cmd) -> Option<Output> + Send + Sync + 'static) {
        lock(&self.answers).push(Box::new(answer));
    }

    /// Every command line run so far.
    pub fn transcript(&self) -> Vec<String> {
        lock(&self.transcript).clone()
    }

    /// A file's mode, if it exists.
    pub fn mode(&self, path: impl AsRef<Path>) -> Option<u32> {
        lock(&self.files).get(path.as_ref()).map(|(_, mode)| *mode)
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        lock(&self.files).keys().cloned().collect()
    }
}

impl Host for Fake {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        lock(&self.transcript).push(cmd.line());
        let answers = lock(&self.answers);
        let answered = answers.iter().rev().find_map(|answer| answer(cmd));
        Ok(answered.unwrap_or(Output { code: Some(0), ..Output::default() }))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        Ok(lock(&self.files).get(path).map(|(bytes, _)| bytes.clone()))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        lock(&self.files).insert(path.to_owned(), (content.to_vec(), mode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        lock(&self.files).remove(path);
        Ok(())
    }
}
