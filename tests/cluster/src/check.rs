//! What must hold, judged by who is where, which the nodes are not asked.

use std::time::Duration;

use crate::cluster::LEASE;
use crate::person::{Person, Sitting};
use crate::plan::ACTIVE;
use crate::world::World;

/// How long it takes at most until a node hears of what happened on another, if nothing is
/// wrong with both and with Redis.
pub(crate) const NEWS: Duration = Duration::from_millis(1_600);

/// How long a dead node's people may be counted after its death: the lease, and as long
/// as its last word may have taken.
const GONE: Duration = LEASE.saturating_add(Duration::from_millis(2_500));

/// The same, if something is wrong: a command may be carried out long after its node died.
const LATE: Duration = Duration::from_secs(36);

impl World {
    /// Since when nothing is wrong with a node, or what of it is past.
    fn well(&self, slot: usize) -> Option<Duration> {
        let (faults, since) = self.health[slot];
        let (redis_faults, redis_since) = self.redis_health;
        (faults == 0 && redis_faults == 0 && self.nodes[slot].is_some())
            .then_some(since.max(redis_since))
    }

    /// Whether the node in `slot` may count this person.
    pub(crate) fn may_count(&self, person: &Person, slot: usize) -> bool {
        if !person.seats.is_empty() {
            return true;
        }
        let is_dead_since = |(died, was_cut_off): (Duration, bool)| {
            let is_redis_well = self.redis_health.0 == 0 && self.redis_health.1 < died;
            let is_sure = is_redis_well && !was_cut_off;
            self.now <= died + if is_sure { GONE } else { LATE }
        };
        let has_left_since = |(left, node): (Duration, usize)| {
            let well = self.well(node).zip(self.well(slot));
            let heard = well.map(|(there, here)| left.max(there).max(here) + NEWS);
            self.now <= heard.unwrap_or(left + LATE).min(left + LATE)
        };
        person.died.is_some_and(is_dead_since) || person.left.is_some_and(has_left_since)
    }

    /// Whether the node in `slot` may count this person once more than it should. They have
    /// left a seat, and taken another one as somebody new. It can have missed the first
    /// and heard the second, and may not have noticed yet.
    fn may_have_missed(&self, person: &Person, slot: usize) -> bool {
        person.stood_up.is_some_and(|(left, node)| {
            let is_sure = |slot| self.well(slot).is_some_and(|since| since < left);
            self.now <= left + LATE && !(is_sure(node) && is_sure(slot))
        })
    }

    /// How often the node in `slot`, which is in doubt, may count this person more than once.
    /// They have left it for another node, which it has not heard of, and come back with the
    /// token of that one: it has no way to know that its former guest is the same.
    fn may_count_again(person: &Person, slot: usize) -> usize {
        person.seats.iter().filter(|sitting| sitting.slot == slot).count().saturating_sub(1)
    }

    /// Whether every node has heard of this person, who has sat on one for a time.
    fn must_count(&self, person: &Person) -> bool {
        let is_here = |sitting: &&Sitting| person.at.is_some_and(|at| at == sitting.place());
        person.seats.iter().filter(is_here).any(|sitting| {
            let heard = self.well(sitting.slot).map(|since| since.max(sitting.since + NEWS * 2));
            let is_seated = self.nodes[sitting.slot]
                .as_ref()
                .is_some_and(|node| node.seated.contains_key(&sitting.seat));
            is_seated && heard.is_some_and(|heard| heard <= self.now)
        })
    }

    /// Checks the numbers of one node.
    pub(crate) fn check(&mut self, slot: usize) {
        let Some(node) = self.nodes[slot].as_ref().filter(|node| node.is_called) else { return };
        let is_partial = node.member.is_partial();
        let mut wrong = None;
        for (nth, room) in self.rooms.iter().enumerate() {
            let is_there = |who: &usize| self.people[*who].is_in[nth];
            let here = node.seated.values().filter(|who| is_there(who)).count();
            let total = here + node.member.elsewhere(room) as usize;
            let people = || self.people.iter().filter(|person| person.is_in[nth]);
            self.seen.checks += 1;
            // Nothing more can be said against it, and it is what is seen most of all.
            if total == people().filter(|person| !person.seats.is_empty()).count() {
                continue;
            }
            let mut most = people().filter(|person| self.may_count(person, slot)).count();
            most += people().filter(|person| self.may_have_missed(person, slot)).count();
            if is_partial {
                most += people().map(|person| Self::may_count_again(person, slot)).sum::<usize>();
            }
            let least = people().filter(|person| self.must_count(person)).count();
            if total > most && self.now > self.amnesia {
                wrong = Some((room, total, format!("at most {most}")));
            } else if total < least && !is_partial {
                wrong = Some((room, total, format!("at least {least}")));
            }
        }
        if let Some((room, total, truth)) = wrong {
            self.wrong = Some(format!(
                "at {:?} node {slot} ({:?}) counts {total} in {} (partial: {is_partial}), and there are {truth}",
                self.now,
                node.id,
                room.as_str()
            ));
        }
    }

    /// Checks that everything is right once it has been quiet.
    pub(crate) fn check_end(&mut self) {
        if self.wrong.is_some() {
            return;
        }
        debug_assert!(self.now > ACTIVE);
        for (slot, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            if node.member.is_partial() || node.member.backlog() > 0 {
                self.wrong = Some(format!(
                    "at the end node {slot} is partial: {}, with a backlog of {}",
                    node.member.is_partial(),
                    node.member.backlog()
                ));
            }
            for room in &self.rooms {
                let is_there = |who: &usize| self.people[*who].rooms.contains(room);
                let here = node.seated.values().filter(|who| is_there(who)).count();
                let total = here + node.member.elsewhere(room) as usize;
                let is_in =
                    |person: &&Person| person.rooms.contains(room) && !person.seats.is_empty();
                let truth = self.people.iter().filter(is_in).count();
                if total != truth {
                    self.wrong = Some(format!(
                        "at the end node {slot} counts {total} in {}, and there are {truth}",
                        room.as_str()
                    ));
                }
            }
        }
    }
}
