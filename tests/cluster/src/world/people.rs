//! What people do: they come, leave, vanish and come back, to this node or another.

use std::time::Duration;

use super::{Event, World};
use crate::check::NEWS;
use crate::cluster::member::Input;
use crate::cluster::place::Place;
use crate::node::Node;
use crate::person::{Person, Sitting};
use crate::plan::ACTIVE;

impl World {
    pub(super) fn act(&mut self, who: usize) {
        let Some(at) = self.people[who].at else {
            if self.people[who].is_coming || self.now < ACTIVE {
                self.come(who);
            }
            return;
        };
        if self.now >= ACTIVE {
            return;
        }
        let leaves = if self.plan.do_people_leave { 40 } else { 0 };
        match self.chance.below(100) {
            dice if dice < leaves => {
                self.people[who].at = None;
                self.people[who].token = None;
                self.people[who].is_coming = false;
                let is_late = dice % 4 == 0;
                self.leave_seat(who, at, is_late);
                let away = self.chance.millis(0..10_000);
                self.after(away, Event::Person(who));
            }
            _ => self.vanish(who, at),
        }
    }

    /// Somebody leaves one node for another.
    pub(super) fn vanish(&mut self, who: usize, at: Place) {
        let is_noticed = self.plan.are_moves_noticed && self.chance.percent(50);
        self.leave_seat(who, at, !is_noticed);
        self.set_out(who, 4_000);
    }

    pub(super) fn set_out(&mut self, who: usize, within: usize) {
        self.people[who].at = None;
        self.people[who].is_coming = true;
        let away = self.chance.millis(0..within);
        self.after(away, Event::Person(who));
    }

    /// Their connection is gone; it may take the node some time to notice.
    pub(super) fn leave_seat(&mut self, who: usize, at: Place, is_late: bool) {
        let delay = if is_late { self.chance.millis(3_000..20_000) } else { Duration::ZERO };
        self.after(delay, Event::Notice(who, at));
    }

    pub(super) fn notice(&mut self, who: usize, place: Place) {
        // They may be back on the very seat.
        if self.people[who].at == Some(place) {
            return;
        }
        if let Some(slot) = self.slot_of(place.node) {
            self.unseat(slot, place, true);
            self.input(slot, Input::Leave { seat: place.seat });
        }
    }

    pub(super) fn unseat(&mut self, slot: usize, place: Place, is_left: bool) {
        let Some(node) = &mut self.nodes[slot] else { return };
        let seated = node.seated.remove(&place.seat);
        let Some(who) = seated.or_else(|| node.waiting.remove(&place.seat)) else { return };
        let person = &mut self.people[who];
        person.seats.retain(|it| it.node != place.node || it.seat != place.seat);
        if is_left || person.seats.is_empty() {
            person.left = Some((self.now, slot));
        }
        if is_left {
            person.stood_up = Some((self.now, slot));
        }
        if person.at == Some(place) {
            // The node ends a stream that it has lost to another one.
            self.set_out(who, 3_000);
        }
    }

    pub(super) fn come(&mut self, who: usize) {
        let awake = |(slot, node): (usize, &Option<Node>)| {
            node.as_ref().is_some_and(|node| !node.is_asleep).then_some(slot)
        };
        let open: Vec<_> = self.nodes.iter().enumerate().filter_map(awake).collect();
        if open.is_empty() {
            return self.after(Duration::from_millis(200), Event::Person(who));
        }
        let slot = open[self.chance.below(open.len())];
        let person = &self.people[who];
        let may_be_counted = (0..self.nodes.len()).any(|slot| self.may_count(person, slot));
        if person.token.is_none() && may_be_counted {
            // To a node, they are somebody else now. To the check they would be the same.
            return self.after(NEWS, Event::Person(who));
        }
        if let Some(token) = person.token
            && self.nodes[slot].as_ref().is_some_and(|node| node.id == token.node)
            && person.tokens_used.contains(&token)
        {
            // They claimed their seat from another node, came back before that could tell
            // this one, and have not heard of their new seat. Then their old one is ended
            // under them, and they come once more: but for the moment in which nobody
            // counts them, nothing is to be seen here.
            return self.after(NEWS, Event::Person(who));
        }
        let Some(node) = &mut self.nodes[slot] else { return };
        let person = &mut self.people[who];
        person.is_coming = false;
        if let Some(token) = person.token
            && token.node == node.id
            && node.seated.contains_key(&token.seat)
        {
            // The seat is there still.
            person.at = Some(token);
        } else {
            let seat = node.next_seat;
            node.next_seat += 1;
            let place = Place { node: node.id, seat };
            person.at = Some(place);
            person.seats.push(Sitting { slot, node: node.id, seat, since: self.now });
            let rooms = person.rooms.clone();
            if let Some(from) = person.token {
                person.tokens_used.insert(from);
                node.waiting.insert(seat, who);
                let had = rooms.clone();
                self.input(slot, Input::Return { seat, rooms, from, had });
            } else {
                node.waiting.insert(seat, who);
                self.let_in(slot, place);
                self.input(slot, Input::Join { seat, rooms, before: None });
            }
        }
        let stay = self.chance.millis(300..12_000);
        self.after(stay, Event::Person(who));
    }

    /// Somebody's stream begins.
    pub(super) fn let_in(&mut self, slot: usize, place: Place) {
        let Some(node) = &mut self.nodes[slot] else { return };
        let Some(who) = node.waiting.remove(&place.seat) else { return };
        node.seated.insert(place.seat, who);
        if self.people[who].token.is_none() {
            self.people[who].token = Some(place);
        }
    }

    /// Somebody who has come back hears of the token of their new seat, if the event gets
    /// through.
    pub(super) fn tell(&mut self, place: Place) {
        let is_here = |person: &Person| person.at == Some(place);
        let Some(who) = self.people.iter().position(is_here) else { return };
        if self.chance.percent(15) {
            // It does not: they come again with the old one.
            self.vanish(who, place);
        } else {
            self.people[who].token = Some(place);
        }
    }
}
