//! The terms that hold for every stream.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::heartbeat::Heartbeat;
use super::watch::Patience;

/// The terms that hold for every stream, and for the connection that carries it.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) keep_alive: Duration,
    pub(crate) patience: Patience,
    pub(crate) max_age: Option<Duration>,
    /// Cancelled when the server stops.
    pub(crate) drain: CancellationToken,
    /// The longest time over which the stop spreads the ends of many streams.
    pub(crate) drain_spread: Duration,
}

impl Terms {
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(self.keep_alive)
    }
}
