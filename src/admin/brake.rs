//! The brake on whoever guesses tokens.
//!
//! After a few wrong ones each answer takes longer, but never very long, and the right token
//! is taken whoever has guessed before. How many can be tried at once is how many
//! connections there may be.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// So many wrong ones are a mistake. One more is forgiven with each [`FORGIVEN`].
const FREE: u32 = 5;
const FORGIVEN: Duration = Duration::from_secs(10);

/// What each one more costs, and the longest that anybody waits.
const STEP: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(2);

/// So many are remembered: they are forgiven in ten minutes.
const MOST: u32 = 60;

/// How many wrong tokens there were of late.
#[derive(Debug, Default)]
pub(super) struct Brake(Mutex<Option<(u32, Instant)>>);

impl Brake {
    /// One more was wrong.
    pub(super) fn wrong(&self) {
        let now = Instant::now();
        let wrong = (self.wrong_ones(now) + 1).min(MOST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((wrong, now));
    }

    /// Waits for as long as whoever may be guessing has to.
    pub(super) async fn hold(&self) {
        sleep(self.pause(Instant::now())).await;
    }

    fn pause(&self, now: Instant) -> Duration {
        (STEP * self.wrong_ones(now).saturating_sub(FREE)).min(LONGEST)
    }

    fn wrong_ones(&self, now: Instant) -> u32 {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((wrong, then)) = last else { return 0 };
        let forgiven = now.saturating_duration_since(then).as_secs() / FORGIVEN.as_secs();
        wrong.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_take_longer_and_longer_but_never_very_long_and_are_forgiven() {
        let brake = Brake::default();
        let pause = |after| brake.pause(Instant::now() + after);
        for _ in 0..FREE {
            brake.wrong();
        }
        assert_eq!(pause(Duration::ZERO), Duration::ZERO);
        brake.wrong();
        assert_eq!(pause(Duration::ZERO), STEP);
        for _ in 0..1_000 {
            brake.wrong();
        }
        assert_eq!(pause(Duration::ZERO), LONGEST);
        assert_eq!(pause(FORGIVEN * MOST), Duration::ZERO);
    }
}
