//! What happens between the nodes, in numbers.

use std::sync::{Mutex, PoisonError};

use crate::cluster::place::NodeId;
use crate::tally::{Counter, Gauge};

/// How many of the other nodes are listed one by one.
const MAX_OTHERS: usize = 64;

/// What this node knows of the cluster.
#[derive(Debug, Default)]
pub(crate) struct NodeTally {
    /// 1 while there is a link to Redis.
    pub(crate) linked: Gauge,
    /// How many other nodes are known.
    pub(crate) nodes: Gauge,
    /// How many items wait to be written, claimed or caught up with.
    pub(crate) backlog: Gauge,
    /// How long it took until the last write was heard, in microseconds.
    pub(crate) lag_micros: Gauge,
    pub(crate) frames: Counter,
    pub(crate) writes: Counter,
    /// People whose seats have moved here, and from here.
    pub(crate) claimed: Counter,
    pub(crate) given_up: Counter,
    /// How often everything was read anew.
    pub(crate) resyncs: Counter,
    /// How often the link was lost.
    pub(crate) links_lost: Counter,
    /// How often Redis had lost this node's share.
    pub(crate) leases_lost: Counter,
    /// Commands that failed.
    pub(crate) failures: Counter,
    others: Mutex<Vec<Other>>,
}

/// Another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its id, which is new at each start.
    pub(crate) id: u32,
    /// Each person counts once for every room that they are in.
    pub(crate) people: u64,
    pub(crate) rooms: usize,
}

impl NodeTally {
    /// The other nodes as they were a second ago.
    pub(crate) fn others(&self) -> Vec<Other> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell_others(&self, sizes: impl Iterator<Item = (NodeId, (u64, usize))>) {
        let others = sizes.take(MAX_OTHERS);
        let others = others.map(|(NodeId(id), (people, rooms))| Other { id, people, rooms });
        let others = others.collect();
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
    }
}
