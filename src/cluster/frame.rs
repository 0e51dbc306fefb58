//! A frame: what is published of one write, so that everybody learns of all its changes
//! at once.
//!
//! As JSON: `{"from":7,"seq":12,"shares":[{"node":7,"generation":1,"version":40,
//! "whole":false,"rooms":[["lobby",3]]}],"moves":[{"from":[5,17],"to":23,
//! "rooms":["lobby"],"lost":false}]}`.

use std::sync::Arc;

use super::place::{NodeId, Place, SeatNumber};
use crate::name::Name;

/// How often a hash has changed: by one with each frame that names it. The generation is
/// counted by the node and rises when it writes its whole share; the rest by Redis, which
/// begins anew then.
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
    /// First what it has itself, if nothing changed too; then what those have whose
    /// people it claimed.
    pub(crate) shares: Vec<Part>,
    /// Who was moved.
    pub(crate) moves: Vec<Move>,
}

/// What has changed of one node's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) node: NodeId,
    pub(crate) version: Version,
    /// Whether rooms that are not named have nobody.
    pub(crate) is_whole: bool,
    /// How many people are there now.
    pub(crate) rooms: Vec<(Name, u32)>,
}

/// Somebody who was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// The seat that its node is to give up.
    pub(crate) from: Place,
    /// The seat of the claimant.
    pub(crate) to: SeatNumber,
    /// The rooms that they are taken away from: none, if that was done before.
    pub(crate) rooms: Arc<[Name]>,
    /// Redis has lost the hash of the node that they came from, so no part says how many
    /// are left there.
    pub(crate) is_lost: bool,
}

impl Version {
    /// That of no hash.
    pub(crate) const NONE: Self = Self { generation: 0, number: 0 };

    /// Whether nothing is missing between `self` and `next`.
    pub(crate) fn is_followed_by(self, next: Self) -> bool {
        self.generation == next.generation && self.number + 1 == next.number
    }
}
