//! How progress looks: bars on a terminal, plain lines elsewhere, always on stderr.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use provisioner::report::Report;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The operator's screen: bars when stderr is a terminal, lines when not.
pub(crate) fn screen() -> Arc<dyn Report> {
    let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
    Arc::new(Screen { bars, running: Mutex::default() })
}

struct Screen {
    bars: Option<MultiProgress>,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    bar: Option<ProgressBar>,
    last: String,
}

impl Screen {
    fn line(&self, text: &str) {
        match &self.bars {
            // A bar that cannot be drawn must not end the work it shows.
            Some(bars) => drop(bars.println(text)),
            None => host::say::err(text),
        }
    }
}

impl Report for Screen {
    fn begin(&self, stage: &str) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg:.dim} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(stage.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.line(&format!("... {stage}"));
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(stage.to_owned(), Running { bar, last: String::new() });
    }

    fn detail(&self, stage: &str, text: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(stage) {
            Some(Running { bar: Some(bar), .. }) => bar.set_message(text.to_owned()),
            // In a log a sentence that repeats while something is waited for is said once.
            Some(state) if state.last != text => {
                text.clone_into(&mut state.last);
                self.line(&format!("    {stage}: {text}"));
            }
            _ => {}
        }
    }

    fn end(&self, stage: &str, outcome: &str, took: Duration) {
        let finished = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(stage);
        if let Some(bar) = finished.and_then(|running| running.bar) {
            bar.finish_and_clear();
        }
        let mark = if outcome == "FAILED" { "✗" } else { "✓" };
        self.line(&format!("{mark} {stage:<58} {:>7.1} s  {outcome}", took.as_secs_f64()));
    }

    fn note(&self, text: &str) {
        self.line(text);
    }
}
