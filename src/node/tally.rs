//! What happens between the nodes, in numbers.

use crate::tally::{Counter, Gauge};

/// What this node knows of the cluster.
#[derive(Debug, Default)]
pub(crate) struct NodeTally {
    /// 1 while there is a link to Redis.
    pub(crate) linked: Gauge,
    /// The other nodes that are heard of.
    pub(crate) nodes: Gauge,
    /// What has yet to be written.
    pub(crate) backlog: Gauge,
    /// How long the last write took until it was heard of, in microseconds.
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
