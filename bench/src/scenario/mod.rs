//! What is done with a server and the load client.

mod cluster;
mod crowd;
mod deliver;
mod joins;
mod million;
mod rooms;
mod storm;
mod watched;
mod ways;

use std::process::Command;
use std::slice::from_ref;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::certificate::{Certificate, Key};
use crate::cores::{Cores, Placement};
use crate::kernel::Kernel;
use crate::load::{Handshake, Load};
use crate::peers::Peer;
use crate::plan::{Act, Sizes, Step};
use crate::process::Tree;
use crate::results::{self, Figures, Memory};
use crate::server::Server;
use crate::way::Way;
use watched::Watched;

/// Where the stream is.
const PATH: &str = "/events";

/// How many connections are on their way at once when nobody is in a hurry: fewer than
/// the shortest queue of a listener here has room for (512, Bun).
const IN_FLIGHT: usize = 400;

/// All visitors of the bench come from one address.
const ANY_ROOMS: &str = "--max-rooms-per-ip=10000";

/// How long a crowd may take to gather, and to be told something.
const GATHERING: Duration = Duration::from_secs(90);
const TELLING: Duration = Duration::from_secs(30);

/// How long a server's memory may take to come to rest, and how often it is looked at.
const REST: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(200);

/// Does what a step says, and passes on each figure as soon as it is there.
///
/// # Errors
/// If the server can't be started, fails, or is not done in time.
pub fn run(
    step: &Step,
    sizes: &Sizes,
    cores: &Cores,
    keep: &mut impl FnMut(Figures),
) -> anyhow::Result<()> {
    let stage = |streams| Stage {
        peer: step.peer,
        way: Way::Http1,
        key: Key::P256,
        handshake: Handshake::Full,
        streams,
        options: &[],
        cores,
        placement: Placement::Apart,
    };
    match &step.act {
        Act::Crowd { sizes: crowd, memory, idle, deliver, leave } => {
            let streams = *crowd.last().context("a crowd of no size")?;
            stage(streams).with(|load, server| {
                let deliver = deliver.then_some(sizes.rounds);
                let idle = idle.then_some(sizes.idle);
                let parts = crowd::Parts { memory: *memory, idle, deliver, leave: *leave };
                crowd::run(load, server, crowd, &parts, keep)
            })
        }
        Act::Storm(streams) => stage(*streams).with(|load, server| {
            keep(Figures::Storm(storm::run(load, server, *streams)?));
            Ok(())
        }),
        Act::Rooms(rooms) => {
            // Heartbeats of 15,000 people would weigh more than the changes.
            let stage = Stage { options: &["--keep-alive", "10m", ANY_ROOMS], ..stage(3 * rooms) };
            stage.with(|load, server| {
                keep(Figures::Rooms(rooms::run(load, from_ref(server), *rooms, sizes)?));
                Ok(())
            })
        }
        Act::Seats(rooms) => {
            // In memory, as is advised.
            let file = format!("/dev/shm/headcount-bench-{}", std::process::id());
            let options = ["--keep-alive", "10m", ANY_ROOMS, "--seats", &file];
            let done = Stage { options: &options, ..stage(3 * rooms) }.with(|load, server| {
                let rooms = rooms::run(load, from_ref(server), *rooms, sizes)?;
                keep(Figures::Rooms(results::Rooms { seats: true, ..rooms }));
                Ok(())
            });
            let _was_never_made = std::fs::remove_file(&file);
            done
        }
        Act::Watched(rooms) => {
            let watched = Watched::new()?;
            let more = watched.options();
            let mut options = vec!["--keep-alive", "10m", ANY_ROOMS];
            options.extend(more.iter().map(String::as_str));
            Stage { options: &options, ..stage(3 * rooms) }.with(|load, server| {
                let _watchers = watched.watch()?;
                let rooms = rooms::run(load, from_ref(server), *rooms, sizes)?;
                keep(Figures::Rooms(results::Rooms { watched: true, ..rooms }));
                Ok(())
            })
        }
        Act::Cores(placement) => {
            let streams = *sizes.large.last().context("a crowd of no size")?;
            let stage = Stage { placement: *placement, ..stage(streams) };
            stage.with(|load, server| {
                load.fill(PATH, streams, IN_FLIGHT, GATHERING)?;
                let rounds = deliver::rounds(load, from_ref(server), sizes.rounds)?;
                keep(Figures::Cores(results::Cores { placement: *placement, rounds }));
                Ok(())
            })
        }
        Act::Nodes { nodes, each } => {
            keep(Figures::Nodes(cluster::crowd(step.peer, cores, *nodes, *each, sizes)?));
            Ok(())
        }
        Act::RoomsOfNodes { nodes, rooms } => {
            keep(Figures::RoomsOfNodes(cluster::rooms(step.peer, cores, *nodes, *rooms, sizes)?));
            Ok(())
        }
        Act::Writes(writes) => {
            keep(Figures::Writes(cluster::writes(cores, writes)?));
            Ok(())
        }
        Act::Million => {
            let streams = *sizes.million.last().context("a crowd of no size")?;
            let stage = Stage { way: Way::SharedHttp2, ..stage(streams) };
            stage.with(|load, server| million::run(load, server, sizes.million, keep))
        }
        Act::Way { way, streams } => {
            let stage = Stage { way: *way, ..stage(*streams) };
            stage.with(|load, server| {
                let (memory, rounds) = ways::run(load, server, *streams, sizes.rounds)?;
                keep(Figures::Way(results::OfWay { way: *way, memory, rounds }));
                Ok(())
            })
        }
        Act::Joins { key, handshake } => {
            let (key, handshake) = (*key, *handshake);
            let stage = Stage { way: Way::TlsHttp2, key, handshake, ..stage(joins::AT_ONCE) };
            stage.with(|load, server| {
                keep(Figures::Joins(joins::run(load, server, key, handshake, sizes.joins)?));
                Ok(())
            })
        }
    }
}

/// The CPU time of several servers.
fn cpu(servers: &[Server]) -> anyhow::Result<Duration> {
    servers.iter().map(|server| server.tree().cpu()).sum()
}

/// A server and its load client, as a scenario wants them.
struct Stage<'a> {
    peer: &'static Peer,
    way: Way,
    /// What a certificate is made with, and whether it is shown: over TLS.
    key: Key,
    handshake: Handshake,
    streams: usize,
    options: &'a [&'a str],
    cores: &'a Cores,
    placement: Placement,
}

impl Stage<'_> {
    /// Starts the server, does something with it, and ends it. If that fails, the error
    /// has what the server wrote.
    fn with(
        self,
        act: impl FnOnce(&mut Load, &Server) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.peer.is_there()?;
        let certificate = self.way.has_tls().then(|| Certificate::new(self.key)).transpose()?;
        let command = |address| -> Command {
            let certificate = certificate.as_ref();
            let mut command = self.peer.command(address, self.streams, self.way, certificate);
            command.args(self.options);
            command
        };
        let mut server = Server::start(command, self.cores, self.placement)?;
        let protocol = self.peer.protocol(self.way);
        let mut load = if self.way.has_tls() {
            Load::over_tls(server.address(), protocol, self.handshake)?
        } else {
            Load::new(server.address(), protocol)?
        };
        let acted = act(&mut load, &server);
        // The clients first: a server that stops may take its time for those it has.
        drop(load);
        acted.map_err(|error| match server.output() {
            nothing if nothing.is_empty() => error,
            output => anyhow!("{error:#}; the server wrote: {output}"),
        })
    }
}

/// How much memory is taken by nobody, as the base of what streams take.
struct Base {
    resident: u64,
    kernel: Kernel,
}

impl Base {
    fn of(server: &Server) -> anyhow::Result<Self> {
        // Time to finish its start.
        sleep(LOOK);
        Ok(Self { resident: server.tree().resident()?, kernel: Kernel::now()? })
    }

    fn with(&self, load: &mut Load, tree: Tree) -> anyhow::Result<Memory> {
        Ok(Memory {
            streams: load.told().open(),
            before: self.resident,
            with: at_rest(load, tree)?,
            kernel_before: self.kernel,
            kernel_with: Kernel::now()?,
        })
    }
}

/// Waits until the server's memory has not changed by a hundredth for a while, and says
/// what it is.
fn at_rest(load: &mut Load, tree: Tree) -> anyhow::Result<u64> {
    let deadline = Instant::now() + REST;
    let mut before = [0; 2];
    loop {
        let now = tree.resident()?;
        let same = before.iter().all(|before| now.abs_diff(*before) <= now / 100);
        if same || Instant::now() > deadline {
            return Ok(now);
        }
        before = [before[1], now];
        load.rest(LOOK)?;
    }
}
