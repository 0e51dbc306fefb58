//! The router inside another app: `examples/nested.rs`.

#[expect(dead_code, reason = "its main is not called")]
#[path = "../examples/nested.rs"]
mod example;

use headcount::{Options, Rooms};

use crate::support::{Client, Server, Stream, until};

async fn start() -> Server {
    let (rooms, options) = (Rooms::default(), Options::default());
    Server::serve(example::app(rooms.clone(), options.clone()), rooms, options).await
}

#[tokio::test]
async fn a_nested_counter_counts_and_shares_its_rooms_with_the_app() {
    let server = start().await;
    let mut stream = Stream::of(Client::connect(server.address).await, "/live/events").await;
    assert_eq!(stream.number().await, 1);
    let home = Client::ask(server.address, "GET", "/", "").await;
    assert_eq!(home.body, "1 watching\n");
    let count = Client::ask(server.address, "GET", "/live/count", "").await;
    assert_eq!(count.body, r#"{"room":"lobby","count":1}"#);
    drop(stream);
    until("nobody", 0, async || server.rooms.count(&Default::default())).await;
}

#[tokio::test]
async fn the_nested_page_is_where_its_links_work() {
    let server = start().await;
    let answer = Client::ask(server.address, "GET", "/live?room=a", "").await;
    assert_eq!(answer.head.status, 307);
    assert_eq!(answer.head.header("location"), Some("./live/index.html?room=a"));
    for (path, kind) in [
        ("/live/index.html", "text/html"),
        ("/live/public/", "text/html"),
        ("/live/client.js", "text/javascript"),
        ("/live/public/style.css", "text/css"),
    ] {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_eq!(answer.head.status, 200, "{path}");
        assert!(answer.head.header("content-type").is_some_and(|t| t.starts_with(kind)), "{path}");
    }
    let answer = Client::ask(server.address, "GET", "/live/nope", "").await;
    assert_eq!(answer.head.status, 404);
    assert!(answer.body.starts_with(r#"{"error":"#), "{}", answer.body);
}

/// The same app on `axum::serve`, as the example itself runs it.
#[tokio::test]
async fn under_axums_own_server_streams_are_counted_and_drained() {
    let (rooms, options) = (Rooms::default(), Options::default());
    let drain = options.drain.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let app = example::app(rooms.clone(), options);
    let stop = drain.clone().cancelled_owned();
    let server =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stop).into_future());

    let mut first = Stream::of(Client::connect(address).await, "/live/events").await;
    let second = Stream::of(Client::connect(address).await, "/live/events").await;
    first.reach(2).await;
    drop(second);
    first.reach(1).await;
    drain.cancel();
    while first.event().await.is_some() {}
    crate::support::soon("axum's graceful shutdown", server).await.expect("no panic").expect("ok");
    assert!(rooms.is_empty());
}
