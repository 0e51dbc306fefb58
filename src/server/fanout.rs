//! The fan-out: one task for a room, on each core, which tells all of the room's
//! streams there.
//!
//! A room publishes an event to its channel once; this task takes it from there
//! and writes it to one connection after the other. No stream's own task is woken
//! for an event, which would make a delivery dearer (`bench/README.md`).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::subscriber::{Subscriber, Told};
use crate::room::Subscription;

/// So many are told before other tasks of the core have a turn.
const BATCH: usize = 64;

/// The fan-outs of one core.
#[derive(Default)]
pub(super) struct Fanouts {
    /// By the room's address, which is the room's as long as it is subscribed to.
    by_room: Mutex<HashMap<usize, Fanout>>,
    cut: CancellationToken,
}

struct Fanout {
    members: Arc<Members>,
    _teller: AbortOnDropHandle<()>,
}

/// What calls for a fan-out besides events.
struct Calls {
    keep_alive: Duration,
    drain: CancellationToken,
    cut: CancellationToken,
}

/// The streams of one room on one core.
#[derive(Default)]
struct Members(Mutex<Slab<Arc<dyn Subscriber>>>);

/// A stream's place in a fan-out. Dropping it gives the place up, and the last one
/// to go ends the fan-out.
pub(super) struct Membership {
    fanouts: Arc<Fanouts>,
    room: usize,
    place: usize,
}

impl Fanouts {
    /// The fan-outs whose streams end at once when `cut` is cancelled.
    pub(super) fn new(cut: CancellationToken) -> Arc<Self> {
        Arc::new(Self { by_room: Mutex::default(), cut })
    }

    /// Has a stream told what it would hear by the subscription of its own, which
    /// ends here; told the number again after each `keep_alive` of silence; and
    /// woken when `drain` is cancelled.
    pub(super) fn join(
        self: &Arc<Self>,
        subscriber: &Arc<impl Subscriber + 'static>,
        mut subscription: Subscription,
        keep_alive: Duration,
        drain: &CancellationToken,
    ) -> Membership {
        let room = Arc::as_ptr(subscription.room()).addr();
        let mut by_room = self.by_room();
        let Some(fanout) = by_room.get(&room) else {
            let members = Arc::new(Members::default());
            let place = members.lock().insert(subscriber.clone());
            let calls = Calls { keep_alive, drain: drain.clone(), cut: self.cut.clone() };
            // Unconstrained: a batch is as much as one turn may do.
            let teller = tokio::spawn(unconstrained(members.clone().tell(subscription, calls)));
            by_room.insert(room, Fanout { members, _teller: AbortOnDropHandle::new(teller) });
            return Membership { fanouts: self.clone(), room, place };
        };
        let place = fanout.members.lock().insert(subscriber.clone());
        drop(by_room);
        // The fan-out may have told already what waits here; what it has yet to
        // tell and was told here is no news then.
        let mut told = Told::default();
        while let Some(event) = subscription.try_next() {
            told += subscriber.tell(&event);
        }
        told.count(subscription.tally());
        Membership { fanouts: self.clone(), room, place }
    }

    fn by_room(&self) -> MutexGuard<'_, HashMap<usize, Fanout>> {
        self.by_room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Whether the stream is to end at once.
    pub(super) fn is_cut(&self) -> bool {
        self.fanouts.cut.is_cancelled()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut by_room = self.fanouts.by_room();
        let Some(fanout) = by_room.get(&self.room) else { return };
        let mut members = fanout.members.lock();
        let _left = members.try_remove(self.place);
        let empty = members.is_empty();
        drop(members);
        if empty {
            by_room.remove(&self.room);
        }
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Slab<Arc<dyn Subscriber>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with everyone who is here all the while, a batch at a time.
    async fn for_each(&self, mut act: impl FnMut(&dyn Subscriber)) {
        let mut next = 0;
        loop {
            {
                let members = self.lock();
                let batch = next..members.capacity().min(next + BATCH);
                next = batch.end;
                batch.filter_map(|place| members.get(place)).for_each(|one| act(&**one));
                if next == members.capacity() {
                    return;
                }
            }
            yield_now().await;
        }
    }

    /// Tells everyone what the room publishes, and after a silence the number
    /// again.
    async fn tell(self: Arc<Self>, mut subscription: Subscription, calls: Calls) {
        let mut drained = pin!(calls.drain.cancelled());
        let mut cut = pin!(calls.cut.cancelled());
        let (mut is_drained, mut is_cut) = (false, false);
        loop {
            tokio::select! {
                biased;
                () = &mut cut, if !is_cut => {
                    is_cut = true;
                    self.for_each(|one| one.wake()).await;
                }
                () = &mut drained, if !is_drained => {
                    is_drained = true;
                    self.for_each(|one| one.wake()).await;
                }
                event = timeout(calls.keep_alive, subscription.next()) => {
                    let mut told = Told::default();
                    match event {
                        Ok(event) => self.for_each(|one| told += one.tell(&event)).await,
                        Err(_silence) => {
                            let event = subscription.now();
                            self.for_each(|one| told += one.tell_again(&event)).await;
                        }
                    }
                    told.count(subscription.tally());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::event::{Change, Event};
    use crate::name::Name;
    use crate::room::Presence;
    use crate::rooms::Rooms;
    use tokio::task::yield_now;
    use tokio::time::{Instant, advance};

    const KEEP_ALIVE: Duration = Duration::from_secs(15);

    /// Remembers what it is told.
    #[derive(Default)]
    struct Ear(Mutex<Heard>);

    #[derive(Default)]
    struct Heard {
        told: Change,
        numbers: Vec<usize>,
        woken: bool,
    }

    impl Subscriber for Ear {
        fn tell(&self, event: &Event) -> Told {
            let mut heard = self.0.lock().expect("no panic");
            if event.change().is_news_after(heard.told) {
                heard.told = event.change();
                heard.numbers.push(event.count());
            }
            Told::default()
        }

        fn tell_again(&self, event: &Event) -> Told {
            self.0.lock().expect("no panic").numbers.push(event.count());
            Told::default()
        }

        fn wake(&self) {
            self.0.lock().expect("no panic").woken = true;
        }
    }

    /// A stream, as its fan-out and its room have it.
    struct Visitor {
        ear: Arc<Ear>,
        _membership: Membership,
        _presence: Presence,
    }

    impl Visitor {
        fn numbers(&self) -> Vec<usize> {
            self.ear.0.lock().expect("no panic").numbers.clone()
        }
    }

    struct Core {
        rooms: Rooms,
        fanouts: Arc<Fanouts>,
        drain: CancellationToken,
        cut: CancellationToken,
    }

    impl Core {
        fn new() -> Self {
            let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
            Self { rooms: Rooms::default(), fanouts: Fanouts::new(cut.clone()), drain, cut }
        }

        fn subscribe(&self) -> (Presence, Subscription) {
            self.rooms.join(&Name::default(), Ending::default()).expect("a room")
        }

        fn carry(&self, (presence, subscription): (Presence, Subscription)) -> Visitor {
            let told = subscription.told().change();
            let ear = Arc::new(Ear(Mutex::new(Heard { told, ..Heard::default() })));
            let membership = self.fanouts.join(&ear, subscription, KEEP_ALIVE, &self.drain);
            Visitor { ear, _membership: membership, _presence: presence }
        }

        fn join(&self) -> Visitor {
            self.carry(self.subscribe())
        }
    }

    /// Lets the tellers have their turns.
    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_hears_of_every_change_but_of_their_own_arrival() {
        let core = Core::new();
        let first = core.join();
        let second = core.join();
        settle().await;
        let third = core.join();
        settle().await;
        drop(second);
        settle().await;
        assert_eq!(first.numbers(), [2, 3, 2]);
        assert_eq!(third.numbers(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_before_a_stream_was_handed_over_is_told_once() {
        let core = Core::new();
        let first = core.join();
        settle().await;
        let second = core.subscribe();
        let third = core.join();
        // The fan-out has told of the third, or has yet to.
        for turns_before in [true, false] {
            let late = core.subscribe();
            let later = core.join();
            if turns_before {
                settle().await;
            }
            let late = core.carry(late);
            settle().await;
            let people = core.rooms.count(&Name::default());
            assert_eq!(late.numbers(), [people], "{turns_before}");
            drop((late, later));
            settle().await;
        }
        let second = core.carry(second);
        assert_eq!(second.numbers().first(), Some(&3));
        assert_eq!(second.numbers()[1..], third.numbers());
        assert_eq!(first.numbers()[1..], second.numbers());
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_batch_are_told() {
        let core = Core::new();
        let people: Vec<_> = (0..3 * BATCH).map(|_| core.join()).collect();
        settle().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _newcomer = core.join();
        settle().await;
        for visitor in &people {
            assert_eq!(visitor.numbers().last(), Some(&(3 * BATCH + 1)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_silence_the_number_is_said_again() {
        let core = Core::new();
        let visitor = core.join();
        settle().await;
        let start = Instant::now();
        while visitor.numbers().is_empty() {
            advance(Duration::from_millis(10)).await;
            settle().await;
        }
        assert_eq!(visitor.numbers(), [1]);
        assert!((KEEP_ALIVE..KEEP_ALIVE + Duration::from_secs(1)).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_to_go_ends_the_fan_out_and_another_begins_anew() {
        let core = Core::new();
        let (first, second) = (core.join(), core.join());
        drop(first);
        assert_eq!(core.fanouts.by_room().len(), 1);
        drop(second);
        assert!(core.fanouts.by_room().is_empty());
        let (third, _fourth) = (core.join(), core.join());
        settle().await;
        assert_eq!(third.numbers(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_and_a_cut_wake_everyone_once_each() {
        let core = Core::new();
        let visitor = core.join();
        let woken = || std::mem::take(&mut visitor.ear.0.lock().expect("no panic").woken);
        settle().await;
        assert!(!woken());
        core.drain.cancel();
        settle().await;
        assert!(woken());
        core.cut.cancel();
        settle().await;
        assert!(woken());
        settle().await;
        assert!(!woken());
    }
}
