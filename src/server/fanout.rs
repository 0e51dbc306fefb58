//! The fan-out: one task for a room, on each core, which tells all of the room's
//! streams there.
//!
//! A room publishes an event to its channel once; this task takes it from there
//! and writes it to one connection after the other. No stream's own task is woken
//! for an event, which would make a delivery dearer (`bench/README.md`).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::subscriber::{Subscriber, Told};
use super::watch::{Patience, Watch};
use crate::event::Event;
use crate::heartbeat::Heartbeat;
use crate::room::Subscription;

/// So many are told before other tasks of the core have a turn.
const BATCH: usize = 64;

/// The fan-outs of one core.
pub(super) struct Fanouts {
    /// By the room's address, which is the room's as long as it is subscribed to.
    by_room: Mutex<HashMap<usize, Fanout>>,
    patience: Patience,
    cut: CancellationToken,
}

struct Fanout {
    members: Arc<Members>,
    _teller: AbortOnDropHandle<()>,
}

/// What calls for a fan-out besides events.
struct Calls {
    heartbeat: Heartbeat,
    patience: Patience,
    drain: CancellationToken,
    cut: CancellationToken,
}

/// The streams of one room on one core.
#[derive(Default)]
struct Members(Mutex<Slab<Member>>);

/// One stream, and what is due to it besides events.
struct Member {
    stream: Arc<dyn Subscriber>,
    /// When something was sent to it last.
    told: Instant,
    watch: Watch,
}

/// A stream's place in a fan-out. Dropping it gives the place up, and the last one
/// to go ends the fan-out.
pub(super) struct Membership {
    fanouts: Arc<Fanouts>,
    room: usize,
    place: usize,
}

impl Fanouts {
    /// The fan-outs whose streams end at once when `cut` is cancelled, and one by one
    /// when their clients try the patience.
    pub(super) fn new(patience: Patience, cut: CancellationToken) -> Arc<Self> {
        Arc::new(Self { by_room: Mutex::default(), patience, cut })
    }

    /// Has a stream told what it would hear by the subscription of its own, which
    /// ends here; told the number again when it has heard nothing for too long; and
    /// woken when `drain` is cancelled.
    pub(super) fn join(
        self: &Arc<Self>,
        subscriber: &Arc<impl Subscriber + 'static>,
        mut subscription: Subscription,
        heartbeat: Heartbeat,
        drain: &CancellationToken,
    ) -> Membership {
        let room = Arc::as_ptr(subscription.room()).addr();
        let mut by_room = self.by_room();
        let Some(fanout) = by_room.get(&room) else {
            let members = Arc::new(Members::default());
            let place = members.lock().insert(Member::new(subscriber.clone()));
            let (drain, cut) = (drain.clone(), self.cut.clone());
            let calls = Calls { heartbeat, patience: self.patience, drain, cut };
            // Unconstrained: a batch is as much as one turn may do.
            let teller = tokio::spawn(unconstrained(members.clone().tell(subscription, calls)));
            by_room.insert(room, Fanout { members, _teller: AbortOnDropHandle::new(teller) });
            return Membership { fanouts: self.clone(), room, place };
        };
        let place = fanout.members.lock().insert(Member::new(subscriber.clone()));
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
    fn lock(&self) -> MutexGuard<'_, Slab<Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with everyone who is here all the while, a batch at a time.
    async fn for_each(&self, mut act: impl FnMut(usize, &mut Member)) {
        let mut next = 0;
        loop {
            {
                let mut members = self.lock();
                let batch = next..members.capacity().min(next + BATCH);
                next = batch.end;
                for place in batch {
                    if let Some(member) = members.get_mut(place) {
                        act(place, member);
                    }
                }
                if next == members.capacity() {
                    return;
                }
            }
            yield_now().await;
        }
    }

    /// Tells everyone what the room publishes, and looks after those who heard nothing.
    async fn tell(self: Arc<Self>, mut subscription: Subscription, calls: Calls) {
        let mut drained = pin!(calls.drain.cancelled());
        let mut cut = pin!(calls.cut.cancelled());
        let (mut is_drained, mut is_cut) = (false, false);
        let mut look = pin!(sleep_until(Instant::now() + calls.heartbeat.shortest()));
        loop {
            tokio::select! {
                // However much happens, each of these has its turn before it.
                biased;
                () = &mut cut, if !is_cut => {
                    is_cut = true;
                    self.for_each(|_, member| member.stream.wake()).await;
                }
                () = &mut drained, if !is_drained => {
                    is_drained = true;
                    self.for_each(|_, member| member.stream.wake()).await;
                }
                () = &mut look => {
                    let next = self.look(&subscription, &calls).await;
                    look.as_mut().reset(next);
                }
                event = subscription.next() => {
                    let next = self.publish(&event, &subscription, &calls).await;
                    if let Some(next) = next.filter(|next| *next < look.deadline()) {
                        look.as_mut().reset(next);
                    }
                }
            }
        }
    }

    /// Tells everyone to whom it is news. Answers with when there is something to look
    /// for that was not before.
    async fn publish(
        &self,
        event: &Event,
        subscription: &Subscription,
        calls: &Calls,
    ) -> Option<Instant> {
        let now = Instant::now();
        let (mut told, mut next) = (Told::default(), None);
        self.for_each(|_, member| {
            let one = member.stream.tell(event);
            if one.is_sent() && member.sent(now, calls.heartbeat) {
                next = next.into_iter().chain(member.watch.due()).min();
            }
            told += one;
        })
        .await;
        told.count(subscription.tally());
        next.map(|next| next.max(now + calls.heartbeat.look()))
    }

    /// Tells the number again to those who have heard nothing for too long, and gives up
    /// those whose clients are gone. Answers with when to look again.
    async fn look(&self, subscription: &Subscription, calls: &Calls) -> Instant {
        let now = Instant::now();
        let event = subscription.told();
        // For those who come meanwhile, too.
        let (mut told, mut next) = (Told::default(), now + calls.heartbeat.shortest());
        self.for_each(|place, member| {
            let due = member.told + calls.heartbeat.silence(share(place));
            if now < due {
                next = next.min(due);
            } else {
                let again = member.stream.tell_again(event);
                if again.is_sent() {
                    member.sent(now, calls.heartbeat);
                }
                told += again;
            }
            if member.watch.due().is_some_and(|due| due <= now) {
                member.look(now, calls.patience);
            }
            next = member.watch.due().map_or(next, |due| next.min(due));
        })
        .await;
        told.count(subscription.tally());
        next.max(now + calls.heartbeat.look())
    }
}

impl Member {
    /// A stream whose first event was just sent.
    fn new(stream: Arc<dyn Subscriber>) -> Self {
        let (told, mut watch) = (Instant::now(), Watch::default());
        watch.sent(told);
        Self { stream, told, watch }
    }

    /// Notes that something was sent. Answers whether it is to be looked for from now on.
    fn sent(&mut self, now: Instant, heartbeat: Heartbeat) -> bool {
        let is_new = self.watch.due().is_none();
        if is_new {
            // Whoever left since the last time is to be found out a heartbeat after that.
            self.watch.sent(now.max(self.told + heartbeat.longest()));
        }
        self.told = now;
        is_new
    }

    /// Looks whether the client is still there.
    fn look(&mut self, now: Instant, patience: Patience) {
        match self.stream.link() {
            Some(link) => {
                if self.watch.look(now, link, patience) {
                    self.stream.lose();
                }
            }
            // Then it is the system that ends it.
            None => self.watch = Watch::default(),
        }
    }
}

/// The place of a stream among all, from 0 to 1. Of however many that follow each other,
/// the shares are spread evenly (Fibonacci hashing: Knuth, The Art of Computer
/// Programming, volume 3, section 6.4).
fn share(place: usize) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
    #[expect(clippy::cast_precision_loss, reason = "there are not so many streams")]
    let place = place as f64;
    (place * GOLDEN_RATIO).fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::event::Change;
    use crate::name::Name;
    use crate::room::Presence;
    use crate::rooms::Rooms;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{advance, sleep};

    use super::super::link::Link;

    const KEEP_ALIVE: Duration = Duration::from_secs(15);
    const USER_TIMEOUT: Duration = Duration::from_secs(20);

    /// Remembers what it is told.
    #[derive(Default)]
    struct Ear(Mutex<Heard>);

    #[derive(Default)]
    struct Heard {
        told: Change,
        numbers: Vec<usize>,
        times: Vec<Instant>,
        woken: bool,
        answers: bool,
        lost: Option<Instant>,
    }

    impl Heard {
        fn hear(&mut self, event: &Event) -> Told {
            self.numbers.push(event.count());
            self.times.push(Instant::now());
            Told::SENT
        }
    }

    impl Subscriber for Ear {
        fn tell(&self, event: &Event) -> Told {
            let mut heard = self.0.lock().expect("no panic");
            if event.change().is_news_after(heard.told) {
                heard.told = event.change();
                return heard.hear(event);
            }
            Told::default()
        }

        fn tell_again(&self, event: &Event) -> Told {
            self.0.lock().expect("no panic").hear(event)
        }

        fn link(&self) -> Option<Link> {
            let heard = self.0.lock().expect("no panic");
            let answers = heard.answers;
            Some(Link { waits: !answers, taken: 0, heard: Duration::from_secs(1000) })
        }

        fn lose(&self) {
            self.0.lock().expect("no panic").lost.get_or_insert_with(Instant::now);
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
            let fanouts = Fanouts::new(Patience::new(USER_TIMEOUT, USER_TIMEOUT), cut.clone());
            Self { rooms: Rooms::default(), fanouts, drain, cut }
        }

        fn subscribe(&self) -> (Presence, Subscription) {
            self.rooms.join(&Name::default(), Ending::default()).expect("a room")
        }

        fn carry(&self, (presence, subscription): (Presence, Subscription)) -> Visitor {
            let told = subscription.told().change();
            let ear = Arc::new(Ear(Mutex::new(Heard { told, answers: true, ..Heard::default() })));
            let membership =
                self.fanouts.join(&ear, subscription, Heartbeat::new(KEEP_ALIVE), &self.drain);
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
        assert!((KEEP_ALIVE.mul_f64(0.75)..=KEEP_ALIVE).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_in_the_room_nobody_is_silent_for_longer_than_the_keep_alive() {
        let core = Core::new();
        let crowd: Vec<_> = (0..300).map(|_| core.join()).collect();
        let start = Instant::now();
        // Somebody comes and goes within each pause of the room: news to nobody.
        while start.elapsed() < 4 * KEEP_ALIVE {
            drop(core.subscribe());
            sleep(Duration::from_millis(1)).await;
        }
        for visitor in &crowd {
            let times = visitor.ear.0.lock().expect("no panic").times.clone();
            let before = [&[start], &times[..]].concat();
            let after = [&times[..], &[Instant::now()]].concat();
            let longest = before.iter().zip(&after).map(|(a, b)| *b - *a).max();
            assert!(longest.expect("some") <= KEEP_ALIVE, "{longest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_after_one_event_are_spread() {
        let core = Core::new();
        let crowd: Vec<_> = (0..1000).map(|_| core.join()).collect();
        sleep(Duration::from_secs(1)).await;
        drop(core.subscribe());
        sleep(Duration::from_secs(1)).await;
        let seen = |visitor: &Visitor| visitor.ear.0.lock().expect("no panic").times.len();
        let before: Vec<_> = crowd.iter().map(seen).collect();
        let mut most = 0;
        let (mut told, start) = (0, Instant::now());
        while told < crowd.len() {
            assert!(start.elapsed() < 2 * KEEP_ALIVE, "only {told} are told");
            sleep(Duration::from_millis(200)).await;
            let now = crowd.iter().zip(&before).filter(|(v, before)| seen(v) > **before).count();
            most = most.max(now - told);
            told = now;
        }
        assert!(most < crowd.len() / 5, "{most} at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_nothing_is_given_up_in_time_and_nobody_else() {
        let core = Core::new();
        let (gone, there) = (core.join(), core.join());
        sleep(Duration::from_secs(100)).await;
        let vanished = Instant::now();
        gone.ear.0.lock().expect("no panic").answers = false;
        sleep(KEEP_ALIVE + USER_TIMEOUT + Duration::from_millis(200)).await;
        let lost = |visitor: &Visitor| visitor.ear.0.lock().expect("no panic").lost;
        assert!(lost(&gone).expect("it is") - vanished >= USER_TIMEOUT);
        assert_eq!(lost(&there), None);
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
