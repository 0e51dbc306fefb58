//! The rooms that have someone in them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, PoisonError, Weak};

use crate::ending::Ending;
use crate::journal::Journal;
use crate::limits::Full;
use crate::name::Name;
use crate::room::{Observer, Presence, Room, Subscription};
use crate::seat::Seat;
use crate::sync::{Mutex, MutexGuard};
use crate::tally::Tally;
use crate::token::Token;

/// How many rooms there may be at once unless another limit is set.
pub const MAX_ROOMS: usize = 10_000;

/// The registry of rooms: a handle that is cheap to clone, all clones sharing
/// the same rooms.
///
/// A room comes into being with its first join and is gone with its last leave.
///
/// ```
/// use headcount::{Ending, Name, Rooms};
///
/// let rooms = Rooms::default();
/// let (presence, subscription) = rooms.join(&Name::default(), Ending::default())?;
/// assert_eq!(subscription.told().count(), 1);
/// assert_eq!(rooms.count(&Name::default()), 1);
///
/// drop(presence);
/// assert_eq!(rooms.count(&Name::default()), 0);
/// assert!(rooms.is_empty());
/// # Ok::<(), headcount::TooManyRooms>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rooms(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    /// The lock is held to look a room up, never while its people are told: a
    /// large room's fan-out must not keep the others' doors shut.
    rooms: Mutex<HashMap<Name, Arc<Room>>>,
    max_rooms: usize,
    next_id: AtomicU64,
    tally: Arc<Tally>,
    journal: Arc<Journal>,
}

/// As many rooms have someone in them as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRooms;

impl Rooms {
    /// A registry of at most `max_rooms` rooms, and the default room: nobody can lock
    /// others out of that.
    #[must_use]
    pub fn new(max_rooms: usize) -> Self {
        let rooms = Mutex::new(HashMap::new());
        let (tally, journal) = Default::default();
        Self(Arc::new(Registry { rooms, max_rooms, next_id: AtomicU64::default(), tally, journal }))
    }

    /// Joins the room `name`, which it opens if nobody is there.
    ///
    /// Answers with the presence, which counts until it is dropped, and with what
    /// its client is to hear: first the event of its own arrival, which is
    /// [told](Subscription::told) already, and then what follows. `ending` is where others may note why the stream ends.
    ///
    /// # Errors
    /// [`TooManyRooms`] if the room would be one more than there may be.
    pub fn join(
        &self,
        name: &Name,
        ending: Ending,
    ) -> Result<(Presence, Subscription), TooManyRooms> {
        self.enter(name, |room| room.join(ending.clone()))
    }

    /// Listens to the room `name` without being counted: answers with what keeps
    /// the room while it lives, though nobody be there, and with what is heard,
    /// from the number as it is.
    ///
    /// # Errors
    /// [`TooManyRooms`] if the room would be one more than there may be.
    pub fn observe(&self, name: &Name) -> Result<(Observer, Subscription), TooManyRooms> {
        self.enter(name, Room::observe)
    }

    fn enter<T>(
        &self,
        name: &Name,
        enter: impl Fn(&Arc<Room>) -> Option<T>,
    ) -> Result<T, TooManyRooms> {
        loop {
            let room = self.find_or_open(name)?;
            if let Some(entered) = enter(&room) {
                return Ok(entered);
            }
            // Between the two locks the last person left. Whoever comes first,
            // they or we, takes the emptied room off the map.
            self.0.remove(&room);
        }
    }

    /// Takes over the seat of `token` in the room `name`, if somebody is still
    /// counted there by that token: their connection is lost, but nobody noticed
    /// yet. The old stream is told, and the count is the same all the while.
    ///
    /// # Errors
    /// [`Full`] if a client at `address` may not have the seat's place among the
    /// limits; then nothing has changed.
    pub fn take_over(
        &self,
        name: &Name,
        token: Token,
        address: Option<IpAddr>,
        ending: Ending,
    ) -> Result<Option<(Presence, Subscription)>, Full> {
        self.find(name).map_or(Ok(None), |room| room.take_over(token, address, ending))
    }

    /// Joins the room `name` in the place of `left`, a seat whose stream has ended,
    /// if that is still counted. The count is the same all the while, and the token
    /// is a new one.
    ///
    /// # Errors
    /// As [`take_over`](Self::take_over).
    pub fn succeed(
        &self,
        name: &Name,
        left: &Arc<Seat>,
        address: Option<IpAddr>,
        ending: Ending,
    ) -> Result<Option<(Presence, Subscription)>, Full> {
        self.find(name).map_or(Ok(None), |room| room.succeed(left, address, ending))
    }

    /// How many people are in the room `name`.
    #[must_use]
    pub fn count(&self, name: &Name) -> usize {
        self.find(name).map_or(0, |room| room.count())
    }

    /// The rooms that have someone in them, and how many people each has, in no order: 0
    /// where there is only an observer.
    ///
    /// This is a snapshot. Each number was right when its room was asked, one room after
    /// the other, while people came and went in the others.
    ///
    /// ```
    /// use headcount::{Ending, Name, Rooms};
    ///
    /// let rooms = Rooms::default();
    /// let name = Name::new("blog")?;
    /// let _here = rooms.join(&name, Ending::default())?;
    /// assert_eq!(rooms.counts(), [(name, 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> Vec<(Name, usize)> {
        // All at once, for a room is not to be asked under this lock.
        let rooms: Vec<_> = self.0.lock().values().cloned().collect();
        rooms.into_iter().map(|room| (room.name().clone(), room.count())).collect()
    }

    /// How many rooms have someone in them, if only an observer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether nobody is anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has happened in these rooms so far.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    fn find(&self, name: &Name) -> Option<Arc<Room>> {
        self.0.lock().get(name).cloned()
    }

    fn find_or_open(&self, name: &Name) -> Result<Arc<Room>, TooManyRooms> {
        let mut rooms = self.0.lock();
        if let Some(room) = rooms.get(name) {
            return Ok(room.clone());
        }
        // The default room is one more than there may be.
        let is_full = match rooms.len().cmp(&self.0.max_rooms) {
            Ordering::Less => false,
            Ordering::Equal => !rooms.contains_key(&Name::default()),
            Ordering::Greater => true,
        };
        if is_full && !name.is_default() {
            return Err(TooManyRooms);
        }
        // Weak, or the registry and its rooms would keep each other alive.
        let registry: Weak<Registry> = Arc::downgrade(&self.0);
        let vacated = move |room: &Arc<Room>| {
            if let Some(registry) = registry.upgrade() {
                registry.remove(room);
            }
        };
        let (tally, journal) = (self.0.tally.clone(), self.0.journal.clone());
        let id = self.0.next_id.fetch_add(1, atomic::Ordering::Relaxed);
        let room = Room::new(id, name.clone(), Box::new(vacated), tally, journal);
        rooms.insert(name.clone(), room.clone());
        Ok(room)
    }
}

impl Default for Rooms {
    /// A registry of at most [`MAX_ROOMS`].
    fn default() -> Self {
        Self::new(MAX_ROOMS)
    }
}

impl Registry {
    /// Takes this very room off the map, and not a later one of the same name.
    fn remove(&self, room: &Arc<Room>) {
        let mut rooms = self.lock();
        if rooms.get(room.name()).is_some_and(|found| Arc::ptr_eq(found, room)) {
            rooms.remove(room.name());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for TooManyRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many rooms are open as may be")
    }
}

impl std::error::Error for TooManyRooms {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    #[test]
    fn a_room_opens_with_its_first_join_and_is_gone_with_its_last_leave() {
        let rooms = Rooms::default();
        assert!(rooms.is_empty());
        let (first, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        let (second, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (1, 2));
        drop(first);
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (1, 1));
        drop(second);
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (0, 0));
    }

    #[test]
    fn a_room_that_emptied_opens_anew() {
        let rooms = Rooms::default();
        drop(rooms.join(&name("a"), Ending::default()).expect("a room"));
        let (_presence, heard) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(heard.told().count(), 1);
    }

    #[test]
    fn rooms_are_counted_apart() {
        let rooms = Rooms::default();
        let (in_a, heard_in_a) = rooms.join(&name("a"), Ending::default()).expect("a room");
        let (in_b, heard_in_b) = rooms.join(&name("b"), Ending::default()).expect("a room");
        assert_eq!((heard_in_a.told().count(), heard_in_b.told().count()), (1, 1));
        assert_eq!((in_a.room(), in_b.room()), (&name("a"), &name("b")));
        assert_eq!(rooms.len(), 2);
        assert_eq!(rooms.count(&name("c")), 0);
    }

    #[test]
    fn every_room_is_told_with_its_number() {
        let rooms = Rooms::default();
        assert_eq!(rooms.counts(), []);
        let people = ["a", "b", "a"].map(|room| rooms.join(&name(room), Ending::default()));
        let _observer = rooms.observe(&name("c")).expect("a room");
        let counts = || {
            let mut counts = rooms.counts();
            counts.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
            counts
        };
        assert_eq!(counts(), [(name("a"), 2), (name("b"), 1), (name("c"), 0)]);
        drop(people);
        assert_eq!(counts(), [(name("c"), 0)]);
    }

    #[test]
    fn clones_share_their_rooms() {
        let rooms = Rooms::default();
        let (_presence, _) = rooms.clone().join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(rooms.count(&name("a")), 1);
    }

    #[test]
    fn a_presence_may_outlive_the_registry() {
        let rooms = Rooms::default();
        let (presence, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        drop(rooms);
        drop(presence);
    }

    #[test]
    fn a_presence_is_uncounted_when_its_owner_panics() {
        let rooms = Rooms::default();
        let inside = rooms.clone();
        let panicked = std::thread::spawn(move || {
            let (_presence, _) = inside.join(&name("a"), Ending::default()).expect("a room");
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(rooms.is_empty());
    }

    #[test]
    fn one_room_too_many_is_refused_until_another_is_empty() {
        let rooms = Rooms::new(1);
        let (in_a, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(rooms.join(&name("b"), Ending::default()).err(), Some(TooManyRooms));
        let (also_in_a, heard) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(heard.told().count(), 2);
        drop((in_a, also_in_a));
        rooms.join(&name("b"), Ending::default()).expect("a room");
    }

    #[test]
    fn the_default_room_is_open_when_all_others_are_taken() {
        let rooms = Rooms::new(1);
        let _in_default = rooms.observe(&Name::default()).expect("the default room");
        let (_in_a, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(rooms.join(&name("b"), Ending::default()).err(), Some(TooManyRooms));
        rooms.join(&Name::default(), Ending::default()).expect("the default room");
    }
}
