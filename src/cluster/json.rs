//! Writes and frames as JSON, which is what Redis's Lua reads and writes.
//!
//! Lua has one kind of table, so an empty list comes back as `{}`, which is read as a list
//! here. Frames come from outside the process, so nothing about them is trusted: names must
//! follow the rules of [`Name`], and a frame that is too long is not even parsed.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::MOST_BYTES;
use super::claim::Claim;
use super::frame::{Frame, Move, Part, Version};
use super::place::{NodeId, Place, SeatNumber};
use super::reply::Malformed;
use super::write::Write;
use crate::name::Name;

impl Write {
    /// The write as text. `node` is the node that writes.
    ///
    /// # Errors
    /// None that are known: JSON can express everything in a write.
    pub(crate) fn to_json(&self, node: NodeId) -> Result<String, Malformed> {
        let text = WriteText {
            node: node.0,
            seq: self.seq,
            base: self.base,
            whole: self.whole,
            rooms: self.rooms.iter().map(|(room, count)| (room.as_str(), *count)).collect(),
            left: &self.left,
            seen: &self.seen,
            claims: self.claims.iter().map(ClaimText::new).collect(),
        };
        serde_json::to_string(&text).map_err(Malformed::Json)
    }
}

#[derive(Serialize)]
struct WriteText<'a> {
    node: u32,
    seq: u64,
    base: u64,
    whole: Option<u32>,
    rooms: Vec<(&'a str, u32)>,
    left: &'a [SeatNumber],
    seen: &'a [SeatNumber],
    claims: Vec<ClaimText<'a>>,
}

#[derive(Serialize)]
struct ClaimText<'a> {
    node: u32,
    seat: SeatNumber,
    to: SeatNumber,
    rooms: Vec<&'a str>,
    unless: Option<(u32, u64)>,
}

impl<'a> ClaimText<'a> {
    fn new(claim: &'a Claim) -> Self {
        Self {
            node: claim.from.node.0,
            seat: claim.from.seat,
            to: claim.to,
            rooms: claim.rooms.iter().map(Name::as_str).collect(),
            unless: claim.unless.map(|version| (version.generation, version.number)),
        }
    }
}

impl Frame {
    /// Reads what was published.
    ///
    /// # Errors
    /// [`Malformed`] if it is not a frame.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, Malformed> {
        if text.len() > MOST_BYTES {
            return Err(Malformed::TooLong(text.len()));
        }
        let text: FrameText = serde_json::from_slice(text).map_err(Malformed::Json)?;
        Ok(Self {
            from: NodeId(text.from),
            seq: text.seq,
            shares: text.shares.0.into_iter().map(PartText::into_part).collect(),
            moves: text.moves.0.into_iter().map(MoveText::into_move).collect(),
        })
    }
}

#[derive(Deserialize)]
struct FrameText {
    from: u32,
    seq: u64,
    shares: List<PartText>,
    moves: List<MoveText>,
}

#[derive(Deserialize)]
struct PartText {
    node: u32,
    generation: u32,
    version: u64,
    whole: bool,
    rooms: List<(Room, u32)>,
}

#[derive(Deserialize)]
struct MoveText {
    from: (u32, SeatNumber),
    to: SeatNumber,
    rooms: List<Room>,
    lost: bool,
}

impl PartText {
    fn into_part(self) -> Part {
        Part {
            node: NodeId(self.node),
            version: Version { generation: self.generation, number: self.version },
            is_whole: self.whole,
            rooms: self.rooms.0.into_iter().map(|(room, count)| (room.0, count)).collect(),
        }
    }
}

impl MoveText {
    fn into_move(self) -> Move {
        let (node, seat) = self.from;
        Move {
            from: Place { node: NodeId(node), seat },
            to: self.to,
            rooms: self.rooms.0.into_iter().map(|room| room.0).collect::<Arc<[_]>>(),
            is_lost: self.lost,
        }
    }
}

/// A room's name that follows the rules.
struct Room(Name);

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Room;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a room's name")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Room, E> {
                Name::new(text).map(Room).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A list, which Lua writes as `{}` if it is empty.
struct List<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list, or an empty object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<List<T>, A::Error> {
                match entries.next_key::<IgnoredAny>()? {
                    None => Ok(List(Vec::new())),
                    Some(_) => Err(A::Error::custom("an object in the place of a list")),
                }
            }
        }
        deserializer.deserialize_any(Items(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    #[test]
    fn a_write_is_the_json_that_the_script_reads() {
        let claim = |unless| Claim {
            from: Place { node: NodeId(5), seat: 17 },
            to: 23,
            rooms: [name("lobby"), name("\"Крамниця\" \\ /")].into(),
            unless,
        };
        let write = Write {
            seq: 12,
            base: 11,
            whole: Some(2),
            rooms: vec![(name("lobby"), 3)],
            left: vec![4],
            seen: vec![9, u32::MAX],
            claims: vec![claim(None), claim(Some(Version { generation: 1, number: 40 }))],
        };
        let text = write.to_json(NodeId(7)).expect("JSON");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let rooms = json!(["lobby", "\"Крамниця\" \\ /"]);
        assert_eq!(
            value,
            json!({
                "node": 7, "seq": 12, "base": 11, "whole": 2, "rooms": [["lobby", 3]],
                "left": [4], "seen": [9, u32::MAX],
                "claims": [
                    {"node": 5, "seat": 17, "to": 23, "rooms": rooms, "unless": null},
                    {"node": 5, "seat": 17, "to": 23, "rooms": rooms, "unless": [1, 40]},
                ],
            })
        );
    }

    #[test]
    fn a_write_of_nothing_has_empty_lists() {
        let write = Write {
            seq: 1,
            base: 0,
            whole: None,
            rooms: vec![],
            left: vec![],
            seen: vec![],
            claims: vec![],
        };
        assert_eq!(
            write.to_json(NodeId(7)).expect("JSON"),
            r#"{"node":7,"seq":1,"base":0,"whole":null,"rooms":[],"left":[],"seen":[],"claims":[]}"#
        );
    }

    /// A frame as Redis's cjson writes it, which escapes every slash.
    const FRAME: &str = r#"{"moves":[{"lost":false,"rooms":["\/blog","Ї"],"from":[5,17],"to":23}],
        "seq":12,"from":4294967295,"shares":[
        {"whole":true,"node":7,"generation":1,"version":40,"rooms":[["\/blog",3],["Ї",0]]}]}"#;

    #[test]
    fn a_frame_is_what_the_script_published() {
        let frame = Frame::from_json(FRAME.as_bytes()).expect("a frame");
        let (blog, shop) = (name("/blog"), name("Ї"));
        let part = Part {
            node: NodeId(7),
            version: Version { generation: 1, number: 40 },
            is_whole: true,
            rooms: vec![(blog.clone(), 3), (shop.clone(), 0)],
        };
        let moved = Move {
            from: Place { node: NodeId(5), seat: 17 },
            to: 23,
            rooms: [blog, shop].into(),
            is_lost: false,
        };
        let from = NodeId(u32::MAX);
        assert_eq!(frame, Frame { from, seq: 12, shares: vec![part], moves: vec![moved] });
    }

    #[test]
    fn an_empty_object_is_an_empty_list() {
        let text = br#"{"from":7,"seq":1,"moves":{},"shares":[
            {"node":7,"generation":1,"version":1,"whole":false,"rooms":{}}]}"#;
        let frame = Frame::from_json(text).expect("a frame");
        assert!(frame.moves.is_empty() && frame.shares[0].rooms.is_empty());
        let text = br#"{"from":7,"seq":1,"moves":[],"shares":[]}"#;
        let frame = Frame::from_json(text).expect("a frame");
        assert!(frame.moves.is_empty() && frame.shares.is_empty());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for (part, replacement) in [
            ("\"seq\":12", "\"seq\":-12"),
            ("\"seq\":12", "\"seq\":1.5"),
            ("\"seq\":12", "\"seq\":null"),
            ("\"seq\":12,", ""),
            ("4294967295", "4294967296"),
            ("[5,17]", "[5]"),
            ("[5,17]", "[5,17,3]"),
            ("[5,17]", "{}"),
            ("\"lost\":false", "\"lost\":0"),
            ("[\"\\/blog\",\"Ї\"]", "{\"1\":\"Ї\"}"),
            ("[\"\\/blog\",\"Ї\"]", "\"Ї\""),
            ("[\"Ї\",0]", "[\"Ї\",-1]"),
            ("[\"Ї\",0]", "[\"\",0]"),
            ("[\"Ї\",0]", "[\"a\\nb\",0]"),
            ("[\"Ї\",0]", &format!("[\"{}\",0]", "a".repeat(129))),
            ("]]}]}", "]]}]"),
        ] {
            assert!(FRAME.contains(part), "{part}");
            let text = FRAME.replacen(part, replacement, 1);
            assert!(Frame::from_json(text.as_bytes()).is_err(), "{text}");
        }
        for text in [&b""[..], b"{}", b"[]", b"null", b"\xff", &FRAME.as_bytes()[..60]] {
            assert!(Frame::from_json(text).is_err());
        }
        let nested = "[".repeat(1_000_000);
        assert!(Frame::from_json(nested.as_bytes()).is_err());
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_read() {
        let mut text = FRAME.as_bytes().to_vec();
        text.resize(MOST_BYTES, b' ');
        assert!(Frame::from_json(&text).is_ok());
        text.push(b' ');
        assert!(matches!(Frame::from_json(&text), Err(Malformed::TooLong(_))));
    }
}
