//! Several nodes that share a count through Redis, each beside one node alone; and Redis
//! alone, written to as nodes do.

use std::fmt::Write as _;
use std::ops::Range;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::anyhow;

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

/// Room for visitors who come before a busy node has noticed that others went.
const SPARE: usize = 1000;

/// How often a node writes while its rooms change.
const TICK: Duration = Duration::from_millis(25);

/// How many rooms a node has that writes to Redis.
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
            let mut command = peer.command(address, streams + SPARE, Way::Http1, None);
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
        writer.write(node, &write(node, 1, 0..ROOMS))?;
        writers.push(writer);
    }

    let ticks = plan.time.as_nanos().div_ceil(TICK.as_nanos()) as usize;
    let (start, before) = (Instant::now(), redis.reading()?);
    thread::scope(|scope| {
        let write_all = |(node, mut writer): (usize, Writer)| -> anyhow::Result<()> {
            // Each in its own moments.
            let start = start + TICK * node as u32 / plan.nodes as u32;
            let (mut tick, mut seq) = (0, 1);
            while tick < ticks {
                sleep((start + TICK * tick as u32).saturating_duration_since(Instant::now()));
                // What has changed during a write that took long is one write, as nodes do.
                let late = (start.elapsed().as_nanos() / TICK.as_nanos()) as usize;
                let next = (late + 1).clamp(tick + 1, ticks);
                seq += 1;
                writer.write(node, &write(node, seq, tick * of_a_write..next * of_a_write))?;
                tick = next;
            }
            Ok(())
        };
        let threads: Vec<_> = writers
            .into_iter()
            .enumerate()
            .map(|writer| scope.spawn(move || write_all(writer)))
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

/// One write of a node whose rooms have their turns at a change: one to three people are
/// there, and every other change is that somebody left. Its first write is all that it has.
fn write(node: usize, seq: usize, changes: Range<usize>) -> String {
    let (whole, left) = match seq {
        1 => ("1", 0),
        _ => ("null", (changes.len() / 2).min(MOST_LEFT)),
    };
    let mut write = format!(r#"{{"node":{node},"seq":{seq},"base":{},"#, seq - 1);
    let _ = write!(write, r#""whole":{whole},"seen":[],"claims":[],"left":["#);
    let comma = |nth| if nth == 0 { "" } else { "," };
    for (nth, seat) in changes.clone().take(left).enumerate() {
        let _ = write!(write, "{}{seat}", comma(nth));
    }
    let _ = write!(write, r#"],"rooms":["#);
    for (nth, change) in changes.take(ROOMS).enumerate() {
        let people = 1 + (seq + change) % 3;
        let _ = write!(write, r#"{}["room-{}",{people}]"#, comma(nth), change % ROOMS);
    }
    write + "]}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(seq: usize, changes: Range<usize>) -> Value {
        serde_json::from_str(&write(7, seq, changes)).expect("JSON")
    }

    #[test]
    fn a_node_writes_all_its_rooms_and_then_those_that_changed() {
        let all = written(1, 0..ROOMS);
        assert_eq!((&all["whole"], &all["base"], &all["left"]), (&json!(1), &json!(0), &json!([])));
        assert_eq!(all["rooms"].as_array().map(Vec::len), Some(ROOMS));
        let some = written(2, ROOMS - 1..ROOMS + 2);
        assert_eq!(
            (&some["whole"], &some["seq"], &some["base"]),
            (&Value::Null, &json!(2), &json!(1))
        );
        assert_eq!(some["left"], json!([ROOMS - 1]));
        assert_eq!(some["rooms"], json!([["room-9999", 3], ["room-0", 1], ["room-1", 2]]));
    }

    #[test]
    fn a_room_is_in_a_write_but_once() {
        let rooms = written(2, 0..3 * ROOMS)["rooms"].clone();
        assert_eq!(rooms.as_array().map(Vec::len), Some(ROOMS));
    }
}
