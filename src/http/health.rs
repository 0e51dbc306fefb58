//! `GET /healthz` and `GET /readyz`, for whatever monitors the process.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Shared;
use super::refusal::Refusal;

/// Alive: the process answers.
pub(super) async fn alive() -> impl IntoResponse {
    said("alive\n")
}

/// Ready: the server accepts new streams. 503 once the drain has begun.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Result<impl IntoResponse, Refusal> {
    if shared.streams.terms().drain.is_cancelled() {
        Err(Refusal::Draining)
    } else {
        Ok(said("ready\n"))
    }
}

fn said(text: &'static str) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], text)
}
