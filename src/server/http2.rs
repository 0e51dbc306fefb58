//! A connection of HTTP/2: many streams, all of them hyper's.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower::Service;

use super::connections::{Connections, Io, MAX_HEAD, Peer};
use crate::ending::Reason;

/// The most requests that one connection may have open. hyper's own limits on
/// resets (CVE-2023-44487, CVE-2024-27316) hold besides.
const MAX_STREAMS: u32 = 128;

/// Answers the requests of one client until it leaves.
pub(super) async fn serve(
    connections: Arc<Connections>,
    io: impl Io,
    peer: Peer,
) -> hyper::Result<()> {
    let service = service_fn({
        let (app, peer) = (connections.app.clone(), peer.clone());
        move |mut request| {
            // One stream's end is not the others'.
            peer.sign(&mut request, peer.ending.of_one_stream());
            app.clone().call(request)
        }
    });
    let settings = &connections.settings;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    builder.keep_alive_interval(settings.keep_alive).keep_alive_timeout(settings.user_timeout);
    builder.max_concurrent_streams(MAX_STREAMS);
    builder.max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let mut hyper = pin!(builder.serve_connection(TokioIo::new(io), service));

    let over = match connections.drain.run_until_cancelled(hyper.as_mut()).await {
        Some(over) => over,
        None => {
            hyper.as_mut().graceful_shutdown();
            hyper.await
        }
    };
    if over.as_ref().is_err_and(hyper::Error::is_timeout) {
        peer.ending.note(Reason::TimedOut);
    }
    over
}
