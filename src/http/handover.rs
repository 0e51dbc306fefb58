//! Where a handler leaves a stream for the server to carry on without hyper.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Version;
use tokio_util::sync::CancellationToken;

use super::life::Life;
use crate::room::Subscription;

/// A stream that is under way: its head and first event are hyper's to send, the
/// rest is whoever's who takes it.
pub(crate) struct Stay {
    pub(crate) life: Life,
    /// What it is to hear, from its first event on.
    pub(crate) subscription: Subscription,
    /// Whether the head that was sent promises chunks; else the end of the
    /// connection is the end of the stream (HTTP/1.0).
    pub(crate) chunked: bool,
}

/// Among the extensions of an answer that is a stream, and that hyper carries: cancelled
/// once it is over.
#[derive(Clone)]
pub(crate) struct Streaming(pub(crate) CancellationToken);

/// The slot for the stream of one connection, among its requests' extensions.
///
/// hyper keeps some 17 kB for a connection as long as its response lasts, and
/// stops watching for the client's end once it has read a byte too many. So the
/// server takes the connection back from it as soon as the head and the first
/// event are sent. If the connection ends sooner, the slot is dropped, and the
/// stream with it.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    stay: Option<Stay>,
    /// hyper has asked for what follows the first event.
    first_is_taken: bool,
}

impl Handover {
    /// Leaves the stream that answers a request of this version.
    pub(super) fn leave(&self, life: Life, subscription: Subscription, version: Version) {
        let chunked = version == Version::HTTP_11;
        self.slot().stay = Some(Stay { life, subscription, chunked });
    }

    /// Notes that the first event is on its way.
    pub(super) fn first_is_taken(&self) {
        self.slot().first_is_taken = true;
    }

    /// Whether [`take`](Self::take) has something to take once all is flushed.
    pub(crate) fn is_due(&self) -> bool {
        self.slot().first_is_taken
    }

    /// Takes the stream.
    pub(crate) fn take(&self) -> Option<Stay> {
        self.slot().stay.take()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
