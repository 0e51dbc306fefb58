//! What a connection meets: the socket and its options, its protocol, and the drain.

mod answers;
mod carrier;
mod connection;
mod descriptors;
mod encrypted;
mod gate;
mod http1;
mod http2;
mod linger;
mod protocol;
mod pulse;
mod serving;
mod settings;
mod socket;
mod tcp;
mod tls;
mod transport;
mod wire;
mod workers;

use std::error::Error;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

pub use descriptors::{Descriptors, raise as raise_descriptors};
use gate::Gate;
pub use pulse::Pulse;
use serving::Serving;
pub use settings::Settings;
pub use tls::{Tls, TlsError};
use workers::Workers;

use crate::http::Options;
use crate::tally::Crowded;

/// How long to wait before the next accept when the process or the system has no file
/// descriptor left: all it can do is wait until some are closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait for connections that are being closed, which may take little time.
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// After this long without an error the shortage is over. While descriptors are scarce, one is
/// free now and then, which need not be logged each time.
const RECOVERED: Duration = Duration::from_secs(2);

/// How many connections are accepted before other tasks have a turn. Only a few may wait to be
/// accepted before the system drops further ones, and a dropped client tries again only after a
/// second.
const ACCEPTS: usize = 512;

/// How many connections may wait to be accepted: as many as the system allows
/// (`net.core.somaxconn`).
const BACKLOG: u16 = 65_535;

/// A server that already listens: clients wait until they are served.
pub struct Server {
    listener: TcpListener,
    /// Whether the listener outlives this process, and the next one accepts from it.
    inherited: bool,
    workers: Workers,
    settings: Settings,
    crowded: Arc<Crowded>,
}

/// Why a server can't start, with the system's error.
#[derive(Debug)]
pub enum StartError {
    /// It can't listen, for example because another program listens there.
    Listen(io::Error),
    /// It can't start its threads: the system has no more of them, or lacks the memory or file
    /// descriptors that they need.
    Threads(io::Error),
}

impl Server {
    /// Listens on `address`, and starts the threads that will serve.
    ///
    /// # Errors
    /// If it can't listen, or can't start the threads.
    pub fn start(address: SocketAddr, settings: Settings) -> Result<Self, StartError> {
        Self::with(listen(address), false, settings)
    }

    /// Accepts from a listener that this process has inherited and that outlives it, and starts
    /// the threads that will serve. Nobody is refused between one process and the next: clients
    /// that connect while this one drains wait for the next.
    ///
    /// # Errors
    /// If it can't listen, or can't start the threads.
    pub fn inherit(listener: net::TcpListener, settings: Settings) -> Result<Self, StartError> {
        let listener = listener
            .set_nonblocking(true)
            // More clients may have to wait than the listener was made for.
            .and_then(|()| SockRef::from(&listener).listen(BACKLOG.into()))
            .and_then(|()| TcpListener::from_std(listener));
        Self::with(listener, true, settings)
    }

    fn with(
        listener: io::Result<TcpListener>,
        inherited: bool,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let listener = listener.map_err(StartError::Listen)?;
        let workers = Workers::start(settings.threads).map_err(StartError::Threads)?;
        Ok(Self { listener, inherited, workers, settings, crowded: Arc::default() })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system's error.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The counters of connections for which it has no room, for [`Options::crowded`].
    #[must_use]
    pub fn crowded(&self) -> Arc<Crowded> {
        self.crowded.clone()
    }

    /// Shows a watchdog whether the server's threads still work.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse::of(&self.workers)
    }

    /// Serves `app` to every connection until [`Options::drain`] is cancelled, and returns when
    /// all connections have ended, but no later than the grace allows.
    ///
    /// `options` are those of the [`router`](crate::router) in `app`, which ends its own
    /// streams on the same `drain`. Meanwhile, new connections get one answer each and are
    /// closed, so that whatever watches over the process sees that it is not ready. Only on an
    /// inherited listener do they wait for the next process instead.
    pub async fn serve(self, app: Router, options: Options) {
        let Self { listener, inherited, workers, settings, crowded } = self;
        let Settings { shutdown_grace, max_connections, max_connections_per_ip, tls, .. } =
            settings;
        let terms = options.terms();
        let gate =
            Gate::new(max_connections, max_connections_per_ip, options.trusted_proxies, crowded);
        let open = Serving::new(&workers, &app, &terms, tls.as_ref());
        let accepting = unconstrained(accept(&listener, &gate, &open));
        terms.drain.run_until_cancelled(accepting).await;

        let deadline = Instant::now() + shutdown_grace;
        let tasks = &open[0].tasks;
        info!(connections = tasks.len(), "stopping");
        tasks.close();
        let late = Serving::late(app, terms, tls);
        let answer_late = async {
            if inherited {
                // If the process that passed it on is gone, no next one will come. This then
                // refuses clients.
                drop(listener);
                pending().await
            } else {
                accept(&listener, &gate, &late).await
            }
        };
        tokio::select! {
            biased;
            () = tasks.wait() => {}
            () = sleep_until(deadline) => {
                let connections = tasks.len();
                warn!(connections, "the grace is over; cutting what is still open");
            }
            () = answer_late => {}
        }
        open[0].cut().await;
        late[0].cut().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Otherwise a restart would have to wait for the last process's connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG.into())
}

/// Accepts connections forever, and deals them out to the workers.
async fn accept(listener: &TcpListener, gate: &Arc<Gate>, workers: &[Arc<Serving>]) {
    let mut exhausted: Option<Instant> = None;
    let mut turns = workers.iter().cycle();
    for nth in 1.. {
        if nth % ACCEPTS == 0 {
            yield_now().await;
        }
        match listener.accept().await {
            Ok((tcp, peer)) => {
                if exhausted.take_if(|last| last.elapsed() > RECOVERED).is_some() {
                    info!("connections are accepted again");
                }
                // Until there is room, further clients wait to be accepted.
                while !gate.has_room() && !gate.is_full() {
                    sleep(CLOSE_PAUSE).await;
                }
                if let (Some(serving), Some(entered)) = (turns.next(), gate.enter(peer.ip())) {
                    connection::spawn(serving.clone(), tcp, peer, entered);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let last = exhausted.replace(Instant::now());
                if last.is_none_or(|last| last.elapsed() > RECOVERED) {
                    warn!(%error, "cannot accept connections; trying again until it works");
                }
                sleep(if gate.make_room() { CLOSE_PAUSE } else { ACCEPT_PAUSE }).await;
            }
        }
    }
}

/// Whether an error is about a client that left before it was accepted, which
/// says nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => write!(f, "cannot listen: {error}"),
            Self::Threads(error) => write!(f, "cannot start the threads: {error}"),
        }
    }
}

impl Error for StartError {}
