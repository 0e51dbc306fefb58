//! One connection, from when it is accepted to the protocol that it turns out to speak.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::encrypted::Encrypted;
use super::gate::{Entered, Pass};
use super::protocol::{self, Protocol};
use super::serving::{HEAD_TIMEOUT, Peer, Serving};
use super::socket::Socket;
use super::tls::Tls;
use super::transport::Io;
use super::{http1, http2};
use crate::ending::Ending;

/// Serves a connection that was just accepted, in a task of its worker.
pub(super) fn spawn(serving: Arc<Serving>, tcp: TcpStream, peer: SocketAddr, entered: Entered) {
    let worker = serving.clone();
    if worker.is_here() {
        worker.run(serve(serving, tcp, peer, entered));
    } else {
        // Sockets belong to the runtime that they were made in.
        let tcp = tcp.into_std();
        worker.run(async move {
            match tcp.and_then(TcpStream::from_std) {
                Ok(tcp) => serve(serving, tcp, peer, entered).await,
                Err(error) => warn!(%peer, %error, "a connection cannot be served"),
            }
        });
    }
}

async fn serve(
    serving: Arc<Serving>,
    tcp: TcpStream,
    peer: SocketAddr,
    Entered { pass, mut closed }: Entered,
) {
    let close = async {
        match (&mut closed).await {
            Ok(()) => {}
            // The gate won't close it any more.
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        served = prepare(serving, tcp, peer, pass) => if let Err(error) = served {
            debug!(%peer, %error, "a connection failed");
        },
        () = close => debug!(%peer, "a connection was closed to make room"),
    }
}

/// Sets the socket's options, encrypts the connection if the server speaks TLS, and serves it.
async fn prepare(
    serving: Arc<Serving>,
    tcp: TcpStream,
    address: SocketAddr,
    pass: Box<Pass>,
) -> io::Result<()> {
    let ending = Ending::default();
    let head_by = Instant::now() + HEAD_TIMEOUT;
    let peer = Peer { address, head_by, ending: ending.clone() };
    let socket = Socket::new(tcp, serving.terms.patience, ending)?;
    // Boxed, because what comes before a request takes more memory than the rest of the
    // connection's task. The box is freed once the client's protocol is known.
    let served = match serving.tls.clone() {
        None => Box::pin(speak(serving, socket, peer, pass)).await?,
        Some(tls) => Box::pin(encrypt(serving, tls, socket, peer, pass)).await?,
    };
    match served {
        Some(served) => served.await.map_err(io::Error::other),
        None => Ok(()),
    }
}

/// The rest of a connection's life once its protocol is known. Each protocol's future is
/// boxed by itself, so that neither takes the memory of the other.
type Served = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Performs the TLS handshake, and speaks the client's protocol over the result.
async fn encrypt(
    serving: Arc<Serving>,
    tls: Arc<Tls>,
    socket: Socket,
    peer: Peer,
    pass: Box<Pass>,
) -> io::Result<Option<Served>> {
    let handshake = Encrypted::accept(socket, tls.config());
    match in_time(&serving, &peer, handshake).await? {
        Some(encrypted) => speak(serving, encrypted, peer, pass).await,
        None => Ok(None),
    }
}

/// Finds out which protocol the client speaks, and begins to speak it.
async fn speak<T: Io>(
    serving: Arc<Serving>,
    io: T,
    peer: Peer,
    pass: Box<Pass>,
) -> io::Result<Option<Served>> {
    let recognized = in_time(&serving, &peer, protocol::recognize(io)).await?;
    Ok(recognized.flatten().map(|(protocol, io)| -> Served {
        match protocol {
            Protocol::Http1 => Box::pin(http1::serve(serving, io, peer, pass)),
            Protocol::Http2 => Box::pin(http2::serve(serving, io, peer, pass)),
        }
    }))
}

/// Does a step that comes before a request, unless the client takes too long over it or
/// the server stops first.
async fn in_time<T>(
    serving: &Serving,
    peer: &Peer,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<Option<T>> {
    tokio::select! {
        biased;
        done = timeout_at(peer.head_by, step) => done?.map(Some),
        () = serving.last_call() => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    use axum::Router;
    use tokio::net::TcpListener;

    use super::super::gate::Gate;
    use super::super::workers::Workers;
    use crate::http::Options;

    /// Thousands may wait here if all clients come at once.
    #[tokio::test]
    async fn a_connection_that_has_said_nothing_yet_takes_little_memory() {
        let workers = Workers::start(NonZeroUsize::MIN).expect("no thread is started");
        let terms = Options::default().terms();
        let open = Serving::new(&workers, &Router::new(), &terms, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).await.expect("it is accepted");
        let entered = Gate::new(1, None, Vec::new(), Arc::default())
            .enter(address.ip())
            .expect("there is room");
        let serving = serve(open[0].clone(), client, address, entered);
        let size = size_of_val(&serving);
        assert!(size < 1500, "{size} bytes");
    }
}
