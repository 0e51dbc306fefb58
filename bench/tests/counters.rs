//! The counters that are built here do count, as the load client sees it; and it speaks
//! TLS and HTTP/2 with Node.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use headcount_bench::certificate::{Certificate, Key};
use headcount_bench::load::{Handshake, Load, Protocol};
use headcount_bench::peers::peer;
use headcount_bench::way::Way;

/// No wait takes nearly as long unless something is wrong.
const LIMIT: Duration = Duration::from_secs(20);

struct Counter {
    child: Child,
    address: SocketAddr,
}

impl Counter {
    fn start(program: &str) -> Self {
        Self::start_with(|address| {
            let mut command = Command::new(program);
            command.args(["--listen", &address.to_string()]);
            command
        })
    }

    /// On a port that is free, unless another program is faster: then on another.
    fn start_with(command: impl Fn(SocketAddr) -> Command) -> Self {
        let deadline = Instant::now() + LIMIT;
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            drop(listener);
            let mut counter = Self { child: command(address).spawn().expect("it starts"), address };
            while counter.child.try_wait().expect("it is ours").is_none() {
                if TcpStream::connect(address).is_ok() {
                    return counter;
                }
                assert!(Instant::now() < deadline, "it does not listen");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(Instant::now() < deadline, "it ends each time that it is started");
        }
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
    counts_for(Load::new(counter.address, Protocol::EventStream).expect("a load"), 500);
}

fn counts_for(mut load: Load, crowd: usize) {
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
    load.watch(crowd);
    load.fill("/events", crowd, usize::MAX, LIMIT).expect("a crowd");
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

/// Node's peer, on one of the ways, and a load client for it.
fn node(way: Way, handshake: Handshake) -> (Counter, Load) {
    let node = peer("node-sse").expect("a peer");
    let certificate = way.has_tls().then(|| Certificate::new(Key::P256).expect("a certificate"));
    let counter =
        Counter::start_with(|address| node.command(address, 500, way, certificate.as_ref()));
    let protocol = node.protocol(way);
    let load = if way.has_tls() {
        Load::over_tls(counter.address, protocol, handshake)
    } else {
        Load::new(counter.address, protocol)
    };
    (counter, load.expect("a load"))
}

#[test]
fn the_load_client_is_told_by_whichever_way_it_comes() {
    for way in [Way::Http1, Way::TlsHttp1, Way::Http2, Way::TlsHttp2] {
        let (_counter, load) = node(way, Handshake::Resumed);
        counts_for(load, 100);
    }
}

#[test]
fn a_hundred_streams_on_one_connection_are_told_each() {
    let (_counter, mut load) = node(Way::SharedHttp2, Handshake::Full);
    load.watch(200);
    load.fill("/events", 200, usize::MAX, LIMIT).expect("two connections");
    load.until_all_know(LIMIT).expect("every stream is told");
    assert_eq!(load.told().latencies().len(), 200);
    load.watch(100);
    load.close_all_but_the_first();
    load.until_all_know(LIMIT).expect("the others are told that a hundred left");
}

#[test]
fn a_connection_waits_with_its_request() {
    for way in [Way::TlsHttp1, Way::Http2, Way::TlsHttp2] {
        let (_counter, mut load) = node(way, Handshake::Full);
        let key = load.connect(LIMIT).expect("a connection");
        assert_eq!(load.told().silent(), 1);
        load.watch(1);
        load.ask(key, &load.request("/events")).expect("sent");
        load.until_all_know(LIMIT).expect("told");
    }
}

#[test]
fn a_client_with_tickets_resumes_and_one_without_does_not() {
    for (handshake, resumed) in [(Handshake::Resumed, 2), (Handshake::Full, 0)] {
        let (_counter, mut load) = node(Way::TlsHttp2, handshake);
        for visitor in 1..=4 {
            if visitor == 3 {
                assert_eq!(load.resumed(), 0);
                load.use_tickets();
            }
            load.watch(visitor);
            load.open(load.request("/events")).expect("a connection");
            load.until_all_know(LIMIT).expect("told");
        }
        assert_eq!(load.resumed(), resumed, "{handshake:?}");
    }
}

#[test]
fn a_server_that_has_no_http2_over_tls_is_an_error() {
    let (counter, _load) = node(Way::TlsHttp1, Handshake::Full);
    let protocol = Protocol::Http2 { streams: 1 };
    let mut load = Load::over_tls(counter.address, protocol, Handshake::Full).expect("a load");
    let failure = load.fill("/events", 1, 1, LIMIT).expect_err("HTTP/1.1 alone");
    let said = format!("{failure:#}");
    assert!(said.contains("ALPN") || said.contains("NoApplicationProtocol"), "{said}");
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
