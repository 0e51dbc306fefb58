//! The operator's listener: metrics and health, away from the port that visitors reach.
//!
//! It has a thread of its own, so that it answers whatever the others are busy with, and
//! goes on while the server drains. Nothing on it can change a count.

mod address;
mod guard;
mod serving;
mod token;

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use address::Listener;
pub use address::{AdminAddress, BadAddress};
pub use token::{AdminToken, BadToken};

/// A listener that waits to be served: who connects is answered then.
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
    /// The Unix socket's file, which would outlive it.
    file: Option<PathBuf>,
}

impl Admin {
    /// Listens on `address`. With a `token`, only requests that have it are answered.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(address: &AdminAddress, token: Option<AdminToken>) -> io::Result<Self> {
        let (listener, address) = address.bind()?;
        Ok(Self { listener, address, token })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Answers with `app`, on a thread of its own.
    ///
    /// # Errors
    /// If the system has no thread, memory or file descriptors for it.
    pub fn serve(self, app: Router) -> io::Result<Answering> {
        let Self { listener, address, token } = self;
        let app = app.layer(from_fn_with_state(token, guard::guard));
        let stop = CancellationToken::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let serving = serving::serve(listener, app)?;
        drop(entered);
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(serving));
            // Dropping it would wait for whatever still blocks.
            runtime.shutdown_background();
        })?;
        let file = match address {
            AdminAddress::Unix(path) => Some(path),
            AdminAddress::Tcp(_) => None,
        };
        Ok(Answering { stop, thread: Some(thread), file })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        if let Some(file) = &self.file {
            let _it_is_gone = std::fs::remove_file(file);
        }
    }
}
