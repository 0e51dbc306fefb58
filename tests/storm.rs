//! Hundreds of clients at random; readers that are slow.

use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{Client, Server, Stream, soon, until};

const CLIENTS: usize = 300;

/// Opens and closes at random until `end`, and keeps its stream or not at random.
async fn come_and_go(server: std::net::SocketAddr, end: Instant) -> Option<Stream> {
    loop {
        let mut stream = Stream::open(server).await;
        stream.number().await;
        let (stay, how) = (rand::random_range(0..100), rand::random_range(0..3));
        sleep(Duration::from_millis(stay)).await;
        if Instant::now() >= end && how == 0 {
            return Some(stream);
        }
        if how == 1 {
            stream.reset();
        }
        if Instant::now() >= end {
            return None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_at_random_end_in_exactly_zero() {
    let server = Server::start().await;
    let mut observer = Stream::open(server.address).await;
    for _ in 0..3 {
        let end = Instant::now() + Duration::from_secs(1);
        let mut storm = JoinSet::new();
        for _ in 0..CLIENTS {
            storm.spawn(come_and_go(server.address, end));
        }
        let ended = soon("the end of the storm", storm.join_all()).await;
        let mut stayed: Vec<_> = ended.into_iter().flatten().collect();
        let expected = 1 + stayed.len();
        until("the count of those who stayed", expected, async || {
            Client::count(server.address, "lobby").await
        })
        .await;
        observer.reach(expected).await;
        for stream in &mut stayed {
            stream.reach(expected).await;
        }
        drop(stayed);
        observer.reach(1).await;
    }
    drop(observer);
    until("a count of zero", 0, async || Client::count(server.address, "lobby").await).await;
    // The leave that empties the room removes it, a little after the count says so.
    until("rooms left behind", 0, async || server.rooms.len()).await;
}

#[tokio::test]
async fn a_slow_reader_resumes_with_the_newest_number_and_slows_nobody() {
    const CHANGES: usize = 20_000;
    let server = Server::start().await;
    // A window of some 2 kB: what the reader does not take soon waits in the server.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small buffer");
    let tcp = socket.connect(server.address).await.expect("a connection");
    let mut slow = Stream::of(Client::over(tcp), "/events").await;
    let mut quick = Stream::open(server.address).await;
    quick.reach(2).await;

    let lobby = headcount::Name::default();
    for _ in 0..CHANGES / 2 {
        drop(server.rooms.join(&lobby, Default::default()));
        tokio::task::yield_now().await;
    }
    let _stay: Vec<_> = (0..5).map(|_| server.rooms.join(&lobby, Default::default())).collect();

    quick.reach(7).await;
    let events = slow.reach(7).await;
    assert!(events < CHANGES / 10, "{events} events: the old numbers were kept for it");
}
