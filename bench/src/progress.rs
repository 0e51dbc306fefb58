//! What runs now and how long the rest takes, on the terminal.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::plan::{Sizes, Step};

/// The progress through a list of steps. It is drawn between them only: while one is
/// measured, nothing else is to run.
pub struct Progress {
    bar: ProgressBar,
    expected: Vec<f64>,
    done: usize,
    started: Instant,
}

impl Progress {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(steps: &[Step], sizes: &Sizes) -> Self {
        let bar = ProgressBar::new(steps.len() as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} · {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let expected = steps.iter().map(|step| step.expected(sizes)).collect();
        Self { bar, expected, done: 0, started: Instant::now() }
    }

    /// Says what comes next.
    pub fn begin(&self, step: &Step) {
        let (peer, what, run) = (step.peer.title, step.what(), step.run + 1);
        let left = HumanDuration(self.left());
        let line = format!("{peer}: {what}, run {run} · {left} left");
        // Without a terminal there is no bar, but a log may be read.
        if !std::io::stderr().is_terminal() {
            eprintln!("{}/{} · {line}", self.done + 1, self.expected.len());
        }
        self.bar.set_message(line);
        self.bar.tick();
    }

    /// Says that something did not come about.
    pub fn warn(&self, line: &str) {
        if std::io::stderr().is_terminal() {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    /// The step is over.
    pub fn done(&mut self) {
        self.done += 1;
        self.bar.inc(1);
    }

    /// All is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// What was expected of the rest, corrected by how it went so far.
    fn left(&self) -> Duration {
        let (past, rest) = self.expected.split_at(self.done);
        let (past, rest): (f64, f64) = (past.iter().sum(), rest.iter().sum());
        let pace = if past > 5.0 { self.started.elapsed().as_secs_f64() / past } else { 1.0 };
        Duration::from_secs_f64((rest * pace).round())
    }
}
