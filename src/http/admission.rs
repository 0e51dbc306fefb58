//! Admission: what is checked before anything is counted. Is this really a request for a
//! stream, and of which rooms?

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::accept;
use super::query::Query;
use super::refusal::Refusal;
use crate::ticket::Ticket;

/// The longest path and query that is read, in bytes.
const MAX_URI: usize = 8 * 1024;

/// The most header fields that are read. (The server limits their total length before
/// there is a request.)
const MAX_FIELDS: usize = 64;

/// Refuses a request whose head is larger than any legitimate request needs.
pub(super) async fn small_enough(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if length > MAX_URI {
        Refusal::UriTooLong.into_response()
    } else if request.headers().len() > MAX_FIELDS {
        Refusal::TooManyFields.into_response()
    } else {
        next.run(request).await
    }
}

/// Finds out what a request for a stream asks for, or why it is refused.
pub(super) fn admit(head: &Parts, body: &Body) -> Result<Query, Refusal> {
    if head.method != Method::GET {
        return Err(Refusal::NotGet);
    }
    has_one_host(head)?;
    if announces_body(&head.headers) || !body.is_end_stream() {
        return Err(Refusal::Body);
    }
    if !accept::event_stream(&head.headers) {
        return Err(Refusal::NotAcceptable);
    }
    is_meant(&head.headers)?;
    Query::of(&head.uri)
}

/// A proxy in front of us may have understood a request that names no host, or two, in
/// another way (RFC 9112, section 3.2). HTTP/2 names the host in `:authority` or in `Host`,
/// and HTTP/1 may name it in its target as well: both must then be the same (RFC 9113,
/// section 8.3.1).
fn has_one_host(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let target = head.uri.authority();
    match (hosts.next(), hosts.next(), target) {
        (None, _, Some(_)) if head.version >= Version::HTTP_2 => Ok(()),
        (Some(_), None, None) => Ok(()),
        (Some(host), None, Some(target))
            if host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) =>
        {
            Ok(())
        }
        _ => Err(Refusal::Host),
    }
}

/// Whether the head says that a body follows. (HTTP/2 need not say so.) A body has no
/// meaning here, and if it were ignored, it could be taken for another request.
fn announces_body(headers: &HeaderMap) -> bool {
    let empty = |length: &header::HeaderValue| length.as_bytes().iter().all(|byte| *byte == b'0');
    headers.contains_key(header::TRANSFER_ENCODING)
        || !headers.get_all(header::CONTENT_LENGTH).iter().all(empty)
}

/// Browsers say what a request is for (<https://www.w3.org/TR/fetch-metadata/>),
/// and `EventSource` says `empty` and `cors`. An image, a script or a frame with this
/// address is not a visitor; nor is a page that is loaded before anybody has asked for it.
fn is_meant(headers: &HeaderMap) -> Result<(), Refusal> {
    let says = |name: &str| headers.get(name).map(|value| value.as_bytes());
    if says("sec-purpose").is_some_and(|purpose| contains(purpose, b"prefetch")) {
        return Err(Refusal::Prefetch);
    }
    // Over plain HTTP they don't say it, nor do old browsers. But images, scripts and frames
    // don't ask for an event stream by name, and every browser since 1998 calls itself
    // Mozilla.
    let is_browser = says("user-agent").is_some_and(|agent| agent.starts_with(b"Mozilla/"));
    let is_silent = is_browser && says("sec-fetch-mode").is_none();
    if says("sec-fetch-dest").is_some_and(|dest| !dest.eq_ignore_ascii_case(b"empty"))
        || says("sec-fetch-mode").is_some_and(|mode| mode.eq_ignore_ascii_case(b"no-cors"))
        || is_silent && !accept::names_event_stream(headers)
    {
        return Err(Refusal::Embedded);
    }
    Ok(())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// The ticket that a client brings back; `None` if it sends anything else, or sends it
/// twice. A ticket in the header is newer than one in the query: it comes from the last
/// stream, that in the query from before the `EventSource` was made.
pub(super) fn ticket(head: &Parts, query: &Query) -> Option<Ticket> {
    let mut headers = head.headers.get_all("last-event-id").iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => header.to_str().ok().and_then(|header| header.parse().ok()),
        _ => None,
    };
    header.or_else(|| query.ticket.clone())
}
