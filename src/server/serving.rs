//! What serving a connection requires, and what the connections of one worker share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::Carrier;
use super::gate::Pass;
use super::tls::Tls;
use super::transport::Io;
use super::wire::Wire;
use super::workers::Workers;
use crate::ending::Ending;
use crate::stream::{Stream, Terms};

/// How long a client may take for each of these: its TLS handshake, to show its protocol, and
/// to send the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay without a request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take for an answer that is not a stream.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a drain waits for requests that may be on their way already.
const LAST_CALL: Duration = Duration::from_millis(200);

/// How long cutting what is still open may take when the grace is over.
const CUT: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What the connections of one worker share.
pub(super) struct Serving {
    pub(super) app: Router,
    pub(super) terms: Terms,
    pub(super) tls: Option<Arc<Tls>>,
    /// Whether a connection may be kept for another request.
    pub(super) keep: bool,
    /// The tasks of all workers together.
    pub(super) tasks: TaskTracker,
    cut: CancellationToken,
    runtime: Handle,
}

/// The client of a connection.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// When the head of its first request must have arrived.
    pub(super) head_by: Instant,
    pub(super) ending: Ending,
}

impl Serving {
    /// One for each worker.
    pub(super) fn new(
        workers: &Workers,
        app: &Router,
        terms: &Terms,
        tls: Option<&Arc<Tls>>,
    ) -> Vec<Arc<Self>> {
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let of_one = |runtime: &Handle| {
            Arc::new(Self {
                app: app.clone(),
                terms: terms.clone(),
                tls: tls.cloned(),
                keep: true,
                tasks: tasks.clone(),
                cut: cut.clone(),
                runtime: runtime.clone(),
            })
        };
        workers.runtimes().map(of_one).collect()
    }

    /// For connections that come after the drain has begun: each is answered once, and nobody
    /// waits for them.
    pub(super) fn late(app: Router, terms: Terms, tls: Option<Arc<Tls>>) -> [Arc<Self>; 1] {
        let terms = Terms { drain: CancellationToken::new(), ..terms };
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let runtime = Handle::current();
        [Arc::new(Self { app, terms, tls, keep: false, tasks, cut, runtime })]
    }

    /// Whether the caller runs on the worker's thread.
    pub(super) fn is_here(&self) -> bool {
        self.runtime.id() == Handle::current().id()
    }

    /// Runs a part of a connection's life, until it is cut.
    pub(super) fn run(&self, part: impl Future<Output = ()> + Send + 'static) {
        // Boxed, because the task would keep room for it twice, before and after it has begun.
        let part = self.cut.clone().run_until_cancelled_owned(Box::pin(part));
        self.tasks.spawn_on(part, &self.runtime);
    }

    /// Carries a stream from here on, in a task of its own.
    pub(super) fn carry(&self, stream: Stream, io: impl Io, chunked: bool, pass: Pass) {
        let wire = Wire::new(io, chunked, self.terms.patience);
        // Boxed: a task takes a multiple of 128 bytes, 104 of which are tokio's.
        self.tasks.spawn(Box::pin(Carrier::new(stream, wire, pass)));
    }

    /// Waits until the drain has begun and what was sent before that has arrived. A client that
    /// has asked for nothing by then is owed nothing.
    pub(super) async fn last_call(&self) {
        self.terms.drain.cancelled().await;
        sleep(LAST_CALL).await;
    }

    /// Cuts what is still open, and waits until that is done. This does not cut streams, which
    /// are over and have only some last bytes left to send.
    pub(super) async fn cut(&self) {
        self.cut.cancel();
        self.tasks.close();
        let _all_or_some = timeout(CUT, self.tasks.wait()).await;
    }
}

impl Peer {
    /// Adds to a request what its handlers need to know about the connection.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, ending: Ending) {
        request.extensions_mut().insert(ConnectInfo(self.address));
        request.extensions_mut().insert(ending);
    }
}
