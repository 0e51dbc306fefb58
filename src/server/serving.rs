//! What it takes to serve a connection, and what those of one worker have in common.

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

/// How long a client may take for its TLS handshake, to show its protocol, and
/// to send the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay without a request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take for an answer that is no stream.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a drain waits for a request that may be on its way already.
const LAST_CALL: Duration = Duration::from_millis(200);

/// How long it takes to cut what is still open when the grace is over.
const CUT: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// What the connections of one worker have in common.
pub(super) struct Serving {
    pub(super) app: Router,
    pub(super) terms: Terms,
    pub(super) tls: Option<Arc<Tls>>,
    /// Whether a connection may be kept for another request.
    pub(super) keep: bool,
    /// What runs on every worker, in one.
    pub(super) tasks: TaskTracker,
    cut: CancellationToken,
    runtime: Handle,
}

/// Whose connection it is.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// When the head of its first request is to have come.
    pub(super) head_by: Instant,
    pub(super) ending: Ending,
}

impl Serving {
    /// Those of each worker.
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

    /// Those that come after the drain began: each is answered once, and nobody
    /// waits for them.
    pub(super) fn late(app: Router, terms: Terms, tls: Option<Arc<Tls>>) -> [Arc<Self>; 1] {
        let terms = Terms { drain: CancellationToken::new(), ..terms };
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let runtime = Handle::current();
        [Arc::new(Self { app, terms, tls, keep: false, tasks, cut, runtime })]
    }

    /// Whether their worker is the thread that asks.
    pub(super) fn is_here(&self) -> bool {
        self.runtime.id() == Handle::current().id()
    }

    /// Runs a part of a connection's life, until it is cut.
    pub(super) fn run(&self, part: impl Future<Output = ()> + Send + 'static) {
        // Boxed: the task would keep room for it twice, before and after it has begun.
        let part = self.cut.clone().run_until_cancelled_owned(Box::pin(part));
        self.tasks.spawn_on(part, &self.runtime);
    }

    /// Carries a stream on, in a task of its own.
    pub(super) fn carry(&self, stream: Stream, io: impl Io, chunked: bool, pass: Pass) {
        let wire = Wire::new(io, chunked, self.terms.patience);
        // Boxed: a task takes a multiple of 128 bytes, 104 of which are tokio's.
        self.tasks.spawn(Box::pin(Carrier::new(stream, wire, pass)));
    }

    /// Waits until the drain has begun and what was sent before it has come. Who
    /// has asked for nothing by then is owed nothing.
    pub(super) async fn last_call(&self) {
        self.terms.drain.cancelled().await;
        sleep(LAST_CALL).await;
    }

    /// Cuts what is still open, and waits until it is; not for streams, which are over,
    /// and have only some last bytes to be taken.
    pub(super) async fn cut(&self) {
        self.cut.cancel();
        self.tasks.close();
        let _all_or_some = timeout(CUT, self.tasks.wait()).await;
    }
}

impl Peer {
    /// Adds to a request what its handlers want to know of the connection.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, ending: Ending) {
        request.extensions_mut().insert(ConnectInfo(self.address));
        request.extensions_mut().insert(ending);
    }
}
