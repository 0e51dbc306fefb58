//! The binary: how it stops.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::support::{Client, Headcount, Stream, soon};

#[tokio::test]
async fn sigterm_and_ctrl_c_end_the_streams_cleanly_and_exit_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut headcount = Headcount::start(&[]).await;
        let mut streams = Vec::new();
        for n in 1..=3 {
            let mut stream = Stream::open(headcount.address).await;
            stream.reach(n).await;
            streams.push(stream);
        }
        headcount.signal(signal);
        for stream in &mut streams {
            while stream.event().await.is_some() {}
        }
        assert_eq!(headcount.ended().await.code(), Some(0), "{signal}");
        for _ in 0..3 {
            assert_eq!(headcount.logged("user disconnected").await["reason"], "shutdown");
        }
    }
}

#[tokio::test]
async fn curl_exits_0_when_the_server_stops() {
    let mut headcount = Headcount::start(&[]).await;
    let mut curl = Command::new("curl");
    curl.args(["-sN", &format!("http://{}/events", headcount.address)]);
    let curl = curl.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("curl runs");
    headcount.logged("user connected").await;
    headcount.signal(Signal::SIGTERM);
    let curl = soon("curl's end", curl.wait_with_output()).await.expect("its output");
    assert_eq!(curl.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&curl.stdout).contains("data: 1\n"));
    assert_eq!(headcount.ended().await.code(), Some(0));
}

/// With a grace of an hour, whoever the stop waited for would fail this test.
#[tokio::test]
async fn connections_that_are_owed_nothing_do_not_hold_the_stop() {
    let mut headcount = Headcount::start(&["--shutdown-grace", "1h"]).await;
    let _silent = Client::connect(headcount.address).await;
    let mut half_a_request = Client::connect(headcount.address).await;
    half_a_request.send(b"GET /events HTTP/1.1\r\nHost:").await;
    let mut kept = Client::connect(headcount.address).await;
    assert_eq!(kept.request("HEAD", "/healthz", "").await.status, 200);
    let mut kept_and_half = Client::connect(headcount.address).await;
    assert_eq!(kept_and_half.request("HEAD", "/healthz", "").await.status, 200);
    kept_and_half.send(b"GET / HT").await;

    headcount.signal(Signal::SIGTERM);
    assert_eq!(headcount.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_after_the_grace() {
    let mut headcount = Headcount::start(&["--shutdown-grace", "300ms"]).await;
    let _stuffed = stuffed(&headcount).await;
    headcount.signal(Signal::SIGTERM);
    headcount.logged("the grace is over; cutting what is still open").await;
    assert_eq!(headcount.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let mut headcount = Headcount::start(&["--shutdown-grace", "1h"]).await;
    let _stuffed = stuffed(&headcount).await;
    headcount.signal(Signal::SIGTERM);
    headcount.logged("stopping").await;
    headcount.signal(Signal::SIGINT);
    let status = headcount.ended().await;
    assert_eq!((status.code(), status.signal()), (Some(130), None));
}

/// A connection that asks for much and reads nothing, so that the server's
/// answers are stuck in its buffers.
async fn stuffed(headcount: &Headcount) -> Client {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small buffer");
    let tcp = socket.connect(headcount.address).await.expect("a connection");
    tcp.set_nodelay(true).expect("an open socket");
    let request = b"GET /client.js HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    // Until the server takes no more requests, for it can't get rid of answers.
    let stuck = std::time::Duration::from_millis(300);
    loop {
        let ready = tokio::time::timeout(stuck, tcp.writable()).await;
        if ready.is_err() {
            return Client::over(tcp);
        }
        let _would_block = tcp.try_write(&request);
    }
}
