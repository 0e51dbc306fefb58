//! The outbox: who is here, and which part of that Redis doesn't know yet.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::claim::Claims;
use super::place::{Place, SeatNumber};
use super::write::Write;
use super::{BEAT, LEFT_MEMORY, MOST_LEFT, MOST_LEFT_AT_ONCE, RETRY, SPARE_ROOMS, TICK};
use crate::name::Name;

/// A node's own share, and how much of it is written.
#[derive(Debug)]
pub(crate) struct Outbox {
    seats: HashMap<SeatNumber, Seat>,
    /// The seats of people who came back with another node's token, by the place it names.
    brought: HashMap<Place, SeatNumber>,
    rooms: HashMap<Name, u32>,
    unwritten: Unwritten,
    /// How many times the whole share was written.
    generation: u32,
    /// The last write, and the last one that was acknowledged.
    seq: u64,
    base: u64,
    /// What the write that is on its way carries.
    on_its_way: Option<Unwritten>,
    sent: Duration,
    /// Don't write before this time, because the last write failed.
    pause: Duration,
    /// Whether to write at once, even if nothing has changed.
    is_beat_due: bool,
}

#[derive(Debug)]
struct Seat {
    rooms: Arc<[Name]>,
    from: Option<Place>,
}

/// What is not written yet.
#[derive(Debug, Default)]
struct Unwritten {
    is_whole: bool,
    rooms: HashSet<Name>,
    /// The seats that were left, and when. Redis is not told what it would have forgotten
    /// by now.
    left: VecDeque<(SeatNumber, Duration)>,
    seen: BTreeSet<SeatNumber>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            seats: HashMap::new(),
            brought: HashMap::new(),
            rooms: HashMap::new(),
            unwritten: Unwritten { is_whole: true, ..Unwritten::default() },
            generation: 0,
            seq: 0,
            base: 0,
            on_its_way: None,
            sent: Duration::ZERO,
            pause: Duration::ZERO,
            is_beat_due: true,
        }
    }

    /// The number of the last write.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// How many items wait to be written.
    pub(crate) fn len(&self) -> usize {
        self.unwritten.len() + self.on_its_way.as_ref().map_or(0, Unwritten::len)
    }

    /// The seat here of somebody who came with the token of this place.
    pub(crate) fn brought(&self, from: Place) -> Option<SeatNumber> {
        self.brought.get(&from).copied()
    }

    pub(crate) fn join(&mut self, seat: SeatNumber, rooms: Arc<[Name]>, from: Option<Place>) {
        for room in rooms.iter() {
            *self.rooms.entry(room.clone()).or_default() += 1;
            self.unwritten.note(room, self.rooms.len());
        }
        self.brought.extend(from.map(|from| (from, seat)));
        self.seats.insert(seat, Seat { rooms, from });
    }

    /// Takes a seat out of the numbers. Leaving twice is the same as leaving once.
    pub(crate) fn leave(&mut self, seat: SeatNumber, now: Duration) {
        if self.remove(seat) {
            self.unwritten.left.push_back((seat, now));
            self.unwritten.forget_left();
        }
    }

    /// Takes a seat that another node has claimed out of the numbers. Returns whether it
    /// was here.
    pub(crate) fn give_up(&mut self, seat: SeatNumber) -> bool {
        self.unwritten.seen.insert(seat);
        self.remove(seat)
    }

    /// Marks rooms of which the others have a wrong number to be written again: somebody was
    /// claimed from them who had left already.
    pub(crate) fn compare(&mut self, rooms: &[(Name, u32)]) {
        for (room, count) in rooms {
            if self.rooms.get(room).copied().unwrap_or_default() != *count {
                self.unwritten.note(room, self.rooms.len());
            }
        }
    }

    fn remove(&mut self, seat: SeatNumber) -> bool {
        let Some(Seat { rooms, from }) = self.seats.remove(&seat) else { return false };
        if let Some(from) = from.filter(|from| self.brought.get(from) == Some(&seat)) {
            self.brought.remove(&from);
        }
        for room in rooms.iter() {
            if let Some(count) = self.rooms.get_mut(room) {
                *count -= 1;
                if *count == 0 {
                    self.rooms.remove(room);
                }
            }
            self.unwritten.note(room, self.rooms.len());
        }
        true
    }

    /// Asks for a write at once.
    pub(crate) fn speak(&mut self) {
        self.is_beat_due = true;
        self.pause = Duration::ZERO;
    }

    /// When there is something to write next, if nothing is on its way.
    pub(crate) fn due(&self, claims: &Claims) -> Option<Duration> {
        if self.on_its_way.is_some() {
            return None;
        }
        let at = if self.is_beat_due || claims.is_one_unsent() {
            Duration::ZERO
        } else if self.unwritten.len() > 0 || claims.len() > 0 {
            self.sent + TICK
        } else {
            self.sent + BEAT
        };
        Some(at.max(self.pause))
    }

    /// What to write now.
    pub(crate) fn send(&mut self, claims: &mut Claims, now: Duration) -> Write {
        let mut written = mem::take(&mut self.unwritten);
        while written.left.front().is_some_and(|(_, since)| *since + LEFT_MEMORY <= now) {
            written.left.pop_front();
        }
        let at_once = written.left.len().min(MOST_LEFT_AT_ONCE);
        self.unwritten.left = written.left.split_off(at_once);
        self.seq += 1;
        self.sent = now;
        self.is_beat_due = false;
        let claimed = claims.send(self.seq);
        // People whose claim doesn't fit into this write are still in the hash they come from.
        let mut waiting = HashMap::<&Name, u32>::new();
        for claim in claims.waiting().filter(|claim| self.seats.contains_key(&claim.to)) {
            for room in claim.rooms.iter() {
                *waiting.entry(room).or_default() += 1;
            }
        }
        let count = |room: &Name| {
            let here = self.rooms.get(room).copied().unwrap_or_default();
            here.saturating_sub(waiting.get(room).copied().unwrap_or_default())
        };
        let mut rooms: Vec<_> = if written.is_whole {
            self.generation += 1;
            self.rooms.keys().cloned().collect()
        } else {
            let of_claims = claimed.iter().flat_map(|claim| claim.rooms.iter());
            written
                .rooms
                .iter()
                .chain(of_claims)
                .collect::<HashSet<_>>()
                .into_iter()
                .cloned()
                .collect()
        };
        // In a fixed order, or a simulation could not be repeated.
        rooms.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let write = Write {
            seq: self.seq,
            base: self.base,
            whole: written.is_whole.then_some(self.generation),
            rooms: rooms.into_iter().map(|room| (room.clone(), count(&room))).collect(),
            left: written.left.iter().map(|(seat, _)| *seat).collect(),
            seen: written.seen.iter().copied().collect(),
            claims: claimed,
        };
        self.on_its_way = Some(written);
        write
    }

    /// Whether the write with this number is on its way.
    pub(crate) fn awaits(&self, seq: u64) -> bool {
        self.on_its_way.is_some() && self.seq == seq
    }

    /// Notes that the last write was carried out.
    pub(crate) fn is_written(&mut self) {
        self.on_its_way = None;
        self.base = self.seq;
    }

    /// Notes that, if a write was on its way, nobody knows whether it was or ever will be
    /// carried out.
    pub(crate) fn is_not_written(&mut self, pause: Duration) {
        if let Some(mut again) = self.on_its_way.take() {
            if self.unwritten.is_whole {
                again.become_whole();
            }
            for room in mem::take(&mut self.unwritten.rooms) {
                again.note(&room, self.rooms.len());
            }
            again.left.append(&mut self.unwritten.left);
            again.seen.append(&mut self.unwritten.seen);
            self.unwritten = again;
            self.pause = pause;
        }
        self.unwritten.forget_left();
    }

    /// Notes that Redis has lost the share, or some of it.
    pub(crate) fn is_lost(&mut self) {
        self.is_not_written(Duration::ZERO);
        self.unwritten.become_whole();
        self.speak();
    }

    /// The pause after a failure.
    pub(crate) fn pause(now: Duration) -> Duration {
        now + RETRY
    }
}

impl Unwritten {
    /// Notes that a room must be written. There are so `many` rooms on this node.
    fn note(&mut self, room: &Name, many: usize) {
        if self.is_whole {
            return;
        }
        self.rooms.insert(room.clone());
        // Most of these rooms are gone. While Redis is away, their number could grow without end.
        if self.rooms.len() > many + SPARE_ROOMS {
            self.become_whole();
        }
    }

    /// Marks the whole share to be written, whatever has changed.
    fn become_whole(&mut self) {
        self.is_whole = true;
        self.rooms = HashSet::new();
    }

    /// Keeps at most [`MOST_LEFT`] of the seats that were left, the newest.
    fn forget_left(&mut self) {
        let surplus = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..surplus);
    }

    fn len(&self) -> usize {
        usize::from(self.is_whole) + self.rooms.len() + self.left.len() + self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_says_which_claims_are_seen() {
        let mut outbox = Outbox::new();
        outbox.give_up(7);
        let write = outbox.send(&mut Claims::default(), Duration::ZERO);
        assert_eq!(write.seen, [7]);
    }
}
