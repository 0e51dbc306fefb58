//! Headcount inside an axum app of your own: the counter under `/live`, and a
//! home page that says how many people watch it.
//!
//! ```sh
//! cargo run --example nested
//! curl -N http://127.0.0.1:3000/live/events
//! curl http://127.0.0.1:3000/
//! ```

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use headcount::{Name, Options, Rooms, router};
use tokio::net::TcpListener;

/// The app: its own routes, and Headcount's. The registry is shared, so that
/// the app's own handlers can ask for a count too.
pub fn app(rooms: Rooms, options: Options) -> Router {
    Router::new()
        .route("/", get(home))
        .with_state(rooms.clone())
        .nest("/live", router(rooms, options))
}

async fn home(State(rooms): State<Rooms>) -> String {
    format!("{} watching\n", rooms.count(&Name::default()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::default();
    let drain = options.drain.clone();
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(Rooms::default(), options))
        // A stream never ends by itself: without the drain this would wait for ever.
        .with_graceful_shutdown(async move {
            let _interrupted = tokio::signal::ctrl_c().await;
            drain.cancel();
        })
        .await
}
