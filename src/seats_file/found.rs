//! What the last process has left in the file.

use std::collections::HashMap;
use std::time::Duration;

use tracing::warn;

use super::record::{
    Alive, Away, HEADER, MAGIC, ROOM_KIND, ROOM_SLOTS, SEAT_KIND, SLOT, SLOTS_AT, VERSION, array,
    is_whole, number, offset, place, room_name,
};
use super::slots::{RoomSlot, Slots};
use crate::name::Name;
use crate::token::Token;

/// Seats of a process that ended longer ago than this are given up: their clients have tried
/// in vain for too long.
pub(super) const TOO_OLD: Duration = Duration::from_secs(60);

/// What was found in a file.
pub(super) enum Found {
    Nothing,
    /// The seats of the people who were there, and whether those are all.
    Seats(Slots, Vec<FoundSeat>, bool),
    /// It is ours, but nothing in it can be used.
    Useless(String),
    OtherVersion(u32),
    Foreign,
}

pub(super) struct FoundSeat {
    pub(super) token: Token,
    /// Its slot for each of its rooms.
    pub(super) slots: Vec<(u32, Name)>,
}

/// Reads what the last process has left. Notes in `bytes` since when everybody is away, and
/// strikes out what can't be used, or the next process would report the same damage again.
pub(super) fn read(bytes: &mut [u8], boot: &[u8; 36], now: Duration) -> Found {
    if bytes.is_empty() {
        return Found::Nothing;
    }
    if !bytes.starts_with(MAGIC) {
        return Found::Foreign;
    }
    let Some(found) = bytes.get(..HEADER).filter(|header| is_whole(0, header)) else {
        return Found::Useless("the header is damaged".into());
    };
    let version = u32::from_le_bytes(array(&found[16..20]));
    if version != VERSION {
        return Found::OtherVersion(version);
    }
    if found[20..56] != boot[..] {
        return Found::Useless("they are from before the system's last start".into());
    }
    let Some(alive) = Alive::read(bytes) else {
        return Found::Useless("they have no time".into());
    };
    // A container may have its own clock, which starts with the container.
    let Some(ago) = now.checked_sub(alive.since_boot) else {
        return Found::Useless("they are from the future, by this system's clock".into());
    };
    if ago > TOO_OLD {
        return Found::Useless(format!("they are {} s old", ago.as_secs()));
    }
    let slots = bytes.get_mut(place(SLOTS_AT)..).unwrap_or_default();
    let (slots, seats, damaged) = read_slots(slots, Away::since(alive.since_boot), now);
    if damaged > 0 {
        warn!(damaged, "some seats in the file cannot be read");
    }
    Found::Seats(slots, seats, damaged == 0 && !alive.misses)
}

/// Every seat in the file, once, and how many slots can't be read.
fn read_slots(bytes: &mut [u8], away: Away, now: Duration) -> (Slots, Vec<FoundSeat>, usize) {
    let (mut slots, mut damaged) = (Slots::default(), 0);
    let (mut rooms, mut seats) = (HashMap::new(), Vec::new());
    // A slot that was cut off is not used.
    let end = bytes.len() / SLOT;
    let mut nth = 0;
    while nth < end {
        let (slot, at) = (&mut bytes[nth * SLOT..], number(nth));
        match slot[0] {
            SEAT_KIND if is_whole(offset(at), &slot[..SLOT]) => {
                match Away::of(slot) {
                    None => away.note(at, &mut slot[..SLOT]),
                    // However often the server was restarted meanwhile.
                    Some(away) if away.until(now) > TOO_OLD => {
                        slots.free.push(at);
                        nth += 1;
                        continue;
                    }
                    Some(_) => {}
                }
                let room = u32::from_le_bytes(array(&slot[4..8]));
                seats.push((Token::from_bytes(array(&slot[8..24])), room, at));
            }
            ROOM_KIND => {
                if let Some(name) = slot.get(..SLOT * ROOM_SLOTS).and_then(|s| room_name(at, s)) {
                    rooms.insert(at, name);
                    nth += ROOM_SLOTS;
                    continue;
                }
                damaged += 1;
                slots.free.push(at);
            }
            kind => {
                damaged += usize::from(kind != 0);
                slots.free.push(at);
            }
        }
        nth += 1;
    }
    slots.end = number(end);

    let mut found: HashMap<Token, FoundSeat> = HashMap::new();
    for (token, room, at) in seats {
        let Some(name) = rooms.get(&room) else {
            slots.free.push(at);
            damaged += 1;
            continue;
        };
        let seat = found.entry(token).or_insert(FoundSeat { token, slots: Vec::new() });
        // Somebody who had just come back when the process died is in the file twice.
        if seat.slots.iter().any(|(_, known)| known == name) {
            slots.free.push(at);
            continue;
        }
        seat.slots.push((at, name.clone()));
        slots.rooms.entry(name.clone()).or_insert(RoomSlot { at: room, seats: 0 }).seats += 1;
    }
    let known = |at: &u32, name: &Name| slots.rooms.get(name).is_some_and(|room| room.at == *at);
    let unused: Vec<_> = rooms.iter().filter(|(at, name)| !known(at, name)).map(|r| *r.0).collect();
    slots.free_rooms.extend(unused);
    for at in &slots.free {
        let at = place(offset(*at) - SLOTS_AT);
        bytes[at..at + SLOT].fill(0);
    }
    (slots, found.into_values().collect(), damaged)
}
