//! The raw figures of every run, as they are kept in `results.json`. Times are in the
//! unit that a field's name ends with, memory is in bytes.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::certificate::Key;
use crate::cores::Placement;
use crate::kernel::Kernel;
use crate::load::Handshake;
use crate::machine::Machine;
use crate::way::Way;

/// All that was found out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where, when, and with what.
    pub machine: Machine,
    /// Whether this was a quick run: smaller crowds, fewer rounds.
    pub quick: bool,
    /// What was measured, in the order of the runs.
    pub records: Vec<Record>,
    /// What was not, and why.
    pub not_run: Vec<NotRun>,
}

/// What one scenario measured of one server in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Whose it is.
    pub peer: String,
    /// Which of the runs it is from.
    pub run: usize,
    /// What it is.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Something that did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRun {
    /// The server.
    pub peer: String,
    /// What was to be done with it.
    pub what: String,
    /// Why it was not.
    pub why: String,
}

/// The figures of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "scenario", rename_all = "kebab-case")]
pub enum Figures {
    /// A visitor comes and goes, and everybody is told.
    Deliver(Deliver),
    /// What a stream takes.
    Memory(Memory),
    /// All come at once.
    Storm(Storm),
    /// All but one go at once.
    Leave(Leave),
    /// Nothing happens.
    Idle(Idle),
    /// Many small rooms.
    Rooms(Rooms),
    /// One core and two.
    Cores(Cores),
    /// As many streams as there can be.
    Million(Million),
    /// A crowd that came by one way.
    Way(OfWay),
    /// Visitors over TLS.
    Joins(Joins),
    /// A crowd spread over nodes.
    Nodes(Nodes),
    /// Small rooms spread over nodes.
    RoomsOfNodes(RoomsOfNodes),
    /// Redis alone.
    Writes(Writes),
}

/// Rounds of one visitor who joins and leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deliver {
    /// How many were there to be told.
    pub streams: usize,
    /// How often the visitor came and went.
    pub rounds: usize,
    /// The events that were received.
    pub deliveries: u64,
    /// The server's CPU time.
    pub server_cpu_s: f64,
    /// The load client's CPU time.
    pub client_cpu_s: f64,
    /// The time while somebody did not know yet, of all rounds.
    pub telling_s: f64,
    /// From the visitor's request to each stream that is told: percentiles.
    pub latency_us: Vec<f64>,
    /// From the visitor's request to the last stream that is told, in each round.
    pub last_us: Vec<f64>,
}

/// The memory of a server at rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// How many streams were open.
    pub streams: usize,
    /// Resident memory of the server before the first.
    pub before: u64,
    /// Resident memory with all of them.
    pub with: u64,
    /// What the kernel kept before the first, for both ends.
    pub kernel_before: Kernel,
    /// What it kept with all of them.
    pub kernel_with: Kernel,
}

/// A crowd that comes at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Storm {
    /// How many came.
    pub streams: usize,
    /// From the first connection until every stream shows the number.
    pub converged_s: f64,
    /// The server's CPU time until then.
    pub server_cpu_s: f64,
    /// The events that were received until then.
    pub deliveries: u64,
    /// From each connection's beginning to its first event: percentiles.
    pub first_event_us: Vec<f64>,
}

/// A crowd that goes at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leave {
    /// How many were there, with the one who stays.
    pub streams: usize,
    /// From the first that is closed until the one who stays is told 1.
    pub seconds: f64,
    /// The server's CPU time until then.
    pub server_cpu_s: f64,
}

/// A crowd in which nobody comes or goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    /// How many were there.
    pub streams: usize,
    /// For how long.
    pub seconds: f64,
    /// The server's CPU time meanwhile.
    pub server_cpu_s: f64,
}

/// What a server does besides counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Besides {
    /// Nothing.
    Nothing,
    /// It writes down who sits where (`--seats`).
    Seats,
    /// It keeps a history, and three dashboards are open.
    Watched,
}

/// Coming and going in many small rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rooms {
    /// How many rooms.
    pub rooms: usize,
    /// Whether it is written down who sits where (`--seats`).
    #[serde(default)]
    pub seats: bool,
    /// Whether a history is kept and three dashboards are open.
    #[serde(default)]
    pub watched: bool,
    /// How many people in each.
    pub people: usize,
    /// How many joins and leaves.
    pub changes: usize,
    /// Within which time.
    pub seconds: f64,
    /// The server's CPU time meanwhile.
    pub server_cpu_s: f64,
}

/// Rounds as in `deliver`, on certain cores.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cores {
    /// Who was on which.
    pub placement: Placement,
    /// The rounds.
    pub rounds: Deliver,
}

/// A very large crowd, over HTTP/2.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Million {
    /// The memory that it takes.
    pub memory: Memory,
    /// How long the streams took to open, since the last size.
    pub opening_s: f64,
    /// From one more visitor's request until all were told.
    pub telling_s: f64,
    /// The server's CPU time for each of those who were told, in microseconds.
    pub server_cpu_us: f64,
}

/// A crowd that came by one of the ways.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfWay {
    /// Which.
    pub way: Way,
    /// The memory that it takes.
    pub memory: Memory,
    /// The rounds of one visitor who joins and leaves.
    pub rounds: Deliver,
}

/// Visitors who come over TLS and HTTP/2, are told, and leave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joins {
    /// What the server's certificate was made with.
    pub key: Key,
    /// How they came.
    pub handshake: Handshake,
    /// How many came.
    pub joins: usize,
    /// How many of them did resume.
    pub resumed: usize,
    /// Within which time.
    pub seconds: f64,
    /// The server's CPU time meanwhile.
    pub server_cpu_s: f64,
    /// The load client's CPU time meanwhile.
    pub client_cpu_s: f64,
}

/// What Redis did in a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redis {
    /// How long that was.
    pub seconds: f64,
    /// Its CPU time.
    pub cpu_s: f64,
    /// How many writes it carried out. Each is published as one frame, to every node.
    pub writes: u64,
    /// How many commands it carried out, those of its script among them.
    pub commands: u64,
    /// What it received, in bytes.
    pub bytes_in: u64,
    /// What it sent, in bytes.
    pub bytes_out: u64,
}

/// Rounds as in `deliver`, of a crowd that is spread over nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nodes {
    /// How many; one alone has no Redis.
    pub nodes: usize,
    /// The nodes while nobody came or went, together.
    pub idle: Idle,
    /// Redis meanwhile.
    pub redis_idle: Option<Redis>,
    /// The rounds. The visitor comes to the first of the nodes.
    pub rounds: Deliver,
    /// Their time, rests included.
    pub seconds: f64,
    /// Redis meanwhile.
    pub redis: Option<Redis>,
}

/// Coming and going in rooms whose people are spread over nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomsOfNodes {
    /// How many; one alone has no Redis.
    pub nodes: usize,
    /// What was done, and the CPU time of all these nodes.
    pub rooms: Rooms,
    /// The CPU time of one more node, which has nobody and hears of everything.
    pub bystander_cpu_s: Option<f64>,
    /// Redis meanwhile.
    pub redis: Option<Redis>,
}

/// Redis alone, written to as nodes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Writes {
    /// How many nodes wrote.
    pub nodes: usize,
    /// How many heard them.
    pub hearers: usize,
    /// How many rooms were to change in a second.
    pub changes_per_second: usize,
    /// How many did.
    pub changes: usize,
    /// What Redis did.
    pub redis: Redis,
}

impl Results {
    /// Reads what was kept.
    ///
    /// # Errors
    /// If it is not there, or not what this version writes.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let json = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is no results", path.display()))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Memory {
    /// By how much resident memory grew for each stream, in bytes.
    #[must_use]
    pub fn of_a_stream(&self) -> f64 {
        (self.with as f64 - self.before as f64) / self.streams as f64
    }

    /// By how much the kernel's memory grew for each stream, in bytes.
    #[must_use]
    pub fn kernel_of_a_stream(&self) -> f64 {
        let of = |kernel: &Kernel| (kernel.tcp + kernel.slab) as f64;
        (of(&self.kernel_with) - of(&self.kernel_before)) / self.streams as f64
    }
}

impl Deliver {
    /// The server's CPU time for one delivery, in microseconds.
    #[must_use]
    pub fn server_cpu_us(&self) -> f64 {
        self.server_cpu_s * 1e6 / self.deliveries as f64
    }

    /// The load client's CPU time for one delivery, in microseconds.
    #[must_use]
    pub fn client_cpu_us(&self) -> f64 {
        self.client_cpu_s * 1e6 / self.deliveries as f64
    }
}

impl Rooms {
    /// What the server does besides.
    #[must_use]
    pub fn besides(&self) -> Besides {
        match (self.seats, self.watched) {
            (_, true) => Besides::Watched,
            (true, false) => Besides::Seats,
            (false, false) => Besides::Nothing,
        }
    }

    /// The server's CPU time for one join or leave, in microseconds.
    #[must_use]
    pub fn server_cpu_us(&self) -> f64 {
        self.server_cpu_s * 1e6 / self.changes as f64
    }
}

impl OfWay {
    /// The memory of a stream, in bytes.
    #[must_use]
    pub fn of_a_stream(&self) -> f64 {
        self.memory.of_a_stream()
    }

    /// The server's CPU time for one delivery, in microseconds.
    #[must_use]
    pub fn server_cpu_us(&self) -> f64 {
        self.rounds.server_cpu_us()
    }
}

impl Joins {
    /// How many came in a second.
    #[must_use]
    pub fn a_second(&self) -> f64 {
        self.joins as f64 / self.seconds
    }

    /// The server's CPU time for one join, in microseconds.
    #[must_use]
    pub fn server_cpu_us(&self) -> f64 {
        self.server_cpu_s * 1e6 / self.joins as f64
    }

    /// The load client's CPU time for one join, in microseconds.
    #[must_use]
    pub fn client_cpu_us(&self) -> f64 {
        self.client_cpu_s * 1e6 / self.joins as f64
    }
}

impl Redis {
    /// Its CPU time, in per cent of a core.
    #[must_use]
    pub fn share(&self) -> f64 {
        100.0 * self.cpu_s / self.seconds
    }

    /// Its CPU time for each of so many things, in microseconds.
    #[must_use]
    pub fn cpu_us_each(&self, things: usize) -> f64 {
        self.cpu_s * 1e6 / things as f64
    }

    /// How many writes it carried out in a second.
    #[must_use]
    pub fn writes_a_second(&self) -> f64 {
        self.writes as f64 / self.seconds
    }

    /// How many commands it carried out in a second.
    #[must_use]
    pub fn commands_a_second(&self) -> f64 {
        self.commands as f64 / self.seconds
    }

    /// What it sent in a second, in bytes.
    #[must_use]
    pub fn bytes_out_a_second(&self) -> f64 {
        self.bytes_out as f64 / self.seconds
    }
}

impl Nodes {
    /// The CPU time of all nodes for one delivery, less what they take while nobody comes
    /// or goes, in microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        let idle = self.idle.server_cpu_s / self.idle.seconds * self.seconds;
        (self.rounds.server_cpu_s - idle) * 1e6 / self.rounds.deliveries as f64
    }

    /// The CPU time of a node while nobody comes or goes, in per cent of a core.
    #[must_use]
    pub fn idle_share(&self) -> f64 {
        100.0 * self.idle.server_cpu_s / self.idle.seconds / self.nodes as f64
    }
}

impl RoomsOfNodes {
    /// The CPU time of a node for a change of which it only hears, in microseconds.
    #[must_use]
    pub fn bystander_cpu_us(&self) -> Option<f64> {
        Some(self.bystander_cpu_s? * 1e6 / self.rooms.changes as f64)
    }
}
