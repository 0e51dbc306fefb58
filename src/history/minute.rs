//! One minute of every room, put together from its steps.

use std::collections::HashMap;

use super::recent::Tick;
use crate::name::Name;
use crate::rooms::Stretches;
use crate::span::Stretch;

/// A minute that is not over yet.
#[derive(Debug)]
pub(super) struct Minute {
    at: u64,
    seconds: f64,
    steps: u32,
    total: Option<Stretch>,
    rooms: HashMap<Name, (Stretch, u32)>,
}

/// A minute, or what is known of it, in the form in which it is written.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// When it began, in seconds since 1970.
    pub(super) at: u64,
    /// How many of its seconds are known.
    pub(super) seconds: f64,
    pub(super) total: Stretch,
    pub(super) rooms: Vec<(Name, Stretch)>,
}

impl Minute {
    pub(super) fn new(at: u64) -> Self {
        Self { at: begin(at), seconds: 0.0, steps: 0, total: None, rooms: HashMap::new() }
    }

    /// Whether a step that begins at this time belongs to this minute.
    pub(super) fn has(&self, at: u64) -> bool {
        begin(at) == self.at
    }

    pub(super) fn add(&mut self, tick: Tick, stretches: Stretches) {
        self.seconds += tick.seconds;
        self.steps += 1;
        self.total = Some(self.total.map_or(stretches.total, |total| join(total, stretches.total)));
        for (name, stretch) in stretches.rooms {
            let of_room = self.rooms.entry(name).or_insert((stretch, 0));
            if of_room.1 > 0 {
                of_room.0 = join(of_room.0, stretch);
            }
            of_room.1 += 1;
        }
    }

    /// What to write of this minute.
    pub(super) fn end(self) -> Option<Batch> {
        let of_room = |(name, (stretch, steps)): (Name, (Stretch, u32))| {
            // Nobody was there in the other steps.
            let least = if steps < self.steps { 0 } else { stretch.least };
            (name, Stretch { least, ..stretch })
        };
        let rooms = self.rooms.into_iter().map(of_room).collect();
        Some(Batch { at: self.at, seconds: self.seconds, total: self.total?, rooms })
    }
}

fn begin(at: u64) -> u64 {
    at - at % 60
}

fn join(a: Stretch, b: Stretch) -> Stretch {
    Stretch { least: a.least.min(b.least), most: a.most.max(b.most), area: a.area + b.area }
}
