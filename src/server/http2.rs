//! A connection of HTTP/2: many streams, all of them hyper's.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::connections::{Connections, IDLE_TIMEOUT, Io, MAX_HEAD, Peer};
use crate::ending::{Ending, Reason};

/// The most requests that one connection may have open. hyper's own limits on
/// resets (CVE-2023-44487, CVE-2024-27316) hold besides.
const MAX_STREAMS: u32 = 128;

/// How many bytes hyper may keep for a stream that is not read, as the socket may
/// (see `socket.rs`); by default 400 kB of old numbers.
const UNSENT: usize = 2048;

/// Answers the requests of one client until it leaves.
pub(super) async fn serve(
    connections: Arc<Connections>,
    io: impl Io,
    peer: Peer,
) -> hyper::Result<()> {
    let activity = Arc::new(Activity::default());
    let service = service_fn({
        let (app, peer) = (connections.app.clone(), peer.clone());
        let activity = activity.clone();
        move |mut request| {
            // One stream's end is not the others'.
            peer.sign(&mut request, peer.ending.of_one_stream());
            let (mut app, open) = (app.clone(), Open::new(&activity));
            async move {
                let response = app.call(request).await?;
                // Until the body is dropped, sent or not.
                Ok::<_, std::convert::Infallible>(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _ = &open;
                        frame
                    }))
                }))
            }
        }
    });
    let settings = &connections.settings;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    builder.keep_alive_interval(settings.keep_alive).keep_alive_timeout(settings.user_timeout);
    builder.max_concurrent_streams(MAX_STREAMS).max_send_buf_size(UNSENT);
    builder.max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let mut hyper = pin!(builder.serve_connection(TokioIo::new(io), service));

    let over = tokio::select! {
        biased;
        over = hyper.as_mut() => over,
        () = leaving(&connections, &activity) => {
            if connections.drain.is_cancelled() {
                // Noted for streams that aren't read: they can't say so themselves.
                peer.ending.note(Reason::Shutdown);
            }
            hyper.as_mut().graceful_shutdown();
            hyper.await
        }
    };
    if let Err(error) = &over {
        note(error, &peer.ending);
    }
    over
}

/// Notes why a connection failed, for the streams that it carried. What the socket knows
/// of it, it has noted already; a client that leaves in the middle of a frame has left.
fn note(error: &hyper::Error, ending: &Ending) {
    let of_io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if error.is_timeout() {
        ending.note(Reason::TimedOut);
    } else if of_io.is_none_or(|error| error.kind() == io::ErrorKind::InvalidData) {
        // One of the two did not keep to HTTP/2, or to TLS.
        ending.note(Reason::Error);
    }
}

/// Waits until the client is to be asked to leave: the server stops, or nothing
/// was asked for long enough.
async fn leaving(connections: &Connections, activity: &Activity) {
    tokio::select! {
        () = connections.drain.cancelled() => {}
        () = activity.idle() => {}
    }
}

/// What is going on in a connection.
struct Activity(Mutex<Requests>);

struct Requests {
    open: usize,
    /// When the last one began or ended.
    changed: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Requests { open: 0, changed: Instant::now() }))
    }
}

impl Activity {
    /// Waits until no request has been open for the time that is allowed.
    async fn idle(&self) {
        loop {
            let (open, until) = {
                let requests = self.requests();
                (requests.open, requests.changed + IDLE_TIMEOUT)
            };
            if open == 0 && until <= Instant::now() {
                return;
            }
            sleep_until(until.max(Instant::now() + IDLE_TIMEOUT / 10)).await;
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, until its answer is dropped.
struct Open(Arc<Activity>);

impl Open {
    fn new(activity: &Arc<Activity>) -> Self {
        let mut requests = activity.requests();
        requests.open += 1;
        requests.changed = Instant::now();
        Self(activity.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.open -= 1;
        requests.changed = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_open_for_the_time_allowed() {
        let activity = Arc::new(Activity::default());
        let start = Instant::now();
        let (first, second) = (Open::new(&activity), Open::new(&activity));
        let requests = tokio::spawn(async move {
            sleep(Duration::from_secs(100)).await;
            drop(first);
            sleep(Duration::from_secs(20)).await;
            drop(second);
        });
        activity.idle().await;
        requests.await.expect("no panic");
        let closed = start.elapsed().as_secs();
        assert!((120 + 30..=120 + 34).contains(&closed), "{closed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_now_and_then_keeps_a_connection() {
        let activity = Arc::new(Activity::default());
        for _ in 0..100 {
            let idle = tokio::time::timeout(Duration::from_secs(29), activity.idle()).await;
            assert!(idle.is_err());
            drop(Open::new(&activity));
        }
    }
}
