//! The counters that are built here do count, as the load client sees it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use headcount_bench::load::{Load, Protocol};

/// No wait takes nearly as long unless something is wrong.
const LIMIT: Duration = Duration::from_secs(20);

struct Counter {
    child: Child,
    address: SocketAddr,
}

impl Counter {
    fn start(program: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut command = Command::new(program);
        let child = command.args(["--listen", &address.to_string()]).spawn().expect("it starts");
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, address }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counts(program: &str) {
    let counter = Counter::start(program);
    let mut load = Load::new(counter.address, Protocol::EventStream).expect("a load");
    let request = load.request("/events");
    let mut visitors = Vec::new();
    for visitor in 1..=20 {
        load.watch(visitor);
        visitors.push(load.open(request.clone()).expect("a connection"));
        load.until_all_know(LIMIT).expect("everybody is told of a join");
    }
    for left in (1..visitors.len()).rev() {
        load.watch(left);
        load.close(visitors[left]);
        load.until_all_know(LIMIT).expect("everybody is told of a leave");
    }
    // And a crowd at once.
    load.watch(500);
    load.fill("/events", 500, usize::MAX, LIMIT).expect("a crowd");
    load.until_all_know(LIMIT).expect("everybody is told of everybody");
    load.watch(1);
    load.close_all_but_the_first();
    load.until_all_know(LIMIT).expect("who stays is told");
    assert_eq!(load.told().open(), 1);
}

#[test]
fn the_floor_counts() {
    counts(env!("CARGO_BIN_EXE_floor"));
}

#[test]
fn plain_axum_counts() {
    counts(env!("CARGO_BIN_EXE_plain"));
}

#[test]
fn the_floor_reads_a_request_in_pieces_and_says_what_headcount_says() {
    use std::io::{Read as _, Write as _};
    let counter = Counter::start(env!("CARGO_BIN_EXE_floor"));
    let mut client = TcpStream::connect(counter.address).expect("a connection");
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    for piece in ["GET /events HTTP/1.1\r\nhost: test\r", "\n\r", "\n"] {
        client.write_all(piece.as_bytes()).expect("sent");
    }
    let expected = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n\
        4c\r\nretry: 3172\nid: 5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6\nevent: user count\ndata: 1\n\n\r\n";
    let mut said = vec![0; expected.len()];
    client.read_exact(&mut said).expect("the first event");
    assert_eq!(String::from_utf8_lossy(&said), expected);

    let mut second = TcpStream::connect(counter.address).expect("a connection");
    second.write_all(b"GET /events HTTP/1.1\r\n\r\n").expect("sent");
    let expected = "1b\r\nevent: user count\ndata: 2\n\n\r\n";
    let mut said = vec![0; expected.len()];
    client.read_exact(&mut said).expect("the second event");
    assert_eq!(String::from_utf8_lossy(&said), expected);
}
