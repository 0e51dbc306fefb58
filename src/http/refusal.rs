//! What a refused request is told: `{"error":"…"}` and a status.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::Full;
use crate::name::BadName;
use crate::rooms::NoSeat;
use crate::stream::NoStream;

/// One row of the table below, without what the client is told.
pub(super) struct Row {
    status: StatusCode,
    /// `None` if the refusal is not about a stream.
    pub(super) reason: Option<Reason>,
    header: Header,
}

/// Why streams are refused, as the operator is told. Several rows may have the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The name of the reason, in the metrics' label and in the log.
    pub(super) label: &'static str,
    /// What would help, if anything needs to be done.
    pub(super) help: &'static str,
}

const METHOD: Option<Reason> = reason("method", "the client must use GET");
const HOST: Option<Reason> =
    reason("host", "the client, or the proxy in front of this server, must send exactly one Host");
const BODY: Option<Reason> = reason("body", "the client must not send a body");
const ACCEPT: Option<Reason> = reason("accept", "the client must accept text/event-stream");
const ORIGIN: Option<Reason> = reason(
    "origin",
    "to count that site, name it with --allow-origin; if it is this server's own site, the \
     proxy in front of it must pass Host on",
);
const EMBEDDED: Option<Reason> = reason(
    "embedded",
    "the page must use <user-count>, EventSource or fetch, not an image, a frame or a link",
);
const PREFETCH: Option<Reason> =
    reason("prefetch", "nothing is wrong: visitors are counted once they see the page");
const ROOM: Option<Reason> = reason(
    "room",
    "a room's name is 1 to 128 bytes of UTF-8 without control characters; a stream may have up \
     to 32 rooms, each named once",
);
const ROOMS: Option<Reason> = reason("rooms", "if the room is one of yours, add it with --rooms");
const OBSERVE: Option<Reason> =
    reason("observe", "the client must send observe=0, observe=1, or neither");
const MAX_ROOMS: Option<Reason> =
    reason("max_rooms", "raise --max-rooms, or allow only your own rooms with --rooms");
const MAX_STREAMS: Option<Reason> = reason(
    "max_streams",
    "raise --max-streams or, if it is not set, the limit on file descriptors (ulimit -n, \
     LimitNOFILE)",
);
const MAX_STREAMS_PER_IP: Option<Reason> = reason(
    "max_streams_per_ip",
    "raise --max-streams-per-ip; if these clients come through a proxy, name it with \
     --trusted-proxy",
);
const MAX_ROOMS_PER_IP: Option<Reason> = reason(
    "max_rooms_per_ip",
    "raise --max-rooms-per-ip; if these clients come through a proxy, name it with \
     --trusted-proxy",
);
const DRAINING: Option<Reason> =
    reason("draining", "nothing is wrong: the server is stopping, and clients try again");

const fn reason(label: &'static str, help: &'static str) -> Option<Reason> {
    Some(Reason { label, help })
}

/// The header that goes with the status, if any.
type Header = Option<(&'static str, &'static str)>;

const ALLOW_GET: Header = Some(("allow", "GET"));
/// Anything that follows on this connection may not be what it seems.
const CLOSE: Header = Some(("connection", "close"));
/// Seconds. By then the server's successor is up, or the next try will see.
const RETRY_SOON: Header = Some(("retry-after", "5"));
/// Seconds. Nobody knows when a place will be free; this keeps clients from hammering.
const RETRY_LATER: Header = Some(("retry-after", "30"));

/// Makes an enum from the table, so that a refusal is its row and nothing else.
macro_rules! refusals {
    ($(
        $(#[$doc:meta])+
        $refusal:ident $(($why:ident: $type:ty))?:
            $status:ident, $reason:expr, $header:expr, $message:expr;
    )+) => {
        /// Why a request is refused. A refused request is never counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Refusal {
            $($(#[$doc])+ $refusal $(($type))?,)+
        }

        impl Refusal {
            /// Its row, and what the client is told.
            pub(super) fn row(self) -> (Row, Cow<'static, str>) {
                match self {
                    $(Self::$refusal $(($why))? => (
                        Row { status: StatusCode::$status, reason: $reason, header: $header },
                        $message.into(),
                    ),)+
                }
            }
        }

        /// How many rows there are. This can't be the length of [`ROWS`], whose reasons a
        /// function makes: rustc reports a cycle if a type depends on that.
        pub(super) const COUNT: usize = [$(stringify!($refusal)),+].len();

        pub(super) const ROWS: &[Row; COUNT] = &[
            $(Row { status: StatusCode::$status, reason: $reason, header: $header },)+
        ];
    };
}

refusals! {
    /// Nothing is served at this path.
    NotFound: NOT_FOUND, None, None, "there is nothing at this path";
    /// This path takes other methods; the router adds which ones.
    MethodNotAllowed: METHOD_NOT_ALLOWED, None, None, "this path does not support that method";
    /// The path and query are longer than any legitimate request needs.
    UriTooLong: URI_TOO_LONG, None, None, "the path and query may have at most 8192 bytes";
    /// There are more header fields than any legitimate request needs.
    TooManyFields: REQUEST_HEADER_FIELDS_TOO_LARGE, None, None,
        "a request may have at most 64 header fields";
    /// The text cannot be a badge's label.
    BadLabel: BAD_REQUEST, None, None,
        "label may be given once, with at most 64 characters and no control characters";
    /// The text cannot be a badge's colour.
    BadColor: BAD_REQUEST, None, None,
        "color may be given once: a name such as brightgreen, red or blue, or 3, 6 or 8 \
         hexadecimal digits";
    /// `last` is not a time.
    BadLast: BAD_REQUEST, None, None,
        "last must be a time from 1m to 90d, such as 5m, 24h or 7d";
    /// The history has no file.
    NoHistoryFile: NOT_FOUND, None, None,
        "this server keeps no history beyond the last 5 minutes (--history)";
    /// The history is the operator's alone.
    PrivateHistory: FORBIDDEN, None, None,
        "the history of this server is private (--private-history)";
    /// Too many ask for the past.
    HistoryBusy: SERVICE_UNAVAILABLE, None, RETRY_SOON,
        "too many clients are asking for the history; try again soon";
    /// The history's file cannot be read.
    HistoryUnreadable: INTERNAL_SERVER_ERROR, None, None, "the history cannot be read";
    /// A file of the page exists but cannot be read.
    Unreadable: INTERNAL_SERVER_ERROR, None, None, "the file cannot be read";

    /// A stream is opened by GET alone.
    NotGet: METHOD_NOT_ALLOWED, METHOD, ALLOW_GET, "a stream must be opened with GET";
    /// The request names no host, or two.
    Host: BAD_REQUEST, HOST, CLOSE, "a request must name exactly one host";
    /// The request has a body.
    Body: BAD_REQUEST, BODY, CLOSE, "a request for a stream must not have a body";
    /// `Accept` excludes event streams.
    NotAcceptable: NOT_ACCEPTABLE, ACCEPT, None,
        "a stream is text/event-stream, which your Accept header excludes";
    /// The page that asks has an origin that is not allowed.
    Origin: FORBIDDEN, ORIGIN, None,
        "this server does not count pages of that origin (--allow-origin)";
    /// A browser asks on behalf of an image, a script, a frame.
    Embedded: FORBIDDEN, EMBEDDED, None,
        "a stream is opened by EventSource or fetch; it cannot be embedded";
    /// A browser asks before anybody has opened the page.
    Prefetch: FORBIDDEN, PREFETCH, None,
        "a stream cannot be prefetched";
    /// The text cannot be a room's name.
    BadRoom(bad: BadName): BAD_REQUEST, ROOM, None, bad.to_string();
    /// The room's name is not UTF-8.
    RoomNotUtf8: BAD_REQUEST, ROOM, None, "a room's name must be percent-encoded UTF-8";
    /// The query names several rooms where only one may be named.
    SecondRoom: BAD_REQUEST, ROOM, None, "the query may name only one room";
    /// The query names a room twice.
    RoomTwice: BAD_REQUEST, ROOM, None, "the query names the same room twice";
    /// The query names more rooms than a stream may have.
    TooManyNamed: BAD_REQUEST, ROOM, None, "a stream may have at most 32 rooms";
    /// The room is not among those that `--rooms` allows.
    NoSuchRoom: FORBIDDEN, ROOMS, None, "this server does not have that room (--rooms)";
    /// `observe` is neither 0 nor 1.
    BadObserve: BAD_REQUEST, OBSERVE, None,
        "observe must be 0 or 1";
    /// The room would be one too many.
    TooManyRooms: SERVICE_UNAVAILABLE, MAX_ROOMS, RETRY_LATER,
        "the server has reached its limit on rooms; try again later";
    /// The stream would be one too many.
    TooManyStreams: SERVICE_UNAVAILABLE, MAX_STREAMS, RETRY_LATER,
        "the server has reached its limit on streams; try again later";
    /// The stream would be one too many of its address.
    TooManyOfAddress: TOO_MANY_REQUESTS, MAX_STREAMS_PER_IP, RETRY_LATER,
        "your address has reached its limit on streams; close one, or try again later";
    /// The stream's address would be in one room too many.
    TooManyRoomsOfAddress: TOO_MANY_REQUESTS, MAX_ROOMS_PER_IP, RETRY_LATER,
        "your address has reached its limit on rooms; leave one, or try again later";
    /// The server is stopping.
    Draining: SERVICE_UNAVAILABLE, DRAINING, RETRY_SOON,
        "the server is stopping; try again soon";
}

impl From<NoStream> for Refusal {
    fn from(why: NoStream) -> Self {
        match why {
            NoStream::NoSeat(NoSeat::Full(Full::Streams)) => Self::TooManyStreams,
            NoStream::NoSeat(NoSeat::Full(Full::StreamsOfAddress)) => Self::TooManyOfAddress,
            NoStream::NoSeat(NoSeat::Full(Full::RoomsOfAddress)) => Self::TooManyRoomsOfAddress,
            NoStream::NoSeat(NoSeat::TooManyRooms) => Self::TooManyRooms,
            NoStream::Draining => Self::Draining,
        }
    }
}

/// An error as every route answers it.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (Row { status, header, .. }, message) = self.row();
        let mut response = error(status, &message);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs::read_to_string;

    /// The answers in the table of refused streams in docs/protocol.md.
    fn answers_of_the_docs() -> BTreeSet<String> {
        let docs = read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md"));
        let docs = docs.expect("the page is there");
        let (_, rest) = docs.split_once("| request for a stream | answer |\n").expect("a table");
        let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
        rows.map(|row| {
            let answer = row.rsplit('|').nth(1).expect("a second column").trim();
            answer.split('.').next().expect("its beginning").to_owned()
        })
        .collect()
    }

    #[test]
    fn the_docs_have_every_answer_that_refuses_a_stream_and_no_other() {
        let of_streams = ROWS.iter().filter(|row| row.reason.is_some());
        let answers = of_streams.map(|Row { status, header, .. }| match header {
            Some(("allow", methods)) => format!("{} with `allow: {methods}`", status.as_u16()),
            Some(("retry-after", _)) => format!("{} with `retry-after`", status.as_u16()),
            _ => status.as_u16().to_string(),
        });
        assert_eq!(answers.collect::<BTreeSet<_>>(), answers_of_the_docs());
    }
}
