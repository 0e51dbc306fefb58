//! What the history counts about itself.

use crate::tally::{Counter, Gauge};

/// How well the history's file works.
#[derive(Debug, Default)]
pub struct HistoryTally {
    /// Minutes that were written.
    pub written: Counter,
    /// Minutes that were given up, because the file could not be written for too long.
    pub lost: Counter,
    /// Minutes that wait to be written.
    pub waiting: Gauge,
    /// Times that writing failed.
    pub failures: Counter,
    /// 1 if the last attempt to write failed, otherwise 0.
    pub failing: Gauge,
    /// Damaged files that were set aside.
    pub set_aside: Counter,
    /// Rooms that are in the file.
    pub rooms: Gauge,
    /// Rooms that were given up for others.
    pub evicted: Counter,
    /// The size of the file, in bytes.
    pub bytes: Gauge,
    /// How long the last minute took to write, in microseconds.
    pub write_micros: Gauge,
    /// Questions about the past that were refused, because too many waited.
    pub busy: Counter,
}
