//! A server inside the test's own process, on a port of its own.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use headcount::server::{self, Settings};
use headcount::{Options, Rooms, router};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub rooms: Rooms,
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// A server as the binary has it by default.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let rooms = Rooms::default();
        let app = router(rooms.clone(), options.clone());
        Self::serve(app, rooms, options).await
    }

    /// Any app that counts in `rooms`, and has a router with these options.
    pub async fn serve(app: Router, rooms: Rooms, options: Options) -> Self {
        let settings = Settings {
            // This one, and one of the server's own.
            threads: NonZeroUsize::new(2).expect("not zero"),
            max_connections: 10_000,
            max_connections_per_ip: None,
            shutdown_grace: Duration::from_secs(10),
            tls: None,
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = server::Server::start(any_port, settings).expect("a free port");
        let address = server.address().expect("it is bound");
        let drain = options.drain.clone();
        let task = tokio::spawn(server.serve(app, options));
        Self { address, rooms, drain, task }
    }

    /// Drains the server and waits for it.
    pub async fn stop(self) {
        self.drain.cancel();
        super::soon("the drain", self.task).await.expect("the server ends without a panic");
    }
}
