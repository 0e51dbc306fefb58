//! How many people are elsewhere: the shares of all other nodes, and their sums.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::time::Duration;

use super::frame::{Frame, Part};
use super::lease::Lease;
use super::place::NodeId;
use super::share::{Share, Verdict};
use crate::name::Name;

/// The shares of the other nodes, and for each room their sum, kept as they change.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    shares: BTreeMap<NodeId, Share>,
    /// People who came here before Redis could move them: they are in that node's share
    /// still, or will be once it is read.
    leaving: HashMap<NodeId, HashMap<Name, u32>>,
    sums: HashMap<Name, u32>,
    changed: HashSet<Name>,
}

/// A frame was missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap;

impl Elsewhere {
    /// How many people of this room are elsewhere.
    pub(crate) fn count(&self, room: &Name) -> u32 {
        self.sums.get(room).copied().unwrap_or_default()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.shares.keys().copied()
    }

    pub(crate) fn share(&self, node: NodeId) -> Option<&Share> {
        self.shares.get(&node)
    }

    pub(crate) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.shares.values()
    }

    /// The rooms whose sums have changed since the last call, in no order.
    pub(crate) fn take_changed(&mut self) -> HashSet<Name> {
        mem::take(&mut self.changed)
    }

    /// Applies all of a frame that is news, or nothing if one before it was missed: half
    /// of a move would count somebody twice.
    ///
    /// `own` is this node, whose share is nobody else's business here.
    ///
    /// # Errors
    /// [`Gap`] if a frame was missed.
    pub(crate) fn apply(&mut self, own: NodeId, frame: &Frame, now: Duration) -> Result<(), Gap> {
        let parts = || frame.shares.iter().filter(|part| part.node != own);
        let is_missed = |part: &Part| match self.shares.get(&part.node) {
            Some(share) => share.judge(part) == Verdict::Gap,
            // Whose share was dropped is of interest only if they speak themselves.
            None => !part.is_whole && part.node == frame.from,
        };
        if parts().any(is_missed) {
            return Err(Gap);
        }
        for part in parts() {
            self.apply_part(part, now);
        }
        for moved in frame.moves.iter().filter(|moved| moved.is_lost) {
            // What we know of that share is all that there is, until its node writes it anew.
            if self.shares.get(&moved.from.node).is_some_and(|share| share.lease.is_hash_missing())
            {
                self.take(moved.from.node, &moved.rooms);
            }
        }
        if let Some(share) = self.shares.get_mut(&frame.from) {
            share.lease.renew(now);
        }
        Ok(())
    }

    fn apply_part(&mut self, part: &Part, now: Duration) {
        match self.shares.get(&part.node).map(|share| share.judge(part)) {
            Some(Verdict::Next) => {
                for (room, count) in &part.rooms {
                    let before = self.seen(part.node, room);
                    if let Some(share) = self.shares.get_mut(&part.node) {
                        share.set(room, *count);
                    }
                    self.add(room, before, self.seen(part.node, room));
                }
                if let Some(share) = self.shares.get_mut(&part.node) {
                    share.version = part.version;
                }
            }
            Some(Verdict::Whole) => self.replace(part, Lease::heard(now)),
            None if part.is_whole => self.replace(part, Lease::heard(now)),
            Some(Verdict::Old | Verdict::Gap) | None => (),
        }
    }

    fn replace(&mut self, part: &Part, lease: Lease) {
        self.insert(part.node, Share::new(&part.rooms, part.version, lease));
    }

    /// Takes somebody away from a share that no frame takes them away from.
    pub(crate) fn take(&mut self, node: NodeId, rooms: &[Name]) {
        for room in rooms {
            let before = self.seen(node, room);
            if let Some(share) = self.shares.get_mut(&node) {
                share.set(room, share.count(room).saturating_sub(1));
            }
            self.add(room, before, self.seen(node, room));
        }
    }

    /// Notes that somebody is here who is in that node's share still.
    pub(crate) fn leaves(&mut self, node: NodeId, rooms: &[Name]) {
        for room in rooms {
            let before = self.seen(node, room);
            *self.leaving.entry(node).or_default().entry(room.clone()).or_default() += 1;
            self.add(room, before, self.seen(node, room));
        }
    }

    /// Notes that they are not in that share any more.
    pub(crate) fn has_left(&mut self, node: NodeId, rooms: &[Name]) {
        for room in rooms {
            let before = self.seen(node, room);
            if let Some(leaving) = self.leaving.get_mut(&node) {
                if let Some(count) = leaving.get_mut(room) {
                    *count -= 1;
                    if *count == 0 {
                        leaving.remove(room);
                    }
                }
                if leaving.is_empty() {
                    self.leaving.remove(&node);
                }
            }
            self.add(room, before, self.seen(node, room));
        }
    }

    /// Notes that Redis has no hash of that node.
    pub(crate) fn miss(&mut self, node: NodeId, now: Duration) {
        if let Some(share) = self.shares.get_mut(&node) {
            share.lease.miss(now);
        }
    }

    /// Renews the lease of a node that was heard.
    pub(crate) fn renew(&mut self, node: NodeId, now: Duration) {
        if let Some(share) = self.shares.get_mut(&node) {
            share.lease.renew(now);
        }
    }

    /// Puts a node's share in the place of the one before it.
    pub(crate) fn insert(&mut self, node: NodeId, share: Share) {
        self.remove(node);
        let rooms: Vec<_> = share.rooms().cloned().collect();
        self.shares.insert(node, share);
        for room in rooms {
            self.add(&room, 0, self.seen(node, &room));
        }
    }

    /// Drops a node's share.
    pub(crate) fn remove(&mut self, node: NodeId) {
        let Some(share) = self.shares.get(&node) else { return };
        let seen = |room: &Name| (room.clone(), self.seen(node, room));
        let rooms: Vec<_> = share.rooms().map(seen).collect();
        self.shares.remove(&node);
        for (room, count) in rooms {
            self.add(&room, count, 0);
        }
    }

    /// Drops the shares whose leases are over.
    pub(crate) fn expire(&mut self, now: Duration) {
        let is_over =
            |(node, share): (&NodeId, &Share)| (share.lease.end() <= now).then_some(*node);
        let over: Vec<_> = self.shares.iter().filter_map(is_over).collect();
        for node in over {
            self.remove(node);
        }
    }

    /// How many people of this room are at that node and nowhere else.
    fn seen(&self, node: NodeId, room: &Name) -> u32 {
        let count = self.shares.get(&node).map_or(0, |share| share.count(room));
        let leaving = self.leaving.get(&node).and_then(|leaving| leaving.get(room));
        count.saturating_sub(leaving.copied().unwrap_or_default())
    }

    fn add(&mut self, room: &Name, before: u32, after: u32) {
        if before == after {
            return;
        }
        let sum = self.count(room) - before + after;
        if sum == 0 {
            self.sums.remove(room);
        } else {
            self.sums.insert(room.clone(), sum);
        }
        self.changed.insert(room.clone());
    }
}
