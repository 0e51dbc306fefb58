//! The guest: whose stream it is, and what becomes of their seat when it ends.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::random_range;

use super::held::Held;
use crate::ending::Reason;
use crate::event;
use crate::limits::Permit;
use crate::presence::{Observer, Presence};
use crate::seat::Seat;
use crate::tally::Tally;

/// How long, in milliseconds, a client must wait before it comes back. It is random for
/// each client, because browsers don't spread their returns themselves: after a restart
/// all of them would come in the same second.
pub(crate) const RETRY_MS: RangeInclusive<u64> = 2000..=5000;

/// The same for a client whose stream only got too old: its seat is kept, so it
/// should be back soon.
pub(crate) const SHORT_RETRY_MS: RangeInclusive<u64> = 100..=1000;

/// Somebody who has an open stream.
pub(crate) struct Guest {
    who: Option<Who>,
    /// Where their seat waits when they leave, if it is held.
    held: Arc<Held>,
    tally: Arc<Tally>,
}

pub(crate) enum Who {
    /// Somebody who is counted. Their seat has their place among the limits.
    Counted {
        presence: Presence,
        /// Whether they have asked for their seat to be held when they leave.
        holds: bool,
    },
    /// Somebody who is not counted.
    #[expect(dead_code, reason = "their `Drop` is what they are for")]
    Observer(Observer, Permit),
}

impl Who {
    /// Their seat, if they have one.
    pub(super) fn seat(&self) -> Option<&Arc<Seat>> {
        match self {
            Self::Counted { presence, .. } => Some(presence.seat()),
            Self::Observer(..) => None,
        }
    }
}

impl Guest {
    pub(crate) fn new(who: Who, held: &Arc<Held>, tally: &Arc<Tally>) -> Self {
        tally.streams.up();
        Self { who: Some(who), held: held.clone(), tally: tally.clone() }
    }

    /// Their seat, if they have one.
    pub(crate) fn seat(&self) -> Option<&Arc<Seat>> {
        self.who.as_ref().and_then(Who::seat)
    }

    /// Notes why the stream ends, unless a cause is noted already.
    pub(crate) fn note(&self, reason: Reason) {
        if let Some(Who::Counted { presence, .. }) = &self.who {
            presence.ending().note(reason);
        }
    }

    /// Ends the stream because the server wants to. A client that is sent away has not left.
    pub(crate) fn end(mut self, reason: Reason) {
        let held = &self.held;
        self.note(reason);
        match (self.who.take(), reason) {
            (Some(Who::Counted { presence, .. }), Reason::AgedOut) => {
                held.clone().keep_aged(presence);
            }
            (Some(Who::Counted { presence, .. }), Reason::Shutdown) => held.leave_behind(presence),
            (who, _) => drop(who),
        }
    }
}

impl Drop for Guest {
    /// If the stream was not ended, its client has left.
    fn drop(&mut self) {
        self.tally.streams.down();
        if let Some(Who::Counted { presence, holds: true }) = self.who.take() {
            self.held.clone().keep(presence);
        }
    }
}

/// What a client is told at the end of its stream, if anything: when to come back.
pub(crate) fn farewell(reason: Reason) -> Option<Bytes> {
    match reason {
        Reason::AgedOut => Some(event::retry(random_ms(SHORT_RETRY_MS))),
        Reason::Shutdown => Some(event::retry(retry())),
        _ => None,
    }
}

/// How long a client must wait before it comes back.
pub(crate) fn retry() -> Duration {
    random_ms(RETRY_MS)
}

fn random_ms(range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random_range(range))
}
