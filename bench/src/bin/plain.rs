//! The same counter as a user of axum writes it: `axum::serve`, `Sse`, `async-stream`
//! and a broadcast channel, all with their defaults.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_stream::stream;
use axum::Router;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_stream::Stream;

#[derive(Parser)]
#[command(about = "A user counter as axum's users write it")]
struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value_t = (Ipv4Addr::LOCALHOST, 3000).into())]
    listen: SocketAddr,
}

struct Counter {
    count: AtomicUsize,
    changes: broadcast::Sender<usize>,
}

/// One user; dropped with the stream.
struct User(Arc<Counter>);

impl User {
    fn new(counter: Arc<Counter>) -> Self {
        let count = counter.count.fetch_add(1, Ordering::SeqCst) + 1;
        let _nobody_listens = counter.changes.send(count);
        Self(counter)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let count = self.0.count.fetch_sub(1, Ordering::SeqCst) - 1;
        let _nobody_listens = self.0.changes.send(count);
    }
}

async fn events(
    State(counter): State<Arc<Counter>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = counter.changes.subscribe();
    let user = User::new(counter);
    let events = stream! {
        let _user = user;
        loop {
            match changes.recv().await {
                Ok(count) => yield Ok(Event::default().event("user count").data(count.to_string())),
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => break,
            }
        }
    };
    Sse::new(events).keep_alive(KeepAlive::default())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { listen } = Arguments::parse();
    headcount_bench::descriptors::raise()?;
    let counter =
        Arc::new(Counter { count: AtomicUsize::new(0), changes: broadcast::Sender::new(16) });
    let app = Router::new().route("/events", get(events)).with_state(counter);
    axum::serve(TcpListener::bind(listen).await?, app).await?;
    Ok(())
}
