//! The connections to the operator's listener: HTTP/1, one request each.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, yield_now};
use tower::Service;

use super::address::Listener;
use super::lease::Lease;

/// How many connections may be open, besides feeds. A further one replaces the oldest one that
/// has not sent its request or, if all have, the oldest one.
const MAX_CONNECTIONS: usize = 32;

/// How long a client may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Answers forever. Must be called in the runtime that will run the future.
pub(super) fn serve(
    listener: Listener,
    app: Router,
) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    Ok(match listener {
        Listener::Tcp(listener) => Box::pin(accept(TcpListener::from_std(listener)?, app)),
        Listener::Unix(listener) => Box::pin(accept(UnixListener::from_std(listener)?, app)),
    })
}

async fn accept(mut listener: impl axum::serve::Listener, app: Router) {
    let mut open = VecDeque::<(AbortHandle, Lease)>::new();
    loop {
        // This tries again by itself when the system has no descriptor left.
        let (io, _peer) = listener.accept().await;
        // Feeds have a limit of their own: new connections don't close them, and they don't
        // keep others out.
        open.retain(|(connection, lease)| !connection.is_finished() && !lease.is_feed());
        if open.len() == MAX_CONNECTIONS {
            let idle = open.iter().position(|(_, lease)| !lease.has_asked());
            if let Some((closed, _)) = open.remove(idle.unwrap_or_default()) {
                closed.abort();
            }
        }
        let lease = Lease::new();
        let answering = answer(io, app.clone(), lease.clone());
        open.push_back((tokio::spawn(answering).abort_handle(), lease));
        // Lets requests that have arrived be noted before the next connection comes.
        yield_now().await;
    }
}

async fn answer(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    app: Router,
    lease: Lease,
) {
    let of_request = lease.clone();
    let service = service_fn(move |mut request: Request<_>| {
        of_request.ask();
        request.extensions_mut().insert(of_request.clone());
        app.clone().call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // Prometheus and probes ask too seldom to keep a connection for them.
    builder.max_buf_size(MAX_HEAD).keep_alive(false);
    tokio::select! {
        _left_or_answered = builder.serve_connection(TokioIo::new(io), service) => {}
        () = lease.end() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::TERM;
    use super::*;
    use async_stream::stream;
    use axum::Extension;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep, timeout};

    /// A feed with a frame of a kilobyte each second.
    async fn feed(Extension(lease): Extension<Lease>) -> Body {
        Body::from_stream(stream! {
            loop {
                lease.renew();
                yield Ok::<_, Infallible>(Bytes::from(vec![b'a'; 1000]));
                sleep(Duration::from_secs(1)).await;
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_lasts_while_it_is_read_and_a_term_longer() {
        let (mut client, server) = duplex(1000);
        let app = Router::new().route("/", get(feed));
        let answering = tokio::spawn(answer(server, app, Lease::new()));
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it is there");
        let mut frames = vec![0; 300 * 1000];
        client.read_exact(&mut frames).await.expect("it lasts for five minutes");
        let start = Instant::now();
        // The buffers still take what is on its way, so it takes a little longer.
        timeout(TERM * 3, answering).await.expect("in time").expect("no panic");
        assert!(start.elapsed() >= TERM);
    }
}
