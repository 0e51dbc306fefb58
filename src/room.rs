//! One room: its count and its broadcast channel, which change together; and [`Subscription`],
//! which is what somebody hears of the room.
//!
//! Events are in the order of the changes because both happen in one critical section. With an
//! atomic count and a send after it, two changes could be told in the wrong order, and the last
//! event that people see would be wrong for as long as nobody comes or goes. `tests/model`
//! checks this over many schedules.

use std::fmt;
use std::future::pending;
use std::num::NonZeroU64;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::journal::Journal;
use crate::name::Name;
use crate::pace::{self, Pace, Tell};
use crate::seat::{Seat, Seats};
use crate::span::{Measure, Span, Stretch};
use crate::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};
use crate::sync::{Mutex, MutexGuard};
use crate::tally::Tally;

/// How many events a room keeps for a stream that is not being read. This bounds the cost of a
/// slow reader: one that falls further behind gets only the newest number. It is enough for a
/// burst of steps in a small crowd, where each step should be seen; tokio wants a power of two.
pub(crate) const CAPACITY: usize = 16;

/// Called once in a room's life, when it has been emptied.
pub(crate) type Vacated = Box<dyn Fn(&Arc<Room>) + Send + Sync>;

/// A room and the people in it.
pub(crate) struct Room {
    /// Unique: not even a later room of the same name has it.
    id: NonZeroU64,
    name: Name,
    /// A blocking lock: it is held for one change, never across an `.await`.
    state: Mutex<State>,
    vacated: Vacated,
    tally: Arc<Tally>,
    journal: Arc<Journal>,
}

struct State {
    /// Who is here: one seat for each person counted.
    seats: Seats,
    /// How many observers, and people about to enter, keep the room open even if nobody is
    /// counted in it.
    keepers: usize,
    /// How many people of this room are on other nodes. They count here, too.
    elsewhere: usize,
    /// The event with the current number.
    newest: Event,
    /// Set when the last seat or keeper has gone. An emptied room is about to leave the
    /// registry and takes nobody in any more.
    emptied: bool,
    channel: broadcast::Sender<Event>,
    pace: Pace,
    /// Set if it is measured how many people there were.
    measure: Option<Measure>,
}

impl Room {
    /// A room that nobody has entered yet, but that has this many people `elsewhere`.
    pub(crate) fn new(
        id: NonZeroU64,
        name: Name,
        elsewhere: usize,
        measure: Option<Measure>,
        vacated: Vacated,
        tally: Arc<Tally>,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let state = State {
            seats: Seats::default(),
            keepers: 0,
            elsewhere,
            newest: Event::new(elsewhere),
            emptied: false,
            channel: broadcast::Sender::new(CAPACITY),
            pace: Pace::default(),
            measure,
        };
        Arc::new(Self { id, name, state: Mutex::new(state), vacated, tally, journal })
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// How many people are in the room, here and elsewhere.
    pub(crate) fn count(&self) -> usize {
        self.lock().newest.count()
    }

    /// How many people there were since the last call, if that is measured.
    pub(crate) fn take_stretch(&self, now: Instant) -> Option<Stretch> {
        self.lock().measure.as_mut().map(|measure| measure.take(now))
    }

    /// Ends the measuring of a room that is emptied.
    pub(crate) fn end_measure(&self) -> Option<Span> {
        self.lock().measure.take().map(Measure::into_span)
    }

    /// Counts the person who has `seat`, and returns what they hear from their own arrival on.
    /// If they take the seat over from `left`, which is still counted here, nobody has come and
    /// nobody has gone: the count is the same before, after and in between, and no event is
    /// published. `None` if the room has been emptied.
    pub(crate) fn enter(
        self: &Arc<Self>,
        seat: &Arc<Seat>,
        left: Option<&Arc<Seat>>,
    ) -> Option<Entered> {
        let mut state = self.lock();
        if state.emptied {
            return None;
        }
        let returns = left.is_some_and(|left| state.replace(left));
        state.add(seat);
        let tell = (!returns).then(|| self.change(&mut state));
        // Subscribes after the newcomer's own arrival and before any other change can happen:
        // they hear of everything else, and of nothing twice.
        let subscription = self.subscribe(&state);
        drop(state);

        if let Some(tell) = tell {
            self.follow_up(tell);
        }
        Some(Entered { subscription, returns })
    }

    /// Lets somebody listen who is not counted. `None` if the room has been emptied.
    pub(crate) fn observe(self: &Arc<Self>) -> Option<(Keeper, Subscription)> {
        let mut state = self.lock();
        if state.emptied {
            return None;
        }
        state.keepers += 1;
        Some((Keeper(self.clone()), self.subscribe(&state)))
    }

    /// Subscribes to what follows. The newest event counts as told.
    fn subscribe(self: &Arc<Self>, state: &State) -> Subscription {
        let (events, told) = (state.channel.subscribe(), state.newest.clone());
        Subscription { room: self.clone(), events, told }
    }

    /// Counts those who come from other nodes, uncounts those who have gone there, and notes
    /// how many people are elsewhere now: in one step, so that nobody is seen twice, or not at
    /// all. Returns what those who came hear.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        elsewhere: Option<usize>,
        coming: &[&Arc<Seat>],
        going: &[&Arc<Seat>],
    ) -> Vec<Entered> {
        let mut state = self.lock();
        if state.emptied {
            return Vec::new();
        }
        coming.iter().for_each(|seat| state.add(seat));
        for seat in going {
            state.remove(seat);
        }
        state.elsewhere = elsewhere.unwrap_or(state.elsewhere);
        let tell = (state.count() != state.newest.count()).then(|| self.change(&mut state));
        let entered = |_| Entered { subscription: self.subscribe(&state), returns: true };
        let entered = coming.iter().map(entered).collect();
        self.finish(state, tell);
        entered
    }

    /// Uncounts the person who had `seat`, unless another seat has taken over from it, and
    /// returns how many people are in the room.
    pub(crate) fn leave(self: &Arc<Self>, seat: &Arc<Seat>) -> usize {
        let mut state = self.lock();
        // This frees the place among the limits before anybody hears of the leave: there are
        // never more seats than places, and a client that hears of a leave finds a place.
        if !state.remove(seat) {
            return state.newest.count();
        }
        let tell = self.change(&mut state);
        let count = state.newest.count();
        self.finish(state, Some(tell));
        count
    }

    /// Empties the room if nobody is left; otherwise makes sure that the others are told.
    fn finish(self: &Arc<Self>, state: MutexGuard<'_, State>, tell: Option<Tell>) {
        let emptied = self.vacate(state);
        match tell {
            Some(Tell::At(_)) if emptied => self.tally.merged.count(),
            Some(tell) if !emptied => self.follow_up(tell),
            _ => {}
        }
    }

    /// Empties the room if the last one has just left.
    fn vacate(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> bool {
        let emptied = state.seats.len() == 0 && state.keepers == 0;
        state.emptied = emptied;
        drop(state);
        if emptied {
            (self.vacated)(self);
        }
        emptied
    }

    /// Publishes that the count has changed, or finds out when to.
    fn change(&self, state: &mut State) -> Tell {
        self.tally.changes.count();
        state.newest = state.newest.next(state.count());
        if let Some(measure) = &mut state.measure {
            measure.change(state.newest.count());
        }
        let tell = state.pace.change();
        if tell == Tell::Planned {
            self.tally.merged.count();
        }
        if tell == Tell::Now {
            self.publish(state);
        }
        tell
    }

    fn publish(&self, state: &mut State) {
        self.tally.published.count();
        let _nobody_listens = state.channel.send(state.newest.clone());
        state.pace.told(state.seats.len() + state.keepers);
    }

    /// Plans when to publish the merged changes, if this change is the first of them. Not
    /// called under the lock, because a plan that can't wait is carried out at once.
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

/// What somebody who has entered a room hears of it.
pub(crate) struct Entered {
    pub(crate) subscription: Subscription,
    /// Whether they took over a seat that was counted already.
    pub(crate) returns: bool,
}

impl Entered {
    /// Logs that they have come, or come back.
    pub(crate) fn log(self) -> Subscription {
        let Subscription { room, told, .. } = &self.subscription;
        if self.returns {
            room.journal.returned(&room.name, told.count());
        } else {
            room.journal.connected(&room.name, told.count());
        }
        self.subscription
    }
}

impl State {
    fn count(&self) -> usize {
        self.seats.len() + self.elsewhere
    }

    fn add(&mut self, seat: &Arc<Seat>) {
        self.seats.add(seat.clone());
        seat.enter_room();
    }

    /// Removes a seat that another one follows. If an older seat of the same client has yet to
    /// leave this room, that one is removed instead: it has the same token.
    fn replace(&mut self, left: &Arc<Seat>) -> bool {
        let here = self.seats.get(left.token()).cloned();
        here.is_some_and(|here| self.remove(&here))
    }

    /// Removes this very seat, if it is here.
    fn remove(&mut self, seat: &Arc<Seat>) -> bool {
        let was_here = self.seats.remove(seat);
        if was_here {
            seat.leave_room();
        }
        was_here
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The plan to tell a room what happened during its pause. It is carried out on drop, so that
/// it is carried out however it ends.
struct Due(Arc<Room>);

impl Drop for Due {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.pace.is_planned() {
            self.0.publish(&mut state);
        }
    }
}

/// Keeps a room open while it lives, even if nobody is in the room. It counts nobody.
#[derive(Debug)]
pub(crate) struct Keeper(Arc<Room>);

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.keepers -= 1;
        self.0.vacate(state);
    }
}

/// What is heard of a room, event by event, by one stream or by a fan-out to many. It counts
/// nobody.
#[derive(Debug)]
pub struct Subscription {
    room: Arc<Room>,
    events: broadcast::Receiver<Event>,
    told: Event,
}

impl Subscription {
    /// The event that was told last: at first, the one that the subscription began with.
    #[must_use]
    pub fn told(&self) -> &Event {
        &self.told
    }

    /// Waits for the next number that differs from the one told last.
    ///
    /// A subscriber that has fallen too far behind to be told each step is told the newest
    /// number.
    /// Dropping the future before it is ready loses nothing.
    pub async fn changed(&mut self) -> Event {
        loop {
            let before = self.told.change();
            let event = self.next().await;
            if event.change().is_news_after(before) {
                return event;
            }
        }
    }

    /// The current count, whether or not it has changed. It counts as told.
    ///
    /// Goes to the newest event and subscribes to what follows it in one critical section, so
    /// that no older event can come after it.
    pub fn now(&mut self) -> Event {
        let state = self.room.lock();
        self.events = state.channel.subscribe();
        self.told = state.newest.clone();
        self.told.clone()
    }

    /// Waits for the next event that the room publishes, even if it is no news: a fan-out
    /// leaves that to its streams to decide.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Ok(event) => self.tell(event),
            Err(RecvError::Lagged(_)) => self.skip(),
            // Can't happen: the room that is held here owns the sender.
            Err(RecvError::Closed) => pending().await,
        }
    }

    /// The next event, if it was published already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => Some(self.tell(event)),
            Err(TryRecvError::Lagged(_)) => Some(self.skip()),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn tell(&mut self, event: Event) -> Event {
        self.told = event.clone();
        event
    }

    /// Goes on with the newest event, because the next one in the channel would be the oldest
    /// one kept.
    fn skip(&mut self) -> Event {
        self.room.tally.lagged.count();
        self.now()
    }

    /// Notes how long it took one core to tell its streams the last event.
    pub(crate) fn took(&self, time: Duration) {
        self.room.lock().pace.took(time);
    }

    /// The room that is heard.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The id of the room that is heard.
    pub(crate) fn room_id(&self) -> NonZeroU64 {
        self.room.id
    }

    /// Where to count what is told.
    pub(crate) fn tally(&self) -> &Tally {
        &self.room.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::presence::Presence;
    use crate::rooms::Rooms;
    use tokio::time::{Instant, sleep, timeout};

    type Visitor = (Presence, Subscription);

    fn join(rooms: &Rooms) -> Visitor {
        rooms.join(&Name::default(), Ending::default()).expect("a room")
    }

    fn crowd(rooms: &Rooms, people: usize) -> Vec<Visitor> {
        (0..people).map(|_| join(rooms)).collect()
    }

    /// The numbers that can be read now.
    async fn told((_, subscription): &mut Visitor) -> Vec<usize> {
        let mut numbers = Vec::new();
        while let Ok(event) = timeout(Duration::ZERO, subscription.changed()).await {
            numbers.push(event.count());
        }
        numbers
    }

    /// A thousand people who have all been told that number, followed by quiet.
    async fn quiet_crowd(rooms: &Rooms) -> (Visitor, Vec<Visitor>) {
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
        let mut second = join(&rooms);
        assert_eq!(second.1.told().count(), 2);
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
        assert_eq!(first.1.changed().await.count(), 501);
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

        let mut new = join(&rooms);
        assert_eq!(new.1.told().count(), 1000);
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
        assert_eq!(reader.1.now().count(), 5);
        assert!(told(&mut reader).await.is_empty());
        assert_eq!(reader.1.now().count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_published_is_there_to_be_taken_without_waiting() {
        let rooms = Rooms::default();
        let (_first, mut subscription) = join(&rooms);
        assert!(subscription.try_next().is_none());
        let mut people = crowd(&rooms, 2);
        let next = |subscription: &mut Subscription| subscription.try_next().map(|e| e.count());
        assert_eq!(next(&mut subscription), Some(2));
        assert_eq!(next(&mut subscription), Some(3));
        assert_eq!(next(&mut subscription), None);
        people.extend(crowd(&rooms, CAPACITY + 1));
        assert_eq!(next(&mut subscription), Some(people.len() + 1), "the newest after a lag");
        assert_eq!(next(&mut subscription), None);
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
