//! The rooms that have someone in them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::slice;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::Instant;

use crate::doubt::{Doubt, Doubts};
use crate::ending::Ending;
use crate::journal::Journal;
use crate::limits::{Full, Permit};
use crate::name::Name;
use crate::presence::{Observer, Presence, Seated};
use crate::register::{Entry, Register};
use crate::room::{Entered, Keeper, Room, Subscription};
use crate::seat::{Seat, Seats};
use crate::span::{self, Measure, Span, Stretch};
use crate::sync::{Mutex, MutexGuard};
use crate::tally::Tally;
use crate::token::Token;

/// How many rooms may be open at once unless another limit is set.
pub const MAX_ROOMS: usize = 10_000;

/// The registry of rooms: a handle that is cheap to clone. All clones share the same rooms.
///
/// A room opens with its first join and closes with its last leave.
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
    /// The lock is held to look a room up, never while its people are told: the fan-out of a
    /// large room must not keep people out of the others.
    rooms: Mutex<Directory>,
    max_rooms: usize,
    next_room: AtomicU64,
    /// Every seat that is counted somewhere.
    seats: Arc<Mutex<Seats>>,
    doubts: Arc<Doubts>,
    register: OnceLock<Arc<dyn Register>>,
    /// The people of all rooms together, if that is measured.
    total: Option<Arc<Mutex<Span>>>,
    tally: Arc<Tally>,
    journal: Arc<Journal>,
}

#[derive(Debug, Default)]
struct Directory {
    open: HashMap<Name, Arc<Room>>,
    /// How many people each room has on other nodes. A room that opens begins with that number.
    elsewhere: HashMap<Name, usize>,
    /// If that is measured: the rooms that are not open here, but have people elsewhere, or
    /// have had people since the stretches were last taken.
    apart: HashMap<Name, Span>,
}

/// How many people there were since the stretches were last taken.
#[derive(Debug)]
pub(crate) struct Stretches {
    pub(crate) total: Stretch,
    /// Each room that had someone in it.
    pub(crate) rooms: Vec<(Name, Stretch)>,
}

/// As many rooms as are allowed are open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRooms;

/// Why a seat can't be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// The limits have no place for it at the client's address.
    Full(Full),
    /// One of the rooms would be one more than is allowed.
    TooManyRooms,
}

impl Rooms {
    /// A registry of at most `max_rooms` rooms besides the default room, which nobody can lock
    /// others out of.
    #[must_use]
    pub fn new(max_rooms: usize) -> Self {
        Self::build(max_rooms, None)
    }

    /// Like [`new`](Self::new), but measures how many people are in each room, as a `History`
    /// requires.
    #[must_use]
    pub fn measured(max_rooms: usize) -> Self {
        Self::build(max_rooms, Some(Arc::new(Mutex::new(Span::new(0, Instant::now())))))
    }

    fn build(max_rooms: usize, total: Option<Arc<Mutex<Span>>>) -> Self {
        let registry = Registry {
            rooms: Mutex::default(),
            max_rooms,
            next_room: AtomicU64::default(),
            seats: Arc::new(Mutex::new(Seats::default())),
            doubts: Arc::default(),
            register: OnceLock::new(),
            total,
            tally: Arc::default(),
            journal: Arc::default(),
        };
        Self(Arc::new(registry))
    }

    /// Joins the room `name`, and opens it if nobody is there.
    ///
    /// Returns the presence, which counts until it is dropped, and what its client hears: first
    /// the event of its own arrival, which is already [told](Subscription::told), and then what
    /// follows. `ending` is where others may note why the stream ends.
    ///
    /// # Errors
    /// [`TooManyRooms`] if the room would be one more than is allowed.
    pub fn join(
        &self,
        name: &Name,
        ending: Ending,
    ) -> Result<(Presence, Subscription), TooManyRooms> {
        let seat = Seat::new(self.token(slice::from_ref(name), None), None);
        let subscription = self.enter(name, |room| room.enter(&seat, None))?.log();
        let seated = self.seat(seat, None, slice::from_ref(&subscription));
        Ok((Presence::new(seated, ending), subscription))
    }

    /// Joins several rooms as one, or none of them if one can't be opened. Each may be named
    /// only once. The subscriptions are in the order of the names.
    ///
    /// # Errors
    /// [`TooManyRooms`] if there would be more rooms than are allowed.
    pub fn join_all(
        &self,
        names: &[Name],
        ending: Ending,
    ) -> Result<(Presence, Vec<Subscription>), TooManyRooms> {
        self.admit(names, None, ending)
    }

    /// Joins rooms with a place among the limits.
    pub(crate) fn admit(
        &self,
        names: &[Name],
        permit: Option<Permit>,
        ending: Ending,
    ) -> Result<(Presence, Vec<Subscription>), TooManyRooms> {
        // A single room can't be entered in part.
        let _keepers = if names.len() > 1 { self.keep(names)? } else { Vec::new() };
        self.enter_all(names, Seat::new(self.token(names, None), permit), None, ending)
    }

    /// Listens to the room `name` without being counted. Returns a guard, which keeps the room
    /// open while it lives, even if nobody is there, and what is heard, beginning with the
    /// current number.
    ///
    /// # Errors
    /// [`TooManyRooms`] if the room would be one more than is allowed.
    pub fn observe(&self, name: &Name) -> Result<(Observer, Subscription), TooManyRooms> {
        let (keeper, subscription) = self.enter(name, Room::observe)?;
        Ok((Observer::new([keeper].into()), subscription))
    }

    /// Listens to several rooms without being counted, or to none of them if one can't be
    /// opened. The subscriptions are in the order of the names.
    ///
    /// # Errors
    /// [`TooManyRooms`] if there would be more rooms than are allowed.
    pub fn observe_all(
        &self,
        names: &[Name],
    ) -> Result<(Observer, Vec<Subscription>), TooManyRooms> {
        let (keepers, subscriptions): (Vec<_>, _) = self.keep(names)?.into_iter().unzip();
        Ok((Observer::new(keepers.into()), subscriptions))
    }

    /// Takes over the seat of `token`, if somebody is still counted by it: their connection is
    /// lost, but nobody has noticed yet, or they want other rooms. The named rooms that they
    /// were already in keep their count all the while; they join the others. The old stream is
    /// told, and leaves the rooms that are not named.
    ///
    /// # Errors
    /// [`NoSeat`] if a client at `address` can't have the seat's place among the limits, or one
    /// of the rooms can't be opened; nothing has changed then.
    pub fn take_over(
        &self,
        names: &[Name],
        token: Token,
        address: Option<IpAddr>,
        ending: &Ending,
    ) -> Result<Option<(Presence, Vec<Subscription>)>, NoSeat> {
        loop {
            let Some(left) = self.seats().get(token).cloned() else { return Ok(None) };
            let new = self.token(names, Some(token));
            let taken = self.follow(names, &left, new, address, ending)?;
            // If another request was faster, the seat is now that one's, and is taken over from
            // it.
            if taken.is_some() || !left.is_taken() {
                return Ok(taken);
            }
        }
    }

    /// Joins rooms in the place of `left`, a seat whose stream has ended, as
    /// [`take_over`](Self::take_over) does. The token is a new one: otherwise anyone who knows
    /// the old one could take over the newcomer's seat.
    ///
    /// # Errors
    /// As for [`take_over`](Self::take_over).
    pub fn succeed(
        &self,
        names: &[Name],
        left: &Arc<Seat>,
        address: Option<IpAddr>,
        ending: &Ending,
    ) -> Result<Option<(Presence, Vec<Subscription>)>, NoSeat> {
        self.follow(names, left, self.token(names, None), address, ending)
    }

    /// Puts a new seat with this `token` in the place of the one that was `left`. `None` if
    /// that one is no longer counted, or another seat has taken over from it.
    fn follow(
        &self,
        names: &[Name],
        left: &Arc<Seat>,
        token: Token,
        address: Option<IpAddr>,
        ending: &Ending,
    ) -> Result<Option<(Presence, Vec<Subscription>)>, NoSeat> {
        let Some(handover) = left.hand_over() else { return Ok(None) };
        // The two steps that may be refused come first, and of these the one that can't be
        // undone last.
        let _keepers = self.keep(names)?;
        let Some(seat) = left.bequeath(token, address, names)? else { return Ok(None) };
        let followed = self.enter_all(names, seat, Some(left), ending.clone())?;
        left.give_away(handover);
        // Dropped after the new entry is written, so that a reader finds one of them, or both.
        drop(left.take_entry());
        Ok(Some(followed))
    }

    /// Keeps rooms open until somebody has entered all of them, or for an observer.
    pub(crate) fn keep(&self, names: &[Name]) -> Result<Vec<(Keeper, Subscription)>, TooManyRooms> {
        names.iter().map(|name| self.enter(name, Room::observe)).collect()
    }

    /// Enters rooms, one after the other, with a seat that nobody knows of yet.
    fn enter_all(
        &self,
        names: &[Name],
        seat: Arc<Seat>,
        left: Option<&Arc<Seat>>,
        ending: Ending,
    ) -> Result<(Presence, Vec<Subscription>), TooManyRooms> {
        let enter = |name| Ok(self.enter(name, |room| room.enter(&seat, left))?.log());
        let subscriptions = names.iter().map(enter).collect::<Result<Vec<_>, _>>()?;
        let seated = self.seat(seat, left, &subscriptions);
        Ok((Presence::new(seated, ending), subscriptions))
    }

    /// The guard of a seat that has entered its rooms, in the place of `left` if there is one.
    /// Records the seat in the register.
    fn seat(&self, seat: Arc<Seat>, left: Option<&Arc<Seat>>, heard: &[Subscription]) -> Seated {
        let rooms: Box<[_]> = heard.iter().map(|heard| heard.room().clone()).collect();
        if let Some(register) = self.0.register.get() {
            let names: Vec<_> = rooms.iter().map(|room| room.name()).collect();
            let before = left.map(|left| left.token());
            seat.set_entry(register.clone().write(seat.token(), &names, before));
        }
        self.sit(rooms, seat, left)
    }

    /// Like `seat`, but leaves recording to the caller. From now on its token finds the seat.
    fn sit(&self, rooms: Box<[Arc<Room>]>, seat: Arc<Seat>, left: Option<&Arc<Seat>>) -> Seated {
        // Under one lock, so that there is always a seat with their token.
        let mut seats = self.seats();
        left.map(|left| seats.remove(left));
        seats.add(seat.clone());
        drop(seats);
        Seated::new(rooms, seat, self.0.seats.clone())
    }

    /// The token of a seat in these rooms; `before` is the one that its client had, if any.
    fn token(&self, names: &[Name], before: Option<Token>) -> Token {
        match self.0.register.get() {
            Some(register) => register.token(names, before),
            None => before.unwrap_or_else(Token::random),
        }
    }

    /// Counts people of a room who come from other nodes, uncounts those who go there, and sets
    /// how many are `elsewhere` in the same step, if that changes. Returns those who came.
    pub(crate) fn exchange(
        &self,
        name: &Name,
        elsewhere: Option<usize>,
        coming: &[&Arc<Seat>],
        going: &[&Arc<Seat>],
    ) -> Vec<Entered> {
        let mut rooms = self.0.lock();
        if let Some(count) = elsewhere {
            self.0.set_elsewhere(&mut rooms, name, count);
        }
        // A room that opens after this already knows the number.
        let Some(room) = rooms.open.get(name).cloned() else { return Vec::new() };
        drop(rooms);
        room.exchange(elsewhere, coming, going)
    }

    /// How many rooms have people on other nodes, and how many people these are in all.
    pub(crate) fn elsewhere(&self) -> (usize, usize) {
        let rooms = self.0.lock();
        (rooms.elsewhere.len(), rooms.elsewhere.values().sum())
    }

    /// Ends the stream of a seat that has left its rooms.
    pub(crate) fn give_up(&self, seat: &Arc<Seat>, held: MutexGuard<'_, ()>) {
        self.seats().remove(seat);
        seat.give_away(held);
        drop(seat.take_entry());
    }

    /// The guard of somebody who has come from another node and is already in these rooms.
    pub(crate) fn arrive(
        &self,
        seat: Arc<Seat>,
        heard: &[Subscription],
        ending: Ending,
    ) -> Presence {
        let rooms = heard.iter().map(|heard| heard.room().clone()).collect();
        Presence::new(self.sit(rooms, seat, None), ending)
    }

    /// The seat that has this token, if it is counted.
    pub(crate) fn find_seat(&self, token: Token) -> Option<Arc<Seat>> {
        self.seats().get(token).cloned()
    }

    /// From now on, records who sits where.
    pub(crate) fn write_down(&self, register: Arc<dyn Register>) {
        let _there_is_one = self.0.register.set(register);
    }

    /// Counts somebody whose stream belonged to another process, by the token and in the rooms
    /// that they had there.
    pub(crate) fn restore(
        &self,
        names: &[Name],
        token: Token,
        permit: Permit,
        entry: Box<dyn Entry>,
    ) -> Result<Seated, TooManyRooms> {
        let _keepers = self.keep(names)?;
        let seat = Seat::new(token, Some(permit));
        let enter = |name| Ok(self.enter(name, |room| room.enter(&seat, None))?.subscription);
        let heard = names.iter().map(enter).collect::<Result<Vec<_>, _>>()?;
        let rooms = heard.iter().map(|heard| heard.room().clone()).collect();
        seat.set_entry(entry);
        Ok(self.sit(rooms, seat, None))
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
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
            // The last person left between the two locks. The emptied room is taken off the map
            // by them or by us, whoever comes first.
            self.0.remove(&room);
        }
    }

    /// How many people are in the room `name`.
    #[must_use]
    pub fn count(&self, name: &Name) -> usize {
        let rooms = self.0.lock();
        let Some(room) = rooms.open.get(name).cloned() else { return rooms.elsewhere(name) };
        drop(rooms);
        room.count()
    }

    /// The rooms that have someone in them, here or on another node, and how many people each
    /// has, in no particular order. A room that has only an observer has 0 people.
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
        // Collected first, because no room may be asked under this lock.
        let rooms = self.0.lock();
        let open: Vec<_> = rooms.open.values().cloned().collect();
        let elsewhere = rooms.elsewhere.iter().filter(|(name, _)| !rooms.open.contains_key(*name));
        let elsewhere: Vec<_> = elsewhere.map(|(name, count)| (name.clone(), *count)).collect();
        drop(rooms);
        let here = open.into_iter().map(|room| (room.name().clone(), room.count()));
        here.chain(elsewhere).collect()
    }

    /// How many people were in each room since the last call, if that is measured. The stretch
    /// of a room that opens or closes meanwhile is in this answer or the next.
    pub(crate) fn take_stretches(&self) -> Option<Stretches> {
        let total = self.0.total.as_ref()?;
        let mut rooms = self.0.lock();
        let now = Instant::now();
        let total = total.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        let open: Vec<_> = rooms.open.values().cloned().collect();
        let apart = rooms.apart.iter_mut().map(|(name, span)| (name.clone(), span.take(now)));
        let mut stretches: Vec<_> = apart.collect();
        rooms.apart.retain(|_, span| span.count() > 0);
        drop(rooms);
        let open = open.iter();
        let here = open.filter_map(|room| Some((room.name().clone(), room.take_stretch(now)?)));
        stretches.extend(here);
        stretches.retain(|(_, stretch)| stretch.most > 0);
        Some(Stretches { total, rooms: stretches })
    }

    /// Whether the numbers are partial: some people may be missing from them.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.0.doubts.is_partial()
    }

    /// Makes the numbers partial until the returned value is dropped: somebody may be missing
    /// from them, and whoever asks is told so.
    #[must_use = "the doubt ends when it is dropped"]
    pub fn doubt(&self) -> Doubt {
        self.0.doubts.raise()
    }

    pub(crate) fn doubts(&self) -> &Doubts {
        &self.0.doubts
    }

    /// How many rooms are open here, including those that have only an observer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().open.len()
    }

    /// How many rooms may be open at once, besides the default room.
    #[must_use]
    pub fn max_rooms(&self) -> usize {
        self.0.max_rooms
    }

    /// Whether no room is open here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has happened in these rooms so far.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    fn find_or_open(&self, name: &Name) -> Result<Arc<Room>, TooManyRooms> {
        let mut rooms = self.0.lock();
        if let Some(room) = rooms.open.get(name) {
            return Ok(room.clone());
        }
        // The default room is allowed in addition to the maximum.
        let is_full = match rooms.open.len().cmp(&self.0.max_rooms) {
            Ordering::Less => false,
            Ordering::Equal => !rooms.open.contains_key(&Name::default()),
            Ordering::Greater => true,
        };
        if is_full && !name.is_default() {
            return Err(TooManyRooms);
        }
        // Weak, because otherwise the registry and its rooms would keep each other alive.
        let registry: Weak<Registry> = Arc::downgrade(&self.0);
        let vacated = move |room: &Arc<Room>| {
            if let Some(registry) = registry.upgrade() {
                registry.remove(room);
            }
        };
        let (tally, journal) = (self.0.tally.clone(), self.0.journal.clone());
        let nth = self.0.next_room.fetch_add(1, atomic::Ordering::Relaxed);
        let id = NonZeroU64::MIN.saturating_add(nth);
        let elsewhere = rooms.elsewhere(name);
        let measure = self.0.total.clone().map(|total| {
            let span = rooms.apart.remove(name);
            Measure::new(span.unwrap_or_else(|| Span::new(elsewhere, Instant::now())), total)
        });
        let vacated = Box::new(vacated);
        let room = Room::new(id, name.clone(), elsewhere, measure, vacated, tally, journal);
        rooms.open.insert(name.clone(), room.clone());
        Ok(room)
    }
}

impl Default for Rooms {
    /// A registry of at most [`MAX_ROOMS`].
    fn default() -> Self {
        Self::new(MAX_ROOMS)
    }
}

impl Directory {
    fn elsewhere(&self, name: &Name) -> usize {
        self.elsewhere.get(name).copied().unwrap_or_default()
    }
}

impl Registry {
    /// Takes this very room off the map, and not a later one of the same name.
    fn remove(&self, room: &Arc<Room>) {
        let mut rooms = self.lock();
        if !rooms.open.get(room.name()).is_some_and(|found| Arc::ptr_eq(found, room)) {
            return;
        }
        let Some((name, _)) = rooms.open.remove_entry(room.name()) else { return };
        // Nobody holds the lock of an emptied room for long.
        if let (Some(total), Some(mut span)) = (&self.total, room.end_measure()) {
            let elsewhere = rooms.elsewhere(&name);
            // The number may have changed since the room was emptied.
            if elsewhere != span.count() {
                span::change(&mut span, total, elsewhere);
            }
            // Visitors can open and close any number of rooms. Beyond this many, a closed room
            // is not remembered until somebody asks, and only the total includes it.
            if elsewhere > 0 || rooms.apart.len() < rooms.elsewhere.len() + self.max_rooms {
                rooms.apart.insert(name, span);
            }
        }
    }

    /// Notes how many people of a room are on other nodes.
    fn set_elsewhere(&self, rooms: &mut Directory, name: &Name, count: usize) {
        if let Some(total) = &self.total
            && !rooms.open.contains_key(name)
        {
            let begin = || Span::new(0, Instant::now());
            let span = rooms.apart.entry(name.clone()).or_insert_with(begin);
            span::change(span, total, count);
        }
        match count {
            0 => drop(rooms.elsewhere.remove(name)),
            count => drop(rooms.elsewhere.insert(name.clone(), count)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for TooManyRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the limit on rooms is reached")
    }
}

impl std::error::Error for TooManyRooms {}

impl fmt::Display for NoSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(full) => full.fmt(f),
            Self::TooManyRooms => TooManyRooms.fmt(f),
        }
    }
}

impl std::error::Error for NoSeat {}

impl From<Full> for NoSeat {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<TooManyRooms> for NoSeat {
    fn from(_: TooManyRooms) -> Self {
        Self::TooManyRooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Reason;
    use crate::limits::Limits;

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
        let room = |presence: &Presence| presence.rooms().cloned().collect::<Vec<_>>();
        assert_eq!((room(&in_a), room(&in_b)), (vec![name("a")], vec![name("b")]));
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

    fn names<const N: usize>(texts: [&str; N]) -> [Name; N] {
        texts.map(name)
    }

    fn counts<const N: usize>(rooms: &Rooms, texts: [&str; N]) -> [usize; N] {
        texts.map(|text| rooms.count(&name(text)))
    }

    fn numbers(heard: &[Subscription]) -> Vec<usize> {
        heard.iter().map(|heard| heard.told().count()).collect()
    }

    #[test]
    fn one_may_be_in_several_rooms_and_leaves_them_all() {
        let rooms = Rooms::default();
        let (_in_b, _) = rooms.join(&name("b"), Ending::default()).expect("a room");
        let (several, heard) =
            rooms.join_all(&names(["a", "b"]), Ending::default()).expect("two rooms");
        assert_eq!(numbers(&heard), [1, 2]);
        assert_eq!(rooms.tally().joins.get(), 2, "a stream is one, whatever its rooms");
        drop(several);
        assert_eq!((counts(&rooms, ["a", "b"]), rooms.len()), ([0, 1], 1));
        assert_eq!(
            Reason::ALL.map(|reason| rooms.tally().ends(reason).get()).iter().sum::<u64>(),
            1
        );
    }

    #[test]
    fn whoever_returns_for_other_rooms_stays_where_they_were_and_moves_elsewhere() {
        let rooms = Rooms::default();
        let (_observer, mut watched) =
            rooms.observe_all(&names(["a", "b", "c", "d"])).expect("four rooms");
        let (old, _) = rooms.join_all(&names(["a", "b"]), Ending::default()).expect("two rooms");
        let token = old.seat().token();
        watched.iter_mut().for_each(|room| while room.try_next().is_some() {});
        let back = |texts| {
            let taken = rooms.take_over(&names(texts), token, None, &Ending::default());
            taken.expect("no limit").expect("the seat is there")
        };
        let (second, heard) = back(["b", "c"]);
        assert_eq!((numbers(&heard), second.seat().token()), (vec![1, 1], token));
        assert!(old.seat().is_taken());
        drop(old);
        assert_eq!(counts(&rooms, ["a", "b", "c", "d"]), [0, 1, 1, 0]);
        // They stay in none of these rooms.
        let (third, _) = back(["d", "a"]);
        drop(second);
        assert_eq!(counts(&rooms, ["a", "b", "c", "d"]), [1, 0, 0, 1]);
        let told = |heard: &mut Subscription| {
            std::iter::from_fn(|| heard.try_next()).map(|event| event.count()).collect()
        };
        let told: Vec<Vec<_>> = watched.iter_mut().map(told).collect();
        assert_eq!(told, [vec![0, 1], vec![0], vec![1, 0], vec![1]]);
        drop(third);
        let gone = rooms.take_over(&names(["a"]), token, None, &Ending::default());
        assert!(gone.expect("no limit").is_none());
    }

    #[test]
    fn whoever_goes_and_comes_back_before_the_first_stream_has_left_is_counted_once() {
        let rooms = Rooms::default();
        let (first, _) = rooms.join_all(&names(["a", "b"]), Ending::default()).expect("two rooms");
        let token = first.seat().token();
        let back = |texts| {
            let taken = rooms.take_over(&names(texts), token, None, &Ending::default());
            taken.expect("no limit").expect("the seat is there")
        };
        let (second, _) = back(["b", "c"]);
        let (third, heard) = back(["a", "b"]);
        assert_eq!(numbers(&heard), [1, 1]);
        for former in [first, second] {
            drop(former);
            assert_eq!(counts(&rooms, ["a", "b"]), [1, 1]);
        }
        assert_eq!((rooms.count(&name("c")), rooms.tally().changes.get()), (0, 4));
        drop(third);
        assert!(rooms.is_empty());
    }

    #[test]
    fn of_several_rooms_all_are_had_or_none() {
        let rooms = Rooms::new(2);
        let (in_a, _) = rooms.join(&name("a"), Ending::default()).expect("a room");
        let many = names(["a", "b", "c"]);
        assert_eq!(rooms.join_all(&many, Ending::default()).err(), Some(TooManyRooms));
        assert_eq!(rooms.observe_all(&many).err(), Some(TooManyRooms));
        let token = in_a.seat().token();
        let back = rooms.take_over(&many, token, None, &Ending::default());
        assert_eq!(back.err(), Some(NoSeat::TooManyRooms));
        assert!(!in_a.seat().is_taken());
        assert_eq!((counts(&rooms, ["a", "b", "c"]), rooms.len()), ([1, 0, 0], 1));

        let limits = Limits::new(2, Some(1), Some(2));
        let at = |text: &str| Some(text.parse().expect("an address"));
        let permit = limits.admit(at("192.0.2.1"), &names(["a"])).expect("a place");
        let _other = limits.admit(at("192.0.2.2"), &names(["a"])).expect("a place");
        let rooms = Rooms::default();
        let (in_a, _) =
            rooms.admit(&names(["a"]), Some(permit), Ending::default()).expect("a room");
        let token = in_a.seat().token();
        for (address, full) in
            [("192.0.2.1", Full::RoomsOfAddress), ("192.0.2.2", Full::StreamsOfAddress)]
        {
            let back = rooms.take_over(&many, token, at(address), &Ending::default());
            assert_eq!(back.err(), Some(NoSeat::Full(full)));
        }
        assert_eq!((counts(&rooms, ["a", "b", "c"]), rooms.len()), ([1, 0, 0], 1));
        let (back, _) = rooms
            .take_over(&names(["b", "c"]), token, at("192.0.2.1"), &Ending::default())
            .expect("two rooms")
            .expect("the seat is there");
        assert_eq!(limits.places(), 2, "it is one place all the while");
        drop(in_a);
        assert_eq!((counts(&rooms, ["a", "b", "c"]), limits.places()), ([0, 1, 1], 2));
        drop(back);
        assert_eq!(limits.places(), 1);
    }

    #[test]
    fn a_seat_that_is_left_behind_is_counted_and_waits_for_its_client() {
        let rooms = Rooms::default();
        let (presence, _) =
            rooms.join_all(&names(["a", "b"]), Ending::default()).expect("two rooms");
        let token = presence.seat().token();
        let behind = presence.leave_behind();
        assert_eq!(counts(&rooms, ["a", "b"]), [1, 1]);
        let back = rooms.take_over(&names(["a"]), token, None, &Ending::default());
        let (back, heard) = back.expect("no limit").expect("the seat is there");
        assert_eq!(numbers(&heard), [1]);
        drop(behind);
        assert_eq!(counts(&rooms, ["a", "b"]), [1, 0]);
        drop(back);
        assert!(rooms.is_empty());
    }
}
