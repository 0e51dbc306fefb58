//! A stream as a body: what it says after its first event.

use std::pin::pin;
use std::sync::Arc;

use async_stream::stream;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};

use super::life::Life;
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
        let keep_alive = life.keep_alive();
        let reason = loop {
            let changed = tokio::select! {
                biased;
                reason = life.over() => break reason,
                changed = timeout(keep_alive, subscription.changed()) => changed,
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
/// not read waits here, up to a room's capacity, and then as the newest alone.
pub(super) fn in_a_task(
    frames: impl Stream<Item = Frame> + Send + 'static,
    tally: Arc<Tally>,
) -> mpsc::Receiver<Frame> {
    let (body, receiver) = mpsc::channel(room::CAPACITY);
    tokio::spawn(async move {
        let mut frames = pin!(frames);
        // What waits because the body is full.
        let mut newest = None;
        loop {
            let frame = tokio::select! {
                biased;
                // The client has left.
                () = body.closed() => return,
                _there_is_room = body.reserve(), if newest.is_some() => newest.take(),
                frame = frames.next() => match frame {
                    Some(frame) => Some(frame),
                    None => break,
                },
            };
            if let Some(Err(TrySendError::Full(frame))) = frame.map(|frame| body.try_send(frame))
                && newest.replace(frame).is_some()
            {
                tally.lagged.count();
            }
        }
        if let Some(farewell) = newest {
            let _taken_or_left = body.send(farewell).await;
        }
    });
    receiver
}
