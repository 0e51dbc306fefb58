//! A node: the product's own [`Member`], and the little that a driver of it has to do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::member::Member;
use crate::cluster::place::{NodeId, SeatNumber};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) member: Member,
    /// Its clock began at some other time than all others', and runs at its own speed.
    offset: Duration,
    rate: f64,
    /// Who sits where, and who waits to be let in.
    pub(crate) seated: BTreeMap<SeatNumber, usize>,
    pub(crate) waiting: BTreeMap<SeatNumber, usize>,
    pub(crate) next_seat: SeatNumber,
    pub(crate) link: Option<usize>,
    /// Commands that are not answered.
    pub(crate) asked: BTreeMap<u64, super::link::Command>,
    pub(crate) is_asleep: bool,
    /// Whether it has done anything since it woke: before, it tells nobody anything.
    pub(crate) is_called: bool,
    /// When it is to be called next.
    pub(crate) timer: Option<Duration>,
}

impl Node {
    pub(crate) fn new(id: NodeId, offset: Duration, rate: f64, now: Duration) -> Self {
        let clock = offset + now.mul_f64(rate);
        Self {
            id,
            member: Member::new(id, clock),
            offset,
            rate,
            seated: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_seat: 1,
            link: None,
            asked: BTreeMap::new(),
            is_asleep: false,
            is_called: false,
            timer: None,
        }
    }

    /// Its own time.
    pub(crate) fn clock(&self, now: Duration) -> Duration {
        self.offset + now.mul_f64(self.rate)
    }

    /// When its clock will say so.
    pub(crate) fn when(&self, clock: Duration) -> Duration {
        clock.saturating_sub(self.offset).div_f64(self.rate) + Duration::from_micros(1)
    }
}
