//! What happens between the nodes, in numbers.

use crate::tally::{Counter, Gauge};

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
}
