//! What a request is told that is not granted: `{"error":"…"}` and a status.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::name::BadName;

/// Why a request is refused. None is ever counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 404
    NotFound,
    /// 405; the router adds `allow`
    MethodNotAllowed,
    /// 405 with `allow: GET`: a stream is opened by GET alone
    NotAStream,
    /// 400
    BadRoom(BadName),
    /// 400
    RoomNotUtf8,
    /// 400
    RoomTwice,
    /// 503 with `retry-after`
    Draining,
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::NotAStream => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRoom(_) | Self::RoomNotUtf8 | Self::RoomTwice => StatusCode::BAD_REQUEST,
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(self) -> String {
        match self {
            Self::NotFound => "there is nothing at this path".into(),
            Self::MethodNotAllowed => "this path does not take that method".into(),
            Self::NotAStream => "a stream is opened with GET".into(),
            Self::BadRoom(bad) => bad.to_string(),
            Self::RoomNotUtf8 => "a room's name must be percent-encoded UTF-8".into(),
            Self::RoomTwice => "the query names more than one room".into(),
            Self::Draining => "the server is stopping; try again soon".into(),
        }
    }

    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::NotAStream => Some((header::ALLOW, HeaderValue::from_static("GET"))),
            // Seconds. Whoever takes over is up by then, or the next try finds out.
            Self::Draining => Some((header::RETRY_AFTER, HeaderValue::from_static("5"))),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(Body { error: self.message() });
        let mut response =
            (self.status(), [(header::CACHE_CONTROL, "no-store")], body).into_response();
        response.headers_mut().extend(self.header());
        response
    }
}
