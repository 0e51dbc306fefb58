//! The thread that asks the rooms every five seconds how many people they had. It touches no
//! disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::minute::Minute;
use super::past::Step;
use super::queue::Queue;
use super::recent::{Recent, Tick};
use super::tally::HistoryTally;
use crate::rooms::{Rooms, Stretches};

const STEP: u64 = Step::Seconds.seconds();

/// A step that took longer than this, in seconds, is left out: the process was stopped
/// meanwhile.
const LONGEST: f64 = 60.0;

/// How many rooms are noted at a time, so that readers need not wait for all of them.
const AT_ONCE: usize = 256;

/// Puts together what the rooms say, step by step.
pub(super) struct Collector {
    recent: Arc<Mutex<Recent>>,
    /// Where minutes wait to be written, if there is a file.
    queue: Option<Arc<Queue>>,
    tally: Arc<HistoryTally>,
    minute: Option<Minute>,
    started: Instant,
    asked: Instant,
    /// Whether the numbers were partial when the step began.
    was_partial: bool,
}

impl Collector {
    pub(super) fn new(
        recent: Arc<Mutex<Recent>>,
        queue: Option<Arc<Queue>>,
        tally: Arc<HistoryTally>,
        now: Instant,
    ) -> Self {
        Self { recent, queue, tally, minute: None, started: now, asked: now, was_partial: true }
    }

    /// Asks the rooms until the history ends.
    pub(super) fn run(mut self, rooms: &Rooms, stop: &Receiver<()>) {
        loop {
            // The time since the last step is left out: the server may be ending its streams,
            // which does not mean that anybody leaves.
            if stop.recv_timeout(until_next_step()) != Err(RecvTimeoutError::Timeout) {
                break;
            }
            let (now, wall) = (Instant::now(), SystemTime::now());
            let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
            if let Some(stretches) = rooms.take_stretches() {
                self.step(now, wall, stretches, rooms.is_partial());
            }
        }
        self.end_minute();
        if let Some(queue) = &self.queue {
            queue.end();
        }
    }

    /// Takes what the rooms report for the step that ends `now`, at `wall` by the wall clock.
    pub(super) fn step(
        &mut self,
        now: Instant,
        wall: Duration,
        stretches: Stretches,
        is_partial: bool,
    ) {
        let seconds = now.duration_since(self.asked).as_secs_f64();
        self.asked = now;
        // Numbers from which people may be missing don't show how few people there were.
        let is_known = !is_partial && !self.was_partial && seconds > 0.0 && seconds <= LONGEST;
        self.was_partial = is_partial;
        if !is_known {
            return;
        }
        // The nearest step: the thread may be woken a little late, or the clock adjusted.
        let steps = (wall.as_secs_f64() / STEP as f64).round() as u64;
        let at = steps.saturating_sub(1) * STEP;
        let since_start = now.duration_since(self.started).as_secs_f64();
        let number = (since_start / STEP as f64).round() as u32;
        let tick = Tick { number, at, seconds };
        self.remember(tick, &stretches);
        if self.queue.is_some() {
            self.add(tick, stretches);
        }
    }

    fn remember(&self, tick: Tick, stretches: &Stretches) {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for rooms in stretches.rooms.chunks(AT_ONCE) {
            recent().note(tick, rooms);
        }
        recent().end(tick, &stretches.total);
    }

    fn add(&mut self, tick: Tick, stretches: Stretches) {
        if self.minute.as_ref().is_some_and(|minute| !minute.has(tick.at)) {
            self.end_minute();
        }
        let minute = self.minute.get_or_insert_with(|| Minute::new(tick.at));
        minute.add(tick, stretches);
        if !minute.has(tick.at + STEP) {
            self.end_minute();
        }
    }

    fn end_minute(&mut self) {
        let batch = self.minute.take().and_then(|minute| minute.end());
        if let (Some(batch), Some(queue)) = (batch, &self.queue) {
            self.tally.lost.add(queue.push(batch));
            self.tally.waiting.set(queue.len());
        }
    }
}

/// How long it takes until a step of the wall clock ends. If less than half of a step is left,
/// the thread was woken a little early, and the end of the next step is meant.
fn until_next_step() -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let step = STEP as f64;
    let rest = step - wall % step;
    Duration::from_secs_f64(if rest < step / 2.0 { rest + step } else { rest })
}
