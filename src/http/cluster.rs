//! What `/metrics` says about a node and its cluster.

use prometheus::Result;

use super::exposition::Exposition;
use crate::node::Node;
use crate::rooms::Rooms;

/// Adds a node's metrics to a page.
pub(super) fn register(page: &Exposition, node: &Node, rooms: &Rooms) -> Result<()> {
    page.info("headcount_cluster_node_info", "The name of this node.", "node", node.name())?;

    let tally = node.tally();
    let (shared_rooms, people) = rooms.elsewhere();
    page.gauge(
        "headcount_cluster_linked",
        "1 while this node is connected to Redis.",
        tally.linked.get(),
    )?;
    page.gauge(
        "headcount_cluster_nodes",
        "Other nodes whose people count here.",
        tally.nodes.get(),
    )?;
    page.gauge("headcount_cluster_rooms", "Rooms that have people at other nodes.", shared_rooms)?;
    page.gauge(
        "headcount_cluster_people",
        "People at other nodes, once for each room that they are in.",
        people,
    )?;
    page.gauge(
        "headcount_cluster_backlog",
        "Pieces of what this node has yet to tell the others.",
        tally.backlog.get(),
    )?;
    page.seconds(
        "headcount_cluster_lag_seconds",
        "How long this node's last change took to Redis and back.",
        tally.lag_micros.get(),
    )?;
    page.counter("headcount_cluster_frames_total", "Frames that were heard.", tally.frames.get())?;
    page.counter("headcount_cluster_writes_total", "Writes to Redis.", tally.writes.get())?;
    page.counter(
        "headcount_cluster_claims_total",
        "Clients of other nodes that have come here with their seats.",
        tally.claimed.get(),
    )?;
    page.counter(
        "headcount_cluster_given_up_total",
        "Seats whose clients have gone to another node.",
        tally.given_up.get(),
    )?;
    page.counter(
        "headcount_cluster_resyncs_total",
        "Times that all nodes' numbers were read anew.",
        tally.resyncs.get(),
    )?;
    page.counter(
        "headcount_cluster_links_lost_total",
        "Connections to Redis that were lost.",
        tally.links_lost.get(),
    )?;
    page.counter(
        "headcount_cluster_leases_lost_total",
        "Times that Redis had lost this node's numbers.",
        tally.leases_lost.get(),
    )?;
    page.counter(
        "headcount_cluster_failures_total",
        "Commands that Redis did not carry out, or not in time.",
        tally.failures.get(),
    )
}
