//! A share: how many people another node has, as far as this one knows.

use std::collections::HashMap;
use std::time::Duration;

use super::frame::{Part, Version};
use super::lease::Lease;
use crate::name::Name;

/// Another node's hash, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) version: Version,
    pub(crate) rooms: Vec<(Name, u32)>,
    /// How long the hash has left to live.
    pub(crate) remaining: Duration,
}

/// What another node has.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    rooms: HashMap<Name, u32>,
    /// The sum of these.
    people: u64,
    pub(crate) version: Version,
    pub(crate) lease: Lease,
}

impl Share {
    pub(crate) fn new(rooms: &[(Name, u32)], version: Version, lease: Lease) -> Self {
        let mut share = Self { rooms: HashMap::new(), people: 0, version, lease };
        for (room, count) in rooms {
            share.set(room, *count);
        }
        share
    }

    /// How many people are there, each counted once for every room that they are in, and how
    /// many rooms.
    pub(crate) fn size(&self) -> (u64, usize) {
        (self.people, self.rooms.len())
    }

    /// How many people are in this room there.
    pub(crate) fn count(&self, room: &Name) -> u32 {
        self.rooms.get(room).copied().unwrap_or_default()
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = (&Name, u32)> {
        self.rooms.iter().map(|(room, count)| (room, *count))
    }

    pub(crate) fn set(&mut self, room: &Name, count: u32) {
        let before = if count == 0 {
            self.rooms.remove(room)
        } else {
            self.rooms.insert(room.clone(), count)
        };
        self.people = self.people + u64::from(count) - u64::from(before.unwrap_or_default());
    }

    /// How `part` relates to what is known of this share.
    pub(crate) fn judge(&self, part: &Part) -> Verdict {
        if part.version <= self.version {
            Verdict::Old
        } else if part.is_whole {
            Verdict::Whole
        } else if self.version.is_followed_by(part.version) {
            Verdict::Next
        } else {
            Verdict::Gap
        }
    }
}

/// How a part of a frame relates to the share that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is known already.
    Old,
    /// It follows what is known.
    Next,
    /// It replaces what is known.
    Whole,
    /// Something between the two was missed.
    Gap,
}
