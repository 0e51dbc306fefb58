//! A person: where they sit, and until when they may be counted though they don't.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::place::{NodeId, Place, SeatNumber};
use crate::name::Name;

/// How many rooms there are.
pub(crate) const ROOMS: usize = 4;

#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) rooms: Arc<[Name]>,
    /// The same, as one answer for each room.
    pub(crate) is_in: [bool; ROOMS],
    /// What their client has heard last.
    pub(crate) token: Option<Place>,
    /// Where their client is connected.
    pub(crate) at: Option<Place>,
    /// Every seat that some living node has for them: several, if it has yet to notice.
    pub(crate) seats: Vec<Sitting>,
    /// When and where they last gave up a seat.
    pub(crate) left: Option<(Duration, usize)>,
    /// The same, if it was the seat that everybody counted.
    pub(crate) stood_up: Option<(Duration, usize)>,
    /// When a node died that had a seat of theirs, and whether it was cut off then: what it
    /// had sent before may reach Redis long after.
    pub(crate) died: Option<(Duration, bool)>,
    /// Whether they are on their way to another node.
    pub(crate) is_coming: bool,
    /// The tokens that they have shown to other nodes.
    pub(crate) tokens_used: BTreeSet<Place>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sitting {
    pub(crate) slot: usize,
    pub(crate) node: NodeId,
    pub(crate) seat: SeatNumber,
    pub(crate) since: Duration,
}

impl Sitting {
    pub(crate) fn place(&self) -> Place {
        Place { node: self.node, seat: self.seat }
    }
}
