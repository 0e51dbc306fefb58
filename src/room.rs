//! One room: its count and its broadcast channel, changed together; and
//! [`Presence`], the guard that is one open stream.
//!
//! The order of events is the order of changes because both happen in one
//! critical section. With an atomic count and a send after it, two changes can
//! be told in the wrong order, and the last event that people see is then wrong
//! for as long as nobody comes or goes. `tests/model` checks this over many
//! schedules.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tracing::info;

use crate::ending::Ending;
use crate::event::Event;
use crate::name::Name;
use crate::pace::{self, Pace, Tell};
use crate::seat::{Seat, Seats};
use crate::sync::broadcast::{self, error::RecvError};
use crate::sync::{Mutex, MutexGuard};
use crate::tally::Tally;
use crate::token::Token;

/// How many events a room keeps for a stream that is not read right now. It
/// bounds what a slow reader costs: who falls further behind is told the newest
/// number only. Enough for a burst of steps in a small crowd, where each is to
/// be seen; tokio wants a power of two.
pub(crate) const CAPACITY: usize = 16;

/// Called by the presence that emptied the room, once in a room's life.
pub(crate) type Vacated = Box<dyn Fn(&Arc<Room>) + Send + Sync>;

/// A room and the people in it.
pub(crate) struct Room {
    name: Name,
    /// A blocking lock: it is held for one change, never across an `.await`.
    state: Mutex<State>,
    vacated: Vacated,
    tally: Arc<Tally>,
}

struct State {
    /// Who is here: one seat for each person counted.
    seats: Seats,
    /// The event that says how many, as it is.
    newest: Event,
    /// Set by the change that empties the room. An emptied room is on its way
    /// off the registry and takes nobody in any more.
    emptied: bool,
    channel: broadcast::Sender<Event>,
    pace: Pace,
}

impl Room {
    /// A room that nobody has entered yet.
    pub(crate) fn new(name: Name, vacated: Vacated, tally: Arc<Tally>) -> Arc<Self> {
        let state = State {
            seats: Seats::default(),
            newest: Event::new(0),
            emptied: false,
            channel: broadcast::Sender::new(CAPACITY),
            pace: Pace::default(),
        };
        Arc::new(Self { name, state: Mutex::new(state), vacated, tally })
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// How many people are here.
    pub(crate) fn count(&self) -> usize {
        self.lock().newest.count()
    }

    /// Counts one more person, and answers with the guard that uncounts them
    /// and the event of their own arrival. `None` if the room has been emptied.
    pub(crate) fn join(self: &Arc<Self>, ending: Ending) -> Option<(Presence, Event)> {
        let seat = Seat::new(Token::random());
        let mut state = self.lock();
        if state.emptied {
            return None;
        }
        state.seats.add(seat.clone());
        let tell = self.change(&mut state);
        // Subscribed after its own arrival was told and before any other change
        // can be: the newcomer hears of everything else, and of nothing twice.
        let events = state.channel.subscribe();
        let arrival = state.newest.clone();
        drop(state);

        self.follow_up(tell);
        info!(room = self.name.as_str(), count = arrival.count(), "user connected");
        Some((self.presence(seat, events, &arrival, ending), arrival))
    }

    /// Gives the seat of `token` to a new stream, if it is still counted, and
    /// tells the old stream. Nobody came and nobody went: the count is the same
    /// before, after and in between, and no event says so.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        token: Token,
        ending: Ending,
    ) -> Option<(Presence, Event)> {
        let seat = Seat::new(token);
        let mut state = self.lock();
        let old = state.seats.replace(seat.clone())?;
        Some(self.instead_of(&old, seat, state, ending))
    }

    /// Lets a newcomer have the place of `left`, a seat that waits for nobody in
    /// particular: one went and one came, and no event says so. The token is a new
    /// one, or whoever knows the old one could take the newcomer's seat over. `None`
    /// if that very seat is not counted any more.
    pub(crate) fn succeed(
        self: &Arc<Self>,
        left: &Arc<Seat>,
        ending: Ending,
    ) -> Option<(Presence, Event)> {
        let seat = Seat::new(Token::random());
        let mut state = self.lock();
        if !state.seats.remove(left) {
            return None;
        }
        state.seats.add(seat.clone());
        Some(self.instead_of(left, seat, state, ending))
    }

    /// The presence of `seat`, which has just been put in the place of `old`.
    fn instead_of(
        self: &Arc<Self>,
        old: &Seat,
        seat: Arc<Seat>,
        state: MutexGuard<'_, State>,
        ending: Ending,
    ) -> (Presence, Event) {
        let events = state.channel.subscribe();
        let newest = state.newest.clone();
        drop(state);

        old.give_away();
        info!(room = self.name.as_str(), count = newest.count(), "user returned");
        (self.presence(seat, events, &newest, ending), newest)
    }

    fn presence(
        self: &Arc<Self>,
        seat: Arc<Seat>,
        events: broadcast::Receiver<Event>,
        told: &Event,
        ending: Ending,
    ) -> Presence {
        self.tally.joins.count();
        let (room, told, since) = (self.clone(), told.count(), Instant::now());
        Presence { room, seat, events, told, since, ending }
    }

    /// Uncounts the person who had `seat`, unless it was taken over, and answers
    /// how many are here.
    fn leave(self: &Arc<Self>, seat: &Arc<Seat>) -> usize {
        let mut state = self.lock();
        if !state.seats.remove(seat) {
            return state.newest.count();
        }
        let tell = self.change(&mut state);
        let count = state.newest.count();
        state.emptied = count == 0;
        drop(state);

        if count == 0 {
            (self.vacated)(self);
        } else {
            self.follow_up(tell);
        }
        count
    }

    /// Says that the number of seats has changed, or learns when to.
    fn change(&self, state: &mut State) -> Tell {
        self.tally.changes.count();
        state.newest = Event::new(state.seats.len());
        let tell = state.pace.change();
        if tell == Tell::Now {
            self.publish(state);
        }
        tell
    }

    fn publish(&self, state: &mut State) {
        self.tally.published.count();
        let _nobody_listens = state.channel.send(state.newest.clone());
        state.pace.told(state.newest.count());
    }

    /// Plans to tell the changes that are merged, if this change is the first of
    /// them. Not under the lock: a plan that can't wait is carried out at once.
    fn follow_up(self: &Arc<Self>, tell: Tell) {
        if let Tell::At(instant) = tell {
            pace::at(instant, Due(self.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The plan to tell a room what happened during its pause. It is carried out
/// when it is dropped, so that however it ends it is carried out.
struct Due(Arc<Room>);

impl Drop for Due {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.pace.is_planned() {
            self.0.publish(&mut state);
        }
    }
}

/// One open stream: as long as it lives, its room counts one person more.
///
/// Dropping it is the only way to leave, whatever the cause, and it is logged.
#[derive(Debug)]
pub struct Presence {
    room: Arc<Room>,
    seat: Arc<Seat>,
    events: broadcast::Receiver<Event>,
    /// The number that this stream was told last.
    told: usize,
    since: Instant,
    ending: Ending,
}

impl Presence {
    /// The room that this stream is in.
    #[must_use]
    pub fn room(&self) -> &Name {
        self.room.name()
    }

    /// This stream's place. Watch it to learn that another stream took it over.
    #[must_use]
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Waits for the next number that differs from the one told last.
    ///
    /// A stream that has fallen too far behind to be told each step is told the
    /// newest. Dropping the future before it is ready loses nothing.
    pub async fn changed(&mut self) -> Event {
        loop {
            let event = match self.events.recv().await {
                Ok(event) => event,
                // The next event kept would be the oldest one.
                Err(RecvError::Lagged(_)) => {
                    self.room.tally.lagged.count();
                    self.skip_to_newest()
                }
                // Can't be: the room that this presence holds owns the sender.
                Err(RecvError::Closed) => pending().await,
            };
            // Equal after a merge: somebody came and somebody went.
            if event.count() != self.told {
                self.told = event.count();
                return event;
            }
        }
    }

    /// The count as it is now, told whether it has changed or not.
    pub fn now(&mut self) -> Event {
        let event = self.skip_to_newest();
        self.told = event.count();
        event
    }

    /// Goes to the newest event and subscribes to what follows it, in one
    /// critical section, so that no older event can come after it.
    fn skip_to_newest(&mut self) -> Event {
        let state = self.room.lock();
        self.events = state.channel.subscribe();
        state.newest.clone()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let count = self.room.leave(&self.seat);
        let reason = self.ending.reason();
        self.room.tally.ends(reason).count();
        info!(
            room = self.room.name().as_str(),
            count,
            lasted_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason = reason.as_str(),
            "user disconnected"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::Rooms;
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    fn join(rooms: &Rooms) -> Presence {
        rooms.join(&Name::default(), Ending::default()).expect("a room").0
    }

    fn crowd(rooms: &Rooms, people: usize) -> Vec<Presence> {
        (0..people).map(|_| join(rooms)).collect()
    }

    /// The numbers that are there to be read now.
    async fn told(presence: &mut Presence) -> Vec<usize> {
        let mut numbers = Vec::new();
        while let Ok(event) = timeout(Duration::ZERO, presence.changed()).await {
            numbers.push(event.count());
        }
        numbers
    }

    /// A thousand people who have all been told so, after which it was quiet.
    async fn quiet_crowd(rooms: &Rooms) -> (Presence, Vec<Presence>) {
        let mut first = join(rooms);
        let others = crowd(rooms, 999);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(told(&mut first).await.last(), Some(&1000));
        (first, others)
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_crowd_sees_every_step() {
        let rooms = Rooms::default();
        let mut first = join(&rooms);
        let mut second = join(&rooms);
        let third = join(&rooms);
        drop(third);
        assert_eq!(told(&mut first).await, [2, 3, 2]);
        assert_eq!(told(&mut second).await, [3, 2]);
        drop(second);
        assert_eq!(told(&mut first).await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_joiners_first_event_is_its_own_arrival_and_comes_once() {
        let rooms = Rooms::default();
        let _first = join(&rooms);
        let (mut second, arrival) =
            rooms.join(&Name::default(), Ending::default()).expect("a room");
        assert_eq!(arrival, Event::new(2));
        assert!(told(&mut second).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_lags_is_told_the_newest_number_alone() {
        let rooms = Rooms::default();
        let mut slow = join(&rooms);
        let people = crowd(&rooms, CAPACITY + 1);
        assert_eq!(told(&mut slow).await, [people.len() + 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_within_the_capacity_misses_nothing() {
        let rooms = Rooms::default();
        let mut slow = join(&rooms);
        let _people = crowd(&rooms, CAPACITY);
        assert_eq!(told(&mut slow).await, (2..=CAPACITY + 1).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_crowd_sees_the_newest_at_the_end_of_the_pause() {
        let rooms = Rooms::default();
        let (mut first, mut people) = quiet_crowd(&rooms).await;

        // The first change after a quiet moment is told at once …
        people.push(join(&rooms));
        assert_eq!(told(&mut first).await, [1001]);
        // … and those that follow within 10 µs for each of 1,001, with the last.
        let pause_began = Instant::now();
        people.push(join(&rooms));
        people.truncate(500);
        assert_eq!(first.changed().await.count(), 501);
        let waited = pause_began.elapsed();
        let pause = Duration::from_micros(10_010);
        assert!((pause..pause + Duration::from_millis(2)).contains(&waited), "{waited:?}");
        assert!(told(&mut first).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn coming_and_going_within_a_pause_is_no_news_but_to_who_saw_one_of_them() {
        let rooms = Rooms::default();
        let (mut old, mut people) = quiet_crowd(&rooms).await;
        drop(people.pop());
        assert_eq!(told(&mut old).await, [999]);

        let (mut new, arrival) = rooms.join(&Name::default(), Ending::default()).expect("a room");
        assert_eq!(arrival.count(), 1000);
        drop(people.pop());
        sleep(Duration::from_secs(1)).await;
        assert!(told(&mut old).await.is_empty(), "999 as before");
        assert_eq!(told(&mut new).await, [999]);
    }

    #[tokio::test(start_paused = true)]
    async fn now_says_the_count_and_skips_what_led_to_it() {
        let rooms = Rooms::default();
        let mut reader = join(&rooms);
        let _people = crowd(&rooms, 4);
        assert_eq!(reader.now().count(), 5);
        assert!(told(&mut reader).await.is_empty());
        assert_eq!(reader.now().count(), 5);
    }

    #[test]
    fn outside_of_a_runtime_every_change_is_told_at_once() {
        let rooms = Rooms::default();
        let mut people = crowd(&rooms, 1_000);
        let mut last = people.pop().expect("a thousand");
        people.truncate(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let told = runtime.expect("a runtime").block_on(told(&mut last));
        assert_eq!(told, [2]);
    }
}
