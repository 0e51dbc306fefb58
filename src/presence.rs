//! [`Presence`], the guard of one open stream that is counted, and [`Observer`], that of one
//! that is not.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::ending::Ending;
use crate::name::Name;
use crate::room::{Keeper, Room};
use crate::seat::{Seat, Seats};
use crate::sync::Mutex;

/// One open stream: as long as this lives, each of its rooms counts one more person.
///
/// Dropping it is the only way to leave, whatever the cause, and is logged.
#[derive(Debug)]
pub struct Presence {
    seated: Seated,
    since: Instant,
    ending: Ending,
}

/// A seat that is counted in its rooms as long as this lives, whether or not a stream has it.
/// Dropping it leaves without a line in the log.
#[derive(Debug)]
pub(crate) struct Seated {
    rooms: Box<[Arc<Room>]>,
    seat: Arc<Seat>,
    /// Every seat that is counted somewhere.
    seats: Arc<Mutex<Seats>>,
}

impl Presence {
    /// The presence of a stream that has taken its seat.
    pub(crate) fn new(seated: Seated, ending: Ending) -> Self {
        if let Some(room) = seated.rooms.first() {
            room.tally().joins.count();
        }
        Self { seated, since: Instant::now(), ending }
    }

    /// The rooms that this stream is in.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.seated.rooms.iter().map(|room| room.name())
    }

    /// This stream's seat. Await [`Seat::taken`] to learn that another stream took it over.
    #[must_use]
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seated.seat
    }

    /// Where to note why the stream ends.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Ends the stream, and leaves its seat behind: still counted and written down, but without
    /// a stream.
    pub(crate) fn leave_behind(mut self) -> Seated {
        let seated = self.seated.leave_behind();
        self.log_end(seated.rooms.iter().map(|room| (room, room.count())));
        seated
    }

    /// Logs that the stream is over, and how many people are in each of its rooms now.
    fn log_end<'a>(&self, counts: impl Iterator<Item = (&'a Arc<Room>, usize)>) {
        let (lasted, reason) = (self.since.elapsed(), self.ending.reason());
        for (nth, (room, count)) in counts.enumerate() {
            if nth == 0 {
                room.tally().ends(reason).count();
            }
            room.journal().disconnected(room.name(), count, lasted, reason);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let left = self.seated.leave();
        self.log_end(left.iter().map(|(room, count)| (room, *count)));
    }
}

impl Seated {
    /// The seat of somebody who has entered these rooms.
    pub(crate) fn new(rooms: Box<[Arc<Room>]>, seat: Arc<Seat>, seats: Arc<Mutex<Seats>>) -> Self {
        Self { rooms, seat, seats }
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Moves the seat into a guard that leaves what is written down as it is.
    pub(crate) fn leave_behind(&mut self) -> Self {
        if let Some(entry) = self.seat.take_entry() {
            entry.stay();
        }
        self.seat.abandon();
        let rooms = mem::take(&mut self.rooms);
        Self { rooms, seat: self.seat.clone(), seats: self.seats.clone() }
    }

    /// Leaves the rooms, unless another stream has the seat, and returns how many people are in
    /// each; nothing if it has left them already, or was left behind in them.
    fn leave(&mut self) -> Vec<(Arc<Room>, usize)> {
        if self.rooms.is_empty() {
            return Vec::new();
        }
        // A client that comes back meanwhile finds the seat as it was, or gone.
        let kept = self.seat.keep();
        let leave = |room: Arc<Room>| {
            let count = room.leave(&self.seat);
            (room, count)
        };
        let left = mem::take(&mut self.rooms).into_iter().map(leave).collect();
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.seat);
        drop(kept);
        // Dropped without the lock, because it may write to a file.
        drop(self.seat.take_entry());
        left
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Somebody who listens without being counted. As long as this lives, its rooms exist, even
/// if they are empty.
#[derive(Debug)]
pub struct Observer {
    #[expect(dead_code, reason = "their `Drop` is what they are for")]
    rooms: Box<[Keeper]>,
}

impl Observer {
    pub(crate) fn new(rooms: Box<[Keeper]>) -> Self {
        Self { rooms }
    }
}
