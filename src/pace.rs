//! How soon a crowd may be told again.
//!
//! Telling n people costs n sends. After a publish a room therefore pauses for
//! as long as that fan-out needs; changes made during the pause are merged into
//! one event with the newest number, told when the pause ends. The pause is
//! counted from the publish and never re-armed, so no storm can put it off. A
//! small crowd's pause is shorter than a timer can measure, so there each
//! change is an event of its own; and the first change after a quiet moment is
//! told at once in a crowd of any size.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// What a room pauses for each subscriber that was told: twice the 5 µs of CPU
/// that a delivery costs on one core, so that telling takes at most about half
/// of a core, however fast people come and go.
const PER_SUBSCRIBER: Duration = Duration::from_micros(10);

/// A pause shorter than this is none: it is the resolution of tokio's timer.
const SHORTEST: Duration = Duration::from_millis(1);

/// When a room is to tell its people of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// At once, as an event of its own.
    Now,
    /// At this instant, by the one who made this change: see [`at`].
    At(Instant),
    /// With the changes before it, which somebody is going to tell already.
    Planned,
}

/// The pause of one room.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    rest_until: Option<Instant>,
    planned: bool,
}

impl Pace {
    /// Asks when a change that was just made is to be told.
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
        self.rest_until = pause(subscribers).map(|pause| Instant::now() + pause);
    }

    /// Whether changes wait for the pause to end.
    pub(crate) fn is_planned(&self) -> bool {
        self.planned
    }
}

/// The pause after a fan-out to `subscribers` people, or none if it would be
/// too short to measure.
fn pause(subscribers: usize) -> Option<Duration> {
    let subscribers = u32::try_from(subscribers).unwrap_or(u32::MAX);
    Some(PER_SUBSCRIBER * subscribers).filter(|pause| *pause >= SHORTEST)
}

/// Drops `due` at `instant`, or sooner when it cannot wait: outside of a tokio
/// runtime, or when the runtime ends. What is due is done in its `Drop`, so it
/// is done in every case.
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

    #[test]
    fn the_pause_grows_with_the_crowd_and_a_small_crowd_has_none() {
        assert_eq!(pause(3), None);
        assert_eq!(pause(99), None);
        assert_eq!(pause(100), Some(Duration::from_millis(1)));
        assert_eq!(pause(18_000), Some(Duration::from_millis(180)));
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
        // Late, or never: one who planned is not doubled, nor is the pause re-armed.
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
