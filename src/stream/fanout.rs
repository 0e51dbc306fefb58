//! The fan-out: one task for a room, on each core, which fills the mailboxes of all of the
//! room's streams there, and sees to what is due to them besides events.
//!
//! A room publishes an event to its channel once; this task takes it from there and hands
//! it to one stream after the other. No stream's own task is woken for an event that can
//! be written at once, which would make a delivery dearer (`bench/README.md`).

use std::collections::HashMap;
use std::iter;
use std::mem::take;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::panicking;
use std::time::Duration;

use rand::random_range;
use tokio::sync::Notify;
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::Terms;
use super::frame::Frame;
use super::line::{Line, Told};
use super::watch::{Patience, Watch};
use crate::ending::Reason;
use crate::event::Event;
use crate::pace;
use crate::room::Subscription;

/// So many are told before other tasks of the core have a turn.
const BATCH: usize = 64;

/// So many streams may be ended in one moment when the server stops …
const HANDFUL: usize = 100;
/// … and of more, each adds so much to the time over which they are spread.
const SPREAD_PER_STREAM: Duration = Duration::from_millis(1);

/// The fan-outs of one core.
pub(super) struct Fanouts {
    /// By the room's id.
    by_room: Mutex<HashMap<u64, Fanout>>,
    terms: Arc<Terms>,
}

struct Fanout {
    members: Arc<Members>,
    _teller: AbortOnDropHandle<()>,
}

/// The streams of one room on one core.
struct Members {
    all: Mutex<All>,
    /// Somebody came to whom something is due before the next look.
    sooner: Notify,
}

struct All {
    members: Vec<Member>,
    look: Instant,
}

/// One stream, and what is due to it besides events.
struct Member {
    line: Arc<Line>,
    /// When something was sent to it last.
    told: Instant,
    /// When it is to end, and why.
    ends: Option<(Instant, Reason)>,
    watch: Watch,
}

/// Adds up the time that it runs.
#[derive(Default)]
struct Stopwatch {
    since: Option<Instant>,
    total: Duration,
}

/// The task of a fan-out, whose end is the end of its streams.
struct Teller {
    members: Arc<Members>,
    fanouts: Weak<Fanouts>,
    room: u64,
}

/// A stream's place in a fan-out.
pub(super) struct Membership {
    fanouts: Arc<Fanouts>,
    room: u64,
}

impl Fanouts {
    pub(super) fn new(terms: Arc<Terms>) -> Arc<Self> {
        Arc::new(Self { by_room: Mutex::default(), terms })
    }

    /// Has a stream told what it would hear by the subscription of its own, which
    /// ends here, and ended when it is so old.
    pub(super) fn join(
        self: &Arc<Self>,
        line: &Arc<Line>,
        mut subscription: Subscription,
        age: Option<Duration>,
    ) -> Membership {
        let room = subscription.room_id();
        let membership = Membership { fanouts: self.clone(), room };
        let now = Instant::now();
        let ends = if self.terms.drain.is_cancelled() {
            Some((now, Reason::Shutdown))
        } else {
            age.map(|age| (now + age, Reason::AgedOut))
        };
        let member = Member::new(line.clone(), now, ends);
        let mut by_room = self.by_room();
        let Some(fanout) = by_room.get(&room) else {
            let look = now + self.terms.heartbeat().shortest();
            let all = Mutex::new(All { members: Vec::new(), look });
            let members = Arc::new(Members { all, sooner: Notify::new() });
            members.add(member);
            let teller = Teller { members: members.clone(), fanouts: Arc::downgrade(self), room };
            // Unconstrained: a batch is as much as one turn may do.
            let teller = tokio::spawn(unconstrained(teller.tell(subscription, self.terms.clone())));
            by_room.insert(room, Fanout { members, _teller: AbortOnDropHandle::new(teller) });
            return membership;
        };
        fanout.members.add(member);
        drop(by_room);
        // The fan-out may have told already what waits here; what it has yet to
        // tell and was told here is no news then.
        let mut told = Told::default();
        while let Some(event) = subscription.try_next() {
            told += line.tell(&event, &Frame::new(event.text()));
        }
        told.count(subscription.tally());
        membership
    }

    fn by_room(&self) -> MutexGuard<'_, HashMap<u64, Fanout>> {
        self.by_room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Gives the place up. The last one to go ends the fan-out.
    pub(super) fn leave(&self, line: &Arc<Line>) {
        let mut by_room = self.fanouts.by_room();
        let Some(fanout) = by_room.get(&self.room) else { return };
        if fanout.members.remove(line) {
            by_room.remove(&self.room);
        }
    }
}

impl Members {
    fn add(&self, member: Member) {
        let mut all = self.lock();
        let is_sooner = member.ends.is_some_and(|(instant, _)| instant < all.look);
        member.line.set_place(all.members.len());
        all.members.push(member);
        drop(all);
        if is_sooner {
            self.sooner.notify_one();
        }
    }

    /// Takes a stream out, and answers whether none is left.
    fn remove(&self, line: &Arc<Line>) -> bool {
        let members = &mut self.lock().members;
        let place = line.place();
        if members.get(place).is_some_and(|member| Arc::ptr_eq(&member.line, line)) {
            members.swap_remove(place);
            if let Some(moved) = members.get(place) {
                moved.line.set_place(place);
            }
        }
        members.is_empty()
    }

    /// Does something with everyone who is here all the while, a batch at a time.
    async fn for_each(&self, mut act: impl FnMut(&mut Member)) {
        self.for_each_batch(|batch| batch.iter_mut().for_each(&mut act)).await;
    }

    async fn for_each_batch(&self, mut act: impl FnMut(&mut [Member])) {
        // From the last to the first: into the place of one who leaves meanwhile comes the
        // last, so that nobody is missed.
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
    /// Tells everyone what the room publishes, and looks after those who heard nothing.
    async fn tell(self, mut subscription: Subscription, terms: Arc<Terms>) {
        let members = &*self.members;
        let mut drained = pin!(terms.drain.cancelled());
        let mut is_drained = false;
        let mut look = pin!(sleep_until(members.lock().look));
        loop {
            tokio::select! {
                // However much happens, each of these has its turn before it.
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
    /// Streams that nobody tells anything must not stay: their clients come back.
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
            member.line.lose(Reason::Error);
        }
    }
}

impl Members {
    /// The event to tell, `event` having been taken: a large crowd is told the newest. On a
    /// core where a fan-out takes longer than the pause, others have been published since.
    fn newest(&self, event: Event, subscription: &mut Subscription) -> Event {
        if pace::is_small(self.lock().members.len()) {
            return event;
        }
        iter::from_fn(|| subscription.try_next()).last().unwrap_or(event)
    }

    /// Tells everyone to whom it is news, and the room how long that took. Answers with when
    /// there is something to look for that was not before.
    async fn publish(
        &self,
        event: &Event,
        subscription: &Subscription,
        terms: &Terms,
    ) -> Option<Instant> {
        let (now, heartbeat, frame) = (Instant::now(), terms.heartbeat(), Frame::new(event.text()));
        let (mut told, mut next, mut took) = (Told::default(), None, Stopwatch::default());
        self.for_each_batch(|batch| {
            took.start();
            let mut here = Told::default();
            for member in batch {
                let one = member.line.tell(event, &frame);
                if one.is_sent() && member.sent(now, terms) {
                    next = next.into_iter().chain(member.watch.due()).min();
                }
                here += one;
            }
            // What others are yet to write takes until they have had their turns.
            if !here.is_left() {
                took.stop();
            }
            told += here;
        })
        .await;
        told.count(subscription.tally());
        if told.is_left() && self.lock().members.len() > BATCH {
            // Not for a few: a small crowd would miss steps on a busy core.
            yield_now().await;
        }
        took.stop();
        subscription.took(took.total);
        next.map(|next| next.max(now + heartbeat.look()))
    }

    /// Tells the number again to those who have heard nothing for too long, and ends those
    /// whose time has come or whose clients are gone. Answers with when to look again.
    async fn look(&self, subscription: &Subscription, terms: &Terms) -> Instant {
        let (now, heartbeat) = (Instant::now(), terms.heartbeat());
        let event = subscription.told();
        let frame = Frame::new(event.text());
        // For those who come meanwhile, too.
        let (mut told, mut next) = (Told::default(), now + heartbeat.shortest());
        self.for_each(|member| {
            let due = member.told + heartbeat.silence(share(member.line.place()));
            if now >= due {
                let again = member.line.tell_again(event, &frame);
                if again.is_sent() {
                    member.sent(now, terms);
                }
                member.told = now;
                told += again;
            } else {
                next = next.min(due);
            }
            member.look(now, terms.patience);
            next = next.min(member.due().unwrap_or(next));
        })
        .await;
        told.count(subscription.tally());
        let next = next.max(now + heartbeat.look());
        self.lock().look = next;
        next
    }

    /// Has everyone end within so long.
    async fn drain(&self, spread: Duration) {
        let now = Instant::now();
        self.for_each(|member| {
            let ends = now + spread.mul_f64(random_range(0.0..=1.0));
            member.ends = Some((ends, Reason::Shutdown));
        })
        .await;
    }
}

impl Stopwatch {
    /// Runs from now on, if it doesn't already.
    fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn stop(&mut self) {
        self.total += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }
}

impl Member {
    /// A stream whose first frame is on its way.
    fn new(line: Arc<Line>, told: Instant, ends: Option<(Instant, Reason)>) -> Self {
        let mut watch = Watch::default();
        watch.sent(told);
        Self { line, told, ends, watch }
    }

    /// Notes that something was sent. Answers whether it is to be looked for from now on.
    fn sent(&mut self, now: Instant, terms: &Terms) -> bool {
        let is_new = self.watch.due().is_none();
        if is_new {
            // Whoever left since the last time is to be found out in the time that is
            // allowed since then; in a lively room that need not be looked for each time.
            let heartbeat = self.told + terms.heartbeat().longest();
            self.watch.sent(heartbeat.min(now + terms.patience.silent()).max(now));
        }
        self.told = now;
        is_new
    }

    /// When there is something to look for, the heartbeat aside.
    fn due(&self) -> Option<Instant> {
        let ends = self.ends.map(|(instant, _)| instant);
        ends.into_iter().chain(self.watch.due()).min()
    }

    /// Ends the stream if its time has come, or its client is gone.
    fn look(&mut self, now: Instant, patience: Patience) {
        if let Some((_, reason)) = self.ends.take_if(|(instant, _)| *instant <= now) {
            self.line.end(reason);
        }
        if self.watch.due().is_none_or(|due| now < due) {
            return;
        }
        match self.line.link() {
            Some(link) => {
                if self.watch.look(now, link, patience) {
                    self.line.lose(Reason::TimedOut);
                }
            }
            // Then it is the system that ends it.
            None => self.watch = Watch::default(),
        }
    }
}

/// The time over which a stop spreads the ends of so many streams, so that
/// their clients don't all come back in one moment.
fn spread(streams: usize, most: Duration) -> Duration {
    if streams <= HANDFUL {
        return Duration::ZERO;
    }
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    SPREAD_PER_STREAM.saturating_mul(streams).min(most)
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
    use std::io;
    use std::task::{Context, Poll, Waker};

    use tokio::time::{advance, sleep};
    use tokio_util::sync::CancellationToken;

    use super::super::guest::{Guest, Who};
    use super::super::sink::Sink;
    use super::super::watch::Link;
    use super::super::{Stream, Streams};
    use crate::ending::Ending;
    use crate::limits::Limits;
    use crate::name::Name;
    use crate::room::{CAPACITY, Presence};
    use crate::rooms::Rooms;

    const KEEP_ALIVE: Duration = Duration::from_secs(15);
    const USER_TIMEOUT: Duration = Duration::from_secs(20);

    /// Remembers what it is told.
    struct Ear(Arc<Mutex<Heard>>);

    #[derive(Default)]
    struct Heard {
        numbers: Vec<usize>,
        times: Vec<Instant>,
        is_silent: bool,
        panics: bool,
    }

    impl Sink for Ear {
        fn send(&mut self, frame: &Frame) -> bool {
            let mut heard = self.0.lock().expect("no panic");
            if heard.panics {
                drop(heard);
                panic!("on purpose");
            }
            let text = String::from_utf8(frame.text().to_vec()).expect("text");
            if let Some(number) = text.trim().strip_prefix("event: user count\ndata: ") {
                heard.numbers.push(number.parse().expect("a number"));
                heard.times.push(Instant::now());
            }
            true
        }

        fn is_ready(&self) -> bool {
            true
        }

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn link(&self) -> Option<Link> {
            let waits = self.0.lock().expect("no panic").is_silent;
            Some(Link { waits, taken: 0, heard: Duration::from_secs(1000) })
        }
    }

    /// A stream and what its client hears.
    struct Visitor {
        heard: Arc<Mutex<Heard>>,
        stream: Stream,
    }

    impl Visitor {
        fn numbers(&self) -> Vec<usize> {
            self.heard.lock().expect("no panic").numbers.clone()
        }

        fn times(&self) -> Vec<Instant> {
            self.heard.lock().expect("no panic").times.clone()
        }
    }

    struct Core {
        streams: Streams,
        drain: CancellationToken,
    }

    impl Core {
        fn new() -> Self {
            let drain = CancellationToken::new();
            let terms = Terms {
                keep_alive: KEEP_ALIVE,
                patience: Patience::new(USER_TIMEOUT, USER_TIMEOUT),
                max_age: None,
                drain: drain.clone(),
                drain_spread: Duration::from_secs(8),
            };
            let limits = Limits::new(usize::MAX, None, None);
            Self { streams: Streams::new(Rooms::default(), limits, terms), drain }
        }

        fn rooms(&self) -> &Rooms {
            self.streams.rooms()
        }

        fn subscribe(&self) -> (Presence, Subscription) {
            self.rooms().join(&Name::default(), Ending::default()).expect("a room")
        }

        /// A stream whose first frame was taken, and whose others wait to be.
        fn open(&self, (presence, subscription): (Presence, Subscription)) -> Stream {
            let guest = Guest::new(Who::Counted(presence, None), self.rooms().tally());
            let first = subscription.told().clone();
            let line = Line::new(guest, Frame::new(first.text()), first.change(), &self.drain);
            let membership = self.streams.fanouts().join(&line, subscription, None);
            let mut stream = Stream::new(line, membership);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(stream.poll_next(&mut cx).is_ready(), "the first frame");
            stream
        }

        fn carry(&self, subscribed: (Presence, Subscription)) -> Visitor {
            let (mut stream, mut cx) = (self.open(subscribed), Context::from_waker(Waker::noop()));
            let heard = Arc::default();
            stream.attach(Box::new(Ear(Arc::clone(&heard))));
            assert!(stream.poll_sent(&mut cx).is_pending());
            Visitor { heard, stream }
        }

        fn join(&self) -> Visitor {
            self.carry(self.subscribe())
        }

        fn count(&self) -> usize {
            self.rooms().count(&Name::default())
        }

        fn fanouts(&self) -> usize {
            self.streams.fanouts().by_room().len()
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
            let people = core.count();
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
    async fn a_small_crowd_is_told_every_step_by_a_core_that_is_busy() {
        let core = Core::new();
        let visitor = core.join();
        for _ in 0..3 * CAPACITY {
            drop(core.join());
            yield_now().await;
        }
        settle().await;
        assert_eq!(visitor.numbers(), [2, 1].repeat(3 * CAPACITY));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_published_while_a_large_crowd_is_told_is_told_as_one() {
        let core = Core::new();
        let mut people: Vec<_> = (0..4 * BATCH).map(|_| core.join()).collect();
        sleep(Duration::from_secs(1)).await;
        let before = people[0].numbers().len();
        // Longer than the pause, and shorter than the fan-out, which has four turns.
        for _ in 0..4 {
            drop(people.pop());
            advance(Duration::from_millis(3)).await;
        }
        settle().await;
        assert_eq!(people[0].numbers()[before..], [255, 252]);
    }

    /// How long a crowd of four batches pauses after an event, once it was told of another
    /// by a core that did something else for 1 ms after each batch.
    async fn pause<V>(core: &Core, join: impl Fn() -> V) -> Duration {
        let (_presence, mut subscription) = core.subscribe();
        let mut people: Vec<_> = (0..4 * BATCH).map(|_| join()).collect();
        sleep(Duration::from_secs(1)).await;
        while subscription.try_next().is_some() {}

        drop(people.pop());
        for _ in 0..100 {
            advance(Duration::from_millis(1)).await;
        }
        subscription.next().await;
        drop(people.pop());
        subscription.next().await;
        let start = Instant::now();
        drop(people.pop());
        subscription.next().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_is_three_times_what_the_last_fan_out_took_until_all_was_written() {
        let core = Core::new();
        let pause = pause(&core, || core.open(core.subscribe())).await;
        // Given a tick of tokio's timer.
        assert!((12..=13).contains(&pause.as_millis()), "{pause:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_turns_of_others_are_no_part_of_what_a_fan_out_took_that_writes_itself() {
        let core = Core::new();
        let pause = pause(&core, || core.join()).await;
        assert!((2..=3).contains(&pause.as_millis()), "{pause:?}");
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
            let times = visitor.times();
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
        let seen = |visitor: &Visitor| visitor.times().len();
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
        gone.heard.lock().expect("no panic").is_silent = true;
        while !gone.stream.is_over() {
            assert!(vanished.elapsed() <= KEEP_ALIVE + USER_TIMEOUT + Duration::from_millis(200));
            sleep(Duration::from_millis(50)).await;
        }
        assert!(vanished.elapsed() >= USER_TIMEOUT);
        assert!(!there.stream.is_over());
        assert_eq!(core.count(), 1);
        assert_eq!(core.rooms().tally().ends(Reason::TimedOut).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_to_go_ends_the_fan_out_and_another_begins_anew() {
        let core = Core::new();
        let (first, second) = (core.join(), core.join());
        drop(first);
        assert_eq!(core.fanouts(), 1);
        drop(second);
        assert_eq!(core.fanouts(), 0);
        let (third, _fourth) = (core.join(), core.join());
        settle().await;
        assert_eq!(third.numbers(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_everyone_and_who_comes_while_it_does() {
        let core = Core::new();
        let visitor = core.join();
        settle().await;
        assert!(!visitor.stream.is_over());
        core.drain.cancel();
        let late = core.join();
        settle().await;
        assert!(visitor.stream.is_over() && late.stream.is_over());
        assert_eq!(core.count(), 0, "before they have taken their farewell");
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_fan_out_dies_its_streams_end_and_another_takes_its_place() {
        let core = Core::new();
        let visitors = [core.join(), core.join(), core.join()];
        settle().await;
        visitors[1].heard.lock().expect("no panic").panics = true;
        let newcomer = core.join();
        settle().await;
        for visitor in &visitors {
            assert!(visitor.stream.is_over());
        }
        assert_eq!(core.rooms().tally().ends(Reason::Error).get(), 4, "the newcomer too");
        assert!(newcomer.stream.is_over());
        let (first, _second) = (core.join(), core.join());
        settle().await;
        assert_eq!(first.numbers(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_fan_out_costs_follows_who_is_there_now() {
        let core = Core::new();
        let mut crowd: Vec<_> = (0..1000).map(|_| core.join()).collect();
        // Whoever stays is found in the place where others were.
        let stay: Vec<_> = (0..3).map(|nth| crowd.swap_remove(nth * 300)).collect();
        drop(crowd);
        let fanouts = core.streams.fanouts();
        let members = fanouts.by_room().values().next().expect("a fan-out").members.clone();
        let places: Vec<_> = members.lock().members.iter().map(|m| m.line.place()).collect();
        assert_eq!(places, [0, 1, 2]);
        drop(stay);
    }

    #[test]
    fn thousands_are_spread_and_a_handful_is_not() {
        let most = Duration::from_secs(8);
        assert_eq!(spread(100, most), Duration::ZERO);
        assert_eq!(spread(1_000, most), Duration::from_secs(1));
        assert_eq!(spread(20_000, most), most);
        assert_eq!(spread(usize::MAX, most), most);
    }
}
