//! The file that says who sits where, for the process that comes after this one.
//!
//! It has fixed slots, each written by one small write when somebody joins, and struck out
//! by another when they leave. What is written stays in the system's page cache when this
//! process is killed; it need not survive the system.
//!
//! ```text
//! 0     header: magic, version, boot, checksum
//! 1024  when this process was last alive: milliseconds since the system's start, checksum
//! 4096  slots of 32 bytes: nothing (zeros),
//!       a seat: 1, 3 bytes unused, the slot of its room (u32), its token (16 bytes), checksum
//!       a room, in 5 slots: 2, length of its name, 6 bytes unused, its name, checksum
//! ```
//!
//! Numbers are little-endian. A checksum is 64 bits of FNV-1a
//! (<http://www.isthe.com/chongo/tech/comp/fnv/>) over the place and what stands before it:
//! against accidents, not against forgers. Tokens are secrets, so nobody else may read it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::Hasher;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{fmt, fs, io, mem, thread};

use fnv::FnvHasher;
use tracing::warn;

use crate::name::{self, Name};
use crate::register::{Entry, Register};
use crate::regular_file;
use crate::token::Token;

const MAGIC: &[u8; 16] = b"headcount seats\n";
const VERSION: u32 = 1;

const HEADER: usize = 80;
const ALIVE_AT: u64 = 1024;
const SLOTS_AT: u64 = 4096;
const SLOT: usize = 32;
/// How many slots a room takes.
const ROOM_SLOTS: usize = 5;
const CHECKSUM: usize = size_of::<u64>();
const SEAT_KIND: u8 = 1;
const ROOM_KIND: u8 = 2;

const _: () = assert!(8 + name::MAX_BYTES + CHECKSUM <= SLOT * ROOM_SLOTS);

/// The file says so often that this process is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Seats of a process that ended longer ago are nobody's: their clients have come back to
/// nothing too often.
const TOO_OLD: Duration = Duration::from_secs(60);

/// An open file of seats, with those that the last process has left in it. Cheap to clone.
#[derive(Clone)]
pub struct SeatsFile {
    register: Arc<SeatsRegister>,
    /// Until somebody takes them.
    left: Arc<Mutex<Vec<LeftSeat>>>,
    is_whole: bool,
}

/// A seat that the last process has left.
pub(crate) struct LeftSeat {
    pub(crate) token: Token,
    pub(crate) rooms: Vec<Name>,
    pub(crate) entry: Box<dyn Entry>,
}

/// Why there is no file of seats.
#[derive(Debug)]
pub enum SeatsError {
    /// Another process has it.
    InUse,
    /// It is something else, and is left as it is.
    Foreign,
    /// The system says why not.
    Io(io::Error),
}

#[derive(Debug)]
struct SeatsRegister {
    file: File,
    slots: Mutex<Slots>,
    /// Whether a write has failed, which is said once.
    fails: AtomicBool,
}

/// Which slots are free, and which rooms stand where.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    free_rooms: Vec<u32>,
    /// The first slot after all others.
    end: u32,
    rooms: HashMap<Name, RoomSlot>,
}

/// Where a room stands, and how many seats say so.
#[derive(Clone, Copy, Debug)]
struct RoomSlot {
    at: u32,
    seats: usize,
}

/// What is written of one seat: a slot for each of its rooms.
#[derive(Debug)]
struct SeatEntry {
    register: Arc<SeatsRegister>,
    slots: Vec<(u32, Name)>,
}

impl SeatsFile {
    /// Opens the file, or makes it, and reads what the last process has left. What can't be
    /// used is passed over with a word in the log.
    ///
    /// # Errors
    /// [`SeatsError`], if it can't be this process' file.
    pub fn open(path: &Path) -> Result<Self, SeatsError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = regular_file::open_with(&mut options, path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SeatsError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let boot = boot()?;
        let bytes = fs::read(path)?;
        let (slots, left) = match read(&bytes, &boot, since_boot()?) {
            Found::Seats(slots, left) => (slots, Some(left)),
            Found::Nothing => (Slots::default(), None),
            Found::Useless(why) => {
                warn!(file = %path.display(), "the seats are given up: {why}");
                (Slots::default(), None)
            }
            Found::OtherVersion(version) => {
                let aside = set_aside(path, &bytes)?;
                warn!(
                    file = %path.display(),
                    "the seats are given up: they are of another version ({version}), and now \
                     stand in {}",
                    aside.display()
                );
                (Slots::default(), None)
            }
            Found::Foreign => return Err(SeatsError::Foreign),
        };
        if left.is_none() {
            file.set_len(0)?;
            file.write_all_at(&header(&boot), 0)?;
        }
        let (slots, fails) = (Mutex::new(slots), AtomicBool::new(false));
        let register = Arc::new(SeatsRegister { file, slots, fails });
        register.is_alive()?;
        tick(&register)?;
        let is_whole = left.is_some();
        let left: Vec<_> = left.into_iter().flatten().map(|left| left.of(&register)).collect();
        Ok(Self { register, left: Arc::new(Mutex::new(left)), is_whole })
    }

    /// Whether it has every seat of the last process: nobody is missing whose stream was
    /// open when that ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Where to write from now on.
    pub(crate) fn register(&self) -> Arc<dyn Register> {
        self.register.clone()
    }

    /// Takes the seats that the last process has left. There are none the second time.
    pub(crate) fn take_left(&self) -> Vec<LeftSeat> {
        mem::take(&mut *self.left())
    }

    fn left(&self) -> MutexGuard<'_, Vec<LeftSeat>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file has to say.
enum Found {
    Nothing,
    Seats(Slots, Vec<FoundSeat>),
    /// It is ours, and says nothing that could be used.
    Useless(String),
    OtherVersion(u32),
    Foreign,
}

struct FoundSeat {
    token: Token,
    slots: Vec<(u32, Name)>,
}

impl FoundSeat {
    fn of(self, register: &Arc<SeatsRegister>) -> LeftSeat {
        let rooms = self.slots.iter().map(|(_, room)| room.clone()).collect();
        let entry = SeatEntry { register: register.clone(), slots: self.slots };
        LeftSeat { token: self.token, rooms, entry: Box::new(entry) }
    }
}

fn read(bytes: &[u8], boot: &[u8; 36], now: Duration) -> Found {
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
        return Found::Useless("they are of the time before the system's last start".into());
    }
    let alive_at = place(ALIVE_AT);
    let Some(alive) = bytes.get(alive_at..alive_at + 16).filter(|alive| is_whole(ALIVE_AT, alive))
    else {
        return Found::Useless("they don't say of when they are".into());
    };
    let ago = now.saturating_sub(Duration::from_millis(u64::from_le_bytes(array(&alive[..8]))));
    if ago > TOO_OLD {
        return Found::Useless(format!("they are {} s old", ago.as_secs()));
    }
    let (slots, seats, damaged) = read_slots(bytes.get(place(SLOTS_AT)..).unwrap_or_default());
    if damaged > 0 {
        warn!(damaged, "some of the seats in the file can't be read");
    }
    Found::Seats(slots, seats)
}

/// Every seat that stands there, once, and how many slots can't be read.
fn read_slots(bytes: &[u8]) -> (Slots, Vec<FoundSeat>, usize) {
    let (mut slots, mut damaged) = (Slots::default(), 0);
    let (mut rooms, mut seats) = (HashMap::new(), Vec::new());
    // One that was cut in the middle is nobody's.
    let end = bytes.len() / SLOT;
    let mut nth = 0;
    while nth < end {
        let (slot, at) = (&bytes[nth * SLOT..], number(nth));
        match slot[0] {
            SEAT_KIND if is_whole(offset(at), &slot[..SLOT]) => {
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
        // Whoever had just come back when the process died stands there twice.
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
    (slots, found.into_values().collect(), damaged)
}

fn room_name(at: u32, slot: &[u8]) -> Option<Name> {
    if !is_whole(offset(at), slot) {
        return None;
    }
    let text = slot.get(8..8 + usize::from(slot[1]))?;
    Name::new(str::from_utf8(text).ok()?).ok()
}

fn header(boot: &[u8; 36]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&VERSION.to_le_bytes());
    header[20..56].copy_from_slice(boot);
    sum_up(0, &mut header);
    header
}

fn seat_slot(at: u32, token: Token, room: u32) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[0] = SEAT_KIND;
    slot[4..8].copy_from_slice(&room.to_le_bytes());
    slot[8..24].copy_from_slice(&token.bytes());
    sum_up(offset(at), &mut slot);
    slot
}

fn room_slot(at: u32, room: &Name) -> [u8; SLOT * ROOM_SLOTS] {
    let (mut slot, name) = ([0; SLOT * ROOM_SLOTS], room.as_str().as_bytes());
    slot[0] = ROOM_KIND;
    // No name is longer than 128 bytes.
    slot[1] = u8::try_from(name.len()).unwrap_or_default();
    slot[8..8 + name.len()].copy_from_slice(name);
    sum_up(offset(at), &mut slot);
    slot
}

/// Writes the checksum at the end of a record.
fn sum_up(place: u64, record: &mut [u8]) {
    let end = record.len() - CHECKSUM;
    let sum = checksum(place, &record[..end]);
    record[end..].copy_from_slice(&sum.to_le_bytes());
}

fn is_whole(place: u64, record: &[u8]) -> bool {
    let (content, sum) = record.split_at(record.len() - CHECKSUM);
    checksum(place, content).to_le_bytes() == sum
}

fn checksum(place: u64, content: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(&place.to_le_bytes());
    hasher.write(content);
    hasher.finish()
}

/// Where a slot stands in the file.
fn offset(slot: u32) -> u64 {
    SLOTS_AT + u64::from(slot) * SLOT as u64
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// Which of its starts the system is in.
fn boot() -> io::Result<[u8; 36]> {
    let id = fs::read("/proc/sys/kernel/random/boot_id")?;
    id.get(..36).map(array).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How long ago the system was started, by a clock that nobody sets.
fn since_boot() -> io::Result<Duration> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok());
    seconds.map(Duration::from_secs_f64).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Keeps what stands in a file under another name.
fn set_aside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all_at(bytes, 0)?;
    Ok(aside)
}

/// Has the file say that this process is alive, for as long as somebody writes to it.
fn tick(register: &Arc<SeatsRegister>) -> io::Result<()> {
    let register: Weak<SeatsRegister> = Arc::downgrade(register);
    let tick = move || {
        while let Some(register) = register.upgrade() {
            let alive = register.is_alive();
            register.note(alive);
            drop(register);
            thread::sleep(ALIVE_EVERY);
        }
    };
    thread::Builder::new().name("seats".into()).spawn(tick).map(drop)
}

impl SeatsRegister {
    fn is_alive(&self) -> io::Result<()> {
        let mut alive = [0; 16];
        let now = u64::try_from(since_boot()?.as_millis()).unwrap_or(u64::MAX);
        alive[..8].copy_from_slice(&now.to_le_bytes());
        sum_up(ALIVE_AT, &mut alive);
        self.file.write_all_at(&alive, ALIVE_AT)
    }

    /// Says the first time that writing fails: a full disk would fill the log, too.
    fn note(&self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.fails.swap(true, Ordering::Relaxed)
        {
            warn!(%error, "cannot write to the seats file; a restart will miss some people");
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register for SeatsRegister {
    fn write(self: Arc<Self>, token: Token, rooms: &[&Name]) -> Box<dyn Entry> {
        let mut slots = self.slots();
        let taken: Vec<_> = rooms.iter().map(|room| (slots.take(), slots.room(room))).collect();
        drop(slots);

        for (room, (at, (room_at, is_new))) in rooms.iter().zip(&taken) {
            if *is_new {
                let written = self.file.write_all_at(&room_slot(*room_at, room), offset(*room_at));
                self.note(written);
            }
            self.note(self.file.write_all_at(&seat_slot(*at, token, *room_at), offset(*at)));
        }
        let slots = taken.iter().zip(rooms).map(|((at, _), room)| (*at, (*room).clone()));
        let slots = slots.collect();
        Box::new(SeatEntry { register: self, slots })
    }
}

impl Entry for SeatEntry {
    fn stay(mut self: Box<Self>) {
        self.slots = Vec::new();
    }
}

impl Drop for SeatEntry {
    fn drop(&mut self) {
        let register = &self.register;
        for (at, _) in &self.slots {
            register.note(register.file.write_all_at(&[0; SLOT], offset(*at)));
        }
        // Only now: whoever gets the slot writes after this.
        let mut slots = register.slots();
        for (at, room) in mem::take(&mut self.slots) {
            slots.free.push(at);
            slots.leave(&room);
        }
    }
}

impl Slots {
    /// A slot for one more seat.
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| self.append(1))
    }

    /// Where a room stands, for one more seat in it, and whether it is to be written there.
    fn room(&mut self, name: &Name) -> (u32, bool) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.seats += 1;
            return (room.at, false);
        }
        let at = self.free_rooms.pop().unwrap_or_else(|| self.append(number(ROOM_SLOTS)));
        self.rooms.insert(name.clone(), RoomSlot { at, seats: 1 });
        (at, true)
    }

    fn leave(&mut self, name: &Name) {
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

impl fmt::Debug for SeatsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeatsFile").field("left", &self.left().len()).finish_non_exhaustive()
    }
}

impl fmt::Display for SeatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another process has it"),
            Self::Foreign => f.write_str("it is no file of seats, and is left as it is"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SeatsError {}

impl From<io::Error> for SeatsError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A file in a directory of its own.
    struct Scratch {
        directory: TempDir,
    }

    impl Scratch {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().expect("a directory") }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("seats")
        }

        fn open(&self) -> SeatsFile {
            SeatsFile::open(&self.path()).expect("the file")
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.path()).expect("the file")
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn write(file: &SeatsFile, token: Token, rooms: &[&str]) -> Box<dyn Entry> {
        let names: Vec<_> = rooms.iter().map(|room| name(room)).collect();
        file.register().write(token, &names.iter().collect::<Vec<_>>())
    }

    /// Whoever is found in the file, in an order of its own.
    fn left(file: &SeatsFile) -> Vec<(String, Vec<String>)> {
        let left = file.left();
        let rooms = |left: &LeftSeat| {
            let mut rooms: Vec<_> = left.rooms.iter().map(|r| r.as_str().to_owned()).collect();
            rooms.sort();
            rooms
        };
        let mut left: Vec<_> =
            left.iter().map(|left| (left.token.to_string(), rooms(left))).collect();
        left.sort();
        left
    }

    fn token(number: u8) -> Token {
        Token::from_bytes([number; 16])
    }

    fn seat(number: u8, rooms: &[&str]) -> (String, Vec<String>) {
        (token(number).to_string(), rooms.iter().map(|&room| room.to_owned()).collect())
    }

    /// Ends a process' use of the file, as if it had been killed: nothing is struck out.
    fn kill(file: SeatsFile, entries: Vec<Box<dyn Entry>>) {
        entries.into_iter().for_each(Entry::stay);
        for seat in file.take_left() {
            seat.entry.stay();
        }
        let register = Arc::downgrade(&file.register);
        drop(file);
        // The thread that says that this process is alive may be saying so.
        for _ in 0..10_000 {
            if register.strong_count() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("somebody has the file still");
    }

    #[test]
    fn the_next_process_finds_who_was_there_and_not_who_had_left() {
        let (scratch, long) = (Scratch::new(), "ü".repeat(64));
        let file = scratch.open();
        assert!(!file.is_whole(), "nobody knows who was there before");
        let stays = [write(&file, token(1), &["a"]), write(&file, token(2), &["a", &long])];
        drop(write(&file, token(3), &["b"]));
        let last = write(&file, token(4), &["c"]);
        kill(file, Vec::from(stays).into_iter().chain([last]).collect());

        let file = scratch.open();
        assert!(file.is_whole());
        assert_eq!(left(&file), [seat(1, &["a"]), seat(2, &["a", &long]), seat(4, &["c"])]);
        // Some leave, some come, in whatever slots are free.
        let found = file.take_left();
        let (stay, go): (Vec<_>, Vec<_>) = found.into_iter().partition(|s| s.token == token(2));
        drop(go);
        let new = [5, 6, 7].map(|number| write(&file, token(number), &["c", "d"]));
        let size = scratch.bytes().len();
        kill(file, stay.into_iter().map(|seat| seat.entry).chain(new).collect());
        let file = scratch.open();
        let new = [5, 6, 7].map(|number| seat(number, &["c", "d"]));
        assert_eq!(left(&file), [vec![seat(2, &["a", &long])], Vec::from(new)].concat());
        assert!(size <= place(SLOTS_AT) + SLOT * (10 + 5 * ROOM_SLOTS), "slots are used again");
    }

    #[test]
    fn a_million_seats_are_less_than_64_megabytes() {
        assert!(offset(1_000_000) <= 64_000_000);
    }

    #[test]
    fn whoever_stands_there_twice_is_one() {
        let scratch = Scratch::new();
        let file = scratch.open();
        let entries = vec![write(&file, token(1), &["a"]), write(&file, token(1), &["b", "a"])];
        kill(file, entries);
        let file = scratch.open();
        let rooms: Vec<_> = left(&file).into_iter().flat_map(|(_, rooms)| rooms).collect();
        assert_eq!(rooms, ["a", "b"]);
    }

    #[test]
    fn what_is_damaged_is_passed_over_and_the_rest_is_found() {
        let scratch = Scratch::new();
        let file = scratch.open();
        let entries = (1..=3).map(|number| write(&file, token(number), &["a"])).collect();
        kill(file, entries);
        let good = scratch.bytes();
        let all = [1, 2, 3].map(|number| seat(number, &["a"]));
        let open = |bytes: &[u8]| {
            fs::write(scratch.path(), bytes).expect("it is written");
            let file = scratch.open();
            let found = (file.is_whole(), left(&file));
            kill(file, Vec::new());
            found
        };
        assert_eq!(open(&good), (true, all.to_vec()));
        // The room is in the slots from 1 to 5, the second seat in the sixth.
        let damaged = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let second = place(offset(6));
        assert_eq!(open(&damaged(second + 9)), (true, vec![all[0].clone(), all[2].clone()]));
        assert_eq!(open(&damaged(second)), (true, vec![all[0].clone(), all[2].clone()]));
        assert_eq!(open(&good[..good.len() - 1]), (true, all[..2].to_vec()));
        assert_eq!(open(&damaged(place(offset(1)) + 8)), (true, Vec::new()), "nobody knows where");
        for useless in [damaged(16), damaged(30), damaged(place(ALIVE_AT)), good[..100].to_vec()] {
            assert_eq!(open(&useless), (false, Vec::new()));
            assert_eq!(open(&scratch.bytes()), (true, Vec::new()), "it was made anew");
        }
    }

    #[test]
    fn a_file_of_another_boot_or_a_minute_ago_is_useless() {
        let scratch = Scratch::new();
        let file = scratch.open();
        kill(file, Vec::new());
        let (bytes, boot, now) =
            (scratch.bytes(), boot().expect("a boot"), since_boot().expect("a clock"));
        let is_read = |boot, now| matches!(read(&bytes, boot, now), Found::Seats(..));
        assert!(is_read(&boot, now));
        assert!(is_read(&boot, now + TOO_OLD));
        assert!(!is_read(&boot, now + TOO_OLD + Duration::from_secs(5)));
        assert!(!is_read(&[b'x'; 36], now));
    }

    #[test]
    fn another_version_is_set_aside_and_another_file_is_left_alone() {
        let scratch = Scratch::new();
        let mut other = header(&boot().expect("a boot"));
        other[16] = 9;
        sum_up(0, &mut other);
        fs::write(scratch.path(), other).expect("it is written");
        assert!(!scratch.open().is_whole());
        let aside = scratch.directory.path().join("seats.old");
        assert_eq!(fs::read(aside).expect("it is kept"), other);

        fs::write(scratch.path(), "root:x:0:0").expect("it is written");
        let refused = SeatsFile::open(&scratch.path());
        assert!(matches!(refused, Err(SeatsError::Foreign)), "{refused:?}");
        assert_eq!(scratch.bytes(), b"root:x:0:0");
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let scratch = Scratch::new();
        let first = scratch.open();
        let refused = SeatsFile::open(&scratch.path());
        assert!(matches!(refused, Err(SeatsError::InUse)), "{refused:?}");
        kill(first, Vec::new());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_is_full_is_no_reason_to_refuse_anybody() {
        let file = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let (slots, fails) = (Mutex::default(), AtomicBool::new(false));
        let register = Arc::new(SeatsRegister { file, slots, fails });
        let room = name("a");
        drop(register.clone().write(token(1), &[&room]));
        assert!(register.fails.load(Ordering::Relaxed), "it is said");
    }
}
