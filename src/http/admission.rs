//! What is looked at before anything is counted: is this really a stream, of
//! which room, and may it be had now?

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

/// The most header fields that are read. (How long they may be in all is the
/// server's to say, before there is a request.)
const MAX_FIELDS: usize = 64;

/// Refuses a request whose head is larger than any that is meant.
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

/// Finds what a request for a stream asks for, or why it may have none.
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

/// A request that names no host, or two, may be one that a proxy in front of us
/// understood in another way (RFC 9112, section 3.2). HTTP/2 names it in `:authority`
/// or in `Host`, and HTTP/1 may do so in its target as well: then it is the same twice
/// (RFC 9113, section 8.3.1).
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

/// Whether the head says that a body follows. (HTTP/2 need not say so.) It has no
/// meaning here, and were it ignored, what follows it could be taken for one.
fn announces_body(headers: &HeaderMap) -> bool {
    let empty = |length: &header::HeaderValue| length.as_bytes().iter().all(|byte| *byte == b'0');
    headers.contains_key(header::TRANSFER_ENCODING)
        || !headers.get_all(header::CONTENT_LENGTH).iter().all(empty)
}

/// Browsers say what a request is for (<https://www.w3.org/TR/fetch-metadata/>),
/// and `EventSource` says `empty` and `cors`. An image, a script or a frame whose
/// address somebody pointed here is no visitor; nor is a page that is loaded
/// before anybody asked for it.
fn is_meant(headers: &HeaderMap) -> Result<(), Refusal> {
    let says = |name: &str| headers.get(name).map(|value| value.as_bytes());
    if says("sec-purpose").is_some_and(|purpose| contains(purpose, b"prefetch")) {
        return Err(Refusal::Prefetch);
    }
    // Over plain HTTP they don't say it, nor do old ones. But an image, a script or a
    // frame does not ask for an event stream by its name, and every browser since 1998
    // calls itself this.
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

/// What a client was given to come back with; none if it says anything else, or says it
/// twice. A header is newer than the query: it is of the last stream, the query
/// of that before the `EventSource` was made.
pub(super) fn ticket(head: &Parts, query: &Query) -> Option<Ticket> {
    let mut headers = head.headers.get_all("last-event-id").iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => header.to_str().ok().and_then(|header| header.parse().ok()),
        _ => None,
    };
    header.or_else(|| query.ticket.clone())
}
