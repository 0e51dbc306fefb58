//! The pictures of the report.

use super::medians::Medians;
use super::tables::thousands;
use crate::peers::{HEADCOUNT, PEERS, Peer};
use crate::results::OfWay;
use crate::svg::{self, Axis, Bar, Line, Scale};
use crate::way::Way;

pub(super) const COST: &str = "cost.svg";
pub(super) const MEMORY: &str = "memory.svg";
pub(super) const STORM: &str = "storm.svg";
pub(super) const LATENCY: &str = "latency.svg";
pub(super) const WAYS_MEMORY: &str = "ways-memory.svg";
pub(super) const WAYS_COST: &str = "ways-cost.svg";

/// A picture, as a file.
pub(super) struct Plot {
    pub(super) file: &'static str,
    pub(super) svg: String,
}

/// Those for which there are figures.
pub(super) fn all(medians: &Medians) -> Vec<Plot> {
    let plots = [
        cost(medians),
        latency(medians),
        memory(medians),
        storm(medians),
        ways_memory(medians),
        ways_cost(medians),
    ];
    plots.into_iter().flatten().collect()
}

fn cost(medians: &Medians) -> Option<Plot> {
    let bar = |peer: &'static Peer| {
        let ratio = medians.cost_ratio(peer)?;
        Some(bar(medians, peer, ratio, format!("{ratio:.2} ×")))
    };
    let bars: Vec<_> = medians.peers().filter_map(bar).collect();
    let title = "CPU time of one delivery, against the floor with the same crowd";
    let svg = svg::bars(title, Some((1.0, "the floor")), &bars);
    (bars.len() > 1).then_some(Plot { file: COST, svg })
}

fn memory(medians: &Medians) -> Option<Plot> {
    let bar = |peer: &'static Peer| {
        let kilobytes = medians.memory(peer.name, medians.crowd(peer)?)? / 1000.0;
        Some(bar(medians, peer, kilobytes, format!("{kilobytes:.2} kB")))
    };
    let bars: Vec<_> = medians.peers().filter_map(bar).collect();
    let svg = svg::bars("The server's memory for one open stream", None, &bars);
    (!bars.is_empty()).then_some(Plot { file: MEMORY, svg })
}

fn storm(medians: &Medians) -> Option<Plot> {
    let line = |peer: &'static Peer| {
        let points = medians.storm_sizes(peer.name).into_iter().filter_map(|streams| {
            let seconds = medians.storm(peer.name, streams, |storm| storm.converged_s)?;
            Some((streams as f64, seconds))
        });
        line(peer.title.into(), points.collect(), peer)
    };
    let lines: Vec<_> = medians.peers().filter_map(line).collect();
    let x = Axis { label: "clients that connect at once", scale: Scale::Logarithmic };
    let y =
        Axis { label: "seconds until every stream shows the number", scale: Scale::Logarithmic };
    let svg = svg::lines("A storm of joins", &x, &y, &lines);
    (!lines.is_empty()).then_some(Plot { file: STORM, svg })
}

fn latency(medians: &Medians) -> Option<Plot> {
    let largest = medians.peers().filter_map(|peer| medians.crowd(peer)).max()?;
    let line = |peer: &'static Peer| {
        // Only those with the same crowd can be compared in milliseconds.
        let latencies = medians.latencies(peer.name, largest)?;
        // The very first is of the visitor itself, more often than not.
        let points = latencies.iter().enumerate().skip(1).map(|(p, us)| (us / 1000.0, p as f64));
        line(peer.title.into(), points.collect(), peer)
    };
    let lines: Vec<_> = medians.peers().filter_map(line).collect();
    let x = Axis { label: "milliseconds after the visitor's request", scale: Scale::Logarithmic };
    let y = Axis { label: "per cent of all streams that know", scale: Scale::PerCent };
    let title = format!("How soon {} streams know of one more visitor", thousands(largest));
    (!lines.is_empty()).then(|| Plot { file: LATENCY, svg: svg::lines(&title, &x, &y, &lines) })
}

fn ways_memory(medians: &Medians) -> Option<Plot> {
    let bars = ways(medians, |peer, way| {
        let kilobytes = medians.way(peer, way, OfWay::of_a_stream)? / 1000.0;
        Some((kilobytes, format!("{kilobytes:.1} kB")))
    });
    let svg = svg::bars("The server's memory for one visitor, by the way taken", None, &bars);
    (!bars.is_empty()).then_some(Plot { file: WAYS_MEMORY, svg })
}

fn ways_cost(medians: &Medians) -> Option<Plot> {
    let base = medians.way(HEADCOUNT, Way::Http1, OfWay::server_cpu_us)?;
    let bars = ways(medians, |peer, way| {
        let ratio = medians.way(peer, way, OfWay::server_cpu_us)? / base;
        Some((ratio, format!("{ratio:.2} ×")))
    });
    let title = "CPU time of one delivery, against Headcount over HTTP/1.1";
    let svg = svg::bars(title, Some((1.0, "Headcount over HTTP/1.1")), &bars);
    Some(Plot { file: WAYS_COST, svg })
}

/// One bar for each way of each peer.
fn ways(medians: &Medians, figure: impl Fn(&str, Way) -> Option<(f64, String)>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for way in Way::ALL {
        for peer in medians.peers() {
            if let Some((value, text)) = figure(peer.name, way) {
                let label = format!("{}: {}", peer.title, way.title());
                bars.push(Bar { label, value, text, colour: colour(peer) });
            }
        }
    }
    bars
}

fn bar(medians: &Medians, peer: &Peer, value: f64, mut text: String) -> Bar {
    // Whoever has another crowd than the floor's largest says so.
    let largest = PEERS.iter().filter_map(|peer| medians.crowd(peer)).max();
    let crowd = medians.crowd(peer);
    if let (true, Some(crowd)) = (crowd != largest, crowd) {
        text.push_str(&format!(", {} streams", thousands(crowd)));
    }
    Bar { label: peer.title.into(), value, text, colour: colour(peer) }
}

fn line(label: String, points: Vec<(f64, f64)>, peer: &Peer) -> Option<Line> {
    (!points.is_empty()).then(|| Line { label, points, colour: colour(peer) })
}

fn colour(peer: &Peer) -> usize {
    PEERS.iter().position(|other| other.name == peer.name).unwrap_or(0)
}
