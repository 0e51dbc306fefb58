//! The life of one stream: what it says after its first event, and why it ends.

use std::future::pending;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use rand::random_range;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{sleep, timeout};
use tokio_stream::{Stream, StreamExt};

use super::Shared;
use super::held::Seated;
use super::limits::Permit;
use crate::ending::{Ending, Reason};
use crate::event::Frame;
use crate::room::{self, Presence};
use crate::seat::Seat;
use crate::tally::Tally;

/// How long, in milliseconds, a client shall wait before it comes back. Random
/// for each: no browser spreads its return by itself, so after a restart all
/// of them would come in the same second.
pub(super) const RETRY_MS: RangeInclusive<u64> = 2000..=5000;

/// The same for a client whose stream only got too old: its seat is kept, so it
/// had better be back soon.
pub(super) const SHORT_RETRY_MS: RangeInclusive<u64> = 100..=1000;

/// How long the seat of a stream that got too old is kept for its client.
pub(super) const HOLD: Duration = Duration::from_secs(10);

/// So many streams may be ended in one moment when the server stops …
const HANDFUL: usize = 100;
/// … and of more, each adds so much to the time over which they are spread.
const SPREAD_PER_STREAM: Duration = Duration::from_millis(1);

/// What a stream has as long as it lives. Dropped in this order: whoever hears
/// that somebody left finds the place free.
pub(super) struct Place {
    pub(super) permit: Permit,
    pub(super) presence: Seated,
}

/// What a stream says after its first event, until it is over. It owns the
/// presence: when the client goes, the server drops the stream wherever it
/// waits, and no code after the loop would run, but the presence's `Drop` does.
pub(super) fn frames(
    shared: Arc<Shared>,
    mut place: Place,
    ending: Ending,
) -> impl Stream<Item = Frame> {
    stream! {
        let seat = place.presence.seat().clone();
        let mut over = pin!(over(&shared, &seat));
        let reason = loop {
            let changed = tokio::select! {
                biased;
                reason = &mut over => break reason,
                changed = timeout(shared.keep_alive, place.presence.changed()) => changed,
            };
            // Silence: the count is said again, as the heartbeat.
            let event = changed.unwrap_or_else(|_silence| place.presence.now());
            shared.rooms.tally().deliveries.count();
            yield event.frame();
        };
        ending.note(reason);
        // Before the farewell: one who never reads it is gone all the same.
        let Place { permit, presence } = place;
        drop(permit);
        let presence = presence.into_presence();
        match reason {
            Reason::AgedOut => {
                tokio::spawn(hold(presence));
                yield Frame::retry(random_ms(SHORT_RETRY_MS));
            }
            Reason::Shutdown => {
                drop(presence);
                yield Frame::retry(retry());
            }
            _ => {}
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

/// Waits until the server has a reason to end a stream.
async fn over(shared: &Shared, seat: &Seat) -> Reason {
    let drained = async {
        shared.drain.cancelled().await;
        sleep(random_upto(spread(shared.limits.streams(), shared.drain_spread))).await;
    };
    let aged = async {
        match shared.max_age {
            // Jittered, or those who came together would go together.
            Some(age) => sleep(age.mul_f64(random_range(0.8..=1.0))).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = seat.taken() => Reason::Replaced,
        () = drained => Reason::Shutdown,
        () = aged => Reason::AgedOut,
    }
}

/// Keeps the seat of a client that was told to come back.
async fn hold(presence: Presence) {
    let seat = presence.seat().clone();
    let _taken_or_not = timeout(HOLD, seat.taken()).await;
    drop(presence);
}

/// The time over which a stop spreads the ends of so many streams, so that
/// their clients don't all come back in one moment.
fn spread(streams: usize, most: Duration) -> Duration {
    if streams <= HANDFUL {
        return Duration::ZERO;
    }
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    SPREAD_PER_STREAM.saturating_mul(streams).min(most)
}

/// How long a client shall wait before it comes back.
pub(super) fn retry() -> Duration {
    random_ms(RETRY_MS)
}

fn random_ms(range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random_range(range))
}

fn random_upto(most: Duration) -> Duration {
    most.mul_f64(random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_spread_and_a_handful_is_not() {
        let most = Duration::from_secs(8);
        assert_eq!(spread(100, most), Duration::ZERO);
        assert_eq!(spread(1_000, most), Duration::from_secs(1));
        assert_eq!(spread(20_000, most), most);
        assert_eq!(spread(usize::MAX, most), most);
    }
}
