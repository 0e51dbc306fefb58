//! The figures of all runs, each condensed to its median.

use std::collections::BTreeSet;

use crate::certificate::Key;
use crate::cores::Placement;
use crate::figures::median;
use crate::load::Handshake;
use crate::peers::{FLOOR, PEERS, Peer};
use crate::results::{
    Besides, Deliver, Figures, Idle, Joins, Leave, Memory, Million, Nodes, OfWay, Results, Rooms,
    RoomsOfNodes, Storm, Writes,
};
use crate::way::Way;

/// What the report asks of the results.
pub(super) struct Medians<'a> {
    results: &'a Results,
}

impl<'a> Medians<'a> {
    pub(super) fn of(results: &'a Results) -> Self {
        Self { results }
    }

    /// Who has any figures.
    pub(super) fn peers(&self) -> impl Iterator<Item = &'static Peer> {
        PEERS.iter().filter(|peer| self.figures(peer.name).next().is_some())
    }

    /// The largest crowd that a peer was measured with.
    pub(super) fn crowd(&self, peer: &Peer) -> Option<usize> {
        let sizes = self.figures(peer.name).filter_map(|figures| match figures {
            Figures::Deliver(deliver) => Some(deliver.streams),
            Figures::Memory(memory) => Some(memory.streams),
            Figures::Leave(leave) => Some(leave.streams),
            _ => None,
        });
        sizes.max()
    }

    /// The sizes of the crowds whose memory was looked at.
    pub(super) fn memory_sizes(&self, peer: &str) -> BTreeSet<usize> {
        self.figures(peer).filter_map(memory).map(|memory| memory.streams).collect()
    }

    /// The sizes of the storms.
    pub(super) fn storm_sizes(&self, peer: &str) -> BTreeSet<usize> {
        self.figures(peer).filter_map(storm).map(|storm| storm.streams).collect()
    }

    /// How many rooms there were.
    pub(super) fn room_counts(&self, peer: &str) -> BTreeSet<usize> {
        self.figures(peer).filter_map(rooms).map(|rooms| rooms.rooms).collect()
    }

    /// The sizes of the crowds over HTTP/2.
    pub(super) fn million_sizes(&self, peer: &str) -> BTreeSet<usize> {
        self.figures(peer).filter_map(million).map(|million| million.memory.streams).collect()
    }

    /// A figure of the rounds of deliveries to a crowd.
    pub(super) fn deliver(
        &self,
        peer: &str,
        streams: usize,
        figure: impl Fn(&Deliver) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Deliver(deliver) if deliver.streams == streams => Some(figure(deliver)),
            _ => None,
        })
    }

    /// From the request to every hundredth of those who are told, in microseconds.
    pub(super) fn latencies(&self, peer: &str, streams: usize) -> Option<Vec<f64>> {
        let at = |p: usize| {
            self.deliver(peer, streams, |deliver| {
                deliver.latency_us.get(p).copied().unwrap_or_default()
            })
        };
        (0..=100).map(at).collect()
    }

    /// A figure of the rounds on certain cores.
    pub(super) fn cores(
        &self,
        peer: &str,
        placement: Placement,
        figure: impl Fn(&Deliver) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Cores(cores) if cores.placement == placement => Some(figure(&cores.rounds)),
            _ => None,
        })
    }

    /// The memory of a stream, in bytes.
    pub(super) fn memory(&self, peer: &str, streams: usize) -> Option<f64> {
        self.of_memory(peer, streams, Memory::of_a_stream)
    }

    /// A figure of a crowd's memory.
    pub(super) fn of_memory(
        &self,
        peer: &str,
        streams: usize,
        figure: impl Fn(&Memory) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| {
            memory(figures).filter(|memory| memory.streams == streams).map(&figure)
        })
    }

    /// A figure of a storm.
    pub(super) fn storm(
        &self,
        peer: &str,
        streams: usize,
        figure: impl Fn(&Storm) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| {
            storm(figures).filter(|storm| storm.streams == streams).map(&figure)
        })
    }

    /// A figure of a crowd's leaving.
    pub(super) fn leave(
        &self,
        peer: &str,
        streams: usize,
        figure: impl Fn(&Leave) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Leave(leave) if leave.streams == streams => Some(figure(leave)),
            _ => None,
        })
    }

    /// A figure of a crowd at rest.
    pub(super) fn idle(&self, peer: &str, figure: impl Fn(&Idle) -> f64) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Idle(idle) => Some(figure(idle)),
            _ => None,
        })
    }

    /// A figure of so many rooms.
    pub(super) fn rooms(
        &self,
        peer: &str,
        count: usize,
        besides: Besides,
        figure: impl Fn(&Rooms) -> f64,
    ) -> Option<f64> {
        let is_it = |rooms: &&Rooms| (rooms.rooms, rooms.besides()) == (count, besides);
        self.median(peer, |figures| rooms(figures).filter(is_it).map(&figure))
    }

    /// A figure of a crowd over HTTP/2.
    pub(super) fn million(
        &self,
        peer: &str,
        streams: usize,
        figure: impl Fn(&Million) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| {
            million(figures).filter(|million| million.memory.streams == streams).map(&figure)
        })
    }

    /// A figure of a crowd that came by a way.
    pub(super) fn way(&self, peer: &str, way: Way, figure: impl Fn(&OfWay) -> f64) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Way(of_way) if of_way.way == way => Some(figure(of_way)),
            _ => None,
        })
    }

    /// A figure of visitors over TLS.
    pub(super) fn joins(
        &self,
        peer: &str,
        key: Key,
        handshake: Handshake,
        figure: impl Fn(&Joins) -> f64,
    ) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::Joins(joins) if (joins.key, joins.handshake) == (key, handshake) => {
                Some(figure(joins))
            }
            _ => None,
        })
    }

    /// How many nodes there were, and how many streams in all.
    pub(super) fn clusters(&self, peer: &str) -> BTreeSet<(usize, usize)> {
        let figures = self.figures(peer).filter_map(nodes);
        figures.map(|nodes| (nodes.nodes, nodes.rounds.streams)).collect()
    }

    /// A figure of so many nodes with so many streams in all.
    pub(super) fn nodes(
        &self,
        peer: &str,
        cluster: (usize, usize),
        figure: impl Fn(&Nodes) -> Option<f64>,
    ) -> Option<f64> {
        let is_it = |nodes: &&Nodes| (nodes.nodes, nodes.rounds.streams) == cluster;
        self.median(peer, |figures| nodes(figures).filter(is_it).and_then(&figure))
    }

    /// A figure of rooms whose people were spread over so many nodes.
    pub(super) fn rooms_of_nodes(
        &self,
        peer: &str,
        nodes: usize,
        figure: impl Fn(&RoomsOfNodes) -> Option<f64>,
    ) -> Option<f64> {
        self.median(peer, |figures| match figures {
            Figures::RoomsOfNodes(rooms) if rooms.nodes == nodes => figure(rooms),
            _ => None,
        })
    }

    /// How many nodes wrote to Redis, and how many changes a second.
    pub(super) fn written(&self, peer: &str) -> BTreeSet<(usize, usize)> {
        let figures = self.figures(peer).filter_map(writes);
        figures.map(|writes| (writes.nodes, writes.changes_per_second)).collect()
    }

    /// A figure of Redis, written to by so many nodes so often.
    pub(super) fn writes(
        &self,
        peer: &str,
        written: (usize, usize),
        figure: impl Fn(&Writes) -> f64,
    ) -> Option<f64> {
        let is_it = |writes: &&Writes| (writes.nodes, writes.changes_per_second) == written;
        self.median(peer, |figures| writes(figures).filter(is_it).map(&figure))
    }

    /// How many times as many visitors can come with tickets as without, by the CPU time
    /// that each takes. By the clock they are fewer on a machine that is busy otherwise.
    pub(super) fn resumption(&self, peer: &str, key: Key) -> Option<f64> {
        let of = |handshake| self.joins(peer, key, handshake, Joins::server_cpu_us);
        Some(of(Handshake::Full)? / of(Handshake::Resumed)?)
    }

    /// A delivery's CPU time against that of the floor with the same crowd.
    pub(super) fn cost_ratio(&self, peer: &Peer) -> Option<f64> {
        let crowd = self.crowd(peer)?;
        let of = |name| self.deliver(name, crowd, Deliver::server_cpu_us);
        Some(of(peer.name)? / of(FLOOR)?)
    }

    /// The time until the last stream is told, against the floor's.
    pub(super) fn last_ratio(&self, peer: &Peer) -> Option<f64> {
        let crowd = self.crowd(peer)?;
        let of = |name| self.deliver(name, crowd, last_us);
        Some(of(peer.name)? / of(FLOOR)?)
    }

    /// The time that the largest storm takes which the floor took too, against the
    /// floor's.
    pub(super) fn storm_ratio(&self, peer: &Peer) -> Option<f64> {
        let sizes = self.storm_sizes(peer.name);
        let largest = *sizes.intersection(&self.storm_sizes(FLOOR)).max()?;
        let of = |name| self.storm(name, largest, |storm| storm.converged_s);
        Some(of(peer.name)? / of(FLOOR)?)
    }

    fn figures(&self, peer: &str) -> impl Iterator<Item = &'a Figures> {
        let of_peer = self.results.records.iter().filter(move |record| record.peer == peer);
        of_peer.map(|record| &record.figures)
    }

    fn median(&self, peer: &str, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        median(self.figures(peer).filter_map(figure))
    }
}

/// The median of the rounds, of the time until the last stream is told.
pub(super) fn last_us(deliver: &Deliver) -> f64 {
    median(deliver.last_us.iter().copied()).unwrap_or(f64::NAN)
}

fn memory(figures: &Figures) -> Option<&Memory> {
    match figures {
        Figures::Memory(memory) => Some(memory),
        _ => None,
    }
}

fn storm(figures: &Figures) -> Option<&Storm> {
    match figures {
        Figures::Storm(storm) => Some(storm),
        _ => None,
    }
}

fn rooms(figures: &Figures) -> Option<&Rooms> {
    match figures {
        Figures::Rooms(rooms) => Some(rooms),
        _ => None,
    }
}

fn million(figures: &Figures) -> Option<&Million> {
    match figures {
        Figures::Million(million) => Some(million),
        _ => None,
    }
}

fn nodes(figures: &Figures) -> Option<&Nodes> {
    match figures {
        Figures::Nodes(nodes) => Some(nodes),
        _ => None,
    }
}

fn writes(figures: &Figures) -> Option<&Writes> {
    match figures {
        Figures::Writes(writes) => Some(writes),
        _ => None,
    }
}
