//! A frame: what one write publishes, so that everybody learns of all its changes at once.
//!
//! As JSON: `{"from":7,"seq":12,"shares":[{"node":7,"generation":1,"version":40,
//! "whole":false,"rooms":[["lobby",3]]}],"moves":[{"from":[5,17],"to":23,
//! "rooms":["lobby"],"lost":false}]}`.

use std::sync::Arc;

use super::place::{NodeId, Place, SeatNumber};
use crate::name::Name;

/// How often a hash has changed. The node counts the generation, which rises when it writes
/// its whole share; Redis counts the number within a generation, which rises by one with each
/// frame that names the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) generation: u32,
    pub(crate) number: u64,
}

/// What one write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The node that wrote.
    pub(crate) from: NodeId,
    /// The number of its write.
    pub(crate) seq: u64,
    /// First the node's own part, even if nothing changed; then those of the nodes whose
    /// people it claimed.
    pub(crate) shares: Vec<Part>,
    /// Who was moved.
    pub(crate) moves: Vec<Move>,
}

/// What has changed in one node's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) node: NodeId,
    pub(crate) version: Version,
    /// Whether it is the whole share: rooms that are not named are empty.
    pub(crate) is_whole: bool,
    /// How many people are now in these rooms.
    pub(crate) rooms: Vec<(Name, u32)>,
}

/// Somebody who was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// The seat that its node must give up.
    pub(crate) from: Place,
    /// The seat of the claimant.
    pub(crate) to: SeatNumber,
    /// The rooms that they are taken away from; none if that was done before.
    pub(crate) rooms: Arc<[Name]>,
    /// Whether Redis has lost the hash of the node that they came from, so that no part says
    /// how many are left there.
    pub(crate) is_lost: bool,
}

impl Version {
    /// The version of a hash that doesn't exist.
    pub(crate) const NONE: Self = Self { generation: 0, number: 0 };

    /// Whether `next` is the version right after `self`.
    pub(crate) fn is_followed_by(self, next: Self) -> bool {
        self.generation == next.generation && self.number + 1 == next.number
    }
}
