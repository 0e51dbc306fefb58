//! Which slots of the file are free, and which slots each room has.

use std::collections::HashMap;

use super::record::{ROOM_SLOTS, number};
use crate::name::Name;

#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) free: Vec<u32>,
    pub(super) free_rooms: Vec<u32>,
    /// The first slot after all that were ever used.
    pub(super) end: u32,
    pub(super) rooms: HashMap<Name, RoomSlot>,
}

/// Where a room is in the file, and how many seats refer to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoomSlot {
    pub(super) at: u32,
    pub(super) seats: usize,
}

impl Slots {
    /// A slot for one more seat.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| self.append(1))
    }

    /// Where a room is, for one more seat in it, and whether it has to be written there first.
    pub(super) fn room(&mut self, name: &Name) -> (u32, bool) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.seats += 1;
            return (room.at, false);
        }
        let at = self.free_rooms.pop().unwrap_or_else(|| self.append(number(ROOM_SLOTS)));
        self.rooms.insert(name.clone(), RoomSlot { at, seats: 1 });
        (at, true)
    }

    pub(super) fn leave(&mut self, name: &Name) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.seats -= 1;
        if room.seats == 0 {
            self.free_rooms.push(room.at);
            self.rooms.remove(name);
        }
    }

    fn append(&mut self, slots: u32) -> u32 {
        let at = self.end;
        self.end += slots;
        at
    }
}
