//! Reads the body of an HTTP/2 request to its end, although nobody here wants it.
//!
//! A server that has answered may reset a stream on which the request is still being
//! sent, and the client must keep the answer all the same (RFC 9113, section 8.1). Not
//! all do: curl discards the answer and reports a broken stream. (Over HTTP/1 the
//! connection lingers before it is closed, for the same reason.)

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use tokio::time::timeout;

/// How long a client has to send the body before it is answered anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers a request once its whole body was sent.
pub(super) async fn hear_out(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, mut unwanted) = request.into_parts();
    let all = async { while let Some(Ok(_)) = unwanted.frame().await {} };
    let _sent_or_not = timeout(PATIENCE, all).await;
    // Admission must still see that there was a body.
    let heard = Body::from_stream(tokio_stream::pending::<Result<&[u8], axum::Error>>());
    next.run(Request::from_parts(head, heard)).await
}
