//! What is done, in which order, and how large: every run of a scenario has each peer
//! once, so that what disturbs the machine for a while disturbs all alike.

use std::time::Duration;

use clap::ValueEnum;

use crate::certificate::Key;
use crate::cores::Placement;
use crate::load::Handshake;
use crate::peers::{Crowd, FLOOR, HEADCOUNT, PEERS, Peer, peer};
use crate::way::Way;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One visitor comes and goes, and everybody is told
    Deliver,
    /// What an open stream takes
    Memory,
    /// All come at once
    Storm,
    /// All but one go at once
    Leave,
    /// Nothing happens
    Idle,
    /// Many small rooms (Headcount only)
    Rooms,
    /// One core and two (Headcount only)
    Cores,
    /// As many streams as there can be (Headcount only)
    Million,
    /// With and without TLS, over HTTP/1.1 and HTTP/2
    Ways,
    /// Visitors come over TLS, with a ticket of an earlier visit and without
    Joins,
    /// Several nodes that share a count through Redis (Headcount only)
    Cluster,
}

/// How large and how long everything is.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// How often each is measured; odd, so that the median is one of them.
    pub runs: usize,
    /// At how many streams memory is measured, in a crowd that grows. The last is the
    /// crowd that all the rest is done with.
    pub large: &'static [usize],
    /// The same for those who can't take a large crowd.
    pub small: &'static [usize],
    /// How many come at once.
    pub large_storms: &'static [usize],
    /// The same for those who can't take a large crowd.
    pub small_storms: &'static [usize],
    /// How often the visitor comes and goes.
    pub rounds: usize,
    /// How long nothing happens: one heartbeat for each stream.
    pub idle: Duration,
    /// How many rooms there are, few and many.
    pub rooms: [usize; 2],
    /// How many joins and leaves there are in them, and how many a second.
    pub changes: usize,
    /// See `changes`.
    pub changes_per_second: u32,
    /// How many streams there are over HTTP/2, in a crowd that grows.
    pub million: &'static [usize],
    /// How many streams come by each way, one connection each; to those who can't take a
    /// large crowd, as many as in `small`.
    pub ways: usize,
    /// The same where a hundred share a connection.
    pub shared: usize,
    /// How many visitors come over TLS.
    pub joins: usize,
    /// How many nodes share a crowd, and how many of it each has.
    pub nodes: (usize, usize),
    /// For how long Redis alone is written to.
    pub writing: Duration,
    /// Whether what Headcount alone does is done in every run, and the others left idle
    /// too, once.
    pub all_of_headcount: bool,
}

/// What `make bench` does.
pub const FULL: Sizes = Sizes {
    runs: 3,
    large: &[1000, 5000, 18_000],
    small: &[1000, 2000],
    large_storms: &[1000, 4000, 18_000],
    small_storms: &[250, 1000],
    rounds: 7,
    idle: Duration::from_secs(15),
    rooms: [50, 5000],
    changes: 10_000,
    changes_per_second: 2000,
    million: &[1000, 10_000, 100_000, 1_000_000],
    ways: 3000,
    shared: 30_000,
    joins: 3000,
    nodes: (20, 900),
    writing: Duration::from_secs(5),
    all_of_headcount: true,
};

/// What `make bench-quick` does.
pub const QUICK: Sizes = Sizes {
    runs: 3,
    large: &[3000],
    small: &[500],
    large_storms: &[500, 3000],
    small_storms: &[200, 500],
    rounds: 3,
    idle: Duration::from_secs(15),
    rooms: [50, 1000],
    changes: 2000,
    changes_per_second: 2000,
    million: &[1000, 10_000],
    ways: 1000,
    shared: 10_000,
    joins: 1000,
    nodes: (4, 100),
    writing: Duration::from_secs(2),
    all_of_headcount: false,
};

/// One thing to do, with one server that is started for it.
#[derive(Clone, Debug)]
pub struct Step {
    /// To which server.
    pub peer: &'static Peer,
    /// In which run.
    pub run: usize,
    /// What.
    pub act: Act,
}

/// What is done with a server between its start and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A crowd gathers, and what is measured of it is measured of this one.
    Crowd {
        /// At these sizes its memory is looked at. The last is how large it gets.
        sizes: &'static [usize],
        /// Whether that is wanted.
        memory: bool,
        /// Whether it is left in silence.
        idle: bool,
        /// Whether a visitor comes and goes.
        deliver: bool,
        /// Whether it leaves at once.
        leave: bool,
    },
    /// So many come at once.
    Storm(usize),
    /// So many rooms.
    Rooms(usize),
    /// The same, where it is written down who sits where.
    Seats(usize),
    /// The same, where a history is kept and dashboards are open.
    Watched(usize),
    /// On these cores.
    Cores(Placement),
    /// As many as there can be.
    Million,
    /// A crowd comes by one of the ways.
    Way {
        /// Which.
        way: Way,
        /// How many streams.
        streams: usize,
    },
    /// Visitors come over TLS, one after the other.
    Joins {
        /// What the certificate is made with.
        key: Key,
        /// Whether they have tickets.
        handshake: Handshake,
    },
    /// A crowd is spread over nodes; one alone has no Redis.
    Nodes {
        /// How many.
        nodes: usize,
        /// How many streams each has.
        each: usize,
    },
    /// So many rooms, whose people are spread over nodes; one alone has no Redis.
    RoomsOfNodes {
        /// How many nodes.
        nodes: usize,
        /// How many rooms.
        rooms: usize,
    },
    /// Redis alone, written to as nodes do.
    Writes(Writes),
}

/// How Redis is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// How many nodes write, each 40 times a second.
    pub nodes: usize,
    /// How many hear them.
    pub hearers: usize,
    /// How many rooms change in a second, of all nodes together.
    pub changes_per_second: usize,
    /// For how long.
    pub time: Duration,
}

/// Everything that is to be done with these peers in these scenarios.
#[must_use]
pub fn steps(sizes: &Sizes, peers: &[&'static Peer], scenarios: &[Scenario]) -> Vec<Step> {
    let wanted = |scenario| scenarios.contains(&scenario);
    let mut steps = Vec::new();
    for run in 0..sizes.runs {
        let mut add = |peer, act| steps.push(Step { peer, run, act });
        if [Scenario::Memory, Scenario::Deliver, Scenario::Leave].into_iter().any(wanted)
            || wanted(Scenario::Idle)
        {
            for (peer, crowd) in crowds(peers) {
                add(
                    peer,
                    Act::Crowd {
                        sizes: if crowd == Crowd::Large { sizes.large } else { sizes.small },
                        memory: wanted(Scenario::Memory),
                        idle: wanted(Scenario::Idle) && is_left_idle(sizes, peer, crowd, run),
                        deliver: wanted(Scenario::Deliver),
                        leave: wanted(Scenario::Leave),
                    },
                );
            }
        }
        if wanted(Scenario::Storm) {
            for (peer, crowd) in crowds(peers) {
                let storms = match crowd {
                    Crowd::Large => sizes.large_storms,
                    Crowd::Small => sizes.small_storms,
                };
                for streams in storms {
                    add(peer, Act::Storm(*streams));
                }
            }
        }
        if run > 0 && !sizes.all_of_headcount {
            continue;
        }
        for (peer, act) in ways_and_joins(sizes, peers, run) {
            if wanted(if matches!(act, Act::Way { .. }) { Scenario::Ways } else { Scenario::Joins })
            {
                add(peer, act);
            }
        }
        let Some(headcount) = peers.iter().find(|peer| peer.name == HEADCOUNT) else { continue };
        if wanted(Scenario::Rooms) {
            for rooms in sizes.rooms {
                add(headcount, Act::Rooms(rooms));
            }
            add(headcount, Act::Seats(sizes.rooms[0]));
            add(headcount, Act::Watched(sizes.rooms[1]));
        }
        if wanted(Scenario::Cores) {
            for placement in [Placement::Apart, Placement::Together] {
                add(headcount, Act::Cores(placement));
            }
        }
        if wanted(Scenario::Cluster) {
            for act in cluster(sizes) {
                add(headcount, act);
            }
        }
        if wanted(Scenario::Million) && run == 0 {
            add(headcount, Act::Million);
        }
    }
    steps
}

/// The ways, each with all peers that have it in turn, and the joins over TLS.
fn ways_and_joins(sizes: &Sizes, peers: &[&'static Peer], run: usize) -> Vec<(&'static Peer, Act)> {
    let mut acts = Vec::new();
    for way in Way::ALL {
        for peer in peers.iter().filter(|peer| peer.ways.contains(&way)) {
            let streams = match (peer.crowd, way) {
                (Crowd::Large, Way::SharedHttp2) => sizes.shared,
                (Crowd::Large, _) => sizes.ways,
                // They gather for a minute and more: once.
                (Crowd::Small, _) if run > 0 => continue,
                (Crowd::Small, _) => sizes.small.last().map_or(sizes.ways, |size| *size),
            };
            acts.push((*peer, Act::Way { way, streams }));
        }
    }
    for key in Key::ALL {
        for handshake in [Handshake::Full, Handshake::Resumed] {
            for peer in peers.iter().filter(|peer| peer.ways.contains(&Way::TlsHttp2)) {
                acts.push((*peer, Act::Joins { key, handshake }));
            }
        }
    }
    acts
}

/// What nodes do together, each beside what one does alone; and what Redis takes for more
/// than can be had from nodes on one machine.
fn cluster(sizes: &Sizes) -> Vec<Act> {
    let (nodes, each) = sizes.nodes;
    let mut acts = vec![
        Act::Nodes { nodes: 1, each },
        Act::Nodes { nodes: 1, each: nodes * each },
        Act::Nodes { nodes, each },
    ];
    for nodes in [1, 3] {
        acts.push(Act::RoomsOfNodes { nodes, rooms: sizes.rooms[1] });
    }
    let time = sizes.writing;
    for changes_per_second in [1000, 10_000, 100_000] {
        acts.push(Act::Writes(Writes { nodes: 1, hearers: 3, changes_per_second, time }));
    }
    // A million people on 50 nodes, of whom each stays for five minutes.
    let million = Writes { nodes: 50, hearers: 50, changes_per_second: 6000, time };
    acts.push(Act::Writes(million));
    acts
}

/// Silence takes long and its cost hardly varies: the others have it once, if theirs is
/// the large crowd, and the floor, which has no heartbeat, never.
fn is_left_idle(sizes: &Sizes, peer: &Peer, crowd: Crowd, run: usize) -> bool {
    match peer.name {
        HEADCOUNT => run == 0 || sizes.all_of_headcount,
        FLOOR => false,
        _ => run == 0 && crowd == Crowd::Large && sizes.all_of_headcount,
    }
}

/// Who is measured with which crowd. The floor is measured with the small one too if
/// anybody is: a `send` is cheaper when fewer sockets are in the caches.
fn crowds(peers: &[&'static Peer]) -> Vec<(&'static Peer, Crowd)> {
    let mut crowds: Vec<_> = peers.iter().map(|peer| (*peer, peer.crowd)).collect();
    let floor = peers.iter().find(|peer| peer.name == FLOOR);
    if let (Some(floor), true) = (floor, peers.iter().any(|peer| peer.crowd == Crowd::Small)) {
        crowds.push((floor, Crowd::Small));
    }
    crowds
}

/// The peers of these names, or all; of a quick run, only those that are quick.
///
/// # Errors
/// If there is no peer of a name.
pub fn peers(names: &[String], quick: bool) -> anyhow::Result<Vec<&'static Peer>> {
    if names.is_empty() {
        return Ok(PEERS.iter().filter(|peer| peer.quick || !quick).collect());
    }
    let known = PEERS.map(|peer| peer.name).join(", ");
    let find = |name: &String| {
        peer(name).ok_or_else(|| anyhow::anyhow!("there is no peer {name:?}; there are {known}"))
    };
    names.iter().map(find).collect()
}

impl Step {
    /// Roughly how long it takes, in seconds. Only the progress bar depends on it.
    #[must_use]
    pub fn expected(&self, sizes: &Sizes) -> f64 {
        // What a join of a small crowd costs grows with the crowd.
        let gather = |streams: usize| match self.peer.crowd {
            Crowd::Large => streams as f64 / 6000.0,
            Crowd::Small => (streams as f64 / 1000.0).powi(2) * 5.0,
        };
        0.3 + match &self.act {
            Act::Crowd { sizes: crowd, memory, idle, deliver, leave } => {
                let streams = *crowd.last().unwrap_or(&0);
                gather(streams)
                    + if *memory { 1.5 * crowd.len() as f64 } else { 0.0 }
                    + if *idle { sizes.idle.as_secs_f64() } else { 0.0 }
                    + if *deliver { sizes.rounds as f64 * streams as f64 * 60e-6 } else { 0.0 }
                    + if *leave { 0.5 } else { 0.0 }
            }
            Act::Storm(streams) => gather(*streams),
            Act::Rooms(rooms) | Act::Seats(rooms) | Act::Watched(rooms) => {
                *rooms as f64 / 2000.0 + sizes.changes as f64 / f64::from(sizes.changes_per_second)
            }
            Act::Cores(_) => {
                let streams = *sizes.large.last().unwrap_or(&0);
                gather(streams) + sizes.rounds as f64 * streams as f64 * 60e-6
            }
            Act::Way { streams, .. } => {
                gather(*streams) + 5.0 + sizes.rounds as f64 * *streams as f64 * 60e-6
            }
            Act::Joins { .. } => sizes.joins as f64 * 1e-3,
            Act::Nodes { nodes, each } => {
                let streams = nodes * each;
                8.0 + gather(streams) + sizes.rounds as f64 * streams as f64 * 160e-6
            }
            Act::RoomsOfNodes { rooms, .. } => {
                5.0 + *rooms as f64 / 1000.0
                    + sizes.changes as f64 / f64::from(sizes.changes_per_second)
            }
            Act::Writes(writes) => writes.time.as_secs_f64(),
            Act::Million => *sizes.million.last().unwrap_or(&0) as f64 * 150e-6,
        }
    }

    /// What is done, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.act {
            Act::Crowd { sizes, .. } => format!("a crowd of {}", sizes.last().unwrap_or(&0)),
            Act::Storm(streams) => format!("a storm of {streams}"),
            Act::Rooms(rooms) => format!("{rooms} rooms"),
            Act::Seats(rooms) => format!("{rooms} rooms, written down"),
            Act::Watched(rooms) => format!("{rooms} rooms, watched"),
            Act::Cores(Placement::Apart) => "one core".into(),
            Act::Cores(Placement::Together) => "two cores".into(),
            Act::Million => "HTTP/2 streams".into(),
            Act::Nodes { nodes, each } => format!("{nodes} nodes with {each} each"),
            Act::RoomsOfNodes { nodes, rooms } => format!("{rooms} rooms on {nodes} nodes"),
            Act::Writes(Writes { nodes, changes_per_second, .. }) => {
                format!("{changes_per_second} changes a second in Redis, of {nodes} nodes")
            }
            Act::Way { way, streams } => format!("{streams} over {}", way.title()),
            Act::Joins { key, handshake: Handshake::Full } => {
                format!("full handshakes ({})", key.title())
            }
            Act::Joins { key, handshake: Handshake::Resumed } => {
                format!("resumed handshakes ({})", key.title())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Scenario> {
        Scenario::value_variants().to_vec()
    }

    #[test]
    fn every_peer_has_its_turn_in_every_run() {
        let steps = steps(&FULL, &peers(&[], false).expect("peers"), &all());
        for peer in &PEERS {
            for run in 0..FULL.runs {
                let of_peer = |step: &&Step| step.peer.name == peer.name && step.run == run;
                assert!(steps.iter().any(|step| of_peer(&step)), "{} in run {run}", peer.name);
            }
        }
        assert!(steps.is_sorted_by_key(|step| step.run), "interleaved");
    }

    #[test]
    fn the_floor_is_measured_with_every_crowd_that_anybody_is() {
        let small = |step: &Step| step.peer.name == FLOOR && step.act == Act::Storm(250);
        let with_small = steps(&FULL, &peers(&[], false).expect("peers"), &all());
        assert!(with_small.iter().any(small));
        let only = ["floor".to_owned(), "headcount".to_owned()];
        let without = steps(&FULL, &peers(&only, false).expect("peers"), &all());
        assert!(!without.iter().any(small));
    }

    #[test]
    fn every_peer_is_measured_on_its_ways_and_those_with_large_crowds_in_every_run() {
        let steps = steps(&FULL, &peers(&[], false).expect("peers"), &all());
        for peer in &PEERS {
            for way in Way::ALL {
                let of_way = |step: &&Step| {
                    step.peer.name == peer.name
                        && matches!(step.act, Act::Way { way: other, .. } if other == way)
                };
                let runs = if peer.crowd == Crowd::Large { FULL.runs } else { 1 };
                let expected = if peer.ways.contains(&way) { runs } else { 0 };
                assert_eq!(steps.iter().filter(of_way).count(), expected, "{}", peer.name);
            }
        }
    }

    #[test]
    fn a_peer_that_is_not_there_is_an_error_that_says_who_is() {
        let failure = peers(&["nobody".to_owned()], false).expect_err("nobody");
        assert!(failure.to_string().contains("headcount"), "{failure}");
    }
}
