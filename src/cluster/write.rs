//! A write: the part of a node's own share that Redis doesn't know yet.
//!
//! Each write repeats everything that is not acknowledged, so Redis may refuse one that comes
//! too late, and a lost write does no harm.

use std::sync::Arc;

use super::claim::Claim;
use super::frame::Frame;
use super::place::SeatNumber;
use crate::name::Name;

/// One write, which is one run of a [script](super::script::WRITE).
///
/// As JSON: `{"node":7,"seq":12,"base":11,"whole":null,"rooms":[["lobby",3]],"left":[4],
/// "seen":[9],"claims":[{"node":5,"seat":17,"to":23,"rooms":["lobby"],"unless":null}]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// Rises with each write. Redis refuses a write that is not newer than the last: it is late.
    pub(crate) seq: u64,
    /// The last write that was acknowledged. If Redis doesn't know of it, Redis has lost
    /// some writes, and refuses this one too.
    pub(crate) base: u64,
    /// The new generation, if this write replaces the whole hash.
    pub(crate) whole: Option<u32>,
    /// How many people are in the rooms that have changed, or in all rooms if it is whole.
    pub(crate) rooms: Vec<(Name, u32)>,
    /// Seats that were left: their people are in none of the numbers.
    pub(crate) left: Vec<SeatNumber>,
    /// Seats that others have claimed: their people are in none of the numbers. Redis
    /// subtracts people who were claimed but are not named here, because their claim has
    /// crossed the write.
    pub(crate) seen: Vec<SeatNumber>,
    /// The people to move here. They are in the numbers already.
    pub(crate) claims: Vec<Claim>,
}

/// What Redis answers to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was carried out: what was published, and the seats that others have claimed but
    /// this node has not [seen](Write::seen) yet.
    Done(Arc<Frame>, Vec<SeatNumber>),
    /// Redis has lost the share, or some of it. The node must write it anew, without the
    /// seats that others have claimed meanwhile.
    Lost(Vec<SeatNumber>),
    /// This write, or a later one, was carried out before, so it was refused.
    Late,
}
