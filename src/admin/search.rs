//! Which rooms a client asks for.

use axum::http::Uri;

use super::board::Row;
use super::refused::Refused;
use crate::http::{BadParameter, values};
use crate::name::{MAX_BYTES, Name};

/// How many rooms are listed by default, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// What every list of rooms can be asked for (`q=`, `limit=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// A part of the name, in lower case.
    part: Option<String>,
    pub(super) limit: usize,
}

impl Search {
    pub(super) fn of(uri: &Uri) -> Result<Self, Refused> {
        let [part, limit] = texts(uri, ["q", "limit"])?;
        if part.as_ref().is_some_and(|part| part.len() > MAX_BYTES) {
            return Err(Refused::bad("q may have at most 128 bytes, like the name of a room"));
        }
        let limit = match limit {
            None => LIMIT,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| Refused::bad("limit must be a number from 1 to 1000"))?,
        };
        let part = part.map(|part| part.to_lowercase());
        Ok(Self { part, limit })
    }

    /// Whether the room is one of those that are asked for.
    pub(super) fn finds(&self, row: &Row) -> bool {
        self.part.as_ref().is_none_or(|part| contains(row.room.as_str(), part))
    }

    /// Whether all rooms are asked for.
    pub(super) fn finds_all(&self) -> bool {
        self.part.is_none()
    }
}

/// Whether a name has this part, which is in lower case.
fn contains(name: &str, part: &str) -> bool {
    if !name.is_ascii() {
        return name.to_lowercase().contains(part);
    }
    // Most names are ASCII, and comparing those allocates nothing.
    let (name, part) = (name.as_bytes(), part.as_bytes());
    name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The values of these parameters, if the query has them. An empty one counts as not given,
/// except for a room, which must have a name.
pub(super) fn texts<const N: usize>(
    uri: &Uri,
    names: [&str; N],
) -> Result<[Option<String>; N], Refused> {
    let mut texts = [const { None }; N];
    for ((text, value), name) in texts.iter_mut().zip(values(uri, names)).zip(names) {
        let value = value.map_err(|why| match why {
            BadParameter::Twice => Refused::bad(format!("{name} is there twice")),
            BadParameter::NotUtf8 => Refused::bad(format!("{name} must be percent-encoded UTF-8")),
        })?;
        *text = value.filter(|value| name == "room" || !value.is_empty());
    }
    Ok(texts)
}

/// Reads the name of a room.
pub(super) fn room(text: &str) -> Result<Name, Refused> {
    Name::new(text).map_err(|why| Refused::bad(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(query: &str) -> Result<Search, Refused> {
        Search::of(&format!("/api/rooms?{query}").try_into().expect("a URI"))
    }

    fn finds(query: &str, room: &str) -> bool {
        let row = Row { room: Name::new(room).expect("a good name"), count: 1 };
        search(query).expect("a good query").finds(&row)
    }

    #[test]
    fn a_search_finds_a_part_of_a_name_in_any_case() {
        for (query, room) in [
            ("", "a"),
            ("q=", "a"),
            ("q=BLOG", "my blog"),
            ("q=blog", "MY BLOG"),
            ("q=%D0%9A%D0%A0", "Крамниця"),
            ("q=%D0%BA%D1%80", "КРАМНИЦЯ"),
            ("q=a+b", "xa by"),
            ("q=%3C", "<img src=x>"),
        ] {
            assert!(finds(query, room), "{query} {room}");
        }
        for (query, room) in [("q=b", "a"), ("q=ab", "a"), ("q=%C3%A9", "e"), ("q=.", "a")] {
            assert!(!finds(query, room), "{query} {room}");
        }
    }

    #[test]
    fn what_is_no_search_is_refused() {
        for none in ["", "limit=", "q=&limit="] {
            let search = search(none).expect("a good query");
            assert!(search.limit == LIMIT && search.finds_all(), "{none}");
        }
        assert_eq!(search("limit=1000").expect("a good query").limit, MAX_LIMIT);
        let long = format!("q={}", "a".repeat(129));
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=1&limit=2", "q=%ff", &*long] {
            assert!(matches!(search(query), Err(Refused::Bad(_))), "{query}");
        }
    }
}
