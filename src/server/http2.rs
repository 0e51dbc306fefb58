//! An HTTP/2 connection: many streams, all of which hyper carries.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tower::Service;

use super::answers::{Activity, Answers, answering};
use super::gate::Pass;
use super::serving::{MAX_HEAD, Peer, Serving};
use super::transport::Io;
use crate::ending::{Ending, Reason};

/// The most requests that one connection may have open. hyper's own limits on
/// resets (CVE-2023-44487, CVE-2024-27316) apply as well.
const MAX_STREAMS: u32 = 128;

/// How many bytes hyper may keep for a stream that is not read, for the same reason as in
/// `socket.rs`; by default it keeps 400 kB of old numbers.
const UNSENT: usize = 2048;

/// Answers the requests of one client until it leaves.
pub(super) async fn serve(
    serving: Arc<Serving>,
    io: impl Io,
    peer: Peer,
    pass: Box<Pass>,
) -> hyper::Result<()> {
    let activity = Arc::new(Activity::new(pass));
    let service = service_fn({
        let (app, peer) = (serving.app.clone(), peer.clone());
        move |mut request| {
            // Each stream ends for its own reason.
            peer.sign(&mut request, peer.ending.of_one_stream());
            // Boxed, so that it is freed when the answer begins, while the task of a stream stays.
            Box::pin(answering(app.clone().call(request)))
        }
    });
    let mut builder = http2::Builder::new(Answers::new(&activity));
    builder.timer(TokioTimer::new());
    // A client whose network was away for no longer than allowed is still heard in time.
    let terms = &serving.terms;
    builder.keep_alive_interval(terms.heartbeat().longest());
    builder.keep_alive_timeout(terms.patience.for_answer());
    builder.max_concurrent_streams(MAX_STREAMS).max_send_buf_size(UNSENT);
    builder.max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let mut hyper = pin!(builder.serve_connection(TokioIo::new(io), service));

    let over = tokio::select! {
        biased;
        over = hyper.as_mut() => over,
        () = leaving(&serving, &activity) => {
            if terms.drain.is_cancelled() {
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

/// Notes why a connection failed, for the streams that it carried. The socket has noted
/// what it knows already. A client that leaves in the middle of a frame has just left.
fn note(error: &hyper::Error, ending: &Ending) {
    let of_io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if error.is_timeout() {
        ending.note(Reason::TimedOut);
    } else if of_io.is_none_or(|error| error.kind() == io::ErrorKind::InvalidData) {
        // One side broke the rules of HTTP/2 or of TLS.
        ending.note(Reason::Error);
    }
}

/// Waits until the client must be asked to leave: the server stops, or no request was open
/// for long enough.
async fn leaving(serving: &Serving, activity: &Activity) {
    tokio::select! {
        () = serving.terms.drain.cancelled() => {}
        () = activity.idle() => {}
    }
}
