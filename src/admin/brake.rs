//! The brake on guessing tokens.
//!
//! After a few wrong tokens every further attempt takes longer, up to a limit. Nobody is ever
//! refused because of this, so guessing can't lock the operator out. The limit on connections
//! bounds how many tokens can be tried at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How many wrong tokens cost nothing, and how soon one of them is forgotten.
const FREE: u32 = 5;
const FORGIVEN: Duration = Duration::from_secs(10);

/// How much longer an attempt takes for each further wrong token, and the limit.
const STEP: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(2);

/// How many wrong tokens are remembered: all are forgotten after ten minutes.
const MOST: u32 = 60;

/// How many wrong tokens there were lately, and when the last one was.
#[derive(Debug, Default)]
pub(super) struct Brake(Mutex<Option<(u32, Instant)>>);

impl Brake {
    /// Notes a wrong token.
    pub(super) fn wrong(&self) {
        let now = Instant::now();
        let wrong = (self.wrong_ones(now) + 1).min(MOST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((wrong, now));
    }

    /// Waits as long as an attempt must take.
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
