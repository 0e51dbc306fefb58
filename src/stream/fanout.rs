//! The fan-out: one task for each room on each core. It fills the mailboxes of all of the
//! room's streams there, and takes care of what is due to them besides events.
//!
//! A room publishes an event to its channel once; this task takes it from there and hands
//! it to one stream after the other. An event that can be written at once doesn't wake the
//! stream's own task, which would make a delivery cost more (`bench/README.md`).

use std::collections::HashMap;
use std::iter;
use std::mem::take;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::panicking;
use std::time::Duration;

use rand::random_range;
use tokio::sync::{Notify, watch};
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::frame::Frame;
use super::line::{Line, Told};
use super::member::{Member, News};
use super::stopwatch::Stopwatch;
use super::{BATCH, Terms};
use crate::doubt::is_partial;
use crate::ending::Reason;
use crate::event::{self, Event};
use crate::pace;
use crate::room::Subscription;

/// How many streams may be ended all at once when the server stops …
const HANDFUL: usize = 100;
/// … and how much each stream adds to the time over which the ends of more are spread.
const SPREAD_PER_STREAM: Duration = Duration::from_millis(1);

/// The fan-outs of one core.
pub(super) struct Fanouts {
    /// By the room's id.
    by_room: Mutex<HashMap<NonZeroU64, Fanout>>,
    terms: Arc<Terms>,
    /// How many reasons there are to consider the numbers partial.
    doubts: watch::Receiver<usize>,
}

struct Fanout {
    members: Arc<Members>,
    _teller: AbortOnDropHandle<()>,
}

/// The streams of one room on one core.
struct Members {
    all: Mutex<All>,
    /// Notified when a stream joins to which something is due before the next look.
    sooner: Notify,
}

struct All {
    members: Vec<Member>,
    look: Instant,
}

/// The task of a fan-out. If it fails, its streams end.
struct Teller {
    members: Arc<Members>,
    fanouts: Weak<Fanouts>,
    room: NonZeroU64,
}

/// A stream's places in the fan-outs of its rooms.
pub(super) struct Membership(Arc<Fanouts>);

impl Fanouts {
    pub(super) fn new(terms: Arc<Terms>, doubts: watch::Receiver<usize>) -> Arc<Self> {
        Arc::new(Self { by_room: Mutex::default(), terms, doubts })
    }

    /// From now on, tells a stream what it would hear by its own subscriptions, which end here,
    /// and ends it when it reaches this age. `partial` is what it was told of the numbers being
    /// partial, if it wants to know.
    pub(super) fn join(
        self: &Arc<Self>,
        line: &Arc<Line>,
        heard: Vec<Subscription>,
        age: Option<Duration>,
        partial: Option<bool>,
    ) -> Membership {
        let now = Instant::now();
        let ends = if self.terms.drain.is_cancelled() {
            Some((now, Reason::Shutdown))
        } else {
            age.map(|age| (now + age, Reason::AgedOut))
        };
        for (nth, subscription) in (0..).zip(heard) {
            let told = subscription.told().change();
            self.add(Member::new(line.clone(), nth, told, now, ends, partial), subscription);
        }
        Membership(self.clone())
    }

    fn add(self: &Arc<Self>, member: Member, subscription: Subscription) {
        let ((line, nth), room) = (member.id(), subscription.room().clone());
        let wants_partial = member.wants_partial();
        let (members, own) = self.enter(member, subscription);
        let mut told = Told::default();
        if let Some(mut own) = own {
            // The fan-out may have told some of what waits here already. What it has yet to
            // tell is no longer news after this.
            while let Some(event) = own.try_next() {
                told += members.tell(&line, nth, &News::new(&event, &own), &self.terms);
            }
        }
        if wants_partial {
            told += members.tell_partial_to(&line, is_partial(&self.doubts), &self.terms);
        }
        told.count(room.tally());
    }

    /// Adds a stream to the fan-out of a room, and returns the stream's own subscription; or
    /// starts a fan-out with that.
    fn enter(
        self: &Arc<Self>,
        member: Member,
        own: Subscription,
    ) -> (Arc<Members>, Option<Subscription>) {
        let room = own.room_id();
        let mut by_room = self.by_room();
        if let Some(fanout) = by_room.get(&room) {
            fanout.members.add(member);
            return (fanout.members.clone(), Some(own));
        }
        let look = Instant::now() + self.terms.heartbeat().shortest();
        let all = Mutex::new(All { members: Vec::new(), look });
        let members = Arc::new(Members { all, sooner: Notify::new() });
        members.add(member);
        let teller = Teller { members: members.clone(), fanouts: Arc::downgrade(self), room };
        let mut doubts = self.doubts.clone();
        doubts.mark_unchanged();
        let teller = teller.tell(own, self.terms.clone(), doubts);
        // Unconstrained, because a batch is already as much as one turn may do.
        let teller = AbortOnDropHandle::new(tokio::spawn(unconstrained(teller)));
        by_room.insert(room, Fanout { members: members.clone(), _teller: teller });
        (members, None)
    }

    fn by_room(&self) -> MutexGuard<'_, HashMap<NonZeroU64, Fanout>> {
        self.by_room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Gives up the places. The last stream to leave ends the fan-out.
    pub(super) fn leave(&self, line: &Arc<Line>) {
        let mut by_room = self.0.by_room();
        for (nth, room) in (0..).zip(line.rooms()) {
            if by_room.get(&room).is_some_and(|fanout| fanout.members.remove(line, nth)) {
                by_room.remove(&room);
            }
        }
    }
}

impl Members {
    fn add(&self, member: Member) {
        let mut all = self.lock();
        let is_sooner = member.ends().is_some_and(|instant| instant < all.look);
        let place = all.members.len();
        member.set_place(place);
        if place == all.members.capacity() && place >= BATCH {
            // By less than a `Vec` would grow by itself: in a crowd each place counts.
            all.members.reserve_exact(place / 8);
        }
        all.members.push(member);
        drop(all);
        if is_sooner {
            self.sooner.notify_one();
        }
    }

    /// Takes a stream out, and returns whether none is left.
    fn remove(&self, line: &Arc<Line>, nth: u8) -> bool {
        let members = &mut self.lock().members;
        let place = line.place(nth);
        if members.get(place).is_some_and(|member| member.is(line)) {
            members.swap_remove(place);
            if let Some(moved) = members.get(place) {
                moved.set_place(place);
            }
        }
        members.is_empty()
    }

    /// Tells one stream, if it is still here.
    fn tell(&self, line: &Arc<Line>, nth: u8, news: &News<'_>, terms: &Terms) -> Told {
        let members = &mut self.lock().members;
        let member = members.get_mut(line.place(nth)).filter(|member| member.is(line));
        member.map(|member| member.tell(news, Instant::now(), terms)).unwrap_or_default()
    }

    /// Tells one stream whether the numbers are partial, if it was told otherwise before it
    /// joined.
    fn tell_partial_to(&self, line: &Arc<Line>, is_partial: bool, terms: &Terms) -> Told {
        let members = &mut self.lock().members;
        let member = members.get_mut(line.place(0)).filter(|member| member.is(line));
        let frame = Frame::new(&event::partial(is_partial));
        let tell =
            |member: &mut Member| member.tell_partial(is_partial, &frame, Instant::now(), terms);
        member.map(tell).unwrap_or_default()
    }

    /// Does something, a batch at a time, with every stream that is here from start to end.
    async fn for_each(&self, mut act: impl FnMut(&mut Member)) {
        self.for_each_batch(|batch| batch.iter_mut().for_each(&mut act)).await;
    }

    async fn for_each_batch(&self, mut act: impl FnMut(&mut [Member])) {
        // From the last to the first: when a stream leaves meanwhile, the last one takes its
        // place, so nobody is missed.
        let mut left = usize::MAX;
        loop {
            {
                let members = &mut self.lock().members;
                let end = left.min(members.len());
                left = end.saturating_sub(BATCH);
                act(&mut members[left..end]);
                if left == 0 {
                    return;
                }
            }
            yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    /// Tells every stream what the room publishes, and looks after those that heard nothing.
    async fn tell(
        self,
        mut subscription: Subscription,
        terms: Arc<Terms>,
        mut doubts: watch::Receiver<usize>,
    ) {
        let members = &*self.members;
        let mut drained = pin!(terms.drain.cancelled());
        let mut is_drained = false;
        let mut look = pin!(sleep_until(members.lock().look));
        loop {
            tokio::select! {
                // However many events there are, each of these has its turn before them.
                biased;
                () = &mut drained, if !is_drained => {
                    is_drained = true;
                    members.drain(spread(subscription.tally().streams.get(), terms.drain_spread)).await;
                    look.as_mut().reset(members.look(&subscription, &terms).await);
                }
                () = members.sooner.notified() => {
                    look.as_mut().reset(members.look(&subscription, &terms).await);
                }
                () = &mut look => {
                    look.as_mut().reset(members.look(&subscription, &terms).await);
                }
                Ok(()) = doubts.changed() => {
                    members.tell_partial(is_partial(&doubts), &subscription, &terms).await;
                }
                event = subscription.next() => {
                    let event = members.newest(event, &mut subscription);
                    let next = members.publish(&event, &subscription, &terms).await;
                    if let Some(next) = next.filter(|next| *next < look.deadline()) {
                        look.as_mut().reset(next);
                    }
                }
            }
        }
    }
}

impl Drop for Teller {
    /// After a panic, ends the streams that nobody tells anything any more: their clients come
    /// back.
    fn drop(&mut self) {
        if !panicking() {
            return;
        }
        if let Some(fanouts) = self.fanouts.upgrade() {
            let mut by_room = fanouts.by_room();
            if by_room.get(&self.room).is_some_and(|f| Arc::ptr_eq(&f.members, &self.members)) {
                by_room.remove(&self.room);
            }
        }
        for member in take(&mut self.members.lock().members) {
            member.lose(Reason::Error);
        }
    }
}

impl Members {
    /// The event to tell after `event` was taken: a large crowd is told the newest. On a core
    /// where a fan-out takes longer than the pause, others have been published since.
    fn newest(&self, event: Event, subscription: &mut Subscription) -> Event {
        if pace::is_small(self.lock().members.len()) {
            return event;
        }
        iter::from_fn(|| subscription.try_next()).last().unwrap_or(event)
    }

    /// Tells an event to every stream to which it is news, and tells the room how long that
    /// took. Returns when the first of the watches that this started is due.
    async fn publish(
        &self,
        event: &Event,
        subscription: &Subscription,
        terms: &Terms,
    ) -> Option<Instant> {
        let (now, news) = (Instant::now(), News::new(event, subscription));
        let (mut told, mut next, mut took) = (Told::default(), None, Stopwatch::default());
        self.for_each_batch(|batch| {
            took.start();
            let mut here = Told::default();
            for member in batch {
                let is_watched = member.watch().is_some();
                here += member.tell(&news, now, terms);
                if !is_watched {
                    next = next.into_iter().chain(member.watch()).min();
                }
            }
            // What other tasks have to write takes until they have had their turns.
            if !here.is_left() {
                took.stop();
            }
            told += here;
        })
        .await;
        told.count(subscription.tally());
        if told.is_left() && self.lock().members.len() > BATCH {
            // Not in a small crowd, which would miss steps on a busy core.
            yield_now().await;
        }
        took.stop();
        subscription.took(took.total());
        next.map(|next| next.max(now + terms.heartbeat().look()))
    }

    /// Tells those streams that want to know whether the numbers are partial.
    async fn tell_partial(&self, is_partial: bool, subscription: &Subscription, terms: &Terms) {
        let (now, frame) = (Instant::now(), Frame::new(&event::partial(is_partial)));
        let mut told = Told::default();
        self.for_each(|member| told += member.tell_partial(is_partial, &frame, now, terms)).await;
        told.count(subscription.tally());
    }

    /// Tells the number again to streams that have heard nothing for too long, and ends those
    /// whose time has come or whose clients are gone. Returns when to look again.
    async fn look(&self, subscription: &Subscription, terms: &Terms) -> Instant {
        let (now, heartbeat) = (Instant::now(), terms.heartbeat());
        let news = News::new(subscription.told(), subscription);
        // No later than is right for streams that join meanwhile.
        let (mut told, mut next) = (Told::default(), now + heartbeat.shortest());
        self.for_each(|member| {
            told += member.look(&news, now, terms);
            next = next.min(member.next(terms).unwrap_or(next));
        })
        .await;
        told.count(subscription.tally());
        let next = next.max(now + heartbeat.look());
        self.lock().look = next;
        next
    }

    /// Ends all streams, spread over this time.
    async fn drain(&self, spread: Duration) {
        let now = Instant::now();
        self.for_each(|member| {
            let ends = now + spread.mul_f64(random_range(0.0..=1.0));
            member.end_at(ends, Reason::Shutdown);
        })
        .await;
    }
}

/// The time over which a stop spreads the ends of this many streams, so that their clients
/// don't all come back at once.
fn spread(streams: usize, most: Duration) -> Duration {
    if streams <= HANDFUL {
        return Duration::ZERO;
    }
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    SPREAD_PER_STREAM.saturating_mul(streams).min(most)
}

#[cfg(test)]
mod tests;
