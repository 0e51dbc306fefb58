//! The minutes that are yet to be written. It is bounded: where they can't be written for
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
    /// How many have come.
    came: u64,
    ended: bool,
}

impl Queue {
    /// Adds one, and answers how many are given up for it.
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

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until one more has come than `seen`, or so long. Answers how many have come, or
    /// `None` if nothing more does.
    pub(super) fn wait(&self, seen: u64, time: Duration) -> Option<u64> {
        let waiting = self.lock();
        let nothing_new = |waiting: &mut Waiting| waiting.came == seen && !waiting.ended;
        let waited = self.changed.wait_timeout_while(waiting, time, nothing_new);
        let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waiting.ended).then_some(waiting.came)
    }

    /// The one that has waited the longest. It stays until it is [written](Self::written).
    pub(super) fn first(&self) -> Option<Arc<Batch>> {
        self.lock().minutes.front().cloned()
    }

    /// Takes the first one off, if it is still this.
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
