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

    /// The lease of a node whose hash was read `now`. Nobody knows when it spoke, but its
    /// hash got the whole lease to live then, and has this much left.
    pub(crate) fn read(now: Duration, remaining: Duration) -> Self {
        Self { end: now + remaining.min(LEASE), is_hash_missing: false }
    }

    /// Extends the lease of a node that was heard at this time.
    pub(crate) fn renew(&mut self, heard: Duration) {
        if !self.is_hash_missing {
            self.end = self.end.max(heard + LEASE);
        }
    }

    /// Shortens the lease of a node that Redis knows nothing of any more: if it lives, it
    /// writes everything anew at once.
    pub(crate) fn miss(&mut self, now: Duration) {
        if !self.is_hash_missing {
            self.is_hash_missing = true;
            self.end = self.end.min(now + REASSERT);
        }
    }

    /// Whether Redis knows nothing of the node any more.
    pub(crate) fn is_hash_missing(self) -> bool {
        self.is_hash_missing
    }

    /// When it ends.
    pub(crate) fn end(self) -> Duration {
        self.end
    }

    /// When the node's numbers come into doubt, unless it is heard.
    pub(crate) fn doubt(self) -> Duration {
        if self.is_hash_missing {
            Duration::ZERO
        } else {
            // Not from the start: a node may have begun to count its time after the other
            // one spoke.
            self.end.saturating_sub(LEASE - SILENCE)
        }
    }
}
