use super::*;
use crate::stream::{AGED_HOLD, HOLD, RETRY_MS, SHORT_RETRY_MS};
use std::pin::Pin;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use crate::ending::Reason;
use crate::name::Name;
use crate::room;
use crate::rooms::Rooms;
use crate::{Options, router};

/// The counter as the tests use it: without a server, one stream at a time.
struct Counter {
    rooms: Rooms,
    options: Options,
    router: axum::Router,
}

/// The body of an answer, read frame by frame.
struct Answer {
    body: Pin<Box<Body>>,
}

impl Counter {
    fn new(options: Options) -> Self {
        Self::of(Rooms::default(), options)
    }

    fn of(rooms: Rooms, options: Options) -> Self {
        let router = router(rooms.clone(), options.clone());
        Self { rooms, options, router }
    }

    async fn ask(&self, last_event_id: Option<&str>) -> (StatusCode, Answer) {
        let mut request = Request::get("/events").header("host", "test");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        (response.status(), Answer { body: Box::pin(response.into_body()) })
    }

    async fn join_by(&self, uri: &str) -> Answer {
        let request = Request::get(uri).header("host", "test").body(Body::empty());
        let request = request.expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        Answer { body: Box::pin(response.into_body()) }
    }

    async fn join(&self) -> Answer {
        let (status, answer) = self.ask(None).await;
        assert_eq!(status, StatusCode::OK);
        answer
    }

    fn count(&self) -> usize {
        self.rooms.count(&Name::default())
    }

    /// Waits until this many are counted: a stream that was dropped is uncounted
    /// by its task, as soon as that runs.
    async fn becomes(&self, count: usize) {
        for _ in 0..1000 {
            if self.count() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} are counted in place of {count}", self.count());
    }
}

impl Answer {
    async fn next(&mut self) -> Option<String> {
        let frame = self.body.frame().await?.expect("no error");
        let bytes: Bytes = frame.into_data().expect("no trailers");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// The first frame, taken apart: retry, token, event.
    async fn first(&mut self) -> (u64, String, String) {
        let first = self.next().await.expect("a first frame");
        let rest = first.strip_prefix("retry: ").expect("retry comes first");
        let (retry, rest) = rest.split_once("\nid: ").expect("then the id");
        let (token, event) = rest.split_once('\n').expect("then the event");
        (retry.parse().expect("milliseconds"), token.to_owned(), event.to_owned())
    }
}

fn user_count(count: usize) -> String {
    format!("event: user count\ndata: {count}\n\n")
}

#[tokio::test]
async fn the_first_frame_says_retry_id_and_the_arrival() {
    let counter = Counter::new(Options::default());
    let mut stream = counter.join().await;
    let _later = counter.join().await;

    let (retry, token, event) = stream.first().await;
    assert!(RETRY_MS.contains(&retry));
    assert_eq!(token.len(), 32);
    assert!(token.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(event, user_count(1), "its own arrival, though a second came since");
    assert_eq!(stream.next().await, Some(user_count(2)));
}

#[tokio::test]
async fn who_asks_is_told_the_keep_alive_after_the_first_event() {
    let counter = Counter::new(Options::default());
    let mut stream = counter.join_by("/events?tell=keep-alive").await;
    let (_, _, events) = stream.first().await;
    let keep_alive = "event: keep-alive\ndata: 15000\n\n";
    assert_eq!(events, format!("{}{keep_alive}", user_count(1)));
}

#[tokio::test(start_paused = true)]
async fn after_silence_the_count_is_said_again() {
    let counter = Counter::new(Options::default());
    let mut stream = counter.join().await;
    stream.first().await;
    for _ in 0..3 {
        let before = Instant::now();
        assert_eq!(stream.next().await, Some(user_count(1)));
        let keep_alive = counter.options.keep_alive;
        assert!((keep_alive.mul_f64(0.75)..keep_alive).contains(&before.elapsed()));
    }
}

#[tokio::test]
async fn a_stream_counts_until_it_is_dropped() {
    let counter = Counter::new(Options::default());
    let mut stream = counter.join().await;
    stream.first().await;
    assert_eq!(counter.count(), 1);
    drop(stream);
    counter.becomes(0).await;
    assert!(counter.rooms.is_empty());
}

#[tokio::test]
async fn a_stream_that_was_never_read_is_uncounted_too() {
    let counter = Counter::new(Options::default());
    let stream = counter.join().await;
    assert_eq!(counter.count(), 1);
    drop(stream);
    counter.becomes(0).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_it_is_counted_a_moment_longer_and_can_come_back() {
    let counter = Counter::new(Options::default());
    let mut observer = counter.join().await;
    observer.first().await;
    for _ in 0..3 {
        // The client that comes has the seat, with its token or without.
        drop(counter.join_by("/events?hold=1").await);
        sleep(HOLD - Duration::from_millis(10)).await;
        assert_eq!(counter.count(), 2);
    }
    sleep(Duration::from_millis(20)).await;
    assert_eq!(counter.count(), 1);
    assert_eq!(observer.next().await, Some(user_count(2)));
    assert_eq!(observer.next().await, Some(user_count(1)));
}

#[tokio::test(start_paused = true)]
async fn whoever_had_the_seat_does_not_get_it_back_from_a_newcomer() {
    let counter = Counter::new(Options::default());
    let mut first = counter.join_by("/events?hold=1").await;
    let (_, token, _) = first.first().await;
    drop(first);
    sleep(Duration::from_millis(1)).await;
    let mut newcomer = counter.join_by("/events?hold=1").await;
    assert_ne!(newcomer.first().await.1, token);
    let (_, _back) = counter.ask(Some(&token)).await;
    sleep(HOLD * 2).await;
    assert_eq!(counter.count(), 2);
    assert_eq!(newcomer.next().await, Some(user_count(2)), "its stream goes on");
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_and_not_counted() {
    let counter = Counter::new(Options::default());
    let mut observer = counter.join_by("/events?observe=1").await;
    let first = observer.next().await.expect("a first frame");
    let (retry, event) = first.split_once('\n').expect("retry comes first");
    assert!(retry.starts_with("retry: "));
    assert_eq!(event, user_count(0), "and no id");
    assert_eq!((counter.count(), counter.rooms.len()), (0, 1));

    let mut visitor = counter.join().await;
    assert_eq!(visitor.first().await.2, user_count(1));
    assert_eq!(observer.next().await, Some(user_count(1)));
    drop(visitor);
    assert_eq!(observer.next().await, Some(user_count(0)));
    sleep(Duration::from_secs(15)).await;
    assert_eq!(observer.next().await, Some(user_count(0)), "the heartbeat");
    drop(observer);
    sleep(Duration::from_millis(1)).await;
    assert!(counter.rooms.is_empty(), "nobody is left");
    assert_eq!(counter.rooms.tally().joins.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_observer_takes_a_place_for_as_long_as_it_listens() {
    let age = Duration::from_secs(60);
    let options = Options { max_streams: 1, max_age: Some(age), ..Default::default() };
    let counter = Counter::new(options);
    let observer = counter.join_by("/events?observe=1").await;
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    sleep(age).await;
    assert!(counter.rooms.is_empty(), "it has reached its age");
    let (status, _visitor) = counter.ask(None).await;
    assert_eq!(status, StatusCode::OK);
    drop(observer);
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_waits_is_one_persons() {
    let counter = Counter::new(Options::default());
    drop(counter.join_by("/events?hold=1").await);
    sleep(Duration::from_millis(1)).await;
    let _second = counter.join_by("/events?hold=1").await;
    let _third = counter.join_by("/events?hold=1").await;
    assert_eq!(counter.count(), 2);
    let _who_did_not_ask = counter.join().await;
    sleep(HOLD * 2).await;
    assert_eq!(counter.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_ends_all_the_same() {
    let age = Duration::from_secs(60);
    let options = Options { max_age: Some(age), stall_timeout: age * 2, ..Default::default() };
    let counter = Counter::new(options);
    let _unread = counter.join().await;
    sleep(age + AGED_HOLD + Duration::from_millis(10)).await;
    assert!(counter.rooms.is_empty());
    assert_eq!(counter.rooms.tally().ends(Reason::AgedOut).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_seats_over_without_reading_takes_no_more_places() {
    let counter = Counter::new(Options { max_streams: 2, ..Default::default() });
    let mut unread = vec![counter.join().await];
    let (_, token, _) = unread[0].first().await;
    for _ in 0..50 {
        unread.push(counter.ask(Some(&token)).await.1);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(counter.count(), 1);
    assert_eq!(counter.ask(None).await.0, StatusCode::OK, "there is a place left");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_some_steps_and_then_the_newest() {
    let counter = Counter::new(Options::default());
    let mut slow = counter.join().await;
    slow.first().await;
    let mut others = Vec::new();
    for _ in 0..60 {
        others.push(counter.join().await);
        sleep(Duration::from_millis(1)).await;
    }
    let mut told = 0;
    while slow.next().await.expect("the stream goes on") != user_count(61) {
        told += 1;
    }
    assert_eq!(told, room::CAPACITY);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_gone_after_the_stall_timeout() {
    let stall_timeout = Duration::from_secs(60);
    let counter = Counter::new(Options { stall_timeout, ..Options::default() });
    let mut reader = counter.join().await;
    let _stopped = counter.join().await;
    reader.first().await;
    // From now on nobody reads, so the first heartbeat waits.
    assert_eq!(reader.next().await, Some(user_count(2)));
    let start = Instant::now();
    while reader.next().await != Some(user_count(1)) {
        assert!(start.elapsed() < stall_timeout * 2, "it is counted for ever");
    }
    assert!((stall_timeout..stall_timeout * 2).contains(&start.elapsed()));
    assert_eq!(counter.rooms.tally().ends(Reason::TimedOut).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_quiet_time_is_no_stall() {
    let stall_timeout = Duration::from_secs(1);
    let counter = Counter::new(Options { stall_timeout, ..Options::default() });
    let mut reader = counter.join().await;
    reader.first().await;
    for _ in 0..3 {
        sleep(Duration::from_secs(10)).await;
        let newcomer = counter.join().await;
        // Taken in time, if not at once.
        sleep(stall_timeout / 2).await;
        assert_eq!(reader.next().await, Some(user_count(2)));
        drop(newcomer);
        assert_eq!(reader.next().await, Some(user_count(1)));
    }
}

#[tokio::test]
async fn a_drain_ends_a_handful_at_once_and_tells_each_when_to_return() {
    let counter = Counter::new(Options::default());
    let mut stream = counter.join().await;
    stream.first().await;
    counter.options.drain.cancel();
    let farewell = stream.next().await.expect("a farewell");
    let retry = farewell.strip_prefix("retry: ").and_then(|f| f.strip_suffix("\n\n"));
    assert!(RETRY_MS.contains(&retry.expect("a retry").parse().expect("milliseconds")));
    assert_eq!(counter.rooms.tally().ends(Reason::Shutdown).get(), 1);
    assert_eq!(stream.next().await, None);
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    drop(stream);
    assert_eq!(counter.count(), 1, "whoever is sent away has not left");
    let Counter { rooms, router, .. } = counter;
    drop(router);
    assert!(rooms.is_empty(), "nothing is left of the counter");
}

#[tokio::test(start_paused = true)]
async fn while_the_server_stops_only_those_who_leave_have_left() {
    let age = Duration::from_secs(60);
    let drain_spread = Duration::from_secs(8);
    let options = Options { max_age: Some(age), drain_spread, ..Default::default() };
    let counter = Counter::new(options);
    // Its stream ends because of its age, and it should be back soon.
    let mut aged = counter.join().await;
    while aged.next().await.is_some() {}
    drop(aged);
    let mut watchers = Vec::new();
    for _ in 0..200 {
        watchers.push(counter.join().await);
    }
    let waits = counter.join_by("/events?hold=1").await;
    drop(waits);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(counter.count(), 202);
    counter.options.drain.cancel();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(counter.count(), 201, "whoever closed its stream itself is not waited for");
    drop(watchers.pop());
    sleep(drain_spread).await;
    assert_eq!(counter.count(), 200);
    for mut watcher in watchers {
        let mut numbers = Vec::new();
        while let Some(frame) = watcher.next().await {
            let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
            numbers.extend(data.map(|number| number.parse::<usize>().expect("a number")));
        }
        assert!(numbers.last() >= Some(&200) && numbers.is_sorted_by(|a, b| *b >= 200 || a < b));
    }
}

#[tokio::test]
async fn who_returns_with_the_token_has_the_seat_and_nobody_hears_of_it() {
    let counter = Counter::new(Options::default());
    let mut observer = counter.join().await;
    observer.first().await;
    let mut old = counter.join().await;
    let (_, token, _) = old.first().await;
    assert_eq!(observer.next().await, Some(user_count(2)));

    let (_, mut new) = counter.ask(Some(&token)).await;
    let (_, same_token, event) = new.first().await;
    assert_eq!((same_token, event), (token, user_count(2)));
    assert_eq!(old.next().await, None, "the old stream is ended");
    drop(old);
    assert_eq!(counter.count(), 2);
    // What the observer hears next is about somebody else.
    let _third = counter.join().await;
    assert_eq!(observer.next().await, Some(user_count(3)));
    drop(new);
    assert_eq!(observer.next().await, Some(user_count(2)));
}

#[tokio::test]
async fn an_unknown_token_is_a_new_visitor() {
    let counter = Counter::new(Options::default());
    let _first = counter.join().await;
    for unknown in ["0123456789abcdef0123456789abcdef", "junk", "", &"f".repeat(5000)] {
        let (status, mut stream) = counter.ask(Some(unknown)).await;
        assert_eq!(status, StatusCode::OK);
        let (_, token, event) = stream.first().await;
        assert_ne!(token, unknown);
        assert_eq!(event, user_count(2));
        drop(stream);
        counter.becomes(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_stream_ends_and_its_seat_is_kept_for_ten_seconds() {
    let age = Duration::from_secs(60);
    let counter = Counter::new(Options { max_age: Some(age), ..Default::default() });
    let mut stream = counter.join().await;
    let (_, token, _) = stream.first().await;
    let joined = Instant::now();
    let farewell = loop {
        let frame = stream.next().await.expect("a farewell comes");
        if let Some(retry) = frame.strip_prefix("retry: ") {
            break retry.trim().parse().expect("milliseconds");
        }
    };
    assert!((age.mul_f64(0.8)..=age + Duration::from_millis(102)).contains(&joined.elapsed()));
    assert!(SHORT_RETRY_MS.contains(&farewell));
    assert_eq!(stream.next().await, None);
    drop(stream);

    sleep(AGED_HOLD - Duration::from_millis(10)).await;
    assert_eq!(counter.count(), 1, "the seat is kept");
    let (_, mut back) = counter.ask(Some(&token)).await;
    assert_eq!(back.first().await.2, user_count(1));
    sleep(AGED_HOLD * 2).await;
    assert_eq!(counter.count(), 1, "its client is back");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_return_for_the_seat_is_gone() {
    let age = Duration::from_secs(60);
    let counter = Counter::new(Options { max_age: Some(age), ..Default::default() });
    let mut stream = counter.join().await;
    while stream.next().await.is_some() {}
    drop(stream);
    assert_eq!(counter.count(), 1);
    sleep(AGED_HOLD + Duration::from_millis(10)).await;
    assert!(counter.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_waits_keeps_its_place_and_who_takes_it_takes_the_place_too() {
    let counter = Counter::new(Options { max_streams: 2, ..Default::default() });
    for _ in 0..3 {
        drop((counter.join_by("/events?hold=1").await, counter.join_by("/events?hold=1").await));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(counter.count(), 2);
    }
    let _back = [counter.join_by("/events?hold=1").await, counter.join_by("/events?hold=1").await];
    let mut third = counter.join_by("/events?hold=1").await;
    assert!(third.next().await.expect("an error").contains("limit on streams"));
    sleep(HOLD * 2).await;
    assert_eq!(counter.count(), 2);
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn the_seat_of_a_stream_that_got_too_old_keeps_its_place() {
    let age = Duration::from_secs(1);
    let options = Options { max_age: Some(age), max_streams: 1, ..Default::default() };
    let counter = Counter::new(options);
    let mut stream = counter.join().await;
    let (_, token, _) = stream.first().await;
    sleep(age * 2).await;
    assert_eq!(counter.count(), 1);
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(counter.ask(Some(&token)).await.0, StatusCode::OK);
    sleep(age + AGED_HOLD * 2).await;
    assert_eq!(counter.ask(None).await.0, StatusCode::OK, "nobody came for the place");
}

#[tokio::test]
async fn a_full_server_refuses_new_visitors_but_not_those_who_return() {
    let counter = Counter::new(Options { max_streams: 1, ..Default::default() });
    let mut stream = counter.join().await;
    let (_, token, _) = stream.first().await;
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(counter.count(), 1);
    let (status, _new) = counter.ask(Some(&token)).await;
    assert_eq!(status, StatusCode::OK);
    drop((stream, _new));
    counter.becomes(0).await;
    assert_eq!(counter.ask(None).await.0, StatusCode::OK);
}

/// What a stream was told of several rooms: the name and the number of each.
fn told(frame: &str) -> Vec<(String, u64)> {
    let data = frame.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| {
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        let count = data["count"].as_u64().expect("a number");
        (data["room"].as_str().expect("a name").to_owned(), count)
    })
    .collect()
}

fn of<const N: usize>(rooms: [(&str, u64); N]) -> Vec<(String, u64)> {
    rooms.map(|(room, count)| (room.to_owned(), count)).into()
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_several_rooms_is_told_of_all_of_them_first() {
    let counter = Counter::new(Options::default());
    let _in_b = counter.join_by("/events?room=b").await;
    let mut several = counter.join_by("/events?room=b&room=%D0%B0%22&tell=keep-alive").await;
    let first = several.next().await.expect("a first frame");
    let (retry, rest) = first.split_once("\nid: ").expect("the seat's token");
    assert!(retry.starts_with("retry: "));
    let (_, events) = rest.split_once('\n').expect("the events");
    assert_eq!(
        events,
        "event: user count\ndata: {\"room\":\"b\",\"count\":2}\n\n\
         event: user count\ndata: {\"room\":\"а\\\"\",\"count\":1}\n\n\
         event: keep-alive\ndata: 15000\n\n"
    );
    let other = counter.join_by("/events?room=%D0%B0%22").await;
    assert_eq!(told(&several.next().await.expect("news")), of([("а\"", 2)]));
    drop(other);
    assert_eq!(told(&several.next().await.expect("news")), of([("а\"", 1)]));
    let (streams, joins) = (counter.rooms.tally().streams.get(), counter.rooms.tally().joins.get());
    assert_eq!((streams, joins), (2, 3), "a stream is one, whatever its rooms");
}

#[tokio::test(start_paused = true)]
async fn whoever_observes_several_rooms_is_in_none_of_them() {
    let counter = Counter::new(Options { max_streams: 2, ..Default::default() });
    let mut observer = counter.join_by("/events?room=a&room=b&observe=1").await;
    let first = observer.next().await.expect("a first frame");
    assert_eq!(told(&first), of([("a", 0), ("b", 0)]));
    assert!(!first.contains("\nid:"));
    let visitor = counter.join_by("/events?room=b").await;
    assert_eq!(told(&observer.next().await.expect("news")), of([("b", 1)]));
    drop(visitor);
    assert_eq!(told(&observer.next().await.expect("news")), of([("b", 0)]));
    drop(observer);
    sleep(Duration::from_millis(1)).await;
    assert!(counter.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_returns_for_other_rooms_keeps_the_seat_and_the_place() {
    let options = Options { max_streams: 1, max_rooms_per_ip: Some(2), ..Default::default() };
    let counter = Counter::new(options);
    let mut old = counter.join_by("/events?room=a&room=b").await;
    let (_, token, _) = old.first().await;
    let mut back = counter.join_by(&format!("/events?room=b&room=c&lastEventID={token}")).await;
    let (_, same_token, events) = back.first().await;
    assert_eq!((same_token, told(&events)), (token.clone(), of([("b", 1), ("c", 1)])));
    assert_eq!(old.next().await, None, "the old stream is ended");
    let counts = |rooms: [&str; 4]| {
        rooms.map(|room| counter.rooms.count(&Name::new(room).expect("a good name")))
    };
    assert_eq!(counts(["a", "b", "c", "d"]), [0, 1, 1, 0]);
    // And for one room alone, of which it is told like anybody else.
    let mut alone = counter.join_by(&format!("/events?room=d&lastEventID={token}")).await;
    assert_eq!(alone.first().await.2, user_count(1));
    assert_eq!(back.next().await, None);
    assert_eq!(counts(["a", "b", "c", "d"]), [0, 0, 0, 1]);
    drop(alone);
    sleep(Duration::from_millis(1)).await;
    assert!(counter.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_seat_in_several_rooms_waits_in_each_of_them() {
    let counter = Counter::new(Options::default());
    let mut observer = counter.join_by("/events?room=a&room=b&room=c&observe=1").await;
    observer.next().await;
    for (rooms, changed) in [
        ("room=a&room=b", of([("a", 1), ("b", 1)])),
        ("room=b&room=a", of([])),
        // The client that comes has the seat, and with it leaves a room and enters another.
        ("room=b&room=c", of([("c", 1), ("a", 0)])),
        ("room=c", of([("b", 0)])),
    ] {
        drop(counter.join_by(&format!("/events?hold=1&{rooms}")).await);
        sleep(HOLD / 2).await;
        let mut told_of = Vec::new();
        while let Ok(frame) = timeout(Duration::from_millis(1), observer.next()).await {
            told_of.extend(told(&frame.expect("the stream goes on")));
        }
        assert_eq!(told_of, changed, "{rooms}");
    }
    sleep(HOLD).await;
    assert_eq!(told(&observer.next().await.expect("news")), of([("c", 0)]));
}

#[tokio::test(start_paused = true)]
async fn a_seat_in_several_rooms_is_kept_when_its_stream_got_too_old() {
    let age = Duration::from_secs(60);
    let options = Options { max_age: Some(age), max_streams: 1, ..Default::default() };
    let counter = Counter::new(options);
    let mut stream = counter.join_by("/events?room=a&room=b").await;
    let (_, token, _) = stream.first().await;
    while stream.next().await.is_some() {}
    drop(stream);
    let count = |room| counter.rooms.count(&Name::new(room).expect("a good name"));
    assert_eq!((count("a"), count("b")), (1, 1));
    assert_eq!(counter.ask(None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let _back = counter.join_by(&format!("/events?room=b&lastEventID={token}")).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!((count("a"), count("b")), (0, 1));
    sleep(age / 2).await;
    assert_eq!((count("a"), count("b")), (0, 1), "its client is back");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_several_rooms_gets_the_newest_of_each() {
    let counter = Counter::new(Options::default());
    let mut slow = counter.join_by("/events?room=a&room=b").await;
    slow.next().await;
    let mut others = Vec::new();
    others.push(counter.join_by("/events?room=a").await);
    for _ in 0..60 {
        others.push(counter.join_by("/events?room=b").await);
        sleep(Duration::from_millis(1)).await;
    }
    let mut newest = std::collections::BTreeMap::new();
    while let Ok(frame) = timeout(Duration::from_millis(1), slow.next()).await {
        newest.extend(told(&frame.expect("the stream goes on")));
    }
    assert_eq!(newest.into_iter().collect::<Vec<_>>(), of([("a", 2), ("b", 61)]));
}

#[tokio::test]
async fn a_list_of_rooms_that_can_not_be_had_changes_nothing() {
    let counter = Counter::of(Rooms::new(2), Options::default());
    let mut stream = counter.join_by("/events?room=a").await;
    let (_, token, _) = stream.first().await;
    let many = (0..33).map(|nth| format!("room={nth}")).collect::<Vec<_>>().join("&");
    for (query, error) in [
        ("room=a&room=a", "same room twice"),
        ("room=b&room=", "name"),
        (&many, "at most 32 rooms"),
        ("room=b&room=c", "limit on rooms"),
        ("room=b&room=c&observe=1", "limit on rooms"),
        (&format!("room=a&room=b&room=c&lastEventID={token}"), "limit on rooms"),
    ] {
        let mut refused = counter.join_by(&format!("/events?{query}")).await;
        let message = refused.next().await.expect("an error");
        assert!(message.contains(error), "{query}: {message}");
        assert_eq!(counter.rooms.counts(), [(Name::new("a").expect("a good name"), 1)]);
        assert_eq!(counter.rooms.tally().changes.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_told_when_the_numbers_begin_and_cease_to_be_partial() {
    let counter = Counter::new(Options::default());
    let partial = |is_partial: bool| format!("event: partial\ndata: {is_partial}\n\n");
    let mut silent = counter.join_by("/events?tell=keep-alive").await;
    silent.next().await;
    let mut early = counter.join_by("/events?tell=partial").await;
    assert_eq!(early.first().await.2, user_count(2), "nothing is said while they are whole");
    assert_eq!(silent.next().await, Some(user_count(2)));
    let doubt = counter.rooms.doubt();
    assert_eq!(early.next().await, Some(partial(true)));
    let mut late = counter.join_by("/events?room=a&room=b&tell=keep-alive,partial").await;
    let first = late.next().await.expect("a first frame");
    let told = ["a", "b"]
        .map(|room| format!("event: user count\ndata: {{\"room\":\"{room}\",\"count\":1}}\n\n"));
    let keep_alive = "event: keep-alive\ndata: 15000\n\n";
    let all = format!("{}{}{keep_alive}", partial(true), told.concat());
    assert_eq!(first.splitn(3, '\n').nth(2), Some(&*all), "before the first number");
    // A room that nobody was in, and a fan-out that was there before.
    let mut alone = counter.join_by("/events?room=c&tell=partial").await;
    assert_eq!(alone.first().await.2, format!("{}{}", partial(true), user_count(1)));
    let mut unasked = counter.join_by("/events?room=d").await;
    assert_eq!(unasked.first().await.2, user_count(1), "it did not ask");
    drop(doubt);
    for stream in [&mut early, &mut late, &mut alone] {
        assert_eq!(stream.next().await, Some(partial(false)));
    }
    let _more = counter.join().await;
    assert_eq!(early.next().await, Some(user_count(3)));
    assert_eq!(silent.next().await, Some(user_count(3)), "it did not ask");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_while_doubt_comes_and_goes_is_told_the_truth_last() {
    let counter = Counter::new(Options::default());
    for _ in 0..20 {
        let doubt = counter.rooms.doubt();
        let mut opened = Vec::new();
        for room in ["a", "b", "a"] {
            opened.push(counter.join_by(&format!("/events?room={room}&tell=partial")).await);
        }
        drop(doubt);
        for room in ["a", "b", "c"] {
            opened.push(counter.join_by(&format!("/events?room={room}&tell=partial")).await);
        }
        for stream in &mut opened {
            let mut is_partial = false;
            while let Ok(frame) = timeout(Duration::from_millis(1), stream.next()).await {
                let frame = frame.expect("the stream goes on");
                if let Some((_, said)) = frame.rsplit_once("event: partial\ndata: ") {
                    is_partial = said == "true\n\n";
                }
            }
            assert!(!is_partial);
        }
    }
}
