//! One connection, from its accept to the protocol that it turns out to speak.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::protocol::{self, Protocol};
use super::socket::Socket;
use super::{Settings, http1, http2};
use crate::ending::Ending;

/// How long a client may take for its TLS handshake, to show its protocol, and
/// to send the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What HTTP is spoken over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// The connections that were accepted, and what they have in common.
pub(super) struct Connections {
    pub(super) app: Router,
    pub(super) settings: Settings,
    pub(super) drain: CancellationToken,
    /// Whether a connection may be kept for another request.
    pub(super) keep: bool,
    pub(super) tasks: TaskTracker,
    cut: CancellationToken,
}

/// Whose connection it is.
#[derive(Clone)]
pub(super) struct Peer {
    address: SocketAddr,
    pub(super) ending: Ending,
}

impl Connections {
    pub(super) fn new(app: Router, settings: Settings, drain: CancellationToken) -> Arc<Self> {
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { app, settings, drain, keep: true, tasks, cut })
    }

    /// Those that come after the drain began: each is answered once, and nobody
    /// waits for them.
    pub(super) fn late(&self) -> Arc<Self> {
        let (app, settings) = (self.app.clone(), self.settings.clone());
        let (drain, tasks, cut) =
            (CancellationToken::new(), TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { app, settings, drain, keep: false, tasks, cut })
    }

    /// Serves a connection that was just accepted, in a task of its own.
    pub(super) fn spawn(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        let connections = self.clone();
        self.run(async move {
            if let Err(error) = serve(connections, tcp, peer).await {
                debug!(%peer, %error, "a connection failed");
            }
        });
    }

    /// Runs a part of a connection's life, until it is cut.
    pub(super) fn run(&self, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(part));
    }

    /// Cuts what is still open, and waits until it is.
    pub(super) async fn cut(&self) {
        self.cut.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
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

impl Peer {
    /// Adds to a request what its handlers want to know of the connection.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, ending: Ending) {
        request.extensions_mut().insert(ConnectInfo(self.address));
        request.extensions_mut().insert(ending);
    }
}
