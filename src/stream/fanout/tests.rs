use super::*;
use std::io;
use std::task::{Context, Poll, Waker};

use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;

use super::super::frame::Frame;
use super::super::guest::{Guest, Who};
use super::super::sink::Sink;
use super::super::watch::{Link, Patience};
use super::super::{Stream, Streams};
use crate::ending::Ending;
use crate::limits::Limits;
use crate::name::Name;
use crate::presence::Presence;
use crate::room::CAPACITY;
use crate::rooms::Rooms;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Remembers what it is told.
struct Ear(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    numbers: Vec<usize>,
    /// What it was told of one of several rooms.
    named: Vec<String>,
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
        if let Some(data) = text.trim().strip_prefix("event: user count\ndata: ") {
            match data.parse() {
                Ok(number) => heard.numbers.push(number),
                Err(_) => heard.named.push(data.to_owned()),
            }
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

    fn carry(&self, (presence, subscription): (Presence, Subscription)) -> Visitor {
        self.carry_all((presence, vec![subscription]))
    }

    fn guest(&self, presence: Presence) -> Guest {
        let who = Who::Counted { presence, holds: false };
        Guest::new(who, &self.streams.held, self.rooms().tally())
    }

    /// A stream whose first frame was taken, and whose other frames wait to be taken.
    fn open(&self, (presence, heard): (Presence, Vec<Subscription>)) -> Stream {
        let guest = self.guest(presence);
        let line = Line::new(guest, Frame::new(b":\n\n"), ids(&heard));
        let membership = self.streams.fanouts().join(&line, heard, None, None);
        let mut stream = Stream::new(line, membership);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_next(&mut cx).is_ready(), "the first frame");
        stream
    }

    fn carry_all(&self, subscribed: (Presence, Vec<Subscription>)) -> Visitor {
        let (mut stream, mut cx) = (self.open(subscribed), Context::from_waker(Waker::noop()));
        let heard = Arc::default();
        stream.attach(Box::new(Ear(Arc::clone(&heard))));
        assert!(stream.poll_sent(&mut cx).is_pending());
        Visitor { heard, stream }
    }

    fn join(&self) -> Visitor {
        self.carry(self.subscribe())
    }

    fn join_all<const N: usize>(&self, names: [&str; N]) -> Visitor {
        let names = names.map(|name| Name::new(name).expect("a good name"));
        self.carry_all(self.rooms().join_all(&names, Ending::default()).expect("rooms"))
    }

    fn count(&self) -> usize {
        self.rooms().count(&Name::default())
    }

    fn fanouts(&self) -> usize {
        self.streams.fanouts().by_room().len()
    }
}

fn ids(heard: &[Subscription]) -> impl ExactSizeIterator<Item = NonZeroU64> {
    heard.iter().map(Subscription::room_id)
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
    // Longer than the pause, and shorter than the fan-out, which takes four turns.
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
    let pause = pause(&core, || {
        let (presence, subscription) = core.subscribe();
        core.open((presence, vec![subscription]))
    })
    .await;
    // Allowing for a tick of tokio's timer.
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
    assert_eq!(core.count(), 2, "who is sent away has not left");
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
    // Each stream that stays is found in the place where another was.
    let stay: Vec<_> = (0..3).map(|nth| crowd.swap_remove(nth * 300)).collect();
    drop(crowd);
    let fanouts = core.streams.fanouts();
    let members = fanouts.by_room().values().next().expect("a fan-out").members.clone();
    let places: Vec<_> = members.lock().members.iter().map(|m| m.id().0.place(0)).collect();
    assert_eq!(places, [0, 1, 2]);
    drop(stay);
}

fn named(visitor: &Visitor) -> Vec<String> {
    visitor.heard.lock().expect("no panic").named.clone()
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_several_rooms_hears_each_of_them_by_name() {
    let core = Core::new();
    let lone = core.join();
    let several = core.join_all(["a", "lobby"]);
    let other = core.join_all(["b", "a"]);
    settle().await;
    assert_eq!(lone.numbers(), [2]);
    assert_eq!(named(&several), [r#"{"room":"a","count":2}"#]);
    drop(other);
    drop(lone);
    settle().await;
    let then = [r#"{"room":"a","count":1}"#, r#"{"room":"lobby","count":1}"#];
    assert_eq!(named(&several)[1..], then);
    assert_eq!(several.numbers(), [0; 0], "none without its name");
    drop(several);
    assert_eq!((core.fanouts(), core.rooms().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_several_rooms_has_one_heartbeat_when_all_are_silent() {
    let core = Core::new();
    let several = core.join_all(["a", "b", "c"]);
    settle().await;
    let start = Instant::now();
    while start.elapsed() < 4 * KEEP_ALIVE {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(named(&several).iter().all(|data| data == r#"{"room":"a","count":1}"#));
    assert!((4..=5).contains(&several.times().len()), "{:?}", several.times());

    // While another room is lively, no heartbeat is needed, and it is never silent for long.
    let other = core.join_all(["c"]);
    let since = several.times().len();
    let start = Instant::now();
    let mut people = vec![other];
    while start.elapsed() < 4 * KEEP_ALIVE {
        sleep(KEEP_ALIVE / 3).await;
        people.push(core.join_all(["c"]));
    }
    settle().await;
    drop(people);
    let told = &named(&several)[since..];
    assert!(told.iter().all(|data| data.contains(r#""room":"c""#)), "{told:?}");
    sleep(KEEP_ALIVE).await;
    let times = several.times();
    let longest = times.windows(2).map(|two| two[1] - two[0]).max().expect("some");
    assert!(longest <= KEEP_ALIVE, "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn who_vanished_from_several_rooms_is_found_out_though_only_the_last_is_lively() {
    let core = Core::new();
    let gone = core.join_all(["a", "b"]);
    sleep(Duration::from_secs(100)).await;
    let vanished = Instant::now();
    gone.heard.lock().expect("no panic").is_silent = true;
    while !gone.stream.is_over() {
        assert!(vanished.elapsed() <= KEEP_ALIVE + USER_TIMEOUT + Duration::from_millis(600));
        let _passer = core.join_all(["b"]);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(vanished.elapsed() >= USER_TIMEOUT);
    settle().await;
    assert!(core.rooms().is_empty());
    assert_eq!(core.rooms().tally().ends(Reason::TimedOut).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_taken_out_of_several_rooms_does_not_hear_that_they_have_left() {
    let core = Core::new();
    let witness = core.join_all(["a", "b"]);
    let visitor = core.join_all(["a", "b"]);
    settle().await;
    // On another core the rooms are told between this and the end.
    drop(visitor.stream.line.state().guest.take());
    settle().await;
    let left = [r#"{"room":"a","count":1}"#, r#"{"room":"b","count":1}"#];
    assert_eq!(named(&witness)[2..], left);
    assert_eq!(named(&visitor), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn when_the_fan_out_of_one_room_dies_the_stream_leaves_them_all() {
    let core = Core::new();
    let several = core.join_all(["a", "b"]);
    let in_a = core.join_all(["a"]);
    settle().await;
    several.heard.lock().expect("no panic").panics = true;
    let _in_b = core.join_all(["b"]);
    settle().await;
    assert!(several.stream.is_over() && !in_a.stream.is_over());
    assert_eq!(in_a.numbers(), [1], "it has left");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_stream_of_several_rooms_once() {
    let core = Core::new();
    let several = core.join_all(["a", "b"]);
    settle().await;
    core.drain.cancel();
    let late = core.join_all(["b", "c"]);
    settle().await;
    assert!(several.stream.is_over() && late.stream.is_over());
    assert_eq!(core.rooms().len(), 3, "who is sent away has not left");
    assert_eq!(core.rooms().tally().ends(Reason::Shutdown).get(), 2);
    let rooms = core.rooms().clone();
    drop((core, several, late));
    assert!(rooms.is_empty(), "nothing is left of the server");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opened_while_doubt_began_or_ended_is_told_so() {
    let core = Core::new();
    for (was_partial, rooms_before) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let others: Vec<_> = (0..rooms_before).map(|_| core.join()).collect();
        settle().await;
        let (presence, subscription) = core.subscribe();
        let guest = core.guest(presence);
        // Its first frame was made before the change, and it joins its fan-out after it.
        let _doubt = (!was_partial).then(|| core.rooms().doubt());
        let heard = vec![subscription];
        let line = Line::new(guest, Frame::new(b":\n\n"), ids(&heard));
        let membership = core.streams.fanouts().join(&line, heard, None, Some(was_partial));
        let mut stream = Stream::new(line, membership);
        settle().await;
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match stream.poll_next(&mut cx) {
            Poll::Ready(Some(frame)) => Some(frame.text()),
            _ => None,
        };
        assert!(next().is_some(), "the first frame");
        assert_eq!(next(), Some(event::partial(!was_partial)));
        assert_eq!(next(), None);
        drop(others);
    }
}

#[test]
fn thousands_are_spread_and_a_handful_is_not() {
    let most = Duration::from_secs(8);
    assert_eq!(spread(100, most), Duration::ZERO);
    assert_eq!(spread(1_000, most), Duration::from_secs(1));
    assert_eq!(spread(20_000, most), most);
    assert_eq!(spread(usize::MAX, most), most);
}
