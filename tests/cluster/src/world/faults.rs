//! What goes wrong, and how it ends.

use std::time::Duration;

use super::{Event, GRACE, GRACE_AFTER_LOSS, World};
use crate::cluster::LEASE;
use crate::plan::Fault;
use crate::redis::Redis;

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { slot, .. }
            | Fault::Sleep { slot, .. }
            | Fault::Cut { slot, .. }
            | Fault::Close { slot }
            | Fault::Deafen { slot }
            | Fault::Drop { slot, .. } => {
                self.health[slot].0 += 1;
                if self.nodes[slot].is_none() {
                    return self.after(Duration::ZERO, Event::Heal(Fault::Close { slot }));
                }
            }
            _ => self.redis_health.0 += 1,
        }
        let link = |world: &Self, slot: usize| world.nodes[slot].as_ref().and_then(|it| it.link);
        let length = match fault {
            Fault::Kill { slot, back } => {
                self.kill(slot);
                self.after(back, Event::Boot(slot));
                back
            }
            Fault::Sleep { slot, length } => {
                if let Some(node) = &mut self.nodes[slot] {
                    node.is_asleep = true;
                    node.is_called = false;
                }
                self.scatter(slot, 50);
                length
            }
            Fault::Cut { slot, up, down, length } => {
                self.cuts[slot].0 += usize::from(up);
                self.cuts[slot].1 += usize::from(down);
                self.scatter(slot, 30);
                length
            }
            Fault::Close { slot } => {
                if let Some(link) = link(self, slot) {
                    self.close(link);
                }
                Duration::ZERO
            }
            Fault::Deafen { slot } => {
                if let Some(link) = link(self, slot).and_then(|link| self.links.get_mut(&link)) {
                    link.is_subscribed = false;
                }
                Duration::ZERO
            }
            Fault::Drop { slot, frames } => {
                if let Some(link) = link(self, slot).and_then(|link| self.links.get_mut(&link)) {
                    link.drops = frames;
                }
                Duration::ZERO
            }
            Fault::Stall { length } => {
                self.stalls += 1;
                length
            }
            Fault::Restart { length } => {
                self.stops += 1;
                self.waiting.clear();
                self.close_all();
                length
            }
            Fault::Flush => {
                self.redis = Redis::default();
                Duration::ZERO
            }
            Fault::Failover { length, .. } => {
                self.stops += 1;
                self.waiting.clear();
                self.close_all();
                length
            }
        };
        self.after(length, Event::Heal(fault));
    }

    pub(super) fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { slot, .. }
            | Fault::Sleep { slot, .. }
            | Fault::Cut { slot, .. }
            | Fault::Close { slot }
            | Fault::Deafen { slot }
            | Fault::Drop { slot, .. } => {
                self.health[slot].0 -= 1;
                self.is_well_by(slot, self.now + GRACE);
            }
            _ => {
                self.redis_health.0 -= 1;
                let is_stall = matches!(fault, Fault::Stall { .. });
                let grace = if is_stall { GRACE } else { GRACE_AFTER_LOSS };
                self.is_amnesic |= !is_stall;
                if self.is_amnesic {
                    self.amnesia = self.now + GRACE;
                }
                self.is_amnesic &= self.redis_health.0 > 0;
                self.redis_health.1 = self.redis_health.1.max(self.now + grace);
            }
        }
        match fault {
            Fault::Sleep { slot, .. } => {
                if let Some(node) = &mut self.nodes[slot] {
                    node.is_asleep = false;
                }
            }
            Fault::Cut { slot, up, down, .. } => {
                self.cuts[slot].0 -= usize::from(up);
                self.cuts[slot].1 -= usize::from(down);
                self.unstall(slot);
            }
            Fault::Stall { .. } => {
                self.stalls -= 1;
                if self.stalls == 0 && self.stops == 0 {
                    for (link, nth, command) in std::mem::take(&mut self.waiting) {
                        self.execute(link, nth, command);
                    }
                }
            }
            Fault::Restart { length } => {
                self.stops -= 1;
                self.redis = Redis::default();
                self.forget_moves(self.now.saturating_sub(length), LEASE);
            }
            Fault::Failover { lag, length } => {
                self.stops -= 1;
                self.redis = self.replica.clone();
                self.forget_moves(self.now.saturating_sub(length), lag);
            }
            Fault::Flush => self.forget_moves(self.now, LEASE),
            _ => (),
        }
    }

    /// Redis, which was lost since `start`, has forgotten who was moved so long before. Nodes
    /// say so again, unless one has died.
    fn forget_moves(&mut self, start: Duration, before: Duration) {
        self.ghosts = start + LEASE;
        if self.death + before >= start {
            self.amnesia = self.amnesia.max(self.ghosts);
        }
    }

    /// Sends what waited for the network: what the node had written before it gave the
    /// connection up comes through too, or never.
    pub(super) fn unstall(&mut self, slot: usize) {
        let mut own: Vec<_> =
            self.links.iter().filter(|(_, link)| link.slot == slot).map(|(nth, _)| *nth).collect();
        own.sort_unstable();
        for link in own {
            let is_lost = self.chance.percent(50);
            let Some(it) = self.links.get_mut(&link) else { continue };
            let (up, down) =
                (std::mem::take(&mut it.stalled_up), std::mem::take(&mut it.stalled_down));
            let is_dead = !it.is_open && is_lost;
            if self.cuts[slot].0 > 0 || self.cuts[slot].1 > 0 || is_dead {
                continue;
            }
            for (nth, command) in up {
                self.send_up(link, nth, command);
            }
            for message in down {
                self.send_down(link, message);
            }
        }
    }

    pub(super) fn kill(&mut self, slot: usize) {
        let Some(node) = self.nodes[slot].take() else { return };
        self.death = self.now;
        if self.now <= self.amnesia {
            self.amnesia = self.amnesia.max(self.ghosts);
        }
        if let Some(link) = node.link.and_then(|link| self.links.get_mut(&link)) {
            link.is_open = false;
        }
        let seats = node.seated.iter().chain(&node.waiting);
        for (_, who) in seats {
            let person = &mut self.people[*who];
            person.seats.retain(|sitting| sitting.node != node.id);
            person.died = Some((self.now, self.cuts[slot] != (0, 0)));
            if person.at.is_some_and(|at| at.node == node.id) {
                self.set_out(*who, 5_000);
            }
        }
    }

    /// Some of the people of a node that doesn't answer go elsewhere.
    pub(super) fn scatter(&mut self, slot: usize, percent: usize) {
        let Some(id) = self.nodes[slot].as_ref().map(|node| node.id) else { return };
        for who in 0..self.people.len() {
            if let Some(at) = self.people[who].at
                && at.node == id
                && self.chance.percent(percent)
            {
                self.vanish(who, at);
            }
        }
    }
}
