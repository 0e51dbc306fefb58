//! `GET /events`: a request for a stream, and its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;

use super::Shared;
use super::address;
use super::admission::{admit, ticket};
use super::body::Opened;
use super::query::Query;
use super::refusal::Refusal;
use super::refusals::About;
use crate::ending::Ending;
use crate::stream::{Kind, Wish};

pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let refuse = |refusal, about: About<'_>| {
        shared.refusals.count(refusal, about);
        refusal
    };
    let query = admit(&head, &body).map_err(|refusal| refuse(refusal, About::Nothing))?;
    if let Some(room) = query.rooms.iter().find(|room| !shared.has(room)) {
        return Err(refuse(Refusal::NoSuchRoom, About::Room(room)));
    }
    let answer = open(&shared, &head, query).await;
    answer.map_err(|refusal| refuse(refusal, About::Nothing))
}

/// Opens the requested stream, and answers with it.
async fn open(shared: &Shared, head: &Parts, query: Query) -> Result<Response, Refusal> {
    let kind = if query.observes {
        Kind::Observer
    } else {
        Kind::Visitor { ticket: ticket(head, &query), holds: query.holds }
    };
    let wish = Wish {
        rooms: &query.rooms,
        address: client_address(shared, head),
        ending: head.extensions.get::<Ending>().cloned().unwrap_or_default(),
        kind,
        wants: query.asks_for,
    };
    let stream = shared.streams.open(wish).await?;
    let opened = Opened::new(stream);
    let mut response = response(Body::new(opened.body()), head.version);
    response.extensions_mut().insert(opened);
    Ok(response)
}

fn client_address(shared: &Shared, head: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = head.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address::client(peer.ip(), &head.headers, &shared.trusted_proxies))
}

fn response(body: Body, version: Version) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // no-transform: a proxy that compresses would hold events back.
    let no_cache = HeaderValue::from_static("no-cache, no-transform");
    headers.insert(header::CACHE_CONTROL, no_cache);
    // Without this nginx buffers the stream, and the first event doesn't arrive.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if version < Version::HTTP_2 {
        // A load balancer must not keep the connection of a client that left.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
