//! What `/metrics` says about the history's file.

use prometheus::Result;

use crate::history::History;
use crate::http::exposition::Exposition;

/// Adds it to a page.
pub(in crate::http) fn register(page: &Exposition, history: &History) -> Result<()> {
    let tally = history.tally();
    page.counter(
        "headcount_history_batches_written_total",
        "Batches of a minute each that were written to the history's file.",
        tally.written.get(),
    )?;
    page.counter(
        "headcount_history_batches_lost_total",
        "Batches that were given up: the history's file could not be written for too long.",
        tally.lost.get(),
    )?;
    page.gauge(
        "headcount_history_batches_waiting",
        "Batches that have not yet been written to the history's file.",
        tally.waiting.get(),
    )?;
    page.counter(
        "headcount_history_failures_total",
        "Times that writing to the history's file failed.",
        tally.failures.get(),
    )?;
    page.gauge(
        "headcount_history_failing",
        "1 while the history's file can't be written; the log says why.",
        tally.failing.get(),
    )?;
    page.counter(
        "headcount_history_files_set_aside_total",
        "History files that were damaged, and set aside.",
        tally.set_aside.get(),
    )?;
    page.gauge("headcount_history_rooms", "Rooms in the history's file.", tally.rooms.get())?;
    page.counter(
        "headcount_history_rooms_evicted_total",
        "Rooms whose history was given up for others (--history-max-rooms).",
        tally.evicted.get(),
    )?;
    page.gauge(
        "headcount_history_file_bytes",
        "The size of the history's file, with SQLite's files beside it.",
        tally.bytes.get(),
    )?;
    page.counter(
        "headcount_history_questions_refused_total",
        "Requests for the past that were refused because too many were waiting.",
        tally.busy.get(),
    )?;
    page.seconds(
        "headcount_history_write_seconds",
        "How long it took to write the last minute.",
        tally.write_micros.get(),
    )
}
