//! What a query says: the rooms, and a few more things.

use std::borrow::Cow;
use std::convert::Infallible;
use std::str::Utf8Error;

use axum::http::Uri;
use percent_encoding::percent_decode;

use super::refusal::Refusal;
use crate::name::Name;
use crate::stream::Extras;
use crate::ticket::Ticket;

/// What the query of a request for a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The rooms (`room=R`, repeated for several rooms); the default room if the query names
    /// none.
    pub(super) rooms: Vec<Name>,
    /// Whether it asks to listen without being counted (`observe=1`).
    pub(super) observes: bool,
    /// Whether it asks for its seat to briefly outlive its stream (`hold=1`).
    pub(super) holds: bool,
    /// What it wants to be told besides numbers (`tell=keep-alive,partial`).
    pub(super) asks_for: Extras,
    /// The ticket that the client brings back (`lastEventID=T`), for a page that made a new
    /// `EventSource` and can't set a header. The Mercure protocol uses the same name for the
    /// same purpose (<https://mercure.rocks/spec#reconciliation>). `None` if the value is
    /// anything else.
    pub(super) ticket: Option<Ticket>,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let mut rooms = Vec::new();
        let [observe, hold, tell, ticket] =
            read(uri, ["observe", "hold", "tell", "lastEventID"], |key, value| {
                if key == b"room" { add_room(&mut rooms, value) } else { Ok(()) }
            })?;
        if rooms.is_empty() {
            rooms.push(Name::default());
        }
        let says = |value: Value, word| value.is_ok_and(|value| value.as_deref() == Some(word));
        Ok(Self {
            rooms,
            // Anything other than yes or no is refused, or somebody would be counted by
            // mistake.
            observes: match observe.as_ref().map(Option::as_deref) {
                Ok(None | Some("0")) => false,
                Ok(Some("1")) => true,
                _ => return Err(Refusal::BadObserve),
            },
            holds: says(hold, "1"),
            asks_for: extras(tell.ok().flatten().as_deref().unwrap_or_default()),
            ticket: ticket.ok().flatten().and_then(|ticket| ticket.parse().ok()),
        })
    }
}

/// Reads a list of words. Unknown words may come from a newer client.
fn extras(list: &str) -> Extras {
    let has = |word| list.split(',').any(|said| said == word);
    Extras { keep_alive: has("keep-alive"), partial: has("partial") }
}

/// Why a parameter has no value that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadParameter {
    /// The query has the parameter twice.
    Twice,
    /// The decoded value is not UTF-8.
    NotUtf8,
}

/// The value of a parameter, if the query has it.
pub(crate) type Value = Result<Option<String>, BadParameter>;

/// How many rooms a stream may have: as many as all tabs of a browser may show.
const MAX_ROOMS: usize = 32;

/// The length of the longest parameter name that is recognized, in bytes.
const MAX_KEY: usize = 16;

/// Adds a room to those of a stream.
fn add_room(rooms: &mut Vec<Name>, value: &[u8]) -> Result<(), Refusal> {
    if rooms.len() == MAX_ROOMS {
        return Err(Refusal::TooManyNamed);
    }
    let room = name(decode(value).map(Some).map_err(|_| BadParameter::NotUtf8))?;
    if rooms.contains(&room) {
        return Err(Refusal::RoomTwice);
    }
    rooms.push(room);
    Ok(())
}

/// The values of the parameters with these names.
pub(crate) fn values<const N: usize>(uri: &Uri, names: [&str; N]) -> [Value; N] {
    match read(uri, names, |_, _| Ok::<_, Infallible>(())) {
        Ok(values) => values,
    }
}

/// The values of the parameters with these names; all others go to `other`. There may be
/// thousands of others, which must cost little: the query is read in one pass, and only
/// encoded keys and the requested values are decoded.
fn read<const N: usize, E>(
    uri: &Uri,
    names: [&str; N],
    mut other: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<[Value; N], E> {
    let mut raw = [Ok(None); N];
    for pair in uri.query().unwrap_or_default().as_bytes().split(|byte| *byte == b'&') {
        let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(end) => (&pair[..end], &pair[end + 1..]),
            None => (pair, &[][..]),
        };
        let mut decoded = [0; MAX_KEY];
        let key = decode_key(key, &mut decoded);
        match names.iter().position(|name| name.as_bytes() == key) {
            Some(place) => {
                let seen = &mut raw[place];
                *seen = match seen {
                    Ok(None) => Ok(Some(value)),
                    _ => Err(BadParameter::Twice),
                };
            }
            None => other(key, value)?,
        }
    }
    Ok(raw.map(|value| match value? {
        Some(value) => decode(value).map(Some).map_err(|_| BadParameter::NotUtf8),
        None => Ok(None),
    }))
}

/// Decodes a key, up to the length of the longest name. Few keys are encoded. (A `+` stays
/// what it is: no name has the space that it stands for.)
fn decode_key<'a>(key: &'a [u8], decoded: &'a mut [u8; MAX_KEY]) -> &'a [u8] {
    if !key.contains(&b'%') {
        return key;
    }
    let mut length = 0;
    for byte in percent_decode(key) {
        let Some(place) = decoded.get_mut(length) else { return &[] };
        *place = byte;
        length += 1;
    }
    &decoded[..length]
}

/// The room that a query names (`room=R`); the default room if it names none.
pub(super) fn room(uri: &Uri) -> Result<Name, Refusal> {
    let [room] = values(uri, ["room"]);
    name(room)
}

/// The room that the value of `room` names.
pub(super) fn name(room: Value) -> Result<Name, Refusal> {
    match room {
        Ok(None) => Ok(Name::default()),
        Ok(Some(room)) => Name::new(&room).map_err(Refusal::BadRoom),
        Err(BadParameter::Twice) => Err(Refusal::SecondRoom),
        Err(BadParameter::NotUtf8) => Err(Refusal::RoomNotUtf8),
    }
}

/// Decodes `application/x-www-form-urlencoded`, in which browsers write a query
/// (<https://url.spec.whatwg.org/#urlencoded-parsing>). The standard replaces what is not
/// UTF-8, but this refuses it: two different names must not become one room.
fn decode(text: &[u8]) -> Result<String, Utf8Error> {
    let spaced = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte });
    let spaced: Vec<_> = spaced.collect();
    percent_decode(&spaced).decode_utf8().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::BadName;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn query_of(query: &str) -> Result<Query, Refusal> {
        Query::of(&Uri::try_from(format!("/events{query}")).expect("a URI"))
    }

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
            ("?room=a&room=a", Refusal::SecondRoom),
            ("?room=a&r%6Fom=b", Refusal::SecondRoom),
        ] {
            assert_eq!(room_of(query), Err(refusal), "{query}");
        }
        let long = format!("?room={}", "a".repeat(129));
        assert_eq!(room_of(&long), Err(Refusal::BadRoom(BadName::TooLong)));
    }

    #[test]
    fn a_stream_may_be_of_several_rooms_each_named_once() {
        let rooms_of = |query: &str| {
            let names = |query: Query| query.rooms.iter().map(|n| n.as_str().to_owned()).collect();
            query_of(query).map(|query| -> Vec<String> { names(query) })
        };
        let many = |rooms: u32| (0..rooms).map(|nth| format!("&room={nth}")).collect::<String>();
        assert_eq!(rooms_of("").as_deref(), Ok(&["lobby".to_owned()][..]));
        let expected = ["b", "a", "lobby"].map(str::to_owned);
        assert_eq!(rooms_of("?room=b&hold=1&r%6Fom=a&room=lobby").as_deref(), Ok(&expected[..]));
        assert_eq!(rooms_of(&format!("?{}", many(32))).map(|rooms| rooms.len()), Ok(32));
        for (query, refusal) in [
            (format!("?{}", many(33)), Refusal::TooManyNamed),
            ("?room=a&room=b&r%6Fom=%61".into(), Refusal::RoomTwice),
            ("?room=a&room=".into(), Refusal::BadRoom(BadName::Empty)),
            ("?room=a&room=%FF".into(), Refusal::RoomNotUtf8),
        ] {
            assert_eq!(query_of(&query).err(), Some(refusal), "{query}");
        }
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
            let said = query_of(&query).expect("it names no bad room");
            assert_eq!(said.ticket, seat.map(|s| s.parse().expect("a token")), "{query}");
        }
    }

    #[test]
    fn only_who_asks_for_more_than_numbers_is_told() {
        for (query, keep_alive, partial) in [
            ("?tell=keep-alive", true, false),
            ("?room=a&tell=keep%2Dalive", true, false),
            ("?tell=partial", false, true),
            ("?tell=keep-alive,partial", true, true),
            ("?tell=partial%2Cx%2Ckeep-alive", true, true),
            ("", false, false),
            ("?tell", false, false),
            ("?tell=keep", false, false),
            ("?tell=keep-alive+partial", false, false),
            ("?room=tell=keep-alive", false, false),
            ("?tell=partial&tell=partial", false, false),
        ] {
            let asks_for = query_of(query).expect("a good query").asks_for;
            assert_eq!(asks_for, Extras { keep_alive, partial }, "{query}");
        }
    }

    #[test]
    fn an_observer_says_so_clearly() {
        let asks = |query| query_of(query).map(|query| query.observes);
        for (query, observes) in [
            ("", Ok(false)),
            ("?observe=0", Ok(false)),
            ("?room=a&observe=1", Ok(true)),
            ("?observe", Err(Refusal::BadObserve)),
            ("?observe=yes", Err(Refusal::BadObserve)),
            ("?observe=1&observe=1", Err(Refusal::BadObserve)),
        ] {
            assert_eq!(asks(query), observes, "{query}");
        }
    }

    #[test]
    fn only_who_says_hold_1_holds_a_seat() {
        let holds = |query| query_of(query).expect("a good query").holds;
        assert!(holds("?room=a&hold=1"));
        for query in ["", "?hold", "?hold=0", "?hold=yes", "?hold=1&hold=1", "?hold=%FF"] {
            assert!(!holds(query), "{query}");
        }
    }

    #[test]
    fn a_query_says_all_it_has_to_say_among_thousands_of_others() {
        let token = "5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6";
        let others =
            "&a&%72&room+=b&%&%F&=&r%6Fom%20=c&%72%6F%6F%6D%72%6F%6F%6D%72%6F%6F%6D%72".repeat(50);
        let query = format!(
            "?{others}&roo%6D=a&{others}&tell=keep-alive&{others}&hold=1&observe=1&\
             lastEventI%44={token}&{others}"
        );
        let said = Query {
            rooms: vec![Name::new("a").expect("a good name")],
            observes: true,
            holds: true,
            asks_for: Extras { keep_alive: true, partial: false },
            ticket: Some(token.parse().expect("a token")),
        };
        assert_eq!(query_of(&query), Ok(said));
        assert_eq!(query_of(&format!("{query}&%72oom=a")), Err(Refusal::RoomTwice));
    }

    #[test]
    fn every_name_that_is_asked_for_fits_when_it_is_encoded() {
        for name in ["room", "observe", "hold", "tell", "lastEventID", "label", "color"] {
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let uri = Uri::try_from(format!("/?{encoded}=a")).expect("a URI");
            assert_eq!(values(&uri, [name]), [Ok(Some("a".into()))], "{name}");
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
