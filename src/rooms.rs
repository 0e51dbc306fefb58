//! The rooms that have someone in them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, Weak};

use crate::ending::Ending;
use crate::event::Event;
use crate::name::Name;
use crate::room::{Presence, Room};
use crate::sync::{Mutex, MutexGuard};

/// The registry of rooms: a handle that is cheap to clone, all clones sharing
/// the same rooms.
///
/// A room comes into being with its first join and is gone with its last leave.
///
/// ```
/// use headcount::{Ending, Name, Rooms};
///
/// let rooms = Rooms::default();
/// let (presence, event) = rooms.join(&Name::default(), Ending::default());
/// assert_eq!(event.count(), 1);
/// assert_eq!(rooms.count(&Name::default()), 1);
///
/// drop(presence);
/// assert_eq!(rooms.count(&Name::default()), 0);
/// assert!(rooms.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rooms(Arc<Registry>);

/// The lock is held to look a room up, never while its people are told: a
/// large room's fan-out must not keep the others' doors shut.
type Registry = Mutex<HashMap<Name, Arc<Room>>>;

impl Rooms {
    /// Joins the room `name`, which it opens if nobody is there.
    ///
    /// Answers with the presence, which counts until it is dropped, and the
    /// event of its own arrival, which is the first that its client is to get.
    /// `ending` is where others may note why the stream ends.
    #[must_use]
    pub fn join(&self, name: &Name, ending: Ending) -> (Presence, Event) {
        loop {
            let room = self.room(name);
            if let Some(joined) = room.join(ending.clone()) {
                return joined;
            }
            // Between the two locks the last person left. Whoever comes first,
            // they or we, takes the emptied room off the map.
            remove(&self.0, &room);
        }
    }

    /// How many people are in the room `name`.
    #[must_use]
    pub fn count(&self, name: &Name) -> usize {
        let room = lock(&self.0).get(name).cloned();
        room.map_or(0, |room| room.count())
    }

    /// How many rooms have someone in them.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether nobody is anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn room(&self, name: &Name) -> Arc<Room> {
        match lock(&self.0).entry(name.clone()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                // Weak, or the registry and its rooms would keep each other alive.
                let registry: Weak<Registry> = Arc::downgrade(&self.0);
                let vacated = move |room: &Arc<Room>| {
                    if let Some(registry) = registry.upgrade() {
                        remove(&registry, room);
                    }
                };
                entry.insert(Room::new(name.clone(), Box::new(vacated))).clone()
            }
        }
    }
}

/// Takes this very room off the map, and not a later one of the same name.
fn remove(registry: &Registry, room: &Arc<Room>) {
    let mut rooms = lock(registry);
    if rooms.get(room.name()).is_some_and(|found| Arc::ptr_eq(found, room)) {
        rooms.remove(room.name());
    }
}

fn lock(registry: &Registry) -> MutexGuard<'_, HashMap<Name, Arc<Room>>> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let (first, _) = rooms.join(&name("a"), Ending::default());
        let (second, _) = rooms.join(&name("a"), Ending::default());
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (1, 2));
        drop(first);
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (1, 1));
        drop(second);
        assert_eq!((rooms.len(), rooms.count(&name("a"))), (0, 0));
    }

    #[test]
    fn a_room_that_emptied_opens_anew() {
        let rooms = Rooms::default();
        drop(rooms.join(&name("a"), Ending::default()));
        let (_presence, arrival) = rooms.join(&name("a"), Ending::default());
        assert_eq!(arrival.count(), 1);
    }

    #[test]
    fn rooms_are_counted_apart() {
        let rooms = Rooms::default();
        let (in_a, arrival_a) = rooms.join(&name("a"), Ending::default());
        let (in_b, arrival_b) = rooms.join(&name("b"), Ending::default());
        assert_eq!((arrival_a.count(), arrival_b.count()), (1, 1));
        assert_eq!((in_a.room(), in_b.room()), (&name("a"), &name("b")));
        assert_eq!(rooms.len(), 2);
        assert_eq!(rooms.count(&name("c")), 0);
    }

    #[test]
    fn clones_share_their_rooms() {
        let rooms = Rooms::default();
        let (_presence, _) = rooms.clone().join(&name("a"), Ending::default());
        assert_eq!(rooms.count(&name("a")), 1);
    }

    #[test]
    fn a_presence_may_outlive_the_registry() {
        let rooms = Rooms::default();
        let (presence, _) = rooms.join(&name("a"), Ending::default());
        drop(rooms);
        drop(presence);
    }

    #[test]
    fn a_presence_is_uncounted_when_its_owner_panics() {
        let rooms = Rooms::default();
        let inside = rooms.clone();
        let panicked = std::thread::spawn(move || {
            let (_presence, _) = inside.join(&name("a"), Ending::default());
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(rooms.is_empty());
    }
}
