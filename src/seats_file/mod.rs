//! The file that says who sits where, for the process that comes after this one.
//!
//! It has fixed slots. One small write fills a slot when somebody joins, and another strikes
//! it out when they leave. What is written stays in the system's page cache when this
//! process is killed; it need not survive a crash of the system.
//!
//! Tokens are secrets, so nobody else may read the file.

mod found;
mod record;
mod slots;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{fmt, fs, io, mem, thread};

use tracing::warn;

use crate::name::Name;
use crate::register::{Entry, Register};
use crate::regular_file;
use crate::token::Token;
use found::{Found, FoundSeat, read};
use record::{ALIVE_AT, Alive, SLOT, SLOTS_AT, array, header, offset, place, room_slot, seat_slot};
use slots::Slots;

/// How often this process notes in the file that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// An open file of seats, with the seats that the last process has left in it. Cheap to clone.
#[derive(Clone)]
pub struct SeatsFile {
    register: Arc<SeatsRegister>,
    /// The last process's seats, until they are taken. If nobody takes them they stay in the
    /// file, because a process that never served doesn't count as the last one.
    left: Arc<Mutex<Vec<FoundSeat>>>,
    is_whole: bool,
}

/// A seat that the last process has left behind.
pub(crate) struct LeftSeat {
    pub(crate) token: Token,
    pub(crate) rooms: Vec<Name>,
    pub(crate) entry: Box<dyn Entry>,
}

/// Why there is no file of seats.
#[derive(Debug)]
pub enum SeatsError {
    /// Another process uses it.
    InUse,
    /// It is some other file, and was left as it is.
    Foreign,
    /// The system's error.
    Io(io::Error),
}

#[derive(Debug)]
struct SeatsRegister {
    file: File,
    slots: Mutex<Slots>,
    /// Whether a write has failed. This is logged once.
    fails: AtomicBool,
    /// Whether people of the last process who have no seat here may be on their way back.
    misses: AtomicBool,
}

/// What is written about one seat: a slot for each of its rooms.
#[derive(Debug)]
struct SeatEntry {
    register: Arc<SeatsRegister>,
    slots: Vec<(u32, Name)>,
}

impl SeatsFile {
    /// Opens or creates the file, and reads what the last process has left. What can't be
    /// used is ignored, with a line in the log.
    ///
    /// # Errors
    /// [`SeatsError`] if this process can't use the file.
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
        let mut bytes = fs::read(path)?;
        let (slots, left, is_whole) = match read(&mut bytes, &boot, since_boot()?) {
            Found::Seats(slots, left, is_whole) => (slots, Some(left), is_whole),
            Found::Nothing => (Slots::default(), None, false),
            Found::Useless(why) => {
                warn!(file = %path.display(), "the seats are given up: {why}");
                (Slots::default(), None, false)
            }
            Found::OtherVersion(version) => {
                let aside = set_aside(path, &bytes)?;
                warn!(
                    file = %path.display(),
                    "the seats are given up: they are of another version ({version}), and now \
                     stand in {}",
                    aside.display()
                );
                (Slots::default(), None, false)
            }
            Found::Foreign => return Err(SeatsError::Foreign),
        };
        // The file is ours, but others may have been allowed to read it.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let noted = if left.is_some() {
            file.write_all_at(bytes.get(place(SLOTS_AT)..).unwrap_or_default(), SLOTS_AT)
        } else {
            file.set_len(0)?;
            file.write_all_at(&header(&boot), 0)?;
            Ok(())
        };
        let (slots, fails) = (Mutex::new(slots), AtomicBool::new(false));
        let misses = AtomicBool::new(!is_whole);
        let register = Arc::new(SeatsRegister { file, slots, fails, misses });
        register.note(noted);
        register.write_alive()?;
        tick(&register)?;
        let left = Arc::new(Mutex::new(left.unwrap_or_default()));
        Ok(Self { register, left, is_whole })
    }

    /// Whether it has every seat of the last process: nobody whose stream was open when that
    /// ended is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Notes that nobody is on their way back any more: from now on the file has every seat.
    pub fn settle(&self) {
        self.register.misses.store(false, Ordering::Relaxed);
        self.register.note(self.register.write_alive());
    }

    /// The register to write to from now on.
    pub(crate) fn register(&self) -> Arc<dyn Register> {
        self.register.clone()
    }

    /// Takes the seats that the last process has left. The second time there are none.
    pub(crate) fn take_left(&self) -> Vec<LeftSeat> {
        let left = mem::take(&mut *self.left());
        left.into_iter().map(|found| LeftSeat::of(found, &self.register)).collect()
    }

    fn left(&self) -> MutexGuard<'_, Vec<FoundSeat>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of the system's current boot.
fn boot() -> io::Result<[u8; 36]> {
    let id = fs::read("/proc/sys/kernel/random/boot_id")?;
    id.get(..36).map(array).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How long ago the system was started, by a clock that can't be set.
fn since_boot() -> io::Result<Duration> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok());
    seconds.map(Duration::from_secs_f64).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Keeps the content of a file under another name.
fn set_aside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = regular_file::open_with(&mut options, &aside)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all_at(bytes, 0)?;
    Ok(aside)
}

/// Notes in the file that this process is alive, for as long as the register is in use.
fn tick(register: &Arc<SeatsRegister>) -> io::Result<()> {
    let register: Weak<SeatsRegister> = Arc::downgrade(register);
    let tick = move || {
        while let Some(register) = register.upgrade() {
            let alive = register.write_alive();
            register.note(alive);
            drop(register);
            thread::sleep(ALIVE_EVERY);
        }
    };
    thread::Builder::new().name("seats".into()).spawn(tick).map(drop)
}

impl SeatsRegister {
    fn write_alive(&self) -> io::Result<()> {
        let misses = self.fails.load(Ordering::Relaxed) || self.misses.load(Ordering::Relaxed);
        let alive = Alive { since_boot: since_boot()?, misses };
        self.file.write_all_at(&alive.record(), ALIVE_AT)
    }

    /// Logs only the first failure to write: otherwise a full disk would fill the log too.
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

impl LeftSeat {
    fn of(found: FoundSeat, register: &Arc<SeatsRegister>) -> Self {
        let rooms = found.slots.iter().map(|(_, room)| room.clone()).collect();
        let entry = SeatEntry { register: register.clone(), slots: found.slots };
        Self { token: found.token, rooms, entry: Box::new(entry) }
    }
}

impl Register for SeatsRegister {
    fn write(
        self: Arc<Self>,
        token: Token,
        rooms: &[&Name],
        _before: Option<Token>,
    ) -> Box<dyn Entry> {
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
        // Only now, so that the next owner of the slot writes after this.
        let mut slots = register.slots();
        for (at, room) in mem::take(&mut self.slots) {
            slots.free.push(at);
            slots.leave(&room);
        }
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
            Self::InUse => f.write_str("another process is using it"),
            Self::Foreign => f.write_str("it is not a seats file, and was left alone"),
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
mod tests;
