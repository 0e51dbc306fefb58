//! Seats that outlive their streams for a moment, because their clients asked for it
//! (`hold=1`).
//!
//! The tabs of a browser that is counted once have one stream. When the tab that has
//! it is closed, another one comes at once to take the seat over, and a page that is
//! loaded anew comes without knowing its seat. Were the seat gone in between, everyone
//! would be told of a leave and a join that never were.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ending::Reason;
use crate::name::Name;
use crate::room::Presence;
use crate::seat::Seat;

/// How long a seat waits: some round trips of a slow network, and less than the two
/// seconds within which a visitor who left is to be uncounted.
pub(crate) const HOLD: Duration = Duration::from_millis(1500);

/// The seats that wait, by their rooms.
#[derive(Debug)]
pub(crate) struct Held {
    seats: Mutex<HashMap<Name, Vec<Arc<Seat>>>>,
    /// Nobody is waited for when the server stops.
    drain: CancellationToken,
}

impl Held {
    pub(crate) fn new(drain: CancellationToken) -> Arc<Self> {
        Arc::new(Self { seats: Mutex::default(), drain })
    }

    /// Has a seat that waits in `room` taken, for a client that does not know its
    /// token: one that is `theirs` rather than another. Whoever left, the count is the same
    /// as if one had gone and one had come. A seat whose taking is refused waits on.
    pub(crate) fn give<T, E>(
        &self,
        room: &Name,
        theirs: impl Fn(&Seat) -> bool,
        mut take: impl FnMut(&Arc<Seat>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let mut rooms = self.lock();
        let Some(seats) = rooms.get_mut(room) else { return Ok(None) };
        while let Some(last) = seats.len().checked_sub(1) {
            let place = seats.iter().rposition(|seat| theirs(seat)).unwrap_or(last);
            let taken = take(&seats[place])?;
            seats.remove(place);
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// Has the seat of a client that has left wait, unless it fell silent: nobody
    /// comes for that one's.
    pub(crate) fn keep(self: Arc<Self>, presence: Presence) {
        let has_left = matches!(presence.ending().reason(), Reason::ClientClosed | Reason::Reset);
        if let (true, Ok(runtime)) = (has_left, Handle::try_current()) {
            let waits = Waits::new(self, &presence);
            runtime.spawn(async move {
                wait(&presence, HOLD, &waits.held.drain).await;
                drop(waits);
                drop(presence);
            });
        }
    }

    fn add(&self, room: &Name, seat: &Arc<Seat>) {
        self.lock().entry(room.clone()).or_default().push(seat.clone());
    }

    fn remove(&self, room: &Name, seat: &Arc<Seat>) {
        let mut rooms = self.lock();
        if let Some(seats) = rooms.get_mut(room) {
            seats.retain(|held| !Arc::ptr_eq(held, seat));
            if seats.is_empty() {
                rooms.remove(room);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Vec<Arc<Seat>>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the seat of a client that is to come back, for so long or until it has, or the
/// server stops.
pub(crate) async fn wait(presence: &Presence, time: Duration, drain: &CancellationToken) {
    let taken = drain.run_until_cancelled(presence.seat().taken());
    let _taken_or_not = timeout(time, taken).await;
}

/// A seat's entry among those that wait.
struct Waits {
    held: Arc<Held>,
    room: Name,
    seat: Arc<Seat>,
}

impl Waits {
    fn new(held: Arc<Held>, presence: &Presence) -> Self {
        let (room, seat) = (presence.room().clone(), presence.seat().clone());
        held.add(&room, &seat);
        Self { held, room, seat }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.held.remove(&self.room, &self.seat);
    }
}
