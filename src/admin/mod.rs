//! The operator's listener: metrics, health and the dashboard, away from the port that
//! visitors reach.
//!
//! It has a thread of its own, so that it answers however busy the others are, and goes on
//! while the server drains. Nothing on it can change a count.
//!
//! The `guard` lets in requests with the token, or with the `session` of an operator who has
//! signed in (`login`). The dashboard is a `page` that asks for lists of `rooms` and for the
//! `past`, and listens to a `feed` of what changes. All watchers share the readings of one
//! `board`; each `frame` has what is new to one of them.

mod address;
mod board;
mod brake;
mod feed;
mod frame;
mod guard;
mod lease;
mod login;
mod page;
mod past;
mod refused;
mod rooms;
mod search;
mod serving;
mod session;
mod token;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

pub use address::{AdminAddress, BadAddress};
use address::{Listener, SocketFile};
use board::Board;
use feed::Feeds;
use guard::Door;
pub use token::{AdminToken, BadToken};

use crate::http::{Overview, error};

/// A listener that is not served yet: clients that connect wait for that.
#[derive(Debug)]
pub struct Admin {
    listener: Listener,
    address: AdminAddress,
    token: Option<AdminToken>,
}

/// Answers the operator until this is dropped.
#[derive(Debug)]
pub struct Answering {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _file: Option<SocketFile>,
}

impl Admin {
    /// Listens on `address`. With a `token`, only requests that have it are answered.
    ///
    /// # Errors
    /// The system's error.
    pub fn bind(address: &AdminAddress, token: Option<AdminToken>) -> io::Result<Self> {
        let (listener, address) = address.bind()?;
        Ok(Self { listener, address, token })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Answers with `app` and the dashboard of `overview`, on a thread of its own.
    ///
    /// # Errors
    /// If the system has no thread, memory or file descriptors for it.
    pub fn serve(self, app: Router, overview: Overview) -> io::Result<Answering> {
        let Self { listener, address, token } = self;
        let board = Board::new(overview);
        let app = dashboard(board.clone()).merge(app);
        let app = app.layer(from_fn_with_state(Door::new(token), guard::guard));
        let stop = CancellationToken::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let serving = serving::serve(listener, app)?;
        drop(entered);
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.spawn(board.keep_reading());
            runtime.block_on(stopped.run_until_cancelled(serving));
            // Dropping the runtime would wait for tasks that still block.
            runtime.shutdown_background();
        })?;
        let file = match address {
            AdminAddress::Unix(path) => Some(SocketFile::new(path)?),
            AdminAddress::Tcp(_) => None,
        };
        Ok(Answering { stop, thread: Some(thread), _file: file })
    }
}

/// The routes of the dashboard.
fn dashboard(board: Arc<Board>) -> Router {
    let not_allowed =
        async || error(StatusCode::METHOD_NOT_ALLOWED, "this path does not support that method");
    Router::new()
        .route("/api/rooms", get(rooms::rooms))
        .route("/api/rooms/{room}/history", get(past::of_path))
        .route("/api/history", get(past::of_query))
        .layer(CompressionLayer::new())
        .route("/api/feed", get(feed::feed))
        .layer(Extension(Feeds::new()))
        .with_state(board)
        .merge(page::router())
        .method_not_allowed_fallback(not_allowed)
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
