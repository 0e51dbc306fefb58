//! One connection, from its first byte to its last.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use super::socket::Socket;
use crate::ending::Reason;

/// How long a client may take to send a request's head, and how long a kept
/// connection may stay idle before the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the requests of one client until it leaves or the drain ends it.
pub(super) async fn serve(socket: Socket, app: Router, drain: CancellationToken) {
    let ending = socket.ending();
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (ending, asked) = (ending.clone(), asked.clone());
        move |mut request| {
            asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ending.clone());
            app.clone().call(request)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));

    let ended = match drain.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        // Half a request, or none at all: nobody is owed an answer.
        None if !asked.load(Ordering::Relaxed) => return,
        None => {
            // Noted here too: a stream that isn't read is never asked for more,
            // and could not say so itself.
            ending.note(Reason::Shutdown);
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection failed");
    }
}
