//! `GET /count`: the number alone, for clients that don't stay.

use std::ops::Not;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::Refusal;
use super::{Shared, accept, query};

/// `{"room":"lobby","count":3}`, and `"partial":true` while some people may be missing.
#[derive(Serialize)]
struct Count<'a> {
    room: &'a str,
    count: usize,
    #[serde(skip_serializing_if = "Not::not")]
    partial: bool,
}

pub(super) async fn count(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let room = shared.allowed(query::room(&uri)?)?;
    let count = shared.rooms().count(&room);
    let varies = [(header::CACHE_CONTROL, "no-store"), (header::VARY, "accept")];
    Ok(if accept::plain_text(&headers) {
        (varies, format!("{count}\n")).into_response()
    } else {
        (varies, Json(Count { room: room.as_str(), count, partial: shared.rooms().is_partial() }))
            .into_response()
    })
}
