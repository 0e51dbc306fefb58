//! The server as a whole, for the operator's dashboard.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::Shared;
use super::refusals::Refusals;
use super::usage::Usage;
use crate::ending::Reason;
use crate::history::History;
use crate::name::Name;
use crate::rooms::Rooms;

/// A handle on the numbers of a server.
#[derive(Clone)]
pub struct Overview(Arc<Shared>);

/// The numbers at one moment, without the rooms.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Numbers {
    version: &'static str,
    /// Some people may be missing.
    partial: bool,
    /// The server is stopping.
    stopping: bool,
    /// Streams that are open, including observers.
    streams: usize,
    #[serde(skip)]
    pub(crate) joins: u64,
    #[serde(skip)]
    pub(crate) leaves: u64,
    /// How much of each limit is used, and the limit.
    limits: Taken,
    /// How many streams were refused, by reason. Reasons that did not occur are left out.
    refusals: BTreeMap<&'static str, u64>,
    /// Connections that were closed to make room, or not let in, by the limit that was reached.
    connections: Connections,
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Serialize)]
struct Taken {
    streams: (usize, Option<usize>),
    rooms: (usize, usize),
}

#[derive(Clone, Debug, Default, Serialize)]
struct Connections {
    closed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
}

/// This process as one of several nodes.
#[derive(Clone, Debug, Serialize)]
struct Cluster {
    node: String,
    id: String,
    linked: bool,
    /// The other nodes, but only some of them if there are many.
    others: Vec<Other>,
    /// How many other nodes there are.
    nodes: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Other {
    id: String,
    people: u64,
    rooms: usize,
}

impl Overview {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        self.0.rooms()
    }

    /// The history, if one is kept.
    pub(crate) fn history(&self) -> Option<&History> {
        self.0.history.as_ref()
    }

    /// The highest number of a room today, if a history is kept.
    pub(crate) fn peak(&self, room: &Name) -> Option<usize> {
        Some(self.history()?.peak(Some(room)).today)
    }

    /// What helps against each reason for refusing streams.
    pub(crate) fn help() -> BTreeMap<&'static str, &'static str> {
        Refusals::help().collect()
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let Self(shared) = self;
        let (rooms, tally) = (shared.rooms(), shared.rooms().tally());
        let max_streams = shared.streams.max_streams();
        let mut refusals = BTreeMap::new();
        for (reason, number) in shared.refusals.by_reason().filter(|(_, number)| *number > 0) {
            *refusals.entry(reason).or_default() += number;
        }
        Numbers {
            version: env!("CARGO_PKG_VERSION"),
            partial: rooms.is_partial(),
            stopping: shared.streams.terms().drain.is_cancelled(),
            streams: tally.streams.get(),
            joins: tally.joins.get(),
            leaves: Reason::ALL.iter().map(|reason| tally.ends(*reason).get()).sum(),
            limits: Taken {
                streams: (
                    shared.streams.places(),
                    (max_streams < usize::MAX).then_some(max_streams),
                ),
                rooms: (rooms.len(), rooms.max_rooms()),
            },
            refusals,
            connections: self.connections(),
            usage: Usage::now(),
            cluster: self.cluster(),
        }
    }

    fn connections(&self) -> Connections {
        let Some(crowded) = &self.0.crowded else { return Connections::default() };
        let happened = |all: &[(&'static str, u64)]| {
            all.iter().copied().filter(|(_, number)| *number > 0).collect()
        };
        Connections {
            closed: happened(&[
                ("max_connections", crowded.closed_by_max.get()),
                ("max_connections_per_ip", crowded.closed_by_max_per_ip.get()),
                ("file_descriptors", crowded.closed_by_descriptors.get()),
            ]),
            refused: happened(&[
                ("max_connections", crowded.refused_by_max.get()),
                ("max_connections_per_ip", crowded.refused_by_max_per_ip.get()),
            ]),
        }
    }

    fn cluster(&self) -> Option<Cluster> {
        let node = self.0.streams.node()?;
        let others = node.tally().others().into_iter();
        Some(Cluster {
            node: node.name().to_owned(),
            id: id(node.id()),
            linked: node.tally().linked.get() > 0,
            others: others
                .map(|other| Other { id: id(other.id), people: other.people, rooms: other.rooms })
                .collect(),
            nodes: node.tally().nodes.get(),
        })
    }
}

/// A node's id as it is displayed.
fn id(id: u32) -> String {
    format!("{id:08x}")
}

impl fmt::Debug for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overview").finish_non_exhaustive()
    }
}
