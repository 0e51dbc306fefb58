//! A stream as a body: what it says after its first event.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use rand::random_range;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::DropGuard;

use super::life::Life;
use crate::ending::{Ending, Reason};
use crate::event::Frame;
use crate::room::{self, Subscription};
use crate::tally::Tally;

/// What a stream says after its first event, until it is over. It owns the
/// stream's life: when the client goes, the server drops the stream wherever it
/// waits, and no code after the loop would run, but the presence's `Drop` does.
pub(super) fn frames(
    mut life: Life,
    mut subscription: Subscription,
    tally: Arc<Tally>,
) -> impl Stream<Item = Frame> {
    stream! {
        let silence = life.heartbeat().silence(random_range(0.0..=1.0));
        let reason = loop {
            let changed = tokio::select! {
                biased;
                reason = life.over() => break reason,
                changed = timeout(silence, subscription.changed()) => changed,
            };
            // Silence: the count is said again, as the heartbeat.
            let event = changed.unwrap_or_else(|_silence| subscription.now());
            tally.deliveries.count();
            yield event.frame().clone();
        };
        drop(subscription);
        if let Some(farewell) = life.end(reason) {
            yield farewell;
        }
    }
}

/// Runs a stream in a task of its own, for a body that nobody asks for more while
/// its client does not read: the stream's end is not to wait for that. What is
/// not read waits here, up to a room's capacity, and then as the newest alone; and who
/// takes nothing of it for as long as `stall_timeout` is gone.
pub(super) fn in_a_task(
    frames: impl Stream<Item = Frame> + Send + 'static,
    ending: Ending,
    stall_timeout: Duration,
    tally: Arc<Tally>,
    is_over: DropGuard,
) -> mpsc::Receiver<Frame> {
    let (body, receiver) = mpsc::channel(room::CAPACITY);
    tokio::spawn(async move {
        let _is_over = is_over;
        let mut frames = pin!(frames);
        // What waits because the body is full.
        let mut newest = None;
        let mut stall = Stall::new(stall_timeout);
        while !stall.is_over(&body) {
            let frame = tokio::select! {
                biased;
                // The client has left.
                () = body.closed() => return,
                _there_is_room = body.reserve(), if newest.is_some() => newest.take(),
                () = sleep_until(stall.until), if stall.waits => continue,
                frame = frames.next() => match frame {
                    Some(frame) => Some(frame),
                    None => break,
                },
            };
            match frame.map(|frame| body.try_send(frame)) {
                Some(Ok(())) => stall.sent += 1,
                Some(Err(TrySendError::Full(frame))) => {
                    let gave_up = newest.replace(frame).is_some();
                    tally.lagged.add(gave_up.into());
                }
                _ => {}
            }
        }
        if stall.is_over(&body) {
            ending.note(Reason::TimedOut);
        } else if let Some(farewell) = newest {
            let _taken_or_left = body.send(farewell).await;
        }
    });
    receiver
}

/// Whether a client takes what waits for it in its body.
struct Stall {
    timeout: Duration,
    /// Until when it is to take something more.
    until: Instant,
    waits: bool,
    sent: usize,
    taken: usize,
}

impl Stall {
    fn new(timeout: Duration) -> Self {
        Self { timeout, until: Instant::now() + timeout, waits: false, sent: 0, taken: 0 }
    }

    /// Looks, and answers whether it has taken nothing for too long.
    fn is_over(&mut self, body: &mpsc::Sender<Frame>) -> bool {
        let waiting = body.max_capacity() - body.capacity();
        let (taken, now) = (self.sent - waiting, Instant::now());
        if !self.waits || taken != self.taken {
            self.taken = taken;
            self.until = now + self.timeout;
        }
        self.waits = waiting > 0;
        self.until <= now
    }
}
