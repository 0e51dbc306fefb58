//! How soon a crowd may be told again.
//!
//! Telling n people costs n sends. A publish is therefore followed by a pause, which is
//! three times what the last fan-out took on the core where it took longest: however much
//! a send costs there, joins and everything else have two thirds of that core. Changes made
//! during the pause are merged into one event with the newest number, told when it ends.
//! The pause is counted from the publish and never re-armed, so no storm can put it off.
//! A small crowd's pause is shorter than a timer can measure, so there each change is an
//! event of its own. The first change after a quiet time is told at once in a crowd of any
//! size.

use std::mem::take;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// How many times longer a pause is than the fan-out before it.
const SHARE: u32 = 3;

/// The least that a room pauses for each subscriber that was told. Many cores would allow
/// less, but nobody can see numbers that change so fast.
const LEAST: Duration = Duration::from_micros(10);

/// The most that it pauses for each, which is enough for deliveries of 33 µs: over TLS and
/// HTTP/2 they take 20. A fan-out that took longer because the process was stopped meanwhile
/// is no reason to be silent for another three times as long.
const MOST: Duration = Duration::from_micros(100);

/// A crowd whose least pause is shorter than this has no pause: this is the resolution of
/// tokio's timer.
const SHORTEST: Duration = Duration::from_millis(1);

/// When a room tells its people of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// At once, as an event of its own.
    Now,
    /// At this instant, planned by whoever made this change with [`at`].
    At(Instant),
    /// With the changes before it, which are already planned.
    Planned,
}

/// The pause of one room.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    rest_until: Option<Instant>,
    planned: bool,
    /// How many people were told last.
    subscribers: usize,
    /// What the last fan-out took for each of them, on the slowest core that has reported.
    cost: Duration,
    /// Whether no core has reported yet what the newest fan-out took.
    is_cost_old: bool,
}

impl Pace {
    /// When to tell a change that was just made.
    pub(crate) fn change(&mut self) -> Tell {
        if self.planned {
            return Tell::Planned;
        }
        match self.rest_until {
            Some(instant) if Instant::now() < instant => {
                self.planned = true;
                Tell::At(instant)
            }
            _ => Tell::Now,
        }
    }

    /// Starts the pause after `subscribers` people were told.
    pub(crate) fn told(&mut self, subscribers: usize) {
        self.planned = false;
        self.subscribers = subscribers;
        self.rest_until = pause(subscribers, self.cost).map(|pause| Instant::now() + pause);
        self.is_cost_old = true;
    }

    /// Notes how long a core took to tell its part of the people who were told last. This sets
    /// the next pause; the one that has begun is never re-armed.
    pub(crate) fn took(&mut self, time: Duration) {
        let cost = time / count(self.subscribers).max(1);
        if take(&mut self.is_cost_old) || cost > self.cost {
            self.cost = cost;
        }
    }

    /// Whether changes wait for the pause to end.
    pub(crate) fn is_planned(&self) -> bool {
        self.planned
    }
}

/// Whether a crowd is so small that it is told every step.
pub(crate) fn is_small(subscribers: usize) -> bool {
    LEAST * count(subscribers) < SHORTEST
}

/// The pause after a fan-out to `subscribers` people that takes this long for each; none if
/// the crowd is small.
fn pause(subscribers: usize, cost: Duration) -> Option<Duration> {
    let pause = cost.saturating_mul(SHARE).clamp(LEAST, MOST) * count(subscribers);
    Some(pause).filter(|_| !is_small(subscribers))
}

fn count(subscribers: usize) -> u32 {
    u32::try_from(subscribers).unwrap_or(u32::MAX)
}

/// Drops `due` at `instant`, or sooner if it can't wait: outside of a tokio runtime, or
/// when the runtime ends. The `Drop` of `due` does what is due, so it is done in every case.
pub(crate) fn at(instant: Instant, due: impl Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            tokio::time::sleep_until(instant).await;
            drop(due);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn the_pause_grows_with_the_crowd_and_a_small_crowd_has_none() {
        let least = |subscribers| pause(subscribers, Duration::ZERO);
        assert_eq!(least(3), None);
        assert_eq!(least(99), None);
        assert_eq!(least(100), Some(Duration::from_millis(1)));
        assert_eq!(least(18_000), Some(Duration::from_millis(180)));
        assert_eq!(pause(99, Duration::from_secs(1)), None, "however long it took");
    }

    #[test]
    fn the_pause_is_three_times_what_the_fan_out_took_within_bounds() {
        let pause = |cost| pause(18_000, cost);
        assert_eq!(pause(2 * MICROSECOND), Some(Duration::from_millis(180)));
        assert_eq!(pause(8 * MICROSECOND), Some(Duration::from_millis(432)));
        assert_eq!(pause(34 * MICROSECOND), Some(Duration::from_millis(1_800)));
        assert_eq!(pause(Duration::MAX), Some(Duration::from_millis(1_800)), "it was stopped");
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_core_of_the_last_fan_out_decides_the_next_pause() {
        let mut pace = Pace::default();
        let pause_after = |pace: &mut Pace, subscribers| {
            pace.told(subscribers);
            pace.rest_until.expect("a pause") - Instant::now()
        };
        assert_eq!(pause_after(&mut pace, 1_000), Duration::from_millis(10));
        for ms in [5, 20, 10] {
            pace.took(Duration::from_millis(ms));
        }
        assert_eq!(pause_after(&mut pace, 1_000), Duration::from_millis(60));
        // No core has reported what that one took, so it counts like the one before it.
        assert_eq!(pause_after(&mut pace, 2_000), Duration::from_millis(120));
        for ms in [12, 10] {
            pace.took(Duration::from_millis(ms));
        }
        assert_eq!(pause_after(&mut pace, 1_000), Duration::from_millis(18));
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_that_has_begun_is_not_re_armed() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.told(1_000);
        pace.took(Duration::from_millis(20));
        assert_eq!(pace.change(), Tell::At(start + Duration::from_millis(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_after_a_quiet_moment_is_told_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.change(), Tell::Now);
        pace.told(18_000);
        tokio::time::advance(Duration::from_millis(180)).await;
        assert_eq!(pace.change(), Tell::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_during_the_pause_share_one_deadline() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.told(1_000);
        let deadline = start + Duration::from_millis(10);
        tokio::time::advance(Duration::from_millis(9)).await;
        assert_eq!(pace.change(), Tell::At(deadline));
        // Late or never, a plan is not doubled, nor is the pause re-armed.
        tokio::time::advance(Duration::from_millis(9)).await;
        assert_eq!(pace.change(), Tell::Planned);
        assert!(pace.is_planned());
        pace.told(1_000);
        assert!(!pace.is_planned());
    }

    #[test]
    fn without_a_runtime_what_is_due_is_done_at_once() {
        let due = std::sync::Arc::new(());
        at(Instant::now() + Duration::from_secs(60), due.clone());
        assert_eq!(std::sync::Arc::strong_count(&due), 1);
    }

    #[test]
    fn what_is_due_is_done_when_the_runtime_ends() {
        let due = std::sync::Arc::new(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async { at(Instant::now() + Duration::from_secs(60), due.clone()) });
        assert_eq!(std::sync::Arc::strong_count(&due), 2);
        drop(runtime);
        assert_eq!(std::sync::Arc::strong_count(&due), 1);
    }
}
