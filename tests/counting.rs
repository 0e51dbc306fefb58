//! Who comes and goes is counted, and everyone is told.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Client, Server, Stream, soon, until};

#[tokio::test]
async fn three_come_and_two_go() {
    let server = Server::start().await;
    let mut first = Stream::open(server.address).await;
    assert_eq!(first.number().await, 1);
    let mut second = Stream::open(server.address).await;
    assert_eq!(first.number().await, 2);
    let third = Stream::open(server.address).await;
    assert_eq!(first.number().await, 3);
    drop(third);
    assert_eq!(first.number().await, 2);
    assert_eq!([second.number().await, second.number().await, second.number().await], [2, 3, 2]);
    drop(second);
    assert_eq!(first.number().await, 1);
    drop(first);
    until("an empty registry", true, async || server.rooms.is_empty()).await;
}

#[tokio::test]
async fn the_stream_is_byte_for_byte_the_contracts() {
    let server = Server::start().await;
    let _first = Stream::open(server.address).await;
    let _second = Stream::open(server.address).await;
    let mut third = Stream::open(server.address).await;

    assert_eq!(third.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(third.head.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(third.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(third.head.header("connection"), Some("close"));

    let event = third.event().await.expect("its own arrival");
    let lines: Vec<_> = event.split('\n').collect();
    let ["event: user count", "data: 3", "", ""] = lines[2..] else { panic!("{event:?}") };
    let retry: u64 = lines[0].strip_prefix("retry: ").and_then(|n| n.parse().ok()).expect("retry");
    assert!((2000..=5000).contains(&retry), "{retry}");
    let token = lines[1].strip_prefix("id: ").expect("an id");
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");

    drop(_second);
    assert_eq!(third.event().await.as_deref(), Some("event: user count\ndata: 2\n\n"));
}

#[tokio::test]
async fn every_stream_has_a_token_and_a_delay_of_its_own() {
    let server = Server::start().await;
    let mut heads = std::collections::HashSet::new();
    for _ in 0..10 {
        let mut stream = Stream::open(server.address).await;
        let event = stream.event().await.expect("its own arrival");
        let mut lines = event.lines().map(str::to_owned);
        heads.extend([lines.next(), lines.next()]);
    }
    // Ten tokens, and of ten delays among 3,001 not all the same.
    assert!(heads.len() > 11, "{heads:?}");
}

#[tokio::test]
async fn however_a_connection_ends_it_is_uncounted() {
    let server = Server::start().await;
    let mut observer = Stream::open(server.address).await;
    observer.reach(1).await;

    let closed = Stream::open(server.address).await;
    observer.reach(2).await;
    drop(closed);
    observer.reach(1).await;

    let reset = Stream::open(server.address).await;
    observer.reach(2).await;
    reset.reset();
    observer.reach(1).await;

    let mut half_closed = Stream::open(server.address).await;
    observer.reach(2).await;
    half_closed.half_close().await;
    observer.reach(1).await;
}

#[tokio::test]
async fn a_client_killed_with_sigkill_is_uncounted() {
    let server = Server::start().await;
    let mut observer = Stream::open(server.address).await;
    observer.reach(1).await;

    let mut curl = Command::new("curl");
    curl.args(["-sN", &format!("http://{}/events", server.address)]);
    let mut curl = curl.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("curl runs");
    let mut said = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
    while soon("curl's own arrival", said.next_line()).await.expect("text").expect("a line")
        != "data: 2"
    {}
    observer.reach(2).await;
    curl.kill().await.expect("it ran");
    observer.reach(1).await;
}

#[tokio::test]
async fn rooms_are_counted_apart() {
    let server = Server::start().await;
    let mut a = Stream::of(Client::connect(server.address).await, "/events?room=a").await;
    assert_eq!(a.number().await, 1);
    let mut b = Stream::of(Client::connect(server.address).await, "/events?room=b").await;
    assert_eq!(b.number().await, 1);
    let _a2 = Stream::of(Client::connect(server.address).await, "/events?room=a&x=b").await;
    assert_eq!(a.number().await, 2);
    assert_eq!(Client::count(server.address, "a").await, 2);
    assert_eq!(Client::count(server.address, "b").await, 1);
    assert_eq!(Client::count(server.address, "lobby").await, 0);
    assert_eq!(server.rooms.len(), 2);
}

#[tokio::test]
async fn silence_is_broken_by_saying_the_count_again() {
    let options = headcount::Options {
        keep_alive: std::time::Duration::from_millis(100),
        ..Default::default()
    };
    let server = Server::with(options).await;
    let mut stream = Stream::open(server.address).await;
    assert_eq!(stream.number().await, 1);
    for _ in 0..3 {
        assert_eq!(stream.event().await.as_deref(), Some("event: user count\ndata: 1\n\n"));
    }
}

#[tokio::test]
async fn a_drain_ends_every_stream_as_http_wants_it() {
    let server = Server::start().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(Stream::open(server.address).await);
    }
    let rooms = server.rooms.clone();
    server.stop().await;
    for stream in &mut streams {
        while stream.event().await.is_some() {}
    }
    assert!(rooms.is_empty());
}
