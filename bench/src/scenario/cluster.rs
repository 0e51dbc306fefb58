//! Several nodes that share a count through Redis, each beside one node alone; and Redis
//! alone, written to as nodes do.

use std::fmt::Write as _;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::{ANY_ROOMS, GATHERING, IN_FLIGHT, PATH, cpu, deliver};
use crate::cores::{Cores, Placement};
use crate::load::{Load, Protocol};
use crate::peers::Peer;
use crate::plan::{self, Sizes};
use crate::redis::{Reading, Redis, Writer};
use crate::results::{Idle, Nodes, RoomsOfNodes, Writes};
use crate::server::Server;
use crate::way::Way;

/// How long nobody comes or goes: some words of each node, of which it has one a second.
const QUIET: Duration = Duration::from_secs(5);

/// How often a node writes while its rooms change.
const TICK: Duration = Duration::from_millis(25);

/// How much later than planned a write may be.
const LATE: Duration = Duration::from_secs(1);

/// How many rooms a node has that writes to Redis, if they don't change more often than
/// once in a write.
const ROOMS: usize = 10_000;

/// How many of those who left one write of a node names at most.
const MOST_LEFT: usize = 1000;

/// Nodes and their Redis, which one alone has not.
struct Cluster {
    nodes: Vec<Server>,
    redis: Option<Redis>,
}

impl Cluster {
    /// Starts so many nodes, each with room for so many streams.
    fn start(peer: &Peer, cores: &Cores, nodes: usize, streams: usize) -> anyhow::Result<Self> {
        let redis = if nodes > 1 { Some(Redis::start(cores)?) } else { None };
        let mut cluster = Self { nodes: Vec::new(), redis };
        for _ in 0..nodes {
            cluster.add_node(peer, cores, streams)?;
        }
        Ok(cluster)
    }

    fn add_node(&mut self, peer: &Peer, cores: &Cores, streams: usize) -> anyhow::Result<()> {
        let command = |address| {
            let mut command = peer.command(address, streams, Way::Http1, None);
            // Heartbeats of so many people would weigh more than the changes.
            command.args(["--threads", "1", "--keep-alive", "10m", ANY_ROOMS]);
            if let Some(redis) = &self.redis {
                command.arg("--redis").arg(redis.url());
            }
            command
        };
        self.nodes.push(Server::start(command, cores, Placement::Apart)?);
        Ok(())
    }

    fn reading(&mut self) -> anyhow::Result<Option<Reading>> {
        self.redis.as_mut().map(Redis::reading).transpose()
    }

    fn since(&mut self, before: Option<Reading>) -> anyhow::Result<Option<crate::results::Redis>> {
        let (Some(redis), Some(before)) = (&mut self.redis, before) else { return Ok(None) };
        redis.since(&before).map(Some)
    }

    /// Does something with the nodes. If that fails, the error has what they wrote.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Load, &mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut load = Load::new(self.nodes[0].address(), Protocol::EventStream)?;
        let acted = act(&mut load, self);
        // The clients first: a server that stops may take its time for those it has.
        drop(load);
        acted.map_err(|error| {
            let outputs: Vec<_> = self.nodes.iter_mut().map(Server::output).collect();
            match outputs.into_iter().find(|output| !output.is_empty()) {
                None => error,
                Some(output) => anyhow!("{error:#}; a node wrote: {output}"),
            }
        })
    }
}

/// A crowd of which every node has as much: what it costs when nothing happens, and when
/// a visitor comes to the first node and goes.
pub(super) fn crowd(
    peer: &Peer,
    cores: &Cores,
    nodes: usize,
    each: usize,
    sizes: &Sizes,
) -> anyhow::Result<Nodes> {
    let streams = nodes * each;
    Cluster::start(peer, cores, nodes, streams)?.with(|load, cluster| {
        for (nth, node) in cluster.nodes.iter().enumerate() {
            load.turn_to(node.address());
            load.fill(PATH, (nth + 1) * each, IN_FLIGHT, GATHERING)?;
        }
        load.watch(streams);
        load.until_all_know(GATHERING)?;

        let (before, redis_before) = (cpu(&cluster.nodes)?, cluster.reading()?);
        let start = Instant::now();
        load.rest(QUIET)?;
        let idle = Idle {
            streams,
            seconds: start.elapsed().as_secs_f64(),
            server_cpu_s: (cpu(&cluster.nodes)? - before).as_secs_f64(),
        };
        let redis_idle = cluster.since(redis_before)?;

        load.turn_to(cluster.nodes[0].address());
        let (start, redis_before) = (Instant::now(), cluster.reading()?);
        let rounds = deliver::rounds(load, &cluster.nodes, sizes.rounds)?;
        let seconds = start.elapsed().as_secs_f64();
        let redis = cluster.since(redis_before)?;
        Ok(Nodes { nodes, idle, redis_idle, rounds, seconds, redis })
    })
}

/// Small rooms whose people are spread over the nodes.
pub(super) fn rooms(
    peer: &Peer,
    cores: &Cores,
    nodes: usize,
    rooms: usize,
    sizes: &Sizes,
) -> anyhow::Result<RoomsOfNodes> {
    let mut cluster = Cluster::start(peer, cores, nodes, 3 * rooms)?;
    if cluster.redis.is_some() {
        cluster.add_node(peer, cores, 0)?;
    }
    cluster.with(|load, cluster| {
        let mut visitors = super::rooms::gather(load, &cluster.nodes[..nodes], rooms)?;
        load.rest(QUIET)?;
        let redis_before = cluster.reading()?;
        let (nodes_with_people, bystander) = cluster.nodes.split_at(nodes);
        let bystander_before = cpu(bystander)?;
        let rooms = super::rooms::change(load, nodes_with_people, rooms, sizes, &mut visitors)?;
        let bystander_cpu_s = (cpu(bystander)? - bystander_before).as_secs_f64();
        let bystander_cpu_s = (!bystander.is_empty()).then_some(bystander_cpu_s);
        let redis = cluster.since(redis_before)?;
        Ok(RoomsOfNodes { nodes, rooms, bystander_cpu_s, redis })
    })
}

/// Redis alone, written to as nodes do by the script that they have.
pub(super) fn writes(cores: &Cores, plan: &plan::Writes) -> anyhow::Result<Writes> {
    let mut redis = Redis::start(cores)?;
    for _ in 0..plan.hearers {
        redis.add_hearer()?;
    }
    let of_a_write =
        (plan.changes_per_second as f64 * TICK.as_secs_f64() / plan.nodes as f64).round() as usize;
    let mut writers = Vec::new();
    for node in 0..plan.nodes {
        let mut writer = redis.writer()?;
        writer.write(node, &write(node, 0, of_a_write))?;
        writers.push(writer);
    }

    let ticks = plan.time.as_nanos().div_ceil(TICK.as_nanos()) as usize;
    let (start, before) = (Instant::now(), redis.reading()?);
    thread::scope(|scope| {
        let write = |(node, mut writer): (usize, Writer)| -> anyhow::Result<()> {
            // Each in its own moments.
            let start = start + TICK * node as u32 / plan.nodes as u32;
            for tick in 0..ticks {
                // Made before it is due: it is not what is measured, but it takes a while.
                let write = write(node, tick + 1, of_a_write);
                let due = start + TICK * tick as u32;
                sleep(due.saturating_duration_since(Instant::now()));
                ensure!(due.elapsed() < LATE, "so many changes are more than it can take");
                writer.write(node, &write)?;
            }
            Ok(())
        };
        let threads: Vec<_> = writers
            .into_iter()
            .enumerate()
            .map(|writer| scope.spawn(move || write(writer)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread has panicked")))
        })
    })?;
    Ok(Writes {
        nodes: plan.nodes,
        hearers: plan.hearers,
        changes_per_second: plan.changes_per_second,
        changes: ticks * plan.nodes * of_a_write,
        redis: redis.since(&before)?,
    })
}

/// What a node writes in one of its ticks: its rooms have their turns, and one to three
/// people; every other change is that somebody left. First it writes all that it has.
fn write(node: usize, tick: usize, changes: usize) -> String {
    let rooms = ROOMS.max(changes);
    let written = if tick == 0 { 0..rooms } else { tick * changes..(tick + 1) * changes };
    let whole = if tick == 0 { "1" } else { "null" };
    let mut write = format!(r#"{{"node":{node},"seq":{},"base":{tick},"#, tick + 1);
    let comma = |nth| if nth == 0 { "" } else { "," };
    let _ = write!(write, r#""whole":{whole},"seen":[],"claims":[],"left":["#);
    for nth in 0..if tick == 0 { 0 } else { (changes / 2).min(MOST_LEFT) } {
        let _ = write!(write, "{}{}", comma(nth), tick * changes + nth);
    }
    let _ = write!(write, r#"],"rooms":["#);
    for (nth, room) in written.enumerate() {
        let comma = comma(nth);
        let people = 1 + (tick + room) % 3;
        let _ = write!(write, r#"{comma}["room-{}",{people}]"#, room % rooms);
    }
    write + "]}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rooms(write: &str) -> Vec<(String, u32)> {
        let write: serde_json::Value = serde_json::from_str(write).expect("JSON");
        serde_json::from_value(write["rooms"].clone()).expect("rooms")
    }

    #[test]
    fn a_node_writes_all_rooms_and_then_some_in_turn() {
        assert_eq!(rooms(&write(7, 0, 25)).len(), ROOMS);
        let first = rooms(&write(7, 1, 25));
        assert_eq!((first.len(), &*first[0].0), (25, "room-25"));
        let last = rooms(&write(7, ROOMS / 25, 25));
        assert_eq!((last.len(), &*last[0].0), (25, "room-0"));
    }

    #[test]
    fn a_node_follows_its_own_writes() {
        let write =
            |tick| -> serde_json::Value { serde_json::from_str(&write(7, tick, 3)).expect("JSON") };
        assert_eq!((&write(0)["whole"], &write(0)["seq"]), (&1.into(), &1.into()));
        assert_eq!((write(4)["whole"].is_null(), &write(4)["seq"]), (true, &5.into()));
        assert_eq!(write(4)["base"], 4);
        assert_eq!((&write(0)["left"], &write(4)["left"]), (&json!([]), &json!([12])));
    }
}
