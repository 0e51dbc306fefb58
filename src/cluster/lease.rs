//! A lease: how long another node's share counts, by this node's own monotonic clock.

use std::time::Duration;

use super::{LEASE, REASSERT, SILENCE};

/// What is left of a node's lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    end: Duration,
    is_hash_missing: bool,
}

impl Lease {
    /// The lease of a node that was heard `now`.
    pub(crate) fn heard(now: Duration) -> Self {
        Self { end: now + LEASE, is_hash_missing: false }
    }

    /// The lease of a node whose hash was read `now`. Nobody knows when the node last wrote,
    /// but its hash got a whole lease to live then, and has this much left. If that is more
    /// than a lease, Redis's clock was set back since: the node has little time to write again.
    pub(crate) fn read(now: Duration, remaining: Duration) -> Self {
        let remaining = if remaining > LEASE { REASSERT } else { remaining };
        Self { end: now + remaining, is_hash_missing: false }
    }

    /// Extends the lease of a node that was heard at this time.
    pub(crate) fn renew(&mut self, heard: Duration) {
        if !self.is_hash_missing {
            self.end = self.end.max(heard + LEASE);
        }
    }

    /// Shortens the lease of a node whose hash Redis has lost: if the node lives, it writes
    /// everything anew at once.
    pub(crate) fn miss(&mut self, now: Duration) {
        if !self.is_hash_missing {
            self.is_hash_missing = true;
            self.end = self.end.min(now + REASSERT);
        }
    }

    /// Whether Redis has lost the node's hash.
    pub(crate) fn is_hash_missing(self) -> bool {
        self.is_hash_missing
    }

    /// When the lease ends.
    pub(crate) fn end(self) -> Duration {
        self.end
    }

    /// When the node's numbers come into doubt, unless it is heard.
    pub(crate) fn doubt(self) -> Duration {
        if self.is_hash_missing {
            Duration::ZERO
        } else {
            // Measured back from the end: this node's lease may have begun long after the other
            // node wrote.
            self.end.saturating_sub(LEASE - SILENCE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_read_has_what_is_left_of_its_lease_and_no_more() {
        let (now, left) = (Duration::from_secs(100), Duration::from_secs(3));
        let mut read = Lease::read(now, left);
        assert_eq!((read.end(), read.doubt()), (now + left, now + left + SILENCE - LEASE));
        read.renew(now);
        assert_eq!((read.end(), read.doubt()), (now + LEASE, now + SILENCE));
    }

    #[test]
    fn a_hash_that_a_clock_set_back_keeps_for_an_hour_counts_for_a_moment_and_in_doubt() {
        let now = Duration::from_secs(100);
        let whole = Lease::read(now, LEASE);
        assert_eq!((whole.end(), whole.doubt()), (now + LEASE, now + SILENCE));
        let mut kept = Lease::read(now, Duration::from_secs(3600));
        assert!(kept.doubt() <= now);
        assert_eq!(kept.end(), now + REASSERT);
        kept.renew(now);
        assert_eq!((kept.end(), kept.doubt()), (now + LEASE, now + SILENCE));
    }
}
