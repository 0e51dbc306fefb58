//! How long a connection to the operator's listener may last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection lasts from its beginning; that of a feed, from the last frame that
/// it took.
pub(super) const TERM: Duration = Duration::from_secs(30);

/// The time that one connection has left.
#[derive(Clone, Debug)]
pub(super) struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    until: Mutex<Instant>,
    is_feed: AtomicBool,
}

impl Lease {
    pub(super) fn new() -> Self {
        let until = Mutex::new(Instant::now() + TERM);
        Self(Arc::new(State { until, is_feed: AtomicBool::default() }))
    }

    /// Lets a feed last for another term: its client has taken all that it was sent.
    pub(super) fn renew(&self) {
        self.0.is_feed.store(true, Ordering::Relaxed);
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + TERM;
    }

    /// Whether it is that of a feed. These have a limit of their own.
    pub(super) fn is_feed(&self) -> bool {
        self.0.is_feed.load(Ordering::Relaxed)
    }

    /// Waits until it is over.
    pub(super) async fn end(&self) {
        loop {
            let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_a_term_after_it_was_renewed_last() {
        let lease = Lease::new();
        let (start, renewed) = (Instant::now(), lease.clone());
        tokio::spawn(async move {
            for _ in 0..3 {
                sleep(TERM / 2).await;
                renewed.renew();
            }
        });
        assert!(!lease.is_feed());
        lease.end().await;
        assert!(lease.is_feed());
        assert!(start.elapsed() >= TERM / 2 * 3 + TERM);
    }
}
