//! The tally: what happens, in numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::ending::Reason;

/// A number that only rises. No order with anything else is promised.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts this many more.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many there were until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// Adds one.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Subtracts one.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets the number.
    pub fn set(&self, number: usize) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// How many there are now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a registry and all of its rooms.
#[derive(Debug, Default)]
pub struct Tally {
    /// Streams that are open.
    pub streams: Gauge,
    /// Streams that were opened, including those that took over a seat.
    pub joins: Counter,
    ends: [Counter; Reason::ALL.len()],
    /// Changes of a room's count.
    pub changes: Counter,
    /// Events that told a room's people of one change or of several.
    pub published: Counter,
    /// Changes without an event of their own: they were told with the event of an earlier
    /// change, or nobody was left to tell. Once everything is told, these and
    /// [`published`](Self::published) add up to the [`changes`](Self::changes).
    pub merged: Counter,
    /// Events that were handed to a stream.
    pub deliveries: Counter,
    /// Times that a stream had fallen behind and was told the newest number instead of those
    /// before it.
    pub lagged: Counter,
}

impl Tally {
    /// Counts the streams that ended for this reason.
    pub fn ends(&self, reason: Reason) -> &Counter {
        &self.ends[reason as usize]
    }
}

/// Connections for which there was no room, by the limit that was reached.
#[derive(Debug, Default)]
pub struct Crowded {
    /// Closed to make room, because of the limit on all connections.
    pub closed_by_max: Counter,
    /// Closed to make room, because of the limit on the connections of an address.
    pub closed_by_max_per_ip: Counter,
    /// Closed to make room, because the process had no file descriptor left.
    pub closed_by_descriptors: Counter,
    /// Not let in because of the limit on all connections.
    pub refused_by_max: Counter,
    /// Not let in because of the limit on the connections of an address.
    pub refused_by_max_per_ip: Counter,
}
