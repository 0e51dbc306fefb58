//! A panic is one connection's end, and nobody else's.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use headcount::{Ending, Name, Options, Rooms, router};

use crate::support::{Client, Server, Stream, until};

/// The counter, and beside it two routes that join the same room and panic: one
/// in its handler, one in its stream.
async fn start() -> Server {
    let (rooms, options) = (Rooms::default(), Options::default());
    let drain = options.drain.clone();
    let join = |rooms: &Rooms| rooms.join(&Name::default(), Ending::default()).expect("a room").0;
    let (in_handler, in_stream) = (rooms.clone(), rooms.clone());
    let app = Router::new()
        .route(
            "/handler",
            get(async move || {
                let _presence = join(&in_handler);
                if in_handler.count(&Name::default()) > 0 {
                    panic!("on purpose, in a handler");
                }
            }),
        )
        .route(
            "/stream",
            get(async move || {
                let presence = join(&in_stream);
                Body::from_stream(async_stream::stream! {
                    yield Ok::<_, std::io::Error>(Bytes::from("one"));
                    if presence.rooms().any(Name::is_default) {
                        panic!("on purpose, in a stream");
                    }
                })
            }),
        )
        .merge(router(rooms.clone(), options));
    Server::serve(app, rooms, drain).await
}

#[tokio::test]
async fn after_a_panic_the_count_is_right_and_the_server_goes_on() {
    let server = start().await;
    let mut observer = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 1);
    for path in ["/handler", "/stream"] {
        let mut client = Client::connect(server.address).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await;
        // Whatever it got, the connection is closed.
        client.rest().await;
        until("only the observer", 1, async || Client::count(server.address, "lobby").await).await;
        assert_eq!([observer.number().await, observer.number().await], [2, 1]);
    }
    let _second = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 2);
}
