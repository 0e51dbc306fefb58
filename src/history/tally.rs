//! What the history tells of itself.

use crate::tally::{Counter, Gauge};

/// How the history's file fares.
#[derive(Debug, Default)]
pub struct HistoryTally {
    /// Minutes that were written.
    pub written: Counter,
    /// Minutes that were given up, for the file could not be written for so long.
    pub lost: Counter,
    /// Minutes that wait to be written.
    pub waiting: Gauge,
    /// Times that writing failed.
    pub failures: Counter,
    /// 1 while the last try to write failed.
    pub failing: Gauge,
    /// Files that were damaged, and set aside.
    pub set_aside: Counter,
    /// Rooms that are in the file.
    pub rooms: Gauge,
    /// Rooms that were given up for others.
    pub evicted: Counter,
    /// The size of the file, in bytes.
    pub bytes: Gauge,
    /// How long the last minute took to write, in microseconds.
    pub write_micros: Gauge,
    /// Questions about the past that were refused, for too many waited.
    pub busy: Counter,
}
