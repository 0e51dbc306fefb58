//! The life of one stream: what it holds as long as it lives, and why it ends.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rand::random_range;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::held::{self, Held};
use crate::ending::{Ending, Reason};
use crate::event::Frame;
use crate::heartbeat::Heartbeat;
use crate::limits::Permit;
use crate::room::{Observer, Presence};
use crate::token::Token;

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

/// Whose stream it is.
pub(super) enum Guest {
    /// Somebody who is counted, whose place among the limits is their seat's, and
    /// whose seat is to wait there if they leave and have asked for it.
    Counted(Presence, Option<Arc<Held>>),
    /// Somebody who is not.
    #[expect(dead_code, reason = "their `Drop` is what they are for")]
    Observer(Observer, Permit),
}

impl Guest {
    /// What names their seat, if they have one.
    pub(super) fn token(&self) -> Option<Token> {
        match self {
            Self::Counted(presence, _) => Some(presence.seat().token()),
            Self::Observer(..) => None,
        }
    }
}

/// One stream's life. Dropping it ends it, and the client has left; the server's
/// own reasons to end it are told by [`poll_over`](Self::poll_over).
pub(crate) struct Life {
    /// Until it is over.
    guest: Option<Guest>,
    shared: Arc<Shared>,
    /// Until it is too old; and once the server stops, until its turn.
    timer: Option<Pin<Box<Sleep>>>,
    drained: bool,
}

impl Life {
    pub(super) fn new(guest: Guest, shared: Arc<Shared>) -> Self {
        // Jittered, or those who came together would go together.
        let age = shared.max_age.map(|age| age.mul_f64(random_range(0.8..=1.0)));
        shared.rooms.tally().streams.up();
        let guest = Some(guest);
        Self { guest, shared, timer: age.map(|age| Box::pin(sleep(age))), drained: false }
    }

    /// Where to note why the stream ends.
    pub(super) fn ending(&self) -> Ending {
        match &self.guest {
            Some(Guest::Counted(presence, _)) => presence.ending().clone(),
            _ => Ending::default(),
        }
    }

    /// When the stream is to be told the count again.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(self.shared.keep_alive)
    }

    /// Cancelled when the server stops.
    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.shared.drain
    }

    /// Waits until the server has a reason to end the stream.
    pub(super) async fn over(&mut self) -> Reason {
        let drain = self.drain().clone();
        let mut drained = pin!(drain.cancelled());
        poll_fn(|cx| {
            let _looked_at_below = drained.as_mut().poll(cx);
            self.poll_over(cx)
        })
        .await
    }

    /// Ready when the server has a reason to end the stream. The task is woken for
    /// it, but not by the drain: who polls this is to see to that.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(Guest::Counted(presence, _)) = &self.guest
            && presence.seat().poll_taken(cx).is_ready()
        {
            return Poll::Ready(Reason::Replaced);
        }
        if !self.drained && self.shared.drain.is_cancelled() {
            self.drained = true;
            let spread = spread(self.shared.rooms.tally().streams.get(), self.shared.drain_spread);
            self.timer = Some(Box::pin(sleep(spread.mul_f64(random_range(0.0..=1.0)))));
        }
        match &mut self.timer {
            None => Poll::Pending,
            Some(timer) => {
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(if self.drained { Reason::Shutdown } else { Reason::AgedOut })
            }
        }
    }

    /// Uncounts an open stream, once, and answers whose it was.
    fn close(&mut self) -> Option<Guest> {
        let guest = self.guest.take()?;
        self.shared.rooms.tally().streams.down();
        Some(guest)
    }

    /// Ends the stream, and answers with what its client is to be told yet.
    pub(crate) fn end(mut self, reason: Reason) -> Option<Frame> {
        // Before the farewell: one who never reads it is gone all the same.
        if let Guest::Counted(presence, _) = self.close()? {
            presence.ending().note(reason);
            if reason == Reason::AgedOut {
                tokio::spawn(async move { held::wait(&presence, HOLD).await });
            }
        }
        match reason {
            Reason::AgedOut => Some(Frame::retry(random_ms(SHORT_RETRY_MS))),
            Reason::Shutdown => Some(Frame::retry(retry())),
            _ => None,
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(Guest::Counted(presence, Some(held))) = self.close() {
            held.keep(presence);
        }
    }
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
