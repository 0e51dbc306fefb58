//! What a request meets: the router, and one file a family of routes.

mod admission;
mod assets;
mod count;
mod health;
mod refusal;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;

use crate::rooms::Rooms;
use refusal::Refusal;

/// How the router behaves. [`Default`] is what the binary does by default.
#[derive(Clone, Debug)]
pub struct Options {
    /// After so long without a change a stream is told the current count again.
    /// It is the heartbeat that shows both sides whether the other is there.
    pub keep_alive: Duration,
    /// Serve the page's files from this directory, read anew for each request,
    /// in place of those inside the binary.
    pub public_dir: Option<PathBuf>,
    /// Cancel it to end every stream cleanly and to take no new one. A server
    /// that waits for its connections before it stops needs this, for a stream
    /// never ends by itself.
    pub drain: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            public_dir: None,
            drain: CancellationToken::new(),
        }
    }
}

/// What every handler can reach.
#[derive(Clone)]
struct Shared {
    rooms: Rooms,
    keep_alive: Duration,
    drain: CancellationToken,
}

/// The routes of Headcount, counting in `rooms`.
///
/// | route | answer |
/// |---|---|
/// | `GET /events?room=R` | joins room R and streams its count |
/// | `GET /count?room=R` | `{"room":"R","count":N}`, joins nothing |
/// | `GET /healthz`, `/readyz` | 200 while alive; 200 while new streams are taken, else 503 |
/// | `GET /`, `/client.js`, `/style.css`; the same under `/public/` | the page |
///
/// Every error is a JSON object `{"error":"…"}`. The router can be nested in
/// another app; the page finds its streams wherever it is mounted:
///
/// ```
/// use headcount::{Options, Rooms, router};
///
/// let rooms = Rooms::default();
/// let app: axum::Router =
///     axum::Router::new().nest("/live", router(rooms.clone(), Options::default()));
/// ```
///
/// On a connection that this crate's own [`server`](crate::server) did not
/// accept, the reason for which a client left isn't known, and is logged as
/// `client closed`.
pub fn router(rooms: Rooms, options: Options) -> Router {
    let Options { keep_alive, public_dir, drain } = options;
    Router::new()
        // Not `get`: axum answers HEAD with it, and that would be a join and a leave.
        .route("/events", any(stream::events))
        .route("/count", get(count::count))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(Shared { rooms, keep_alive, drain })
        .merge(assets::router(public_dir))
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
}
