//! One connection, from its accept to the protocol that it turns out to speak.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::connections::{Connections, HEAD_TIMEOUT, Io, Peer};
use super::protocol::{self, Protocol};
use super::socket::Socket;
use super::{http1, http2};
use crate::ending::Ending;

/// Serves a connection that was just accepted, in a task of its own.
pub(super) fn spawn(connections: Arc<Connections>, tcp: TcpStream, peer: SocketAddr) {
    let tasks = connections.clone();
    tasks.run(async move {
        if let Err(error) = serve(connections, tcp, peer).await {
            debug!(%peer, %error, "a connection failed");
        }
    });
}

async fn serve(
    connections: Arc<Connections>,
    tcp: TcpStream,
    address: SocketAddr,
) -> io::Result<()> {
    let ending = Ending::default();
    let peer = Peer { address, ending: ending.clone() };
    let socket = Socket::new(tcp, connections.settings.user_timeout, ending)?;
    match connections.settings.tls.clone() {
        None => speak(connections, socket, peer).await,
        Some(tls) => {
            let handshake = timeout(HEAD_TIMEOUT, tls.acceptor().accept(socket));
            match connections.drain.clone().run_until_cancelled(handshake).await {
                Some(done) => speak(connections, done??, peer).await,
                None => Ok(()),
            }
        }
    }
}

/// Finds out which protocol the client speaks, and speaks it. Each is boxed as
/// what it is, and neither pays for the other.
async fn speak<T: Io>(connections: Arc<Connections>, io: T, peer: Peer) -> io::Result<()> {
    let told = timeout(HEAD_TIMEOUT, protocol::tell(io));
    let Some(told) = connections.drain.clone().run_until_cancelled(told).await else {
        return Ok(());
    };
    let failed = match told?? {
        None => Ok(()),
        Some((Protocol::Http1, io)) => Box::pin(http1::serve(connections, io, peer)).await,
        Some((Protocol::Http2, io)) => Box::pin(http2::serve(connections, io, peer)).await,
    };
    failed.map_err(io::Error::other)
}
