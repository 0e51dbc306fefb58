//! `GET /count`: the number alone, for those who don't stay.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::Shared;
use super::query::room;
use super::refusal::Refusal;

/// `{"room":"lobby","count":3}`
#[derive(Serialize)]
struct Count<'a> {
    room: &'a str,
    count: usize,
}

pub(super) async fn count(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<impl IntoResponse, Refusal> {
    let room = room(&uri)?;
    let count = shared.rooms.count(&room);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((no_store, Json(Count { room: room.as_str(), count })).into_response())
}
