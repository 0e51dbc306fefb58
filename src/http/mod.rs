//! What a request meets: the router, and one file per family of routes.

mod accept;
mod address;
mod admission;
mod assets;
mod badge;
mod body;
#[cfg(feature = "server")]
mod cluster;
mod count;
mod directory;
mod embedded;
mod events;
mod exposition;
mod health;
#[cfg(feature = "server")]
mod history;
mod metrics;
mod origins;
#[cfg(feature = "server")]
mod overview;
#[cfg(all(feature = "server", target_os = "linux"))]
mod process;
mod query;
mod refusal;
mod refusals;
mod script;
mod unwanted;
#[cfg(feature = "server")]
mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "server")]
use crate::history::History;
use crate::limits::Limits;
use crate::name::Name;
#[cfg(feature = "server")]
use crate::node::Node;
use crate::origin::AllowedOrigin;
use crate::pattern::RoomPattern;
use crate::rooms::{self, Rooms};
#[cfg(feature = "server")]
use crate::seats_file::SeatsFile;
use crate::stream::{Patience, Streams, Terms};
#[cfg(feature = "server")]
use crate::tally::Crowded;
#[cfg(feature = "server")]
pub(crate) use assets::Asset;
#[cfg(feature = "server")]
pub(crate) use body::Opened;
#[cfg(feature = "server")]
pub(crate) use embedded::style;
use origins::Origins;
#[cfg(feature = "server")]
pub(crate) use overview::Numbers;
#[cfg(feature = "server")]
pub use overview::Overview;
#[cfg(feature = "server")]
pub(crate) use query::{BadParameter, values};
use refusal::Refusal;
#[cfg(feature = "server")]
pub(crate) use refusal::error;
use refusals::Refusals;
pub use script::Script;

/// How the router behaves. [`Default`] is what the binary does by default, except that the
/// number of streams is not limited here.
#[derive(Clone, Debug)]
pub struct Options {
    /// After this long without a change, a stream repeats the current count. This heartbeat
    /// shows each side that the other is still there.
    pub keep_alive: Duration,
    /// How long a client's system may leave sent data unacknowledged. This is known only for
    /// streams on HTTP/1 that this crate's own `server` carries.
    pub user_timeout: Duration,
    /// End a stream whose client reads nothing for this long while data waits for it.
    pub stall_timeout: Duration,
    /// End a stream at this age (at least 80 % of it, at random), and hold its seat for 10 s,
    /// so that its client can come back.
    pub max_age: Option<Duration>,
    /// How many streams may be open; one more is refused with 503.
    pub max_streams: usize,
    /// How many streams one address may have open; one more is refused with 429.
    /// An IPv6 address counts as its whole /64.
    /// The address is known where requests carry axum's
    /// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
    pub max_streams_per_ip: Option<usize>,
    /// How many rooms the streams of one address may be in, besides the default room; a stream
    /// for one more is refused with 429. The address is known under the same condition.
    pub max_rooms_per_ip: Option<usize>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins whose pages may open streams and ask for counts, besides the router's own.
    /// Pages of other origins are refused with 403; clients that send no `Origin`, such as
    /// curl, are not.
    pub allow_origins: Vec<AllowedOrigin>,
    /// The rooms that may be joined and asked for over HTTP; requests for other rooms are
    /// refused with 403. If this is empty, all rooms are allowed. The default room is no
    /// exception here.
    pub allow_rooms: Vec<RoomPattern>,
    /// Serve the page's files from this directory, read again for each request, instead of
    /// those inside the binary.
    pub public_dir: Option<PathBuf>,
    /// Whether there is a `/metrics`. An app that has its own turns this off, and reads
    /// [`Rooms::tally`].
    pub metrics: bool,
    /// The file that records who sits where, so that a restart changes no number. The seats
    /// that the last process left there wait 10 s for their clients. If this is set, the router
    /// must be made inside a tokio runtime.
    #[cfg(feature = "server")]
    pub seats: Option<SeatsFile>,
    /// This process as one of several that count the same rooms.
    #[cfg(feature = "server")]
    pub node: Option<Node>,
    /// The history, for `/history` and `/history.svg`.
    #[cfg(feature = "server")]
    pub history: Option<History>,
    /// Refuse both with 403: the history is only for the operator.
    #[cfg(feature = "server")]
    pub private_history: bool,
    /// The server's counters of connections for which it has no room, for `/metrics`.
    #[cfg(feature = "server")]
    pub crowded: Option<Arc<Crowded>>,
    /// Cancel this to end every stream cleanly and to take no new ones. A server that waits for
    /// its connections before it stops needs this, because a stream never ends by itself.
    pub drain: CancellationToken,
    /// The longest time over which a drain spreads the ends of many streams. Up to a hundred
    /// streams end at once; if there are more, each adds a millisecond.
    pub drain_spread: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            user_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(20),
            max_age: None,
            max_streams: usize::MAX,
            max_streams_per_ip: None,
            max_rooms_per_ip: Some(rooms::MAX_ROOMS / 10),
            trusted_proxies: Vec::new(),
            allow_origins: Vec::new(),
            allow_rooms: Vec::new(),
            public_dir: None,
            metrics: true,
            #[cfg(feature = "server")]
            seats: None,
            #[cfg(feature = "server")]
            node: None,
            #[cfg(feature = "server")]
            history: None,
            #[cfg(feature = "server")]
            private_history: false,
            #[cfg(feature = "server")]
            crowded: None,
            drain: CancellationToken::new(),
            drain_spread: Duration::from_secs(8),
        }
    }
}

impl Options {
    /// The terms of every stream, and of the connection that carries it.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            keep_alive: self.keep_alive,
            patience: Patience::new(self.user_timeout, self.stall_timeout),
            max_age: self.max_age,
            drain: self.drain.clone(),
            drain_spread: self.drain_spread,
        }
    }
}

/// What every handler can reach.
struct Shared {
    streams: Streams,
    origins: Origins,
    refusals: Refusals,
    allow_rooms: Vec<RoomPattern>,
    trusted_proxies: Vec<IpNet>,
    #[cfg(feature = "server")]
    history: Option<History>,
    #[cfg(feature = "server")]
    private_history: bool,
    #[cfg(feature = "server")]
    crowded: Option<Arc<Crowded>>,
}

impl Shared {
    fn rooms(&self) -> &Rooms {
        self.streams.rooms()
    }

    /// Whether the room is one of those that may be asked for.
    fn has(&self, room: &Name) -> bool {
        self.allow_rooms.is_empty() || self.allow_rooms.iter().any(|rooms| rooms.matches(room))
    }

    /// The room, if it may be asked for.
    fn allowed(&self, room: Name) -> Result<Name, Refusal> {
        if self.has(&room) { Ok(room) } else { Err(Refusal::NoSuchRoom) }
    }
}

/// The routes of Headcount, counting in `rooms`.
///
/// | route | answer |
/// |---|---|
/// | `GET /events?room=R` | joins room R and streams its count |
/// | `GET /count?room=R` | `{"room":"R","count":N}`, or `N` as plain text; joins nothing |
/// | `GET /badge.svg?room=R` | the count as a picture, joins nothing |
/// | `GET /history?room=R&last=5m` | how many there were, with the feature `server`, if `Options` have a history; joins nothing |
/// | `GET /history.svg?room=R&last=24h` | the same as a picture |
/// | `GET /healthz`, `/readyz` | 200 while alive; 200 while new streams are taken, else 503 |
/// | `GET /metrics` | Prometheus' text format, unless [`Options::metrics`] is off |
/// | `GET /`, `/client.js`, `/style.css`; the same under `/public/` | the page |
/// | `GET /client-….js` | `client.js` of this version alone, for ever ([`Script`]) |
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
/// On a connection that this crate's own `server` did not accept, the reason why a client left
/// isn't known, and is logged as `client closed`.
pub fn router(rooms: Rooms, options: Options) -> Router {
    let (metrics, public_dir) = (options.metrics, options.public_dir.clone());
    visitors(shared(rooms, options), metrics, public_dir)
}

/// The routes of Headcount, counting in the same rooms.
#[cfg(feature = "server")]
#[derive(Clone, Debug)]
pub struct Routes {
    /// The routes of [`router`].
    pub visitors: Router,
    /// `/metrics`, `/healthz` and `/readyz`, for a listener that visitors don't reach.
    pub operator: Router,
    /// What the operator's dashboard shows.
    pub overview: Overview,
}

#[cfg(feature = "server")]
impl Routes {
    /// The routes, counting in `rooms`.
    #[must_use]
    pub fn new(rooms: Rooms, options: Options) -> Self {
        let (metrics, public_dir) = (options.metrics, options.public_dir.clone());
        let shared = shared(rooms, options);
        Self {
            visitors: visitors(shared.clone(), metrics, public_dir),
            operator: operator(shared.clone()),
            overview: Overview::new(shared),
        }
    }
}

fn shared(rooms: Rooms, options: Options) -> Arc<Shared> {
    let limits =
        Limits::new(options.max_streams, options.max_streams_per_ip, options.max_rooms_per_ip);
    let streams = Streams::new(rooms, limits, options.terms());
    #[cfg(feature = "server")]
    if let Some(file) = &options.seats {
        streams.go_on_from(file);
    }
    #[cfg(feature = "server")]
    if let Some(node) = options.node {
        streams.take_from(node);
    }
    Arc::new(Shared {
        streams,
        origins: Origins::new(options.allow_origins),
        refusals: Refusals::default(),
        allow_rooms: options.allow_rooms,
        trusted_proxies: options.trusted_proxies,
        #[cfg(feature = "server")]
        history: options.history,
        #[cfg(feature = "server")]
        private_history: options.private_history,
        #[cfg(feature = "server")]
        crowded: options.crowded,
    })
}

#[cfg(feature = "server")]
fn operator(shared: Arc<Shared>) -> Router {
    Router::new()
        .merge(health())
        .route("/metrics", get(metrics::metrics))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(from_fn(admission::small_enough))
        .with_state(shared)
}

fn health() -> Router<Arc<Shared>> {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready))
}

fn visitors(shared: Arc<Shared>, metrics: bool, public_dir: Option<PathBuf>) -> Router {
    let not_allowed = async || Refusal::MethodNotAllowed;
    // The routes that pages of other sites may use, if allowed. They may read errors, too.
    let counts = Router::new()
        // Not `get`: axum would answer HEAD with it, and that would be a join and a leave.
        .route("/events", any(events::events))
        .route("/count", get(count::count));
    #[cfg(feature = "server")]
    let counts = counts.route("/history", get(history::numbers));
    let counts = counts
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(admission::small_enough))
        .layer(from_fn_with_state(shared.clone(), origins::guard));
    let metrics = if metrics {
        Router::new().route("/metrics", get(metrics::metrics))
    } else {
        Router::new()
    };
    let pictures = Router::new().route("/badge.svg", get(badge::badge));
    #[cfg(feature = "server")]
    let pictures = pictures.route("/history.svg", get(history::picture));
    pictures
        .merge(health())
        .merge(metrics)
        .merge(assets::router(public_dir))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(admission::small_enough))
        .merge(counts)
        .layer(from_fn(unwanted::hear_out))
        .with_state(shared)
}
