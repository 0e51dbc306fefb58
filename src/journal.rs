//! What the log says about visitors: a line for each one who comes or goes, as long as
//! there are few.
//!
//! Visits cost a client far less than their lines cost a disk. So there are at most
//! [`LINES`] lines a second, for all rooms together. Further visitors who come and go are
//! counted, and one line says how many there were when the second is over. The lines
//! and the numbers in the summaries add up to what happened.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Level, enabled, info};

use crate::ending::Reason;
use crate::name::Name;
use crate::pace;

/// How many lines are written in a second: far more than anybody reads. With the longest
/// names a line has 460 bytes, and a whole day of this 8 GB.
const LINES: u32 = 200;

const SECOND: Duration = Duration::from_secs(1);

/// Visitors come and go in rooms, so that is where `RUST_LOG` finds their lines.
const TARGET: &str = "headcount::room";

/// What is logged about the visitors of all rooms of a registry.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Locked to count a line, never while one is written.
    second: Mutex<Second>,
}

/// The current second, which began with the first line after the last second was over.
#[derive(Debug, Default)]
struct Second {
    until: Option<Instant>,
    lines: u32,
    unwritten: Summary,
}

/// The visitors of a second who have no lines of their own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    connected: u64,
    returned: u64,
    disconnected: [u64; Reason::ALL.len()],
}

impl Journal {
    /// Somebody came, and now `count` people are in the room.
    pub(crate) fn connected(self: &Arc<Self>, room: &Name, count: usize) {
        if self.has_a_line(|unwritten| unwritten.connected += 1) {
            info!(target: TARGET, room = &*room.legible(), count, "user connected");
        }
    }

    /// Somebody came back to their seat, or took one that was held.
    pub(crate) fn returned(self: &Arc<Self>, room: &Name, count: usize) {
        if self.has_a_line(|unwritten| unwritten.returned += 1) {
            info!(target: TARGET, room = &*room.legible(), count, "user returned");
        }
    }

    /// Somebody's stream ended, for this `reason`.
    pub(crate) fn disconnected(
        self: &Arc<Self>,
        room: &Name,
        count: usize,
        lasted: Duration,
        reason: Reason,
    ) {
        if self.has_a_line(|unwritten| unwritten.disconnected[reason as usize] += 1) {
            info!(
                target: TARGET,
                room = &*room.legible(),
                count,
                lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
                reason = reason.as_str(),
                "user disconnected"
            );
        }
    }

    /// Whether what happens now gets its own line. If not, it is summed up, unless the log
    /// leaves visitors out.
    fn has_a_line(self: &Arc<Self>, sum_up: impl FnOnce(&mut Summary)) -> bool {
        if !enabled!(target: TARGET, Level::INFO) {
            return false;
        }
        let mut second = self.lock();
        let (until, before) = second.at(Instant::now());
        let has_a_line = second.lines < LINES;
        let mut is_first = false;
        if has_a_line {
            second.lines += 1;
        } else {
            is_first = second.unwritten.is_empty();
            sum_up(&mut second.unwritten);
        }
        drop(second);

        before.write();
        if is_first {
            pace::at(until, Due(Arc::downgrade(self)));
        }
        has_a_line
    }

    fn lock(&self) -> MutexGuard<'_, Second> {
        // Critical sections only count, which can't panic.
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        mem::take(&mut self.lock().unwritten).write();
    }
}

impl Second {
    /// Begins the next second if this one is over `now`. Returns when the current one ends,
    /// and what the one before has left to be written.
    fn at(&mut self, now: Instant) -> (Instant, Summary) {
        match self.until {
            Some(until) if now < until => (until, Summary::default()),
            _ => {
                let until = now + SECOND;
                let before = mem::take(self).unwritten;
                self.until = Some(until);
                (until, before)
            }
        }
    }
}

impl Summary {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes the line, without the numbers that are zero.
    fn write(&self) {
        if self.is_empty() {
            return;
        }
        let number = |number: u64| Some(number).filter(|number| *number > 0);
        let ended = |reason: Reason| number(self.disconnected[reason as usize]);
        info!(
            target: TARGET,
            connected = number(self.connected),
            returned = number(self.returned),
            client_closed = ended(Reason::ClientClosed),
            reset = ended(Reason::Reset),
            timed_out = ended(Reason::TimedOut),
            replaced = ended(Reason::Replaced),
            aged_out = ended(Reason::AgedOut),
            shutdown = ended(Reason::Shutdown),
            error = ended(Reason::Error),
            "more users came and went"
        );
    }
}

/// Sums up a second when it is over, even if nobody comes or goes any more. If there is no
/// timer, this is dropped sooner and does nothing; then the summary is written with the
/// next line, or when the journal ends.
struct Due(Weak<Journal>);

impl Drop for Due {
    fn drop(&mut self) {
        if let Some(journal) = self.0.upgrade() {
            let (_until, before) = journal.lock().at(Instant::now());
            before.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Logged;
    use tokio::time::{advance, sleep};

    fn come(journal: &Arc<Journal>, times: u32) {
        for _ in 0..times {
            journal.connected(&Name::default(), 1);
        }
    }

    fn go(journal: &Arc<Journal>, reason: Reason) {
        journal.disconnected(&Name::default(), 0, Duration::from_millis(7), reason);
    }

    #[tokio::test(start_paused = true)]
    async fn each_who_comes_or_goes_has_a_line() {
        let (log, _logged) = Logged::of(TARGET, Level::INFO);
        let journal = Arc::default();
        come(&journal, 1);
        journal.returned(&Name::default(), 1);
        go(&journal, Reason::TimedOut);
        let lines = [
            "user connected room=\"lobby\" count=1",
            "user returned room=\"lobby\" count=1",
            "user disconnected room=\"lobby\" count=0 lasted_ms=7 reason=\"timed out\"",
        ];
        assert_eq!(log.lines(), lines);
        sleep(3 * SECOND).await;
        assert!(log.lines().is_empty(), "there is nothing to sum up");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_more_than_200_lines_in_a_second_is_summed_up_when_it_is_over() {
        let (log, _logged) = Logged::of(TARGET, Level::INFO);
        let journal = Arc::default();
        come(&journal, 199);
        sleep(SECOND / 2).await;
        come(&journal, 4);
        journal.returned(&Name::default(), 1);
        for reason in [Reason::Reset, Reason::Reset, Reason::Shutdown] {
            go(&journal, reason);
        }
        assert_eq!(log.lines().len(), 200);
        sleep(SECOND / 2 - Duration::from_millis(2)).await;
        assert!(log.lines().is_empty(), "the second is not over");
        sleep(Duration::from_millis(4)).await;
        let summary = "more users came and went connected=3 returned=1 reset=2 shutdown=1";
        assert_eq!(log.lines(), [summary]);

        // And then it starts again.
        come(&journal, 201);
        assert_eq!(log.lines().len(), 200);
        sleep(SECOND + Duration::from_millis(2)).await;
        assert_eq!(log.lines(), ["more users came and went connected=1"]);
        sleep(3 * SECOND).await;
        assert!(log.lines().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_after_the_second_finds_it_summed_up_and_the_timer_has_nothing_left() {
        let (log, _logged) = Logged::of(TARGET, Level::INFO);
        let journal = Arc::default();
        come(&journal, 203);
        log.lines();
        // Time has passed, but the timer has not had its turn.
        advance(SECOND).await;
        come(&journal, 205);
        let lines = log.lines();
        assert_eq!(lines[0], "more users came and went connected=3");
        assert_eq!(lines.len(), 1 + 200);
        sleep(SECOND / 2).await;
        assert!(log.lines().is_empty(), "the first second's timer leaves the next one alone");
        sleep(SECOND).await;
        assert_eq!(log.lines(), ["more users came and went connected=5"]);
    }

    #[test]
    fn outside_of_a_runtime_the_summary_comes_with_the_journals_end() {
        let (log, _logged) = Logged::of(TARGET, Level::INFO);
        let journal = Arc::default();
        come(&journal, 202);
        go(&journal, Reason::Error);
        assert_eq!(log.lines().len(), 200);
        drop(journal);
        assert_eq!(log.lines(), ["more users came and went connected=2 error=1"]);
    }

    #[test]
    fn all_who_came_are_in_the_lines_and_the_sums_when_the_runtime_ends() {
        let (log, _logged) = Logged::of(TARGET, Level::INFO);
        let journal = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async { come(&journal, 250) });
        drop((journal, runtime));
        let lines = log.lines();
        assert_eq!(lines.len(), 201);
        assert_eq!(lines[200], "more users came and went connected=50");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_to_read_is_not_summed_up_either() {
        let (log, _logged) = Logged::of(TARGET, Level::WARN);
        let journal = Arc::<Journal>::default();
        come(&journal, 1_000);
        assert!(journal.lock().unwritten.is_empty());
        drop(journal);
        assert!(log.lines().is_empty());
    }
}
