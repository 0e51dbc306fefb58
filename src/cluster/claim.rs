//! A claim: somebody has come back with a token of another node, and this node asks for
//! their seat to move here, whether the other node lives, drains or is dead.
//!
//! A claim travels with a write: the same script that counts them here takes them away
//! there. It may be carried out twice, because Redis remembers who was moved where.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::frame::{Frame, Version};
use super::place::{Place, SeatNumber};
use super::{MEMORY, MOST_CLAIMS, PATIENCE};
use crate::name::Name;

/// Whom to move, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The place that the token names. The driver has verified the token.
    pub(crate) from: Place,
    /// Their seat here.
    pub(crate) to: SeatNumber,
    /// The rooms that they were in there and are in here, as far as the token tells.
    pub(crate) rooms: Arc<[Name]>,
    /// If the claim was carried out before, the version that it gave the hash they came from.
    /// If the hash has that version or a later one, or another generation, nobody is taken
    /// from it a second time; only its node is told again.
    pub(crate) unless: Option<Version>,
}

/// A claim that Redis has not confirmed yet.
#[derive(Debug)]
struct Pending {
    claim: Claim,
    since: Duration,
    /// The first write that carried it. Each later one does so too.
    sent: Option<u64>,
    standing: Standing,
    /// Seats that they had here before, with the same token, and that Redis may know of.
    /// Until the claim is carried out, another node that they go to finds these.
    former: Vec<SeatNumber>,
}

/// Where somebody is until their claim is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They wait, and are where they were.
    Waiting,
    /// They waited long enough: they are here, and in the share of the other node too.
    Seated,
    /// They are here; the claim is made once more, because Redis has lost it.
    Moved,
}

/// The claims of this node, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pending: VecDeque<Pending>,
    /// The seats here of the pending claims, and how often each occurs, to see quickly that
    /// any other seat has none.
    seats: HashMap<SeatNumber, usize>,
    /// Maps the former seats of pending claims to the seats that took their place.
    successors: HashMap<SeatNumber, SeatNumber>,
    /// How many pending claims wait, and how many are seated. They are counted because there
    /// may be thousands, and each input asks.
    waiting: usize,
    seated: usize,
    /// Confirmed claims, and when. If Redis loses its last writes, they are made again.
    recent: VecDeque<(Claim, Duration)>,
}

impl Claims {
    pub(crate) fn add(&mut self, claim: Claim, standing: Standing, now: Duration) {
        self.push(Pending { claim, since: now, sent: None, standing, former: Vec::new() });
    }

    fn push(&mut self, pending: Pending) {
        self.count_in(&pending);
        self.pending.push_back(pending);
    }

    fn count_in(&mut self, pending: &Pending) {
        let to = pending.claim.to;
        *self.seats.entry(to).or_default() += 1;
        self.successors.extend(pending.former.iter().map(|former| (*former, to)));
        self.waiting += usize::from(pending.standing == Standing::Waiting);
        self.seated += usize::from(pending.standing == Standing::Seated);
    }

    fn count_out(&mut self, pending: &Pending) {
        if let Entry::Occupied(mut seats) = self.seats.entry(pending.claim.to) {
            *seats.get_mut() -= 1;
            if *seats.get() == 0 {
                seats.remove();
            }
        }
        for former in &pending.former {
            self.successors.remove(former);
        }
        self.waiting -= usize::from(pending.standing == Standing::Waiting);
        self.seated -= usize::from(pending.standing == Standing::Seated);
    }

    fn remove(&mut self, seat: SeatNumber) -> Option<Pending> {
        if !self.seats.contains_key(&seat) {
            return None;
        }
        let nth = self.pending.iter().position(|pending| pending.claim.to == seat)?;
        let pending = self.pending.remove(nth)?;
        self.count_out(&pending);
        Some(pending)
    }

    /// Adds the claim of somebody whose seat `old` here is replaced by another one. Returns
    /// their standing.
    pub(crate) fn replace(&mut self, old: SeatNumber, claim: Claim, now: Duration) -> Standing {
        let (standing, mut former, is_known) = match self.remove(old) {
            Some(before) => (before.standing, before.former, before.sent.is_some()),
            None => (Standing::Moved, Vec::new(), true),
        };
        // Only then, or the list would grow without end while Redis is away.
        if is_known {
            former.push(old);
        }
        self.push(Pending { claim, since: now, sent: None, standing, former });
        standing
    }

    /// The claim for this seat, unless Redis has confirmed it.
    pub(crate) fn of(&self, seat: SeatNumber) -> Option<&Claim> {
        if !self.seats.contains_key(&seat) {
            return None;
        }
        self.pending.iter().map(|pending| &pending.claim).find(|claim| claim.to == seat)
    }

    /// The seat that has taken the place of `former`, if Redis doesn't know that yet.
    pub(crate) fn successor(&self, former: SeatNumber) -> Option<SeatNumber> {
        self.successors.get(&former).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len() + self.successors.len()
    }

    /// Whether the next write would carry a claim for the first time.
    pub(crate) fn is_one_unsent(&self) -> bool {
        self.pending.iter().take(MOST_CLAIMS).any(|pending| pending.sent.is_none())
    }

    /// The claims that the write with this number carries.
    pub(crate) fn send(&mut self, seq: u64) -> Vec<Claim> {
        let first = self.pending.iter_mut().take(MOST_CLAIMS);
        first
            .map(|pending| {
                pending.sent.get_or_insert(seq);
                pending.claim.clone()
            })
            .collect()
    }

    /// The claims that must wait until others are confirmed.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Claim> {
        self.pending.iter().skip(MOST_CLAIMS).map(|pending| &pending.claim)
    }

    /// Whether somebody is counted here who is still in the share of another node.
    pub(crate) fn is_one_seated(&self) -> bool {
        self.seated > 0
    }

    /// Removes and returns the claims that were carried out by this node's write that was
    /// published as `frame`, or by an earlier one, with the standing that they had.
    pub(crate) fn confirm(&mut self, frame: &Frame, now: Duration) -> Vec<(Claim, Standing)> {
        let is_sent = |pending: &Pending| pending.sent.is_some_and(|sent| sent <= frame.seq);
        let mut confirmed = Vec::new();
        for pending in mem::take(&mut self.pending) {
            if is_sent(&pending) {
                self.count_out(&pending);
                confirmed.push((pending.claim, pending.standing));
            } else {
                self.pending.push_back(pending);
            }
        }
        // People who had been moved since they got their token were moved from another place
        // than it names. Remember both places.
        let version =
            |node| frame.shares.iter().find(|part| part.node == node).map(|part| part.version);
        let moved = frame.moves.iter().filter(|moved| moved.from.node != frame.from);
        let moved: Vec<_> = moved
            .map(|moved| Claim {
                from: moved.from,
                to: moved.to,
                rooms: moved.rooms.clone(),
                unless: Some(version(moved.from.node).unwrap_or(Version::NONE)),
            })
            .collect();
        for (claim, _) in &confirmed {
            if !moved.iter().any(|moved| moved.from == claim.from) {
                let unless = Some(claim.unless.unwrap_or(Version::NONE));
                self.recent.push_back((Claim { unless, ..claim.clone() }, now));
            }
        }
        self.recent.extend(moved.into_iter().map(|claim| (claim, now)));
        confirmed
    }

    /// Makes the recent claims again: Redis has lost them.
    pub(crate) fn repeat(&mut self, now: Duration) {
        for (claim, _) in mem::take(&mut self.recent).into_iter().rev() {
            let standing = Standing::Moved;
            let pending = Pending { claim, since: now, sent: None, standing, former: Vec::new() };
            self.count_in(&pending);
            self.pending.push_front(pending);
        }
    }

    /// Drops the unconfirmed claim for a seat that is no longer here. Either it was carried out
    /// and nothing is left to do, or it was not, and the client, which was given no other token,
    /// will come back with the old one.
    pub(crate) fn drop(&mut self, seat: SeatNumber) -> Option<(Claim, Standing)> {
        self.remove(seat).map(|pending| (pending.claim, pending.standing))
    }

    /// Seats those who need not wait any longer: everybody if waiting `is_vain`.
    pub(crate) fn seat(&mut self, is_vain: bool, now: Duration) -> Vec<Claim> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let waits = |pending: &&mut Pending| pending.standing == Standing::Waiting;
        let is_over = |pending: &&mut Pending| is_vain || pending.since + PATIENCE <= now;
        let seat = |pending: &mut Pending| {
            pending.standing = Standing::Seated;
            pending.claim.clone()
        };
        // The waiting are at the end; thousands who are seated may be before them.
        let last = self.pending.iter_mut().rev().filter(waits).take(self.waiting);
        let mut seated: Vec<_> = last.filter(is_over).map(seat).collect();
        seated.reverse();
        self.waiting -= seated.len();
        self.seated += seated.len();
        seated
    }

    /// When the first of those who wait need not wait any longer.
    pub(crate) fn next_seat(&self) -> Option<Duration> {
        let waits = |pending: &&Pending| pending.standing == Standing::Waiting;
        let last = self.pending.iter().rev().filter(waits).take(self.waiting);
        last.last().map(|first| first.since + PATIENCE)
    }

    /// Forgets what nobody will ask for any more, and returns the claims of people who were
    /// seated without a confirmation for too long: by now they are counted here only.
    pub(crate) fn forget(&mut self, now: Duration) -> Vec<Claim> {
        while self.recent.front().is_some_and(|(_, since)| *since + MEMORY <= now) {
            self.recent.pop_front();
        }
        let mut given_up = Vec::new();
        while self.pending.front().is_some_and(|first| first.since + MEMORY <= now) {
            if let Some(first) = self.pending.pop_front() {
                self.count_out(&first);
                given_up.extend((first.standing == Standing::Seated).then_some(first.claim));
            }
        }
        given_up
    }
}
