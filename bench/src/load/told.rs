//! What each stream was told last, and who has been told the number that is awaited.

use std::fmt;
use std::time::{Duration, Instant};

/// Stands for a stream that was told nothing yet. Who is told anything is counted, so
/// nobody is ever told 0.
const NOTHING: u32 = 0;

/// Stands for a stream that is not open.
const CLOSED: u32 = u32::MAX;

/// The numbers of all streams. Four bytes for each, so that there can be a million.
#[derive(Debug)]
pub struct Told {
    of_one_connection: u32,
    last: Vec<u32>,
    open: usize,
    silent: usize,
    events: u64,
    first_events: Vec<Duration>,
    watched: u32,
    since: Instant,
    know: usize,
    latencies: Vec<Duration>,
}

impl Told {
    pub(super) fn new(of_one_connection: u32) -> Self {
        Self {
            of_one_connection,
            last: Vec::new(),
            open: 0,
            silent: 0,
            events: 0,
            first_events: Vec::new(),
            watched: NOTHING,
            since: Instant::now(),
            know: 0,
            latencies: Vec::new(),
        }
    }

    /// How many streams are open, or on their way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many of them were told nothing yet.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.silent
    }

    /// How many events were received.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// From the beginning of each connection to its first event.
    #[must_use]
    pub fn first_events(&self) -> &[Duration] {
        &self.first_events
    }

    /// When the watch began.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// From the beginning of the watch to each stream's being told the number.
    #[must_use]
    pub fn latencies(&self) -> &[Duration] {
        &self.latencies
    }

    /// Whether every open stream was told the watched number last.
    #[must_use]
    pub fn all_know(&self) -> bool {
        self.know == self.open
    }

    /// The number that a connection's first stream was told last.
    #[must_use]
    pub fn number(&self, connection: super::Key) -> u32 {
        self.last[connection.0 * self.of_one_connection as usize]
    }

    /// Whether a connection's first stream was told anything yet.
    #[must_use]
    pub fn is_told(&self, connection: super::Key) -> bool {
        self.number(connection) != NOTHING
    }

    pub(super) fn watch(&mut self, number: u32) {
        self.watched = number;
        self.know = self.last.iter().filter(|last| **last == number).count();
        self.latencies.clear();
        self.since = Instant::now();
    }

    pub(super) fn forget_figures(&mut self) {
        self.events = 0;
        self.first_events.clear();
    }

    pub(super) fn open_connection(&mut self, connection: usize) {
        let range = self.streams(connection);
        if self.last.len() < range.end {
            self.last.resize(range.end, CLOSED);
        }
        self.open += range.len();
        self.silent += range.len();
        self.last[range].fill(NOTHING);
    }

    pub(super) fn close(&mut self, connection: usize) {
        for stream in self.streams(connection) {
            let last = std::mem::replace(&mut self.last[stream], CLOSED);
            self.open -= 1;
            self.silent -= usize::from(last == NOTHING);
            self.know -= usize::from(last == self.watched && last != NOTHING);
        }
    }

    pub(super) fn hear(&mut self, connection: usize, stream: u32, number: u32, since: Instant) {
        self.events += 1;
        let last = &mut self.last[connection * self.of_one_connection as usize + stream as usize];
        let before = std::mem::replace(last, number);
        if before == NOTHING {
            self.silent -= 1;
            self.first_events.push(since.elapsed());
        }
        if number == self.watched && before != number {
            self.know += 1;
            self.latencies.push(self.since.elapsed());
        } else if before == self.watched && before != number && before != NOTHING {
            self.know -= 1;
        }
    }

    fn streams(&self, connection: usize) -> std::ops::Range<usize> {
        let streams = self.of_one_connection as usize;
        connection * streams..(connection + 1) * streams
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { know, open, watched, silent, .. } = self;
        write!(f, "{know} of {open} streams know {watched}, {silent} know nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Told {
        let mut told = Told::new(1);
        for connection in 0..3 {
            told.open_connection(connection);
        }
        told
    }

    fn hear(told: &mut Told, connection: usize, number: u32) {
        told.hear(connection, 0, number, Instant::now());
    }

    #[test]
    fn all_know_a_number_when_each_was_told_it_last() {
        let mut told = three();
        told.watch(3);
        for connection in 0..3 {
            assert!(!told.all_know());
            hear(&mut told, connection, 3);
        }
        assert!(told.all_know());
        hear(&mut told, 1, 2);
        assert!(!told.all_know(), "one was told another number since");
    }

    #[test]
    fn to_be_told_again_is_no_news() {
        let mut told = three();
        told.watch(3);
        for _ in 0..3 {
            hear(&mut told, 0, 3);
        }
        assert!(!told.all_know());
        assert_eq!((told.latencies().len(), told.events(), told.silent()), (1, 3, 2));
    }

    #[test]
    fn who_left_need_not_know() {
        let mut told = three();
        told.watch(2);
        hear(&mut told, 0, 2);
        hear(&mut told, 1, 2);
        assert!(!told.all_know());
        told.close(2);
        assert!(told.all_know());
        told.close(1);
        assert!(told.all_know());
        assert_eq!(told.open(), 1);
    }

    #[test]
    fn a_watch_counts_who_knows_already() {
        let mut told = three();
        hear(&mut told, 0, 7);
        told.watch(7);
        told.close(1);
        told.close(2);
        assert!(told.all_know());
        assert!(told.latencies().is_empty());
    }

    #[test]
    fn each_stream_of_a_connection_has_a_number_of_its_own() {
        let mut told = Told::new(2);
        told.open_connection(0);
        told.open_connection(1);
        told.watch(4);
        for (connection, stream) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert!(!told.all_know());
            told.hear(connection, stream, 4, Instant::now());
        }
        assert!(told.all_know());
        told.close(0);
        assert_eq!((told.open(), told.all_know()), (2, true));
    }
}
