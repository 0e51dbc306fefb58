//! Whether this node's numbers are those of all nodes, and what watchers and the log hear of
//! that.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::link::LinkError;
use crate::doubt::Doubt;
use crate::rooms::Rooms;

/// A doubt lasts at least this long. With a slow Redis each client that comes from another
/// node brings one, and watchers would hear of nothing else.
const LEAST_DOUBT: Duration = Duration::from_millis(500);

/// A doubt shorter than this is not logged, for the same reason.
const SHORT_DOUBT: Duration = Duration::from_secs(1);

pub(super) struct Certainty {
    rooms: Rooms,
    doubt: Option<Doubt>,
    /// When it began.
    since: Instant,
    /// What the log said last: whether the numbers are partial.
    logged: Option<bool>,
    /// Whether the log says already that Redis can't be reached, or fails.
    has_complained: bool,
}

impl Certainty {
    /// A node that has yet to hear of the others.
    pub(super) fn new(rooms: Rooms) -> Self {
        let (doubt, since) = (Some(rooms.doubt()), Instant::now());
        Self { rooms, doubt, since, logged: None, has_complained: false }
    }

    /// People may be missing from the numbers.
    pub(super) fn doubt(&mut self) {
        if self.doubt.is_none() {
            self.doubt = Some(self.rooms.doubt());
            self.since = Instant::now();
        }
    }

    /// The numbers are those of so many nodes. The doubt may last a moment longer.
    pub(super) fn is_whole(&mut self, nodes: usize) {
        // The first doubt may be short: nobody was told another number before it.
        let is_long = self.logged.is_none() || self.since.elapsed() >= LEAST_DOUBT;
        if is_long && self.doubt.take().is_some() {
            self.has_complained = false;
            if self.logged.replace(false) != Some(false) {
                info!(nodes, "the numbers are those of all nodes");
            }
        }
    }

    /// When to look again whether a doubt is over, if that is soon.
    pub(super) fn due(&self) -> Option<Instant> {
        let end = self.since + LEAST_DOUBT;
        (self.doubt.is_some() && end > Instant::now()).then_some(end)
    }

    /// Logs a doubt once it is no longer short.
    pub(super) fn log_doubt(&mut self) {
        let is_long = self.doubt.is_some() && self.since.elapsed() >= SHORT_DOUBT;
        if is_long && self.logged.replace(true) != Some(true) {
            info!("the numbers are partial: some people at other nodes may be missing");
        }
    }

    /// Logs what is wrong, once until it is mended.
    pub(super) fn complain(&mut self, what: &str, error: &LinkError) {
        if !mem::replace(&mut self.has_complained, true) {
            warn!(%error, "{what}");
        }
    }

    /// Redis does what it is asked: what was wrong is mended, if there is no doubt.
    pub(super) fn is_served(&mut self) {
        if self.doubt.is_none() {
            self.has_complained = false;
        }
    }
}

impl Drop for Certainty {
    /// Numbers that nobody keeps right any more stay in doubt for ever.
    fn drop(&mut self) {
        mem::forget(self.rooms.doubt());
    }
}
