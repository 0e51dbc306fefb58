//! How long a connection to the operator's listener may last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection may last from its start or, if it carries a feed, from the last time
/// that its client took a frame.
pub(super) const TERM: Duration = Duration::from_secs(30);

/// The time that one connection has left.
#[derive(Clone, Debug)]
pub(super) struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    until: Mutex<Instant>,
    has_asked: AtomicBool,
    is_feed: AtomicBool,
}

impl Lease {
    pub(super) fn new() -> Self {
        let until = Mutex::new(Instant::now() + TERM);
        let (has_asked, is_feed) = (AtomicBool::default(), AtomicBool::default());
        Self(Arc::new(State { until, has_asked, is_feed }))
    }

    /// Notes that the connection's request has arrived.
    pub(super) fn ask(&self) {
        self.0.has_asked.store(true, Ordering::Relaxed);
    }

    /// Whether the connection's request has arrived and is being answered.
    pub(super) fn has_asked(&self) -> bool {
        self.0.has_asked.load(Ordering::Relaxed)
    }

    /// Marks the connection as that of a feed, which may last for another term from now on.
    pub(super) fn renew(&self) {
        self.0.is_feed.store(true, Ordering::Relaxed);
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + TERM;
    }

    /// Whether the connection carries a feed.
    pub(super) fn is_feed(&self) -> bool {
        self.0.is_feed.load(Ordering::Relaxed)
    }

    /// Waits until the lease has run out.
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
