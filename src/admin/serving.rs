//! The connections to the operator's listener: HTTP/1, one answer each.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tower::Service;

use super::address::Listener;

/// How many connections may be open; for one more the oldest is closed.
const MAX_CONNECTIONS: usize = 32;

/// How long a client may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may last.
const MAX_TIME: Duration = Duration::from_secs(30);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Answers for ever. It is to be called in the runtime that is to do so.
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
    let mut open = VecDeque::<AbortHandle>::new();
    loop {
        // It tries again by itself when the system has no descriptor left.
        let (io, _peer) = listener.accept().await;
        open.retain(|connection| !connection.is_finished());
        if open.len() == MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let answering = timeout(MAX_TIME, answer(io, app.clone()));
        open.push_back(tokio::spawn(answering).abort_handle());
    }
}

async fn answer(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, app: Router) {
    let service = service_fn(move |request| app.clone().call(request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // Prometheus and probes ask too seldom to keep a connection for them.
    builder.max_buf_size(MAX_HEAD).keep_alive(false);
    let _left_or_answered = builder.serve_connection(TokioIo::new(io), service).await;
}
