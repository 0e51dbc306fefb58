//! [`Presence`], the guard that is one open stream, and [`Observer`], one who is not
//! counted.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::ending::Ending;
use crate::name::Name;
use crate::room::{Keeper, Room};
use crate::seat::{Seat, Seats};
use crate::sync::Mutex;

/// One open stream: as long as it lives, each of its rooms counts one person more.
///
/// Dropping it is the only way to leave, whatever the cause, and it is logged.
#[derive(Debug)]
pub struct Presence {
    rooms: Box<[Arc<Room>]>,
    seat: Arc<Seat>,
    since: Instant,
    ending: Ending,
    /// Every seat that is counted somewhere.
    seats: Arc<Mutex<Seats>>,
}

impl Presence {
    /// The presence of `seat` in rooms that it has entered.
    pub(crate) fn new(
        rooms: Box<[Arc<Room>]>,
        seat: Arc<Seat>,
        ending: Ending,
        seats: Arc<Mutex<Seats>>,
    ) -> Self {
        if let Some(room) = rooms.first() {
            room.tally().joins.count();
        }
        Self { rooms, seat, since: Instant::now(), ending, seats }
    }

    /// The rooms that this stream is in.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.rooms.iter().map(|room| room.name())
    }

    /// This stream's seat. Watch it to learn that another stream took it over.
    #[must_use]
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Where to note why the stream ends.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let (lasted, reason) = (self.since.elapsed(), self.ending.reason());
        // Who comes back meanwhile finds the seat as it was, or gone.
        let _kept = self.seat.keep();
        for room in &self.rooms {
            let count = room.leave(&self.seat);
            room.journal().disconnected(room.name(), count, lasted, reason);
        }
        if let Some(room) = self.rooms.first() {
            room.tally().ends(reason).count();
        }
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.seat);
    }
}

/// One who listens without being counted. As long as it lives, its rooms are there, though
/// nobody be in them.
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
