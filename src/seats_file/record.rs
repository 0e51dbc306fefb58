//! What is in the file, byte by byte.
//!
//! ```text
//! 0     header: magic, version, boot, checksum
//! 1024  when the process was last alive, in milliseconds since the system's start (u64);
//!       1 if somebody may be missing (u64); checksum
//! 4096  slots of 32 bytes: nothing (zeros),
//!       a seat: 1, since when its client is away (see `Away`; 3 bytes), the slot of its room
//!       (u32), its token (16 bytes), checksum
//!       a room, in 5 slots: 2, length of its name, 6 bytes unused, its name, checksum
//! ```
//!
//! Numbers are little-endian. A checksum is 64 bits of FNV-1a
//! (<http://www.isthe.com/chongo/tech/comp/fnv/>) over the record's offset and the bytes
//! before the checksum: it protects against accidents, not against forgers.

use std::hash::Hasher;
use std::time::Duration;

use fnv::FnvHasher;

use crate::name::{self, Name};
use crate::token::Token;

pub(super) const MAGIC: &[u8; 16] = b"headcount seats\n";
pub(super) const VERSION: u32 = 1;

pub(super) const HEADER: usize = 80;
pub(super) const ALIVE_AT: u64 = 1024;
const ALIVE: usize = 24;
pub(super) const SLOTS_AT: u64 = 4096;
pub(super) const SLOT: usize = 32;
/// How many slots a room takes.
pub(super) const ROOM_SLOTS: usize = 5;
const CHECKSUM: usize = size_of::<u64>();
pub(super) const SEAT_KIND: u8 = 1;
pub(super) const ROOM_KIND: u8 = 2;

const _: () = assert!(8 + name::MAX_BYTES + CHECKSUM <= SLOT * ROOM_SLOTS);

/// When a process was last alive, and what is missing from its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    pub(super) since_boot: Duration,
    /// Whether a write has failed, or people were still on their way back when the process
    /// began.
    pub(super) misses: bool,
}

impl Alive {
    pub(super) fn record(self) -> [u8; ALIVE] {
        let mut record = [0; ALIVE];
        let milliseconds = u64::try_from(self.since_boot.as_millis()).unwrap_or(u64::MAX);
        record[..8].copy_from_slice(&milliseconds.to_le_bytes());
        record[8..16].copy_from_slice(&u64::from(self.misses).to_le_bytes());
        sum_up(ALIVE_AT, &mut record);
        record
    }

    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let at = place(ALIVE_AT);
        let record = file.get(at..at + ALIVE).filter(|record| is_whole(ALIVE_AT, record))?;
        let number = |at: usize| u64::from_le_bytes(array(&record[at..at + 8]));
        Some(Self { since_boot: Duration::from_millis(number(0)), misses: number(8) != 0 })
    }
}

/// Since when the client of a seat is away: the time of the last sign of life of the process
/// that carried its stream, in seconds since the system's start; 0 if it has a stream. Three
/// bytes are enough for half a year, and then start again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away(u32);

impl Away {
    const END: u64 = 1 << 24;

    pub(super) fn since(since_boot: Duration) -> Self {
        Self(u32::try_from(since_boot.as_secs() % Self::END).unwrap_or_default().max(1))
    }

    pub(super) fn of(seat: &[u8]) -> Option<Self> {
        Some(u32::from_le_bytes([seat[1], seat[2], seat[3], 0])).filter(|away| *away > 0).map(Self)
    }

    /// Writes this into the slot of a seat.
    pub(super) fn note(self, at: u32, seat: &mut [u8]) {
        seat[1..4].copy_from_slice(&self.0.to_le_bytes()[..3]);
        sum_up(offset(at), seat);
    }

    /// How long the client has been away by now.
    pub(super) fn until(self, now: Duration) -> Duration {
        Duration::from_secs((now.as_secs() + Self::END - u64::from(self.0)) % Self::END)
    }
}

pub(super) fn room_name(at: u32, slot: &[u8]) -> Option<Name> {
    if !is_whole(offset(at), slot) {
        return None;
    }
    let text = slot.get(8..8 + usize::from(slot[1]))?;
    Name::new(str::from_utf8(text).ok()?).ok()
}

pub(super) fn header(boot: &[u8; 36]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&VERSION.to_le_bytes());
    header[20..56].copy_from_slice(boot);
    sum_up(0, &mut header);
    header
}

pub(super) fn seat_slot(at: u32, token: Token, room: u32) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[0] = SEAT_KIND;
    slot[4..8].copy_from_slice(&room.to_le_bytes());
    slot[8..24].copy_from_slice(&token.bytes());
    sum_up(offset(at), &mut slot);
    slot
}

pub(super) fn room_slot(at: u32, room: &Name) -> [u8; SLOT * ROOM_SLOTS] {
    let (mut slot, name) = ([0; SLOT * ROOM_SLOTS], room.as_str().as_bytes());
    slot[0] = ROOM_KIND;
    // No name is longer than 128 bytes.
    slot[1] = u8::try_from(name.len()).unwrap_or_default();
    slot[8..8 + name.len()].copy_from_slice(name);
    sum_up(offset(at), &mut slot);
    slot
}

/// Writes the checksum at the end of a record.
pub(super) fn sum_up(place: u64, record: &mut [u8]) {
    let end = record.len() - CHECKSUM;
    let sum = checksum(place, &record[..end]);
    record[end..].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn is_whole(place: u64, record: &[u8]) -> bool {
    let (content, sum) = record.split_at(record.len() - CHECKSUM);
    checksum(place, content).to_le_bytes() == sum
}

fn checksum(place: u64, content: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(&place.to_le_bytes());
    hasher.write(content);
    hasher.finish()
}

/// Where a slot is in the file.
pub(super) fn offset(slot: u32) -> u64 {
    SLOTS_AT + u64::from(slot) * SLOT as u64
}

pub(super) fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

pub(super) fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}
