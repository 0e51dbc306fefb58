//! A model of Redis, as far as the cluster can tell: the same as `src/cluster/*.lua` do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::frame::{Frame, Move, Part, Version};
use crate::cluster::place::{NodeId, Place, SeatNumber};
use crate::cluster::share::Snapshot;
use crate::cluster::write::{Answer, Write};
use crate::cluster::{LEASE, LEFT_MEMORY, MEMORY};
use crate::name::Name;

/// What is stored. A clone is what a replica has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redis {
    hashes: HashMap<NodeId, Hash>,
    /// By the time of the last write.
    nodes: BTreeMap<NodeId, Duration>,
    taken: HashMap<NodeId, Taken>,
    gone: HashMap<Place, Gone>,
}

#[derive(Clone, Debug)]
struct Hash {
    seq: u64,
    version: Version,
    rooms: HashMap<Name, u32>,
    end: Duration,
}

#[derive(Clone, Debug)]
struct Taken {
    seats: BTreeMap<SeatNumber, Arc<[Name]>>,
    end: Duration,
}

/// Where somebody went, if that is known.
#[derive(Clone, Copy, Debug)]
struct Gone {
    to: Option<Place>,
    end: Duration,
}

impl Redis {
    /// Forgets what is over, which a real one does key by key.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.hashes.retain(|_, hash| hash.end > now);
        self.taken.retain(|_, taken| taken.end > now);
        self.gone.retain(|_, gone| gone.end > now);
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.hashes.len() + self.taken.len() + self.gone.len() + self.nodes.len()
    }

    pub(crate) fn list(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn read(&mut self, node: NodeId, now: Duration) -> Option<Snapshot> {
        let hash = Self::alive(&mut self.hashes, node, now)?;
        let mut rooms: Vec<_> = hash.rooms.iter().map(|(room, n)| (room.clone(), *n)).collect();
        rooms.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        Some(Snapshot { version: hash.version, rooms, remaining: hash.end - now })
    }

    pub(crate) fn forget_hash(&mut self, node: NodeId) {
        self.hashes.remove(&node);
    }

    pub(crate) fn forget_taken(&mut self, node: NodeId) {
        self.taken.remove(&node);
    }

    pub(crate) fn forget_gone(&mut self, place: Place) {
        self.gone.remove(&place);
    }

    fn alive(hashes: &mut HashMap<NodeId, Hash>, node: NodeId, now: Duration) -> Option<&mut Hash> {
        hashes.get_mut(&node).filter(|hash| hash.end > now)
    }

    /// Carries out a write. What is published is in the answer.
    pub(crate) fn write(&mut self, node: NodeId, write: &Write, now: Duration) -> Answer {
        self.expire(now);
        let seq = self.hashes.get(&node).map(|hash| hash.seq);
        if seq.is_some_and(|seq| write.seq <= seq) {
            return Answer::Late;
        }
        if write.whole.is_some() {
            self.hashes.remove(&node);
        } else if seq.is_none_or(|seq| seq < write.base) {
            let taken = self.taken.get(&node).into_iter().flat_map(|taken| taken.seats.keys());
            return Answer::Lost(taken.copied().collect());
        }
        let mut numbers: HashMap<Name, u32> = write.rooms.iter().cloned().collect();

        if let Some(taken) = self.taken.get_mut(&node) {
            write.seen.iter().for_each(|seat| drop(taken.seats.remove(seat)));
        }

        let (mut moves, mut victims) = (Vec::new(), Vec::new());
        for claim in &write.claims {
            let here = Place { node, seat: claim.to };
            let (mut place, mut mark) = (claim.from, None);
            for _ in 0..16 {
                mark = self.gone.get(&place).copied();
                match mark.and_then(|gone| gone.to) {
                    Some(to) if place != here => place = to,
                    _ => break,
                }
            }
            if place == here {
                continue;
            }
            self.gone.insert(place, Gone { to: Some(here), end: now + MEMORY });
            if mark.is_some() || place == claim.from && place.node == node {
                continue;
            }
            let is_known = |unless: Version| {
                self.hashes.get(&place.node).is_none_or(|hash| {
                    hash.version.generation != unless.generation || hash.version >= unless
                })
            };
            let is_known = claim.unless.is_some_and(is_known);
            let rooms = if is_known { [].into() } else { claim.rooms.clone() };
            let taken = self
                .taken
                .entry(place.node)
                .or_insert_with(|| Taken { seats: BTreeMap::new(), end: now });
            taken.seats.insert(place.seat, rooms.clone());
            taken.end = now + MEMORY;
            let mut is_lost = false;
            if place.node != node && !is_known {
                is_lost = !self.hashes.contains_key(&place.node);
                if let Some(hash) = self.hashes.get_mut(&place.node) {
                    if !victims.contains(&place.node) {
                        victims.push(place.node);
                    }
                    for room in claim.rooms.iter() {
                        let count = hash.count(room).saturating_sub(1);
                        hash.set(room, count);
                    }
                }
            }
            moves.push(Move { from: place, to: claim.to, rooms, is_lost });
        }

        for seat in &write.left {
            let place = Place { node, seat: *seat };
            self.gone.entry(place).or_insert(Gone { to: None, end: now + LEFT_MEMORY });
        }

        let mut unseen = Vec::new();
        for (seat, rooms) in self.taken.get(&node).iter().flat_map(|taken| &taken.seats) {
            unseen.push(*seat);
            if !write.left.contains(seat) {
                for room in rooms.iter() {
                    if let Some(number) = numbers.get_mut(room) {
                        *number = number.saturating_sub(1);
                    }
                }
            }
        }

        let hash = self.hashes.entry(node).or_insert_with(|| Hash {
            seq: 0,
            version: Version { generation: write.whole.unwrap_or_default(), number: 0 },
            rooms: HashMap::new(),
            end: now,
        });
        let rooms: Vec<_> =
            write.rooms.iter().map(|(room, _)| (room.clone(), numbers[room])).collect();
        rooms.iter().for_each(|(room, count)| hash.set(room, *count));
        hash.seq = write.seq;
        hash.version.number += 1;
        hash.end = now + LEASE;
        let is_whole = write.whole.is_some();
        let mut shares = vec![Part { node, version: hash.version, is_whole, rooms }];
        for victim in victims {
            if let Some(hash) = self.hashes.get_mut(&victim) {
                hash.version.number += 1;
                let touched = moves.iter().filter(|moved| moved.from.node == victim);
                let mut rooms: Vec<Name> =
                    touched.flat_map(|moved| moved.rooms.iter().cloned()).collect();
                rooms.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                rooms.dedup();
                let rooms = rooms.into_iter().map(|room| (room.clone(), hash.count(&room)));
                shares.push(Part {
                    node: victim,
                    version: hash.version,
                    is_whole: false,
                    rooms: rooms.collect(),
                });
            }
        }
        self.nodes.insert(node, now);
        self.nodes.retain(|_, wrote| *wrote + LEASE > now);
        let frame = Frame { from: node, seq: write.seq, shares, moves };
        Answer::Done(Arc::new(frame), unseen)
    }
}

impl Hash {
    fn count(&self, room: &Name) -> u32 {
        self.rooms.get(room).copied().unwrap_or_default()
    }

    fn set(&mut self, room: &Name, count: u32) {
        if count == 0 {
            self.rooms.remove(room);
        } else {
            self.rooms.insert(room.clone(), count);
        }
    }
}
