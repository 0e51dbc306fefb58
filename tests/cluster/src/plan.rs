//! The plan of a seed: how many nodes and people there are, and what goes wrong.

use std::time::Duration;

use crate::chance::Chance;

/// Until when things happen. All is healed soon after.
pub(crate) const ACTIVE: Duration = Duration::from_secs(35);

/// When everything must be right. The last people who vanished are noticed before.
pub(crate) const END: Duration = Duration::from_secs(75);

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A node is killed, and another one started in its place after some time.
    Kill { slot: usize, back: Duration },
    /// A process is stopped, and goes on.
    Sleep { slot: usize, length: Duration },
    /// Nothing goes through between a node and Redis, either way or only one.
    Cut { slot: usize, up: bool, down: bool, length: Duration },
    /// Redis closes a node's connection.
    Close { slot: usize },
    /// A node's subscription is lost, and nobody says so.
    Deafen { slot: usize },
    /// A frame or two are lost on their way to a node.
    Drop { slot: usize, frames: usize },
    /// Redis is stopped, and goes on.
    Stall { length: Duration },
    /// Redis is killed, and started with nothing.
    Restart { length: Duration },
    /// Redis forgets everything.
    Flush,
    /// A replica takes over that has not heard of the last writes.
    Failover { lag: Duration, length: Duration },
}

/// What a seed is about.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) people: usize,
    /// Whether people leave for good. Where nobody does, a number that is one too high
    /// stands out.
    pub(crate) do_people_leave: bool,
    /// Whether a node notices at once that somebody goes to another one.
    pub(crate) are_moves_noticed: bool,
    pub(crate) faults: Vec<(Duration, Fault)>,
}

impl Plan {
    pub(crate) fn new(seed: u64, chance: &mut Chance) -> Self {
        // Most seeds are small, to be many; every hundredth is large.
        let is_large = seed % 100 == 99;
        let nodes = if is_large { 100 } else { chance.within(2..7) };
        let people = if is_large { 200 } else { chance.within(3..40) };
        let (do_people_leave, are_moves_noticed) = (chance.percent(50), chance.percent(50));
        let has_redis_faults = chance.percent(50);
        let faults = if is_large { chance.within(5..30) } else { chance.below(7) };
        let faults = (0..faults).map(|_| {
            let at = chance.millis(3_000..35_000);
            (at, Fault::any(nodes, has_redis_faults, chance))
        });
        let faults = faults.collect();
        Self { nodes, people, do_people_leave, are_moves_noticed, faults }
    }
}

impl Fault {
    fn any(nodes: usize, may_be_redis: bool, chance: &mut Chance) -> Self {
        let slot = chance.below(nodes);
        let length = match chance.below(3) {
            0 => chance.millis(50..2_000),
            1 => chance.millis(2_000..8_000),
            _ => chance.millis(8_000..20_000),
        };
        match chance.below(if may_be_redis { 12 } else { 8 }) {
            0 | 1 => Self::Kill { slot, back: length },
            2 | 3 => Self::Sleep { slot, length },
            4 => {
                let (up, down) = *[(true, true), (true, false), (false, true)]
                    .get(chance.below(3))
                    .unwrap_or(&(true, true));
                Self::Cut { slot, up, down, length }
            }
            5 => Self::Close { slot },
            6 => Self::Deafen { slot },
            7 => Self::Drop { slot, frames: chance.within(1..4) },
            8 => Self::Stall { length },
            9 => Self::Restart { length },
            10 => Self::Flush,
            _ => {
                Self::Failover { lag: chance.millis(10..1_000), length: chance.millis(500..6_000) }
            }
        }
    }
}
