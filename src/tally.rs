//! What happens, in numbers: how many are there, and how many there were.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::ending::Reason;

/// A number that only rises. No order with anything else is promised.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many from now on.
    pub fn set(&self, number: usize) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// How many now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a registry and all of its rooms.
#[derive(Debug, Default)]
pub struct Tally {
    /// Streams that are open.
    pub streams: Gauge,
    /// Streams that were opened; those that took a seat over among them.
    pub joins: Counter,
    ends: [Counter; Reason::ALL.len()],
    /// Changes of a room's count.
    pub changes: Counter,
    /// Events that told a room's people of one change or of several.
    pub published: Counter,
    /// Changes without an event of their own: the event of an earlier change told them
    /// too, or nobody was left to tell. Once all is told, these and
    /// [`published`](Self::published) are the [`changes`](Self::changes).
    pub merged: Counter,
    /// Events that were handed to a stream.
    pub deliveries: Counter,
    /// Times that a stream had fallen behind and was told the newest number
    /// in place of those before it.
    pub lagged: Counter,
}

impl Tally {
    /// Streams that ended for this reason.
    pub fn ends(&self, reason: Reason) -> &Counter {
        &self.ends[reason as usize]
    }
}

/// Connections for which there was no room, by the limit that bit.
#[derive(Debug, Default)]
pub struct Crowded {
    /// Closed for others because of the limit on all connections.
    pub closed_by_max: Counter,
    /// Closed for others because of the limit on those of an address.
    pub closed_by_max_per_ip: Counter,
    /// Closed for others because the process had no file descriptor left.
    pub closed_by_descriptors: Counter,
    /// Not let in because of the limit on all connections.
    pub refused_by_max: Counter,
    /// Not let in because of the limit on those of an address.
    pub refused_by_max_per_ip: Counter,
}
