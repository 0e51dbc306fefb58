//! What `/metrics` tells of the history's file.

use prometheus::{Gauge, IntCounter, IntGauge, Registry, Result};

use crate::history::History;

/// Puts it on a page.
pub(in crate::http) fn register(page: &Registry, history: &History) -> Result<()> {
    let gauge = |name: &str, help: &str, value: usize| {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        page.register(Box::new(gauge))
    };
    let counter = |name: &str, help: &str, value: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        page.register(Box::new(counter))
    };
    let tally = history.tally();
    counter(
        "headcount_history_minutes_written_total",
        "Minutes that were written to the history's file.",
        tally.written.get(),
    )?;
    counter(
        "headcount_history_minutes_lost_total",
        "Minutes that were given up: the history's file could not be written for too long.",
        tally.lost.get(),
    )?;
    gauge(
        "headcount_history_minutes_waiting",
        "Minutes that are yet to be written to the history's file.",
        tally.waiting.get(),
    )?;
    counter(
        "headcount_history_failures_total",
        "Times that writing to the history's file failed.",
        tally.failures.get(),
    )?;
    gauge(
        "headcount_history_failing",
        "1 while the history's file can't be written; the log says why.",
        tally.failing.get(),
    )?;
    counter(
        "headcount_history_files_set_aside_total",
        "History files that were damaged, and set aside.",
        tally.set_aside.get(),
    )?;
    gauge("headcount_history_rooms", "Rooms in the history's file.", tally.rooms.get())?;
    counter(
        "headcount_history_rooms_evicted_total",
        "Rooms whose history was given up for others (--history-max-rooms).",
        tally.evicted.get(),
    )?;
    gauge(
        "headcount_history_file_bytes",
        "The size of the history's file, with SQLite's files beside it.",
        tally.bytes.get(),
    )?;
    counter(
        "headcount_history_questions_refused_total",
        "Questions about the past that were refused, for too many waited.",
        tally.busy.get(),
    )?;
    let write = Gauge::new(
        "headcount_history_write_seconds",
        "How long it took to write the last minute.",
    )?;
    write.set(tally.write_micros.get() as f64 / 1e6);
    page.register(Box::new(write))
}
