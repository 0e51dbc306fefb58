//! What a query says: the room, and a few things more.

use std::borrow::Cow;
use std::str::Utf8Error;

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::name::Name;
use crate::token::Token;

/// Why a parameter has no value that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadParameter {
    /// The query has it twice.
    Twice,
    /// What is encoded is no UTF-8.
    NotUtf8,
}

/// The value of a parameter, if the query has it. Others are nobody's concern.
pub(super) fn value(uri: &Uri, name: &str) -> Result<Option<String>, BadParameter> {
    let mut values = uri.query().unwrap_or_default().split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(key).is_ok_and(|key| key == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => decode(value).map(Some).map_err(|_| BadParameter::NotUtf8),
        (Some(_), Some(_)) => Err(BadParameter::Twice),
    }
}

/// The room that a query names (`room=R`); the default room if it names none.
pub(super) fn room(uri: &Uri) -> Result<Name, Refusal> {
    match value(uri, "room") {
        Ok(None) => Ok(Name::default()),
        Ok(Some(room)) => Name::new(&room).map_err(Refusal::BadRoom),
        Err(BadParameter::Twice) => Err(Refusal::RoomTwice),
        Err(BadParameter::NotUtf8) => Err(Refusal::RoomNotUtf8),
    }
}

/// The token of the seat that a client had before (`lastEventID=T`), for a page
/// that made its `EventSource` anew and can set no header. The name is that of the
/// Mercure protocol for the same purpose
/// (<https://mercure.rocks/spec#reconciliation>). None if it says anything else.
pub(super) fn last_seat(uri: &Uri) -> Option<Token> {
    value(uri, "lastEventID").ok()??.parse().ok()
}

/// Whether a query asks to be told the keep-alive (`tell=keep-alive`). A page can't
/// see a header of its stream, and wants to know how long silence is no fault.
pub(super) fn asks_for_keep_alive(uri: &Uri) -> bool {
    value(uri, "tell").is_ok_and(|told| told.as_deref() == Some("keep-alive"))
}

/// Whether a query asks for its seat to be kept a moment after its stream (`hold=1`).
pub(super) fn asks_to_hold(uri: &Uri) -> bool {
    value(uri, "hold").is_ok_and(|hold| hold.as_deref() == Some("1"))
}

/// Whether a query asks to listen without being counted (`observe=1`). Anything that
/// is neither yes nor no is refused, or somebody would be counted by mistake.
pub(super) fn asks_to_observe(uri: &Uri) -> Result<bool, Refusal> {
    match value(uri, "observe").as_ref().map(Option::as_deref) {
        Ok(None | Some("0")) => Ok(false),
        Ok(Some("1")) => Ok(true),
        _ => Err(Refusal::BadObserve),
    }
}

/// Undoes `application/x-www-form-urlencoded`, in which browsers write a query
/// (<https://url.spec.whatwg.org/#urlencoded-parsing>), but where the standard
/// replaces what is not UTF-8, this refuses it: two different names must not
/// become one room.
fn decode(text: &str) -> Result<String, Utf8Error> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::BadName;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn room_of(query: &str) -> Result<String, Refusal> {
        let uri = Uri::try_from(format!("/events{query}")).expect("a URI");
        room(&uri).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn no_room_means_the_lobby() {
        for query in ["", "?", "?x=1", "?x", "?rooms=a", "?Room=a"] {
            assert_eq!(room_of(query).as_deref(), Ok("lobby"), "{query}");
        }
    }

    #[test]
    fn a_room_is_decoded_as_browsers_encode_it() {
        for (query, room) in [
            ("?room=a", "a"),
            ("?x=1&room=a&y=2", "a"),
            ("?room=%2Fblog%2Fhello", "/blog/hello"),
            ("?room=/blog/hello", "/blog/hello"),
            ("?room=a+b%20c", "a b c"),
            ("?room=1%2B1", "1+1"),
            ("?room=a=b", "a=b"),
            ("?room=%D0%9A", "К"),
            ("?r%6Fom=a", "a"),
            ("?room=100%", "100%"),
        ] {
            assert_eq!(room_of(query).as_deref(), Ok(room), "{query}");
        }
    }

    #[test]
    fn a_bad_room_is_refused() {
        for (query, refusal) in [
            ("?room=", Refusal::BadRoom(BadName::Empty)),
            ("?room", Refusal::BadRoom(BadName::Empty)),
            ("?room=%0A", Refusal::BadRoom(BadName::ControlCharacter)),
            ("?room=%FF", Refusal::RoomNotUtf8),
            ("?room=%ED%A0%80", Refusal::RoomNotUtf8),
            ("?room=a&room=a", Refusal::RoomTwice),
            ("?room=a&r%6Fom=b", Refusal::RoomTwice),
        ] {
            assert_eq!(room_of(query), Err(refusal), "{query}");
        }
        let long = format!("?room={}", "a".repeat(129));
        assert_eq!(room_of(&long), Err(Refusal::BadRoom(BadName::TooLong)));
    }

    #[test]
    fn a_seat_is_named_by_its_token_and_once() {
        let token = "5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6";
        for (query, seat) in [
            (format!("?lastEventID={token}"), Some(token)),
            (format!("?room=a&lastEventID={token}&x"), Some(token)),
            (format!("?room=lastEventID&last%45ventID={token}"), Some(token)),
            (format!("?lastEventId={token}"), None),
            (format!("?room=lastEventID={token}"), None),
            (format!("?lastEventID={token}&lastEventID={token}"), None),
            (format!("?lastEventID={token}0"), None),
            ("?lastEventID=".into(), None),
            ("?lastEventID".into(), None),
            ("?lastEventID=%FF".into(), None),
            ("?lastEventID=%00%0A<script>".replace('<', "%3C").replace('>', "%3E"), None),
        ] {
            let uri = Uri::try_from(format!("/events{query}")).expect("a URI");
            assert_eq!(last_seat(&uri), seat.map(|s| s.parse().expect("a token")), "{query}");
            room(&uri).expect("it names no bad room");
        }
    }

    #[test]
    fn only_who_asks_for_the_keep_alive_is_told() {
        let asks = |query: &'static str| asks_for_keep_alive(&Uri::from_static(query));
        assert!(asks("/events?tell=keep-alive"));
        assert!(asks("/events?room=a&tell=keep-alive"));
        for query in
            ["/events", "/events?tell", "/events?tell=keep", "/events?room=tell=keep-alive"]
        {
            assert!(!asks(query), "{query}");
        }
    }

    #[test]
    fn an_observer_says_so_clearly() {
        let asks = |query: &'static str| asks_to_observe(&Uri::from_static(query));
        for (query, observes) in [
            ("/events", Ok(false)),
            ("/events?observe=0", Ok(false)),
            ("/events?room=a&observe=1", Ok(true)),
            ("/events?observe", Err(Refusal::BadObserve)),
            ("/events?observe=yes", Err(Refusal::BadObserve)),
            ("/events?observe=1&observe=1", Err(Refusal::BadObserve)),
        ] {
            assert_eq!(asks(query), observes, "{query}");
        }
    }

    proptest! {
        #[test]
        fn every_good_name_comes_through_a_query(name in "\\PC{1,30}") {
            let encoded = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
            let query = format!("?x=1&room={encoded}&y");
            prop_assert_eq!(room_of(&query), Ok(name));
        }

        #[test]
        fn no_query_panics_or_makes_a_name_that_breaks_the_rules(
            query in "(room|[a-z%&=+]{0,6}|%[0-9a-fA-F]{2}|&room=){0,20}",
        ) {
            if let Ok(name) = room_of(&format!("?{query}")) {
                prop_assert!(Name::new(&name).is_ok());
            }
        }
    }
}
