//! `GET /api/feed`: what changes, as server-sent events.
//!
//! A watcher is not a visitor: they take no seat and no place among the limits, and keep no
//! room open.

use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::board::{Board, PAUSE};
use super::frame::{Watcher, Wish};
use super::guard::Shown;
use super::lease::Lease;
use super::refused::Refused;
use super::search::{Search, room, texts};

/// How many feeds may be open.
pub(super) const MAX_FEEDS: usize = 16;

/// How long a feed lasts. After that its client reconnects and authenticates again.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// How soon a browser reconnects, in milliseconds.
const RETRY: &str = "retry: 2000\n";

/// The places for feeds.
#[derive(Clone)]
pub(super) struct Feeds(Arc<Semaphore>);

impl Feeds {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FEEDS)))
    }
}

pub(super) async fn feed(
    State(board): State<Arc<Board>>,
    Extension(Feeds(places)): Extension<Feeds>,
    Extension(lease): Extension<Lease>,
    Extension(shown): Extension<Shown>,
    uri: Uri,
) -> Result<Response, Refused> {
    let [name] = texts(&uri, ["room"])?;
    let wish = match name {
        Some(name) => Wish::Room(room(&name)?),
        None => Wish::Rooms(Search::of(&uri)?),
    };
    let place = places.try_acquire_owned().map_err(|_| Refused::TooManyFeeds)?;
    let mut watcher = Watcher::new(wish, shown == Shown::Session);
    let frames = stream! {
        let _place = place;
        let mut readings = board.watch();
        let end = Instant::now() + LIFE;
        let mut beginning = RETRY;
        while Instant::now() < end && readings.changed().await.is_ok() {
            // A request for another frame means that the last one was taken.
            lease.renew();
            let reading = readings.borrow_and_update().clone();
            let next = Instant::now() + PAUSE;
            let frame = watcher.frame(&reading, board.overview());
            yield Ok::<_, std::convert::Infallible>(Bytes::from(format!("{beginning}{frame}")));
            beginning = "";
            sleep_until(next).await;
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Otherwise nginx would hold the frames back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}
