//! A write: what of a node's own share Redis doesn't know yet.
//!
//! It repeats whatever is not acknowledged, so Redis may refuse one that comes too late,
//! and one that was lost is no loss.

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
    /// Rises with each write. An older one than the last is refused: it was late.
    pub(crate) seq: u64,
    /// The last write that was acknowledged. If Redis doesn't know of it, it has lost
    /// some, and this one is refused too.
    pub(crate) base: u64,
    /// The generation, if the hash is to be written anew.
    pub(crate) whole: Option<u32>,
    /// How many people are in the rooms that have changed, or in all of them.
    pub(crate) rooms: Vec<(Name, u32)>,
    /// Seats that were left: their people are in none of the numbers.
    pub(crate) left: Vec<SeatNumber>,
    /// Seats that others have claimed: their people are in none of the numbers. Redis
    /// takes away those who were claimed and are not named here, because their claim has
    /// crossed the write.
    pub(crate) seen: Vec<SeatNumber>,
    /// Who is to be moved here. They are in the numbers.
    pub(crate) claims: Vec<Claim>,
}

/// What Redis says to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was carried out: what was published, and the seats that others have claimed and
    /// this node has not [seen](Write::seen) yet.
    Done(Arc<Frame>, Vec<SeatNumber>),
    /// Redis has lost the share, or some of it. It is to be written anew, without the
    /// seats that others have claimed meanwhile.
    Lost(Vec<SeatNumber>),
    /// A later write was carried out before, so this one was not.
    Late,
}
