//! `GET /events`: the stream of one client.

use std::convert::Infallible;
use std::time::Duration;

use async_stream::stream;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::admission::admit;
use super::refusal::Refusal;
use crate::ending::{Ending, Reason};
use crate::event::Event;
use crate::room::Presence;

/// How long, in milliseconds, a client shall wait before it comes back. Random
/// for each: no browser spreads its return by itself, so after a restart all
/// of them would come in the same second.
const RETRY_MS: std::ops::RangeInclusive<u64> = 2000..=5000;

pub(super) async fn events(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let room = admit(&shared, request.method(), request.uri())?;
    let ending = request.extensions().get::<Ending>().cloned().unwrap_or_default();
    let (presence, arrival) = shared.rooms.join(&room, ending.clone());
    let body = frames(presence, arrival, ending, shared.keep_alive, shared.drain);
    let mut response = Response::new(Body::from_stream(body));

    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // no-transform: a proxy that compresses would hold events back.
    let no_cache = HeaderValue::from_static("no-cache, no-transform");
    headers.insert(header::CACHE_CONTROL, no_cache);
    // Without this nginx buffers the stream and the first event is not seen.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if request.version() < Version::HTTP_2 {
        // A load balancer must not keep the connection of a client that left.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The frames of one stream, from the first event until the drain. It owns the
/// presence: when the client goes, the server drops the stream wherever it
/// waits, and no code after the loop would run, but the presence's `Drop` does.
fn frames(
    mut presence: Presence,
    arrival: Event,
    ending: Ending,
    keep_alive: Duration,
    drain: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let retry = Duration::from_millis(rand::random_range(RETRY_MS));
    stream! {
        yield Ok(arrival.first(retry, rand::random()));
        while let Some(changed) =
            drain.run_until_cancelled(timeout(keep_alive, presence.changed())).await
        {
            // Silence: the count is said again, as the heartbeat.
            let event = changed.unwrap_or_else(|_silence| presence.now());
            yield Ok(event.bytes());
        }
        ending.note(Reason::Shutdown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::rooms::Rooms;
    use tokio_stream::StreamExt;

    const KEEP_ALIVE: Duration = Duration::from_secs(15);

    fn join(
        rooms: &Rooms,
        drain: &CancellationToken,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + use<> {
        let ending = Ending::default();
        let (presence, arrival) = rooms.join(&Name::default(), ending.clone());
        Box::pin(frames(presence, arrival, ending, KEEP_ALIVE, drain.clone()))
    }

    async fn next(stream: &mut (impl Stream<Item = Result<Bytes, Infallible>> + Unpin)) -> String {
        let Ok(bytes) = stream.next().await.expect("the stream goes on");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    fn user_count(count: usize) -> String {
        format!("event: user count\ndata: {count}\n\n")
    }

    #[tokio::test]
    async fn the_first_frame_says_retry_id_and_the_arrival() {
        let rooms = Rooms::default();
        let mut stream = join(&rooms, &CancellationToken::new());
        let _later = join(&rooms, &CancellationToken::new());

        let first = next(&mut stream).await;
        let rest = first.strip_prefix("retry: ").expect("retry comes first");
        let (retry, rest) = rest.split_once("\nid: ").expect("then the id");
        let (token, event) = rest.split_once('\n').expect("then the event");
        assert!(RETRY_MS.contains(&retry.parse().expect("milliseconds")));
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(event, user_count(1), "its own arrival, though a second came since");
        assert_eq!(next(&mut stream).await, user_count(2));
    }

    #[tokio::test(start_paused = true)]
    async fn after_silence_the_count_is_said_again() {
        let rooms = Rooms::default();
        let mut stream = join(&rooms, &CancellationToken::new());
        next(&mut stream).await;
        for _ in 0..3 {
            let before = tokio::time::Instant::now();
            assert_eq!(next(&mut stream).await, user_count(1));
            assert_eq!(before.elapsed(), KEEP_ALIVE);
        }
    }

    #[tokio::test]
    async fn a_stream_counts_until_it_is_dropped() {
        let rooms = Rooms::default();
        let mut stream = join(&rooms, &CancellationToken::new());
        next(&mut stream).await;
        assert_eq!(rooms.count(&Name::default()), 1);
        drop(stream);
        assert!(rooms.is_empty());
    }

    #[tokio::test]
    async fn a_drain_ends_the_streams_that_are_open_and_those_that_start_after_it() {
        let rooms = Rooms::default();
        let drain = CancellationToken::new();
        let mut open = join(&rooms, &drain);
        next(&mut open).await;
        drain.cancel();
        assert!(open.next().await.is_none());
        let mut late = join(&rooms, &drain);
        next(&mut late).await;
        assert!(late.next().await.is_none());
    }
}
