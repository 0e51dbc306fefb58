//! One connection to Redis: what goes each way arrives in order, late, or not at all.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::frame::Frame;
use crate::cluster::place::NodeId;
use crate::cluster::share::Snapshot;
use crate::cluster::write::{Answer, Write};

/// What a node asks Redis.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Subscribe,
    Write(Write),
    List { catch_up: u64 },
    Read { catch_up: u64, node: NodeId },
}

/// What Redis sends.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Subscribed,
    Frame(Arc<Frame>),
    /// The answer to the command with this number.
    Written(u64, u64, Answer),
    Listed(u64, u64, Vec<NodeId>),
    Read(u64, u64, NodeId, Option<Snapshot>),
    Closed,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) slot: usize,
    pub(crate) id: NodeId,
    /// Whether the node has it open; Redis, for its part, sees the end later.
    pub(crate) is_open: bool,
    pub(crate) is_subscribed: bool,
    /// When the last thing arrives that is under way.
    pub(crate) up: Duration,
    pub(crate) down: Duration,
    /// What waits because the network is cut.
    pub(crate) stalled_up: Vec<(u64, Command)>,
    pub(crate) stalled_down: Vec<Message>,
    /// How many frames are lost, although the connection stands.
    pub(crate) drops: usize,
}

impl Link {
    pub(crate) fn new(slot: usize, id: NodeId) -> Self {
        Self {
            slot,
            id,
            is_open: true,
            is_subscribed: false,
            up: Duration::ZERO,
            down: Duration::ZERO,
            stalled_up: Vec::new(),
            stalled_down: Vec::new(),
            drops: 0,
        }
    }
}
