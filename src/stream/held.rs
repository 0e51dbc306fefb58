//! Seats that briefly outlive their streams, because their clients asked for it (`hold=1`).
//!
//! The tabs of a browser that is counted once share one stream. When the tab that has
//! it is closed, another one comes at once to take the seat over, and a page that is
//! reloaded comes back without knowing its seat. If the seat were given up in between,
//! everyone would be told of a leave and a join that never happened.
//!
//! The seats of clients that the server itself has sent away are held too. These clients
//! have not left: they are expected back, here or at the next process.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::BATCH;
use crate::doubt::Doubt;
use crate::ending::Reason;
use crate::name::Name;
use crate::presence::{Presence, Seated};
use crate::seat::Seat;
use crate::token::Token;

/// How long a seat waits: several round trips of a slow network, and less than the two
/// seconds within which a visitor who left must be uncounted.
pub(crate) const HOLD: Duration = Duration::from_millis(1500);

/// How long a seat is kept for its client after its stream got too old, or after the last
/// process has left it behind.
pub(crate) const AGED_HOLD: Duration = Duration::from_secs(10);

/// The seats that wait.
#[derive(Debug)]
pub(crate) struct Held {
    seats: Mutex<ByRoom>,
    /// The seats that the last process has left behind, until their clients are back.
    restored: Mutex<HashMap<Token, Seated>>,
    /// The seats that are left behind because the server stops. They stay counted until
    /// nothing of the server is left.
    left_behind: Mutex<Vec<Seated>>,
    /// Cancelled when the server stops; nobody is waited for any more then.
    drain: CancellationToken,
}

/// The waiting seats, listed under each of their rooms.
type ByRoom = HashMap<Name, Vec<Arc<Seat>>>;

/// The seat of a stream that got too old. When this is dropped its client leaves or, if the
/// server stops, is left behind, even if the runtime ends before the drain is noticed.
struct Aged {
    held: Arc<Held>,
    presence: Option<Presence>,
}

impl Held {
    pub(crate) fn new(drain: CancellationToken) -> Arc<Self> {
        let (seats, restored, left_behind) = Default::default();
        Arc::new(Self { seats, restored, left_behind, drain })
    }

    /// Lets a client that doesn't know its token `take` a seat that waits in one of the
    /// `rooms`, preferably one that is `theirs`. If the seat was somebody else's, the count is
    /// the same as if they had gone and this client had come. A seat that can't be taken
    /// because of an error goes on waiting.
    pub(crate) fn give<T, E>(
        &self,
        rooms: &[Name],
        theirs: impl Fn(&Seat) -> bool,
        mut take: impl FnMut(&Arc<Seat>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let mut waiting = self.lock();
        while let Some(seat) = find(&waiting, rooms, &theirs) {
            let taken = take(&seat)?;
            for room in rooms {
                remove(&mut waiting, room, &seat);
            }
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// Keeps the seat of a client that has left, unless it fell silent: nobody comes back for
    /// such a seat.
    pub(crate) fn keep(self: Arc<Self>, presence: Presence) {
        let has_left = matches!(presence.ending().reason(), Reason::ClientClosed | Reason::Reset);
        if let (true, Ok(runtime)) = (has_left, Handle::try_current()) {
            let waits = Waits::new(self, &presence);
            runtime.spawn(async move {
                wait(presence.seat(), HOLD, &waits.held.drain).await;
                drop(waits);
                drop(presence);
            });
        }
    }

    /// Keeps the seat of a client whose stream got too old.
    pub(crate) fn keep_aged(self: Arc<Self>, presence: Presence) {
        let seat = presence.seat().clone();
        let aged = Aged { held: self, presence: Some(presence) };
        tokio::spawn(async move {
            wait(&seat, AGED_HOLD, &aged.held.drain).await;
            drop(aged);
        });
    }

    /// Keeps the seats that the last process has left behind, and a doubt if some are missing.
    pub(crate) fn keep_restored(self: Arc<Self>, seats: Vec<Seated>, doubt: Option<Doubt>) {
        if seats.is_empty() && doubt.is_none() {
            return;
        }
        let seats = seats.into_iter().map(|seated| (seated.seat().token(), seated));
        self.restored().extend(seats);
        tokio::spawn(async move {
            let time = self.drain.run_until_cancelled(sleep(AGED_HOLD)).await;
            drop(doubt);
            if time.is_some() {
                let left = take(&mut *self.restored());
                for (nth, seated) in (1..).zip(left.into_values()) {
                    drop(seated);
                    // There may be a million, and this thread has others to serve too.
                    if nth % BATCH == 0 {
                        yield_now().await;
                    }
                }
            }
        });
    }

    /// Takes the client with this token out of those rooms that it was in before the restart
    /// and has not come back to.
    pub(crate) fn welcome_back(&self, token: Token) {
        let restored = self.restored().remove(&token);
        drop(restored);
    }

    /// Leaves behind the seat of a client whose stream ends because the server stops.
    pub(crate) fn leave_behind(&self, presence: Presence) {
        let left = presence.leave_behind();
        self.left_behind().push(left);
    }

    fn restored(&self) -> MutexGuard<'_, HashMap<Token, Seated>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_behind(&self) -> MutexGuard<'_, Vec<Seated>> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, ByRoom> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    /// Clients that are still expected back may come to the next process: their time is not
    /// over when this one stops.
    fn drop(&mut self) {
        if self.drain.is_cancelled() {
            for seated in take(&mut *self.restored()).values_mut() {
                drop(seated.leave_behind());
            }
        }
    }
}

impl Drop for Aged {
    fn drop(&mut self) {
        let stops = self.held.drain.is_cancelled();
        match self.presence.take() {
            Some(presence) if stops && !presence.seat().is_taken() => {
                self.held.leave_behind(presence);
            }
            presence => drop(presence),
        }
    }
}

/// A seat that waits in one of the rooms: the last that is theirs; otherwise the last whose
/// rooms are all among these, because people in any other room must be told that somebody
/// left only if the seat's own client doesn't come back.
fn find(waiting: &ByRoom, rooms: &[Name], theirs: &impl Fn(&Seat) -> bool) -> Option<Arc<Seat>> {
    let seats = || rooms.iter().filter_map(|room| waiting.get(room)).flatten();
    let waits_in = |seat: &Arc<Seat>| seats().filter(|other| Arc::ptr_eq(other, seat)).count();
    let own = seats().rfind(|seat| theirs(seat));
    own.or_else(|| seats().rfind(|seat| waits_in(seat) == seat.rooms() as usize)).cloned()
}

fn remove(waiting: &mut ByRoom, room: &Name, seat: &Arc<Seat>) {
    if let Some(seats) = waiting.get_mut(room) {
        seats.retain(|held| !Arc::ptr_eq(held, seat));
        if seats.is_empty() {
            waiting.remove(room);
        }
    }
}

/// Waits until the client of a seat has come back, this much time has passed, or the server
/// stops.
async fn wait(seat: &Seat, time: Duration, drain: &CancellationToken) {
    let taken = drain.run_until_cancelled(seat.taken());
    let _taken_or_not = timeout(time, taken).await;
}

/// A seat's entry among those that wait.
struct Waits {
    held: Arc<Held>,
    rooms: Box<[Name]>,
    seat: Arc<Seat>,
}

impl Waits {
    fn new(held: Arc<Held>, presence: &Presence) -> Self {
        let (rooms, seat) = (presence.rooms().cloned().collect(), presence.seat().clone());
        let waits = Self { held, rooms, seat };
        let mut waiting = waits.held.lock();
        for room in &waits.rooms {
            waiting.entry(room.clone()).or_default().push(waits.seat.clone());
        }
        drop(waiting);
        waits
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut waiting = self.held.lock();
        for room in &self.rooms {
            remove(&mut waiting, room, &self.seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::limits::Limits;
    use crate::rooms::Rooms;

    #[tokio::test]
    async fn nobody_is_taken_out_of_a_room_by_a_stranger_who_did_not_ask_for_it() {
        let address = |last: u8| Some([192, 0, 2, last].into());
        let names = |texts: &[&str]| -> Vec<_> {
            texts.iter().map(|text| Name::new(text).expect("a good name")).collect()
        };
        let (limits, rooms) = (Limits::new(9, Some(9), None), Rooms::default());
        let permit = limits.admit(address(1), &names(&["a", "b"])).expect("a place");
        let joined = rooms.admit(&names(&["a", "b"]), Some(permit), Ending::default());
        let (presence, _) = joined.expect("two rooms");
        let seat = presence.seat().clone();
        let held = Held::new(CancellationToken::new());
        held.clone().keep(presence);
        let give = |asked: &[&str], last| {
            let take = |left: &Arc<Seat>| Ok::<_, ()>(Some(left.clone()));
            let given = held.give(&names(asked), |seat| seat.is_at(address(last)), take);
            given.expect("nothing is refused").is_some_and(|given| Arc::ptr_eq(&given, &seat))
        };
        assert!(!give(&["b"], 2));
        assert!(!give(&["c", "a"], 2));
        assert!(give(&["c", "b", "a"], 2));
        held.lock().entry(names(&["b"]).remove(0)).or_default().push(seat.clone());
        assert!(give(&["b", "c"], 1), "its own client may have come back for less");
    }
}
