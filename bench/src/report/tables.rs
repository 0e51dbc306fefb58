//! The tables of the report: absolute figures, medians of the runs. A table without a
//! row is no table.

use std::fmt::Write as _;

use super::medians::{Medians, last_us};
use crate::certificate::Key;
use crate::cores::Placement;
use crate::load::Handshake;
use crate::peers::{FLOOR, HEADCOUNT, NCHAN, Peer, peer};
use crate::results::{
    Besides, Deliver, Joins, Memory, Nodes, OfWay, Redis, Results, Rooms, RoomsOfNodes, Writes,
};
use crate::way::Way;

pub(super) fn cost(medians: &Medians) -> String {
    let header = ["server", "streams", "µs per delivery", "× the floor", "load client, µs"];
    let rows = with_crowds(medians).filter_map(|(peer, streams)| {
        let cost = |name| medians.deliver(name, streams, Deliver::server_cpu_us);
        let ratio = cost(FLOOR).zip(cost(peer.name)).map(|(floor, cost)| cost / floor);
        Some(vec![
            peer.title.into(),
            thousands(streams),
            fixed(cost(peer.name)?),
            ratio.map_or("–".into(), fixed),
            fixed(medians.deliver(peer.name, streams, Deliver::client_cpu_us)?),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn latency(medians: &Medians) -> String {
    let header =
        ["server", "streams", "p50, ms", "p90", "p99", "max", "last stream, ms", "deliveries/s"];
    let rows = with_crowds(medians).filter_map(|(peer, streams)| {
        let latencies = medians.latencies(peer.name, streams)?;
        let mut row = vec![peer.title.to_owned(), thousands(streams)];
        row.extend([50, 90, 99, 100].map(|p| fixed(latencies[p] / 1000.0)));
        row.push(fixed(medians.deliver(peer.name, streams, last_us)? / 1000.0));
        let rate = medians.deliver(peer.name, streams, |d| d.deliveries as f64 / d.telling_s)?;
        row.push(thousands(rate as usize));
        Some(row)
    });
    table(&header, rows.collect())
}

pub(super) fn memory(medians: &Medians) -> String {
    let header = ["server", "streams", "kB per stream", "before any, MB", "kernel, kB per stream"];
    let mut rows = Vec::new();
    for peer in medians.peers() {
        for streams in medians.memory_sizes(peer.name) {
            let of = |figure: fn(&Memory) -> f64| medians.of_memory(peer.name, streams, figure);
            rows.push(vec![
                peer.title.into(),
                thousands(streams),
                known(of(Memory::of_a_stream).map(|bytes| bytes / 1e3)),
                known(of(|memory| memory.before as f64 / 1e6)),
                known(of(Memory::kernel_of_a_stream).map(|bytes| bytes / 1e3)),
            ]);
        }
    }
    table(&header, rows)
}

pub(super) fn storm(medians: &Medians) -> String {
    let header =
        ["server", "clients", "all know after, s", "server CPU, s", "first event p50, ms", "p99"];
    let mut rows = Vec::new();
    for peer in medians.peers() {
        for streams in medians.storm_sizes(peer.name) {
            let first = |p: usize| {
                medians.storm(peer.name, streams, |storm| {
                    storm.first_event_us.get(p).map_or(f64::NAN, |us| us / 1000.0)
                })
            };
            rows.push(vec![
                peer.title.into(),
                thousands(streams),
                known(medians.storm(peer.name, streams, |storm| storm.converged_s)),
                known(medians.storm(peer.name, streams, |storm| storm.server_cpu_s)),
                known(first(50)),
                known(first(99)),
            ]);
        }
    }
    table(&header, rows)
}

pub(super) fn leave_and_idle(medians: &Medians) -> String {
    let header = ["server", "streams", "all leave, ms", "server CPU, ms", "idle, % of a core"];
    let rows = with_crowds(medians).filter_map(|(peer, streams)| {
        let seconds = medians.leave(peer.name, streams, |leave| leave.seconds * 1000.0);
        let cpu = medians.leave(peer.name, streams, |leave| leave.server_cpu_s * 1000.0);
        let idle = medians.idle(peer.name, |idle| 100.0 * idle.server_cpu_s / idle.seconds);
        if seconds.is_none() && idle.is_none() {
            return None;
        }
        Some(vec![peer.title.into(), thousands(streams), known(seconds), known(cpu), known(idle)])
    });
    table(&header, rows.collect())
}

pub(super) fn rooms(medians: &Medians) -> String {
    let header =
        ["server", "rooms", "people in each", "joins and leaves a second", "µs of CPU for each"];
    let counts = medians.room_counts(HEADCOUNT);
    let rows = counts.into_iter().flat_map(|rooms| {
        [Besides::Nothing, Besides::Seats, Besides::Watched].map(|besides| (rooms, besides))
    });
    let rows = rows.filter_map(|(rooms, besides)| {
        let of = |figure: fn(&Rooms) -> f64| medians.rooms(HEADCOUNT, rooms, besides, figure);
        let rate = of(|rooms| rooms.changes as f64 / rooms.seconds)?;
        Some(vec![
            title(HEADCOUNT)
                + match besides {
                    Besides::Nothing => "",
                    Besides::Seats => ", `--seats`",
                    Besides::Watched => ", `--history` and three dashboards",
                },
            thousands(rooms),
            of(|rooms| rooms.people as f64).map_or("–".into(), |people| format!("{people:.0}")),
            thousands(rate.round() as usize),
            known(of(Rooms::server_cpu_us)),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn cores(medians: &Medians) -> String {
    let header = ["server", "cores", "µs per delivery", "deliveries/s"];
    let rows = [
        (Placement::Apart, "the server on one, the clients on the other"),
        (Placement::Together, "both on both"),
    ];
    let rows = rows.into_iter().filter_map(|(placement, words)| {
        let rate = |rounds: &Deliver| rounds.deliveries as f64 / rounds.telling_s;
        Some(vec![
            title(HEADCOUNT),
            words.into(),
            fixed(medians.cores(HEADCOUNT, placement, Deliver::server_cpu_us)?),
            thousands(medians.cores(HEADCOUNT, placement, rate)? as usize),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn million(medians: &Medians) -> String {
    let header = [
        "server",
        "streams",
        "kB per stream",
        "kernel, kB per stream",
        "opening, s",
        "one join until all know, s",
        "µs of CPU per stream told",
    ];
    let rows = medians.million_sizes(HEADCOUNT).into_iter().filter_map(|streams| {
        Some(vec![
            title(HEADCOUNT),
            thousands(streams),
            fixed(medians.million(HEADCOUNT, streams, |m| m.memory.of_a_stream() / 1e3)?),
            fixed(medians.million(HEADCOUNT, streams, |m| m.memory.kernel_of_a_stream() / 1e3)?),
            fixed(medians.million(HEADCOUNT, streams, |m| m.opening_s)?),
            fixed(medians.million(HEADCOUNT, streams, |m| m.telling_s)?),
            fixed(medians.million(HEADCOUNT, streams, |m| m.server_cpu_us)?),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn ways_memory(medians: &Medians) -> String {
    let header = ["way", "server", "streams", "kB per stream", "× nginx + nchan"];
    ways(medians, &header, |peer, way| {
        let of = |peer| medians.way(peer, way, OfWay::of_a_stream);
        vec![known(of(peer).map(|bytes| bytes / 1e3)), known(ratio(of(peer), of(NCHAN)))]
    })
}

pub(super) fn ways_cost(medians: &Medians) -> String {
    let header = [
        "way",
        "server",
        "streams",
        "µs per delivery",
        "× Headcount over HTTP/1.1",
        "× nginx + nchan",
        "load client, µs",
    ];
    let base = medians.way(HEADCOUNT, Way::Http1, OfWay::server_cpu_us);
    ways(medians, &header, |peer, way| {
        let of = |peer| medians.way(peer, way, OfWay::server_cpu_us);
        vec![
            known(of(peer)),
            known(ratio(of(peer), base)),
            known(ratio(of(peer), of(NCHAN))),
            known(medians.way(peer, way, |of_way| of_way.rounds.client_cpu_us())),
        ]
    })
}

/// A row for each way of each peer; `figures` are its cells after the first three.
fn ways(medians: &Medians, header: &[&str], figures: impl Fn(&str, Way) -> Vec<String>) -> String {
    let mut rows = Vec::new();
    for way in Way::ALL {
        for peer in medians.peers() {
            let streams = medians.way(peer.name, way, |of_way| of_way.memory.streams as f64);
            let Some(streams) = streams else { continue };
            let mut row = vec![way.title().into(), peer.title.into(), thousands(streams as usize)];
            row.extend(figures(peer.name, way));
            rows.push(row);
        }
    }
    table(header, rows)
}

fn ratio(figure: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(figure? / to?)
}

pub(super) fn joins(medians: &Medians) -> String {
    let header = [
        "server",
        "key",
        "full, µs of CPU",
        "resumed, µs of CPU",
        "joins for the same CPU, × full",
        "full, joins/s",
        "resumed, joins/s",
        "load client, µs (full, resumed)",
    ];
    let mut rows = Vec::new();
    for key in Key::ALL {
        for peer in medians.peers() {
            let of = |handshake, figure: fn(&Joins) -> f64| {
                medians.joins(peer.name, key, handshake, figure)
            };
            let full = of(Handshake::Full, Joins::a_second);
            let resumed = of(Handshake::Resumed, Joins::a_second);
            if full.is_none() && resumed.is_none() {
                continue;
            }
            let rate =
                |rate: Option<f64>| rate.map_or("–".into(), |rate| thousands(rate as usize));
            let client = |handshake| known(of(handshake, Joins::client_cpu_us));
            rows.push(vec![
                peer.title.into(),
                key.title().into(),
                known(of(Handshake::Full, Joins::server_cpu_us)),
                known(of(Handshake::Resumed, Joins::server_cpu_us)),
                known(medians.resumption(peer.name, key)),
                rate(full),
                rate(resumed),
                format!("{}, {}", client(Handshake::Full), client(Handshake::Resumed)),
            ]);
        }
    }
    table(&header, rows)
}

pub(super) fn nodes(medians: &Medians) -> String {
    let header = [
        "nodes",
        "streams of each",
        "µs per delivery",
        "node at rest, % of a core",
        "p50, ms",
        "p99",
        "last stream, ms",
        "Redis at rest, % of a core",
        "writes/s",
        "µs for each",
        "kB/s sent",
    ];
    let rows = medians.clusters(HEADCOUNT).into_iter().map(|(nodes, streams)| {
        let of = |figure: &dyn Fn(&Nodes) -> Option<f64>| {
            known(medians.nodes(HEADCOUNT, (nodes, streams), figure))
        };
        let latency = |p: usize| of(&|nodes| Some(nodes.rounds.latency_us.get(p)? / 1000.0));
        let idle = |figure: fn(&Redis) -> f64| of(&|nodes| nodes.redis_idle.as_ref().map(figure));
        vec![
            nodes.to_string(),
            thousands(streams / nodes),
            of(&|nodes| Some(nodes.cpu_us())),
            of(&|nodes| Some(nodes.idle_share())),
            latency(50),
            latency(99),
            of(&|nodes| Some(last_us(&nodes.rounds) / 1000.0)),
            idle(Redis::share),
            idle(Redis::writes_a_second),
            idle(|redis| redis.cpu_us_each(redis.writes as usize)),
            idle(|redis| redis.bytes_out_a_second() / 1000.0),
        ]
    });
    table(&header, rows.collect())
}

pub(super) fn rooms_of_nodes(medians: &Medians) -> String {
    let header = [
        "nodes",
        "rooms",
        "joins and leaves a second",
        "all nodes, µs of CPU for each",
        "a node that has nobody, µs",
        "Redis, µs",
        "Redis, % of a core",
        "writes/s",
        "commands/s",
        "kB/s sent",
    ];
    let rows = [1, 3].into_iter().filter_map(|nodes| {
        let of = |figure: &dyn Fn(&RoomsOfNodes) -> Option<f64>| {
            medians.rooms_of_nodes(HEADCOUNT, nodes, figure)
        };
        let redis =
            |figure: &dyn Fn(&Redis) -> f64| known(of(&|rooms| rooms.redis.as_ref().map(figure)));
        let rate = of(&|of_nodes| Some(of_nodes.rooms.changes as f64 / of_nodes.rooms.seconds))?;
        let changes = of(&|of_nodes| Some(of_nodes.rooms.changes as f64))? as usize;
        Some(vec![
            nodes.to_string(),
            thousands(of(&|of_nodes| Some(of_nodes.rooms.rooms as f64))? as usize),
            thousands(rate.round() as usize),
            known(of(&|of_nodes| Some(of_nodes.rooms.server_cpu_us()))),
            known(of(&RoomsOfNodes::bystander_cpu_us)),
            redis(&|redis| redis.cpu_us_each(changes)),
            redis(&Redis::share),
            redis(&Redis::writes_a_second),
            redis(&Redis::commands_a_second),
            redis(&|redis| redis.bytes_out_a_second() / 1000.0),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn writes(medians: &Medians) -> String {
    let header = [
        "nodes that write",
        "that hear",
        "room changes a second",
        "writes/s",
        "Redis, % of a core",
        "µs for each change",
        "µs for each write",
        "kB/s received",
        "kB/s sent",
    ];
    let rows = medians.written(HEADCOUNT).into_iter().filter_map(|written| {
        let of = |figure: &dyn Fn(&Writes) -> f64| medians.writes(HEADCOUNT, written, figure);
        Some(vec![
            written.0.to_string(),
            thousands(of(&|writes| writes.hearers as f64)? as usize),
            thousands(of(&|writes| writes.changes as f64 / writes.redis.seconds)?.round() as usize),
            thousands(of(&|writes| writes.redis.writes_a_second())?.round() as usize),
            known(of(&|writes| writes.redis.share())),
            known(of(&|writes| writes.redis.cpu_us_each(writes.changes))),
            known(of(&|writes| writes.redis.cpu_us_each(writes.redis.writes as usize))),
            known(of(&|writes| writes.redis.bytes_in as f64 / writes.redis.seconds / 1000.0)),
            known(of(&|writes| writes.redis.bytes_out_a_second() / 1000.0)),
        ])
    });
    table(&header, rows.collect())
}

pub(super) fn not_run(results: &Results) -> String {
    let rows = results.not_run.iter().map(|not_run| {
        let title = peer(&not_run.peer).map_or(&*not_run.peer, |peer| peer.title);
        // A server's words may be anything.
        let why = not_run.why.replace('\n', " ").replace('|', "\\|");
        vec![title.to_owned(), not_run.what.clone(), why]
    });
    table(&["server", "what", "why"], rows.collect())
}

pub(super) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let mut rows = vec![
        vec!["date".into(), machine.date.clone()],
        vec!["commit".into(), machine.commit.clone()],
        vec!["kernel".into(), format!("Linux {}", machine.kernel)],
        vec!["processor".into(), format!("{}, {} cores", machine.cpu, machine.cores)],
        vec!["memory".into(), format!("{:.1} GB free", machine.memory as f64 / 1e9)],
        vec![
            "file descriptors of a process".into(),
            machine.descriptors.map_or("any".into(), |limit| limit.to_string()),
        ],
    ];
    rows.push(vec!["load average before".into(), fixed(machine.load)]);
    for (name, version) in &machine.versions {
        rows.push(vec![title(name), version.clone()]);
    }
    table(&["", ""], rows)
}

/// The peers, each with the crowds that it has deliveries to or left.
fn with_crowds(medians: &Medians) -> impl Iterator<Item = (&'static Peer, usize)> {
    let mut crowds = std::collections::BTreeSet::new();
    crowds.extend(medians.peers().filter_map(|peer| medians.crowd(peer)));
    let crowds: Vec<_> = crowds.into_iter().rev().collect();
    let peers: Vec<_> = medians.peers().collect();
    crowds.into_iter().flat_map(move |crowd| {
        let peers = peers.clone();
        peers.into_iter().map(move |peer| (peer, crowd))
    })
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for row in rows {
        let _ = writeln!(table, "| {} |", row.join(" | "));
    }
    table
}

fn title(name: &str) -> String {
    peer(name).map_or(name, |peer| peer.title).to_owned()
}

fn known(figure: Option<f64>) -> String {
    figure.map_or("–".into(), fixed)
}

fn fixed(figure: f64) -> String {
    format!("{figure:.2}")
}

/// `18,000`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 999, 1000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }
}
