//! The minutes that are yet to be written. The queue is bounded: if they can't be written for
//! long, the oldest are given up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::minute::Batch;

/// How many rows may wait: 40 bytes each, and the names of rooms that have closed.
const MAX_ROWS: usize = 200_000;
/// How many minutes may wait: a day.
const MAX_MINUTES: usize = 24 * 60;

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    minutes: VecDeque<Arc<Batch>>,
    rows: usize,
    /// How many minutes have come so far.
    came: u64,
    ended: bool,
}

impl Queue {
    /// Adds a minute, and returns how many are given up for it.
    pub(super) fn push(&self, batch: Batch) -> u64 {
        let mut waiting = self.lock();
        waiting.rows += batch.rooms.len();
        waiting.minutes.push_back(Arc::new(batch));
        waiting.came += 1;
        let mut given_up = 0;
        while waiting.minutes.len() > 1
            && (waiting.rows > MAX_ROWS || waiting.minutes.len() > MAX_MINUTES)
        {
            waiting.pop();
            given_up += 1;
        }
        drop(waiting);
        self.changed.notify_all();
        given_up
    }

    /// Notes that nothing more will come.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until more minutes than `seen` have come, but no longer than `time`. Returns how
    /// many have come, or `None` if nothing more will.
    pub(super) fn wait(&self, seen: u64, time: Duration) -> Option<u64> {
        let waiting = self.lock();
        let nothing_new = |waiting: &mut Waiting| waiting.came == seen && !waiting.ended;
        let waited = self.changed.wait_timeout_while(waiting, time, nothing_new);
        let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waiting.ended).then_some(waiting.came)
    }

    /// The minute that has waited longest. It stays until it is [written](Self::written).
    pub(super) fn first(&self) -> Option<Arc<Batch>> {
        self.lock().minutes.front().cloned()
    }

    /// Removes the first minute, if it is still this one.
    pub(super) fn written(&self, batch: &Arc<Batch>) {
        let mut waiting = self.lock();
        if waiting.minutes.front().is_some_and(|first| Arc::ptr_eq(first, batch)) {
            waiting.pop();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().minutes.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn pop(&mut self) {
        if let Some(batch) = self.minutes.pop_front() {
            self.rows -= batch.rooms.len();
        }
    }
}
