//! What a connection meets: the socket and its options, its protocol, and the drain.

mod connection;
mod connections;
mod descriptors;
mod fanout;
mod http1;
mod http2;
mod linger;
mod protocol;
mod settings;
mod socket;
mod stream;
mod subscriber;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use connections::Connections;
pub use descriptors::{Descriptors, raise as raise_descriptors};
pub use settings::Settings;
pub use tls::{Tls, TlsError};

/// How long to wait before the next accept when the process or the system has
/// no file descriptor left: there is nothing to do but let some close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves `app` to every connection of `listener` until `drain` is cancelled,
/// and returns when all connections have ended, at the latest after the grace.
///
/// `app` is to end its own streams on the same `drain`. While it does, new
/// connections are answered once each and closed: whoever watches over the
/// process shall see that it is not ready.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    settings: Settings,
    drain: CancellationToken,
) {
    let grace = settings.shutdown_grace;
    let open = Connections::new(app, settings, drain.clone());
    drain.run_until_cancelled(accept(&listener, &open)).await;

    let deadline = Instant::now() + grace;
    info!(connections = open.tasks.len(), "stopping");
    open.tasks.close();
    let late = open.late();
    tokio::select! {
        biased;
        () = open.tasks.wait() => {}
        () = sleep_until(deadline) => {
            let connections = open.tasks.len();
            warn!(connections, "the grace is over; cutting what is still open");
        }
        () = accept(&listener, &late) => {}
    }
    drop(listener);
    open.cut().await;
    late.cut().await;
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) {
    let mut exhausted = false;
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                if std::mem::take(&mut exhausted) {
                    info!("connections are accepted again");
                }
                connection::spawn(connections.clone(), tcp, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut exhausted, true) {
                    warn!(%error, "cannot accept connections; trying again until it works");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
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
    )
}
