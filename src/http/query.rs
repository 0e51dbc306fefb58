//! The room that a query names.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::name::Name;

/// The room that a query names (`room=R`); the default room if it names none.
/// Other parameters are nobody's concern.
pub(super) fn room(uri: &Uri) -> Result<Name, Refusal> {
    let mut rooms = uri.query().unwrap_or_default().split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        matches!(decode(key).as_deref(), Ok("room")).then_some(value)
    });
    match (rooms.next(), rooms.next()) {
        (None, _) => Ok(Name::default()),
        (Some(value), None) => Name::new(&decode(value)?).map_err(Refusal::BadRoom),
        (Some(_), Some(_)) => Err(Refusal::RoomTwice),
    }
}

/// Whether a query asks to be told the keep-alive (`tell=keep-alive`). A page can't
/// see a header of its stream, and wants to know how long silence is no fault.
pub(super) fn asks_for_keep_alive(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|pair| pair == "tell=keep-alive")
}

/// Whether a query asks for its seat to be kept a moment after its stream (`hold=1`).
pub(super) fn asks_to_hold(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|pair| pair == "hold=1")
}

/// Undoes `application/x-www-form-urlencoded`, in which browsers write a query
/// (<https://url.spec.whatwg.org/#urlencoded-parsing>), but where the standard
/// replaces what is not UTF-8, this refuses it: two different names must not
/// become one room.
fn decode(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| Refusal::RoomNotUtf8)
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
