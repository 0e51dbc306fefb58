//! What `/metrics` says about a node and its cluster.

use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, Result};

use crate::node::Node;
use crate::rooms::Rooms;

/// Adds a node's metrics to a page.
pub(super) fn register(page: &Registry, node: &Node, rooms: &Rooms) -> Result<()> {
    let gauge = |name: &str, help: &str, value: usize| {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        page.register(Box::new(gauge))
    };
    let counter = |name: &str, help: &str, value: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        page.register(Box::new(counter))
    };
    let info = Opts::new("headcount_cluster_node_info", "The name of this node.");
    let info = IntGaugeVec::new(info, &["node"])?;
    info.with_label_values(&[node.name()]).set(1);
    page.register(Box::new(info))?;

    let tally = node.tally();
    let (shared_rooms, people) = rooms.elsewhere();
    gauge(
        "headcount_cluster_linked",
        "1 while this node is connected to Redis.",
        tally.linked.get(),
    )?;
    gauge("headcount_cluster_nodes", "Other nodes whose people count here.", tally.nodes.get())?;
    gauge("headcount_cluster_rooms", "Rooms that have people at other nodes.", shared_rooms)?;
    gauge(
        "headcount_cluster_people",
        "People at other nodes, once for each room that they are in.",
        people,
    )?;
    gauge(
        "headcount_cluster_backlog",
        "Pieces of what this node has yet to tell the others.",
        tally.backlog.get(),
    )?;
    let lag = Gauge::new(
        "headcount_cluster_lag_seconds",
        "How long this node's last change took to Redis and back.",
    )?;
    lag.set(tally.lag_micros.get() as f64 / 1e6);
    page.register(Box::new(lag))?;
    counter("headcount_cluster_frames_total", "Frames that were heard.", tally.frames.get())?;
    counter("headcount_cluster_writes_total", "Writes to Redis.", tally.writes.get())?;
    counter(
        "headcount_cluster_claims_total",
        "Clients of other nodes that have come here with their seats.",
        tally.claimed.get(),
    )?;
    counter(
        "headcount_cluster_given_up_total",
        "Seats whose clients have gone to another node.",
        tally.given_up.get(),
    )?;
    counter(
        "headcount_cluster_resyncs_total",
        "Times that all nodes' numbers were read anew.",
        tally.resyncs.get(),
    )?;
    counter(
        "headcount_cluster_links_lost_total",
        "Connections to Redis that were lost.",
        tally.links_lost.get(),
    )?;
    counter(
        "headcount_cluster_leases_lost_total",
        "Times that Redis had lost this node's numbers.",
        tally.leases_lost.get(),
    )?;
    counter(
        "headcount_cluster_failures_total",
        "Commands that Redis did not carry out, or not in time.",
        tally.failures.get(),
    )
}
