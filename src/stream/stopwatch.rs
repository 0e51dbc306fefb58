//! A stopwatch: how long something takes that is done in several steps.

use std::time::Duration;

use tokio::time::Instant;

/// Adds up the time that it runs.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    since: Option<Instant>,
    total: Duration,
}

impl Stopwatch {
    /// Runs from now on, if it doesn't already.
    pub(super) fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn stop(&mut self) {
        self.total += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    pub(super) fn total(&self) -> Duration {
        self.total
    }
}
