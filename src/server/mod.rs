//! What a connection meets: the socket and its options, hyper, and the drain.

mod connection;
mod socket;

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use socket::Socket;

/// How long to wait before the next accept when the process or the system has
/// no file descriptor left: there is nothing to do but let some close.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The times that bound a connection's life.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub user: Duration,
    /// How long a drain waits for connections that do not end.
    pub shutdown_grace: Duration,
}

/// Serves `app` to every connection of `listener` until `drain` is cancelled,
/// and returns when all connections have ended, at the latest after the grace.
///
/// `app` is to end its own streams on the same `drain`.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    timeouts: Timeouts,
    drain: CancellationToken,
) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some(accepted) = drain.run_until_cancelled(listener.accept()).await {
        match accepted.and_then(|(tcp, _)| Socket::new(tcp, timeouts.user)) {
            Ok(socket) => {
                let connection = connection::serve(socket, app.clone(), drain.clone());
                connections.spawn(cut.clone().run_until_cancelled_owned(connection));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept a connection; pausing for {ACCEPT_PAUSE:?}");
                drain.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    info!(connections = connections.len(), "stopping");
    if tokio::time::timeout(timeouts.shutdown_grace, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "the grace is over; cutting what is still open");
        cut.cancel();
        connections.wait().await;
    }
}

/// Whether an error tells of a client that left before it was accepted, which
/// says nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
    )
}
