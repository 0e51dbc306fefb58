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
    sums: HashMap<Name, Sum>,
    /// How many people were moved here while catching up, which the shares don't show before
    /// that is done.
    moved: HashMap<Name, u64>,
    changed: HashSet<Name>,
}

/// How many people of a room are elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// In all shares.
    there: u64,
    /// How many of these are here, as far as this node knows: they came before Redis could
    /// move them, or before this node has read that it did. They are in the share that their
    /// token names, or in another one if they were moved since this node fell behind, or
    /// in none yet; so they are subtracted from the sum and not from a share.
    here: u64,
}

impl Sum {
    fn count(self) -> u32 {
        self.there.saturating_sub(self.here).try_into().unwrap_or(u32::MAX)
    }
}

/// A frame was missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap;

impl Elsewhere {
    /// How many people of this room are elsewhere.
    pub(crate) fn count(&self, room: &Name) -> u32 {
        self.sums.get(room).copied().unwrap_or_default().count()
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

    /// Applies everything new in a frame, or nothing if a frame before it was missed: half
    /// of a move would count somebody twice.
    ///
    /// `own` is this node, whose own share is not kept here.
    ///
    /// # Errors
    /// [`Gap`] if a frame was missed.
    pub(crate) fn apply(&mut self, own: NodeId, frame: &Frame, now: Duration) -> Result<(), Gap> {
        let parts = || frame.shares.iter().filter(|part| part.node != own);
        let is_missed = |part: &Part| match self.shares.get(&part.node) {
            Some(share) => share.judge(part) == Verdict::Gap,
            // A node whose share was dropped matters only if it writes itself.
            None => !part.is_whole && part.node == frame.from,
        };
        if parts().any(is_missed) {
            return Err(Gap);
        }
        for part in parts() {
            self.apply_part(part, now);
        }
        for moved in frame.moves.iter().filter(|moved| moved.is_lost) {
            // Redis has lost that share: ours is the only copy until its node writes it anew.
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
                    self.set(part.node, room, *count);
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

    /// Takes somebody away from a share when no frame will do so.
    fn take(&mut self, node: NodeId, rooms: &[Name]) {
        for room in rooms {
            let count = self.shares.get(&node).map_or(0, |share| share.count(room));
            self.set(node, room, count.saturating_sub(1));
        }
    }

    fn set(&mut self, node: NodeId, room: &Name, count: u32) {
        if let Some(share) = self.shares.get_mut(&node) {
            let before = share.count(room);
            share.set(room, count);
            self.change(room, |sum| sum.there = sum.there - u64::from(before) + u64::from(count));
        }
    }

    /// Notes that somebody is here who is still in another node's share.
    pub(crate) fn leaves(&mut self, rooms: &[Name]) {
        for room in rooms {
            self.change(room, |sum| sum.here += 1);
        }
    }

    /// Notes that somebody is no longer in another node's share.
    pub(crate) fn has_left(&mut self, rooms: &[Name]) {
        for room in rooms {
            self.change(room, |sum| sum.here = sum.here.saturating_sub(1));
        }
    }

    /// Notes that somebody was moved here, which the shares don't show until
    /// [everything is read](Self::is_read).
    pub(crate) fn moves(&mut self, rooms: &[Name]) {
        self.leaves(rooms);
        for room in rooms {
            *self.moved.entry(room.clone()).or_default() += 1;
        }
    }

    /// Notes that the shares are up to date.
    pub(crate) fn is_read(&mut self) {
        for (room, moved) in mem::take(&mut self.moved) {
            self.change(&room, |sum| sum.here = sum.here.saturating_sub(moved));
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
        let old = self.shares.remove(&node);
        let before = |room: &Name| u64::from(old.as_ref().map_or(0, |old| old.count(room)));
        // Most rooms have not changed, and nobody is told of those.
        for (room, count) in share.rooms() {
            let (before, after) = (before(room), u64::from(count));
            if before != after {
                self.change(room, |sum| sum.there = sum.there - before + after);
            }
        }
        for (room, count) in old.iter().flat_map(Share::rooms) {
            if share.count(room) == 0 {
                self.change(room, |sum| sum.there -= u64::from(count));
            }
        }
        self.shares.insert(node, share);
    }

    /// Drops a node's share.
    pub(crate) fn remove(&mut self, node: NodeId) {
        let Some(share) = self.shares.remove(&node) else { return };
        for (room, count) in share.rooms() {
            self.change(room, |sum| sum.there -= u64::from(count));
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

    fn change(&mut self, room: &Name, change: impl FnOnce(&mut Sum)) {
        let before = self.sums.get(room).copied().unwrap_or_default();
        let mut after = before;
        change(&mut after);
        if after == Sum::default() {
            self.sums.remove(room);
        } else if after != before {
            self.sums.insert(room.clone(), after);
        }
        if after.count() != before.count() {
            self.changed.insert(room.clone());
        }
    }
}
