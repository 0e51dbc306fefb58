//! What a request is told that is not granted: `{"error":"…"}` and a status.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::Full;
use crate::name::BadName;
use crate::stream::NoStream;
use crate::tally::Counter;

/// Why a request is refused. None is ever counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 404: nobody serves this path.
    NotFound,
    /// 405: this path takes other methods; the router adds which.
    MethodNotAllowed,
    /// 405: a stream is opened by GET alone.
    NotGet,
    /// 400, closed: the request names no host, or two.
    Host,
    /// 400, closed: the request has a body.
    Body,
    /// 406: `Accept` excludes event streams.
    NotAcceptable,
    /// 403: a page of an origin asks that is not allowed.
    Origin,
    /// 403: a browser asks on behalf of an image, a script, a frame.
    Embedded,
    /// 403: a browser asks before anybody wants the page.
    Prefetch,
    /// 400: the room's name is none.
    BadRoom(BadName),
    /// 400: the room's name is no text.
    RoomNotUtf8,
    /// 400: the query names two rooms where there is one.
    SecondRoom,
    /// 400: the query names a room twice.
    RoomTwice,
    /// 400: the query names more rooms than a stream may be of.
    TooManyNamed,
    /// 400: the query asks to observe, or not, in words that nobody understands.
    BadObserve,
    /// 400: the label of a badge is none.
    BadLabel,
    /// 400: the colour of a badge is none.
    BadColor,
    /// 414: the path and query are longer than any that is meant.
    UriTooLong,
    /// 431: there are more header fields than in any request that is meant.
    TooManyFields,
    /// 503: the room would be one too many.
    TooManyRooms,
    /// 503: the stream would be one too many.
    TooManyStreams,
    /// 429: the stream would be one too many of its address.
    TooManyOfAddress,
    /// 429: its address would be in one room too many.
    TooManyRoomsOfAddress,
    /// 503: the server is stopping.
    Draining,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Origin | Self::Embedded | Self::Prefetch => StatusCode::FORBIDDEN,
            Self::Host
            | Self::Body
            | Self::BadRoom(_)
            | Self::RoomNotUtf8
            | Self::SecondRoom
            | Self::RoomTwice
            | Self::TooManyNamed
            | Self::BadObserve
            | Self::BadLabel
            | Self::BadColor => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooManyRooms | Self::TooManyStreams | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooManyOfAddress | Self::TooManyRoomsOfAddress => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn message(self) -> String {
        let message = match self {
            Self::BadRoom(bad) => return bad.to_string(),
            Self::NotFound => "there is nothing at this path",
            Self::MethodNotAllowed => "this path does not take that method",
            Self::NotGet => "a stream is opened with GET",
            Self::Host => "a request names exactly one host",
            Self::Body => "a request for a stream has no body",
            Self::NotAcceptable => "a stream is text/event-stream, which Accept excludes",
            Self::Origin => "this server does not count pages of that origin (--allow-origin)",
            Self::Embedded => "a stream is for EventSource or fetch, not to be embedded",
            Self::Prefetch => "a stream is not to be fetched before it is wanted",
            Self::RoomNotUtf8 => "a room's name must be percent-encoded UTF-8",
            Self::SecondRoom => "the query names more than one room",
            Self::RoomTwice => "the query names a room twice",
            Self::TooManyNamed => "a stream is of at most 32 rooms",
            Self::BadObserve => "observe is 1 for who is not to be counted, and left out otherwise",
            Self::BadLabel => {
                "a badge has one label, of at most 64 characters and no control characters"
            }
            Self::BadColor => {
                "a badge has one color, such as brightgreen, red or blue, or 3, 6 or 8 \
                 hexadecimal digits"
            }
            Self::UriTooLong => "the path and query have at most 8192 bytes",
            Self::TooManyFields => "a request has at most 64 header fields",
            Self::TooManyRooms => "as many rooms are open as may be; try again later",
            Self::TooManyStreams => "as many streams are open as may be; try again later",
            Self::TooManyOfAddress => {
                "as many streams are open from your address as may be; close one, or try again later"
            }
            Self::TooManyRoomsOfAddress => {
                "your address is in as many rooms as may be; leave one, or try again later"
            }
            Self::Draining => "the server is stopping; try again soon",
        };
        message.into()
    }

    /// The reason as a label of the metrics; none where no stream was asked for.
    fn label(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::BadLabel
            | Self::BadColor
            | Self::UriTooLong
            | Self::TooManyFields => return None,
            Self::NotGet => "method",
            Self::Host => "host",
            Self::Body => "body",
            Self::NotAcceptable => "accept",
            Self::Origin => "origin",
            Self::Embedded => "embedded",
            Self::Prefetch => "prefetch",
            Self::BadRoom(_)
            | Self::RoomNotUtf8
            | Self::SecondRoom
            | Self::RoomTwice
            | Self::TooManyNamed => "room",
            Self::BadObserve => "observe",
            Self::TooManyRooms => "max_rooms",
            Self::TooManyStreams => "max_streams",
            Self::TooManyOfAddress => "max_streams_per_ip",
            Self::TooManyRoomsOfAddress => "max_rooms_per_ip",
            Self::Draining => "draining",
        })
    }

    /// The header that goes with the status.
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::NotGet => Some((header::ALLOW, HeaderValue::from_static("GET"))),
            // What follows on this connection may not be what it seems.
            Self::Host | Self::Body => {
                Some((header::CONNECTION, HeaderValue::from_static("close")))
            }
            // Seconds. Whoever takes over is up by then, or the next try finds out.
            Self::Draining => Some((header::RETRY_AFTER, HeaderValue::from_static("5"))),
            // Nobody knows when somebody leaves; this keeps clients from hammering.
            Self::TooManyRooms
            | Self::TooManyStreams
            | Self::TooManyOfAddress
            | Self::TooManyRoomsOfAddress => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("30")))
            }
            _ => None,
        }
    }
}

impl From<NoStream> for Refusal {
    fn from(why: NoStream) -> Self {
        match why {
            NoStream::Full(Full::Streams) => Self::TooManyStreams,
            NoStream::Full(Full::StreamsOfAddress) => Self::TooManyOfAddress,
            NoStream::Full(Full::RoomsOfAddress) => Self::TooManyRoomsOfAddress,
            NoStream::TooManyRooms => Self::TooManyRooms,
            NoStream::Draining => Self::Draining,
        }
    }
}

/// How many streams were refused so far, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals([Counter; Refusals::LABELS.len()]);

impl Refusals {
    pub(super) const LABELS: [&'static str; 14] = [
        "method",
        "host",
        "body",
        "accept",
        "origin",
        "embedded",
        "prefetch",
        "room",
        "observe",
        "max_rooms",
        "max_streams",
        "max_streams_per_ip",
        "max_rooms_per_ip",
        "draining",
    ];

    pub(super) fn count(&self, refusal: Refusal) {
        if let Some(label) = refusal.label() {
            self.of(label).count();
        }
    }

    /// The counter of one of [`LABELS`](Self::LABELS).
    pub(super) fn of(&self, label: &str) -> &Counter {
        let place = Self::LABELS.iter().position(|known| *known == label);
        &self.0[place.unwrap_or_default()]
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.message() }));
        let mut response =
            (self.status(), [(header::CACHE_CONTROL, "no-store")], body).into_response();
        response.headers_mut().extend(self.header());
        response
    }
}
