//! What a request is told that is not granted: `{"error":"…"}` and a status.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::Full;
use crate::name::BadName;
use crate::rooms::NoSeat;
use crate::stream::NoStream;

/// One row of the table below, but for what the client is told.
pub(super) struct Row {
    status: StatusCode,
    /// None where no stream was asked for.
    pub(super) reason: Option<Reason>,
    header: Header,
}

/// Why streams are refused, as the operator hears of it. Several rows may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// A label of the metrics, and what the log calls it.
    pub(super) label: &'static str,
    /// What would help, if anything has to.
    pub(super) help: &'static str,
}

const METHOD: Option<Reason> = reason("method", "the client has to use GET");
const HOST: Option<Reason> =
    reason("host", "the client, or the proxy before this server, has to send exactly one Host");
const BODY: Option<Reason> = reason("body", "the client has to send no body");
const ACCEPT: Option<Reason> = reason("accept", "the client has to accept text/event-stream");
const ORIGIN: Option<Reason> = reason(
    "origin",
    "if that site may count here, name it with --allow-origin; if it is this server's own, \
     the proxy before it has to pass Host on",
);
const EMBEDDED: Option<Reason> = reason(
    "embedded",
    "the page has to use <user-count>, EventSource or fetch, not an image, a frame or a link",
);
const PREFETCH: Option<Reason> =
    reason("prefetch", "nothing is wrong: a visitor is counted once they see the page");
const ROOM: Option<Reason> = reason(
    "room",
    "the client has to name rooms of 1 to 128 bytes of UTF-8 without control characters, each \
     once and at most 32",
);
const ROOMS: Option<Reason> = reason("rooms", "if the site has that room, name it with --rooms");
const OBSERVE: Option<Reason> = reason("observe", "the client has to say observe=1, or nothing");
const MAX_ROOMS: Option<Reason> =
    reason("max_rooms", "raise --max-rooms, or name the rooms that the site has with --rooms");
const MAX_STREAMS: Option<Reason> = reason(
    "max_streams",
    "raise --max-streams, or without it the limit on file descriptors (ulimit -n, LimitNOFILE)",
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
/// What follows on this connection may not be what it seems.
const CLOSE: Header = Some(("connection", "close"));
/// Seconds. Whoever takes over is up by then, or the next try finds out.
const RETRY_SOON: Header = Some(("retry-after", "5"));
/// Nobody knows when somebody leaves; this keeps clients from hammering.
const RETRY_LATER: Header = Some(("retry-after", "30"));

/// Makes an enum of the table, so that a refusal is its row and nothing else.
macro_rules! refusals {
    ($(
        $(#[$doc:meta])+
        $refusal:ident $(($why:ident: $type:ty))?:
            $status:ident, $reason:expr, $header:expr, $message:expr;
    )+) => {
        /// Why a request is refused. None is ever counted.
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

        /// How many rows there are. Not the length of [`ROWS`]: their reasons are what a
        /// function answers, and rustc runs in a circle where a type depends on that.
        pub(super) const COUNT: usize = [$(stringify!($refusal)),+].len();

        pub(super) const ROWS: &[Row; COUNT] = &[
            $(Row { status: StatusCode::$status, reason: $reason, header: $header },)+
        ];
    };
}

refusals! {
    /// Nobody serves this path.
    NotFound: NOT_FOUND, None, None, "there is nothing at this path";
    /// This path takes other methods; the router adds which.
    MethodNotAllowed: METHOD_NOT_ALLOWED, None, None, "this path does not take that method";
    /// The path and query are longer than any that is meant.
    UriTooLong: URI_TOO_LONG, None, None, "the path and query have at most 8192 bytes";
    /// There are more header fields than in any request that is meant.
    TooManyFields: REQUEST_HEADER_FIELDS_TOO_LARGE, None, None,
        "a request has at most 64 header fields";
    /// The label of a badge is none.
    BadLabel: BAD_REQUEST, None, None,
        "a badge has one label, of at most 64 characters and no control characters";
    /// The colour of a badge is none.
    BadColor: BAD_REQUEST, None, None,
        "a badge has one color, such as brightgreen, red or blue, or 3, 6 or 8 hexadecimal digits";
    /// How much of the past is asked for is no time.
    BadLast: BAD_REQUEST, None, None,
        "last is how much of the past is asked for: 1m to 90d, such as 5m, 24h or 7d";
    /// The history has no file.
    NoHistoryFile: NOT_FOUND, None, None,
        "this server keeps no more than the last 5 minutes, if that (--history)";
    /// The history is the operator's alone.
    PrivateHistory: FORBIDDEN, None, None,
        "this server shows its history to nobody (--private-history)";
    /// Too many ask for the past.
    HistoryBusy: SERVICE_UNAVAILABLE, None, RETRY_SOON,
        "too many clients ask for the history; try again soon";
    /// The history's file can't be read.
    HistoryUnreadable: INTERNAL_SERVER_ERROR, None, None, "the history can't be read";
    /// A file of the page is there, and can't be read.
    Unreadable: INTERNAL_SERVER_ERROR, None, None, "the file can't be read";

    /// A stream is opened by GET alone.
    NotGet: METHOD_NOT_ALLOWED, METHOD, ALLOW_GET, "a stream is opened with GET";
    /// The request names no host, or two.
    Host: BAD_REQUEST, HOST, CLOSE, "a request names exactly one host";
    /// The request has a body.
    Body: BAD_REQUEST, BODY, CLOSE, "a request for a stream has no body";
    /// `Accept` excludes event streams.
    NotAcceptable: NOT_ACCEPTABLE, ACCEPT, None,
        "a stream is text/event-stream, which Accept excludes";
    /// A page of an origin asks that is not allowed.
    Origin: FORBIDDEN, ORIGIN, None,
        "this server does not count pages of that origin (--allow-origin)";
    /// A browser asks on behalf of an image, a script, a frame.
    Embedded: FORBIDDEN, EMBEDDED, None,
        "a stream is for EventSource or fetch, not to be embedded";
    /// A browser asks before anybody wants the page.
    Prefetch: FORBIDDEN, PREFETCH, None,
        "a stream is not to be fetched before it is wanted";
    /// The room's name is none.
    BadRoom(bad: BadName): BAD_REQUEST, ROOM, None, bad.to_string();
    /// The room's name is no text.
    RoomNotUtf8: BAD_REQUEST, ROOM, None, "a room's name must be percent-encoded UTF-8";
    /// The query names two rooms where there is one.
    SecondRoom: BAD_REQUEST, ROOM, None, "the query names more than one room";
    /// The query names a room twice.
    RoomTwice: BAD_REQUEST, ROOM, None, "the query names a room twice";
    /// The query names more rooms than a stream may be of.
    TooManyNamed: BAD_REQUEST, ROOM, None, "a stream is of at most 32 rooms";
    /// The room is none of those that the site has.
    NoSuchRoom: FORBIDDEN, ROOMS, None, "this server does not have that room (--rooms)";
    /// The query asks to observe, or not, in words that nobody understands.
    BadObserve: BAD_REQUEST, OBSERVE, None,
        "observe is 1 for who is not to be counted, and left out otherwise";
    /// The room would be one too many.
    TooManyRooms: SERVICE_UNAVAILABLE, MAX_ROOMS, RETRY_LATER,
        "as many rooms are open as may be; try again later";
    /// The stream would be one too many.
    TooManyStreams: SERVICE_UNAVAILABLE, MAX_STREAMS, RETRY_LATER,
        "as many streams are open as may be; try again later";
    /// The stream would be one too many of its address.
    TooManyOfAddress: TOO_MANY_REQUESTS, MAX_STREAMS_PER_IP, RETRY_LATER,
        "as many streams are open from your address as may be; close one, or try again later";
    /// Its address would be in one room too many.
    TooManyRoomsOfAddress: TOO_MANY_REQUESTS, MAX_ROOMS_PER_IP, RETRY_LATER,
        "your address is in as many rooms as may be; leave one, or try again later";
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

    /// What docs/protocol.md says of the answers to those who ask for a stream, row by row.
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
