//! Catching up: a node that has missed something reads all hashes again.
//!
//! It reads all of them and not only the one with the gap, because the lost frame may have
//! moved somebody between two hashes, and a dead node's hash shows no gap. Until everything
//! is read, the numbers stay as they were, in doubt; then they change in one step, so that
//! no half-read move counts anybody twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::frame::Frame;
use super::place::NodeId;
use super::share::Snapshot;
use super::{MOST_FRAMES, REASSERT};

/// One catch-up, and what it has learnt so far.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// The number of this catch-up. Answers to an earlier one are ignored.
    pub(crate) nth: u64,
    /// When to ask for the list of nodes, if that was not done yet.
    pub(crate) start: Option<Duration>,
    is_listed: bool,
    /// A write with a greater number than this must be answered: the answer tells this node
    /// which of its people are elsewhere by now. Its frame must be heard too: a deaf node
    /// would not learn what is claimed from now on.
    after: u64,
    is_answered: bool,
    is_heard: bool,
    waiting: BTreeSet<NodeId>,
    pub(crate) read: BTreeMap<NodeId, (Snapshot, Duration)>,
    /// Nodes whose hashes Redis doesn't have. A live node writes its hash anew at once, so
    /// these are waited for, until the deadline.
    missing: BTreeSet<NodeId>,
    deadline: Duration,
    /// What was heard meanwhile.
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) heard: BTreeMap<NodeId, Duration>,
}

impl CatchUp {
    pub(crate) fn new(nth: u64, start: Duration, after: u64) -> Self {
        Self {
            nth,
            start: Some(start),
            is_listed: false,
            after,
            is_answered: false,
            is_heard: false,
            waiting: BTreeSet::new(),
            read: BTreeMap::new(),
            missing: BTreeSet::new(),
            deadline: start + REASSERT,
            frames: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Notes that this node's write was answered.
    pub(crate) fn is_answered(&mut self, seq: u64) {
        self.is_answered |= seq > self.after;
    }

    /// Notes that this node has heard its own write.
    pub(crate) fn is_heard(&mut self, seq: u64) {
        self.is_heard |= seq > self.after;
    }

    /// Whether there is nothing left to wait for. Missing nodes are waited for only if they are
    /// still `known`.
    pub(crate) fn is_complete(&self, now: Duration, known: impl Fn(NodeId) -> bool) -> bool {
        let is_there = self.deadline <= now || !self.missing.iter().any(|node| known(*node));
        self.is_listed && self.is_answered && self.is_heard && self.waiting.is_empty() && is_there
    }

    /// When missing nodes are no longer waited for.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Keeps a frame that was heard for later.
    pub(crate) fn hear(&mut self, frame: &Arc<Frame>, now: Duration) {
        for part in frame.shares.iter().filter(|part| part.is_whole) {
            self.missing.remove(&part.node);
        }
        self.heard.insert(frame.from, now);
        self.frames.push(frame.clone());
    }

    /// Whether so much was heard meanwhile that the catch-up must start again.
    pub(crate) fn is_too_long(&self) -> bool {
        self.frames.len() > MOST_FRAMES
    }

    /// Notes which nodes there are, and returns those to read.
    pub(crate) fn list(&mut self, nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        self.is_listed = true;
        nodes.filter(|node| self.need(*node)).collect()
    }

    /// Notes that a node must be read. Returns whether it was neither read nor asked for yet.
    pub(crate) fn need(&mut self, node: NodeId) -> bool {
        !self.read.contains_key(&node) && !self.missing.contains(&node) && self.waiting.insert(node)
    }

    /// Notes what was read of a node.
    pub(crate) fn read(&mut self, node: NodeId, snapshot: Option<Snapshot>, now: Duration) {
        if !self.waiting.remove(&node) {
            return;
        }
        let is_whole =
            |frame: &Arc<Frame>| frame.shares.iter().any(|part| part.node == node && part.is_whole);
        match snapshot {
            Some(snapshot) => drop(self.read.insert(node, (snapshot, now))),
            None if self.frames.iter().any(is_whole) => (),
            None => drop(self.missing.insert(node)),
        }
    }

    /// The nodes that Redis knows nothing of, and that have not written their share anew since.
    pub(crate) fn missing(&self) -> impl Iterator<Item = NodeId> {
        self.missing.iter().copied()
    }
}
