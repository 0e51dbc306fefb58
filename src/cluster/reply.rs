//! What Redis [replies](super::script): lists of texts, whichever client library they come
//! through. Nothing about them is trusted.

use std::fmt;
use std::str::{self, FromStr};
use std::sync::Arc;
use std::time::Duration;

use super::frame::{Frame, Version};
use super::place::{NodeId, SeatNumber};
use super::share::Snapshot;
use super::write::Answer;
use crate::name::Name;

/// Why something from Redis can't be used.
#[derive(Debug)]
pub(crate) enum Malformed {
    /// It is too long: it has this many bytes.
    TooLong(usize),
    /// It is not the expected JSON.
    Json(serde_json::Error),
    /// It is not a reply of this command.
    Reply(&'static str),
}

impl Answer {
    /// Parses the reply of [`WRITE`](super::script::WRITE).
    ///
    /// # Errors
    /// [`Malformed`] if it is not such a reply.
    pub(crate) fn parse<T: AsRef<[u8]>>(reply: &[T]) -> Result<Self, Malformed> {
        let seats = |texts: &[T]| {
            texts.iter().map(|text| number(text.as_ref())).collect::<Option<Vec<SeatNumber>>>()
        };
        let (kind, rest) = reply.split_first().ok_or(Malformed::Reply("the script"))?;
        let answer = match (kind.as_ref(), rest) {
            (b"done", [frame, unseen @ ..]) => {
                let frame = Arc::new(Frame::from_json(frame.as_ref())?);
                seats(unseen).map(|unseen| Self::Done(frame, unseen))
            }
            (b"lost", unseen) => seats(unseen).map(Self::Lost),
            (b"late", []) => Some(Self::Late),
            _ => None,
        };
        answer.ok_or(Malformed::Reply("the script"))
    }
}

impl Snapshot {
    /// Parses the replies of `PTTL` and `HGETALL` for a node. `None` if Redis has no hash of
    /// that node.
    ///
    /// # Errors
    /// [`Malformed`] if it is not such a reply.
    pub(crate) fn parse<T: AsRef<[u8]>>(
        remaining_ms: i64,
        fields: &[(T, T)],
    ) -> Result<Option<Self>, Malformed> {
        match u64::try_from(remaining_ms) {
            Ok(remaining) if !fields.is_empty() => {
                Self::of(Duration::from_millis(remaining), fields)
                    .map(Some)
                    .ok_or(Malformed::Reply("HGETALL"))
            }
            _ => Ok(None),
        }
    }

    fn of<T: AsRef<[u8]>>(remaining: Duration, fields: &[(T, T)]) -> Option<Self> {
        let (mut generation, mut version, mut rooms) = (None, None, Vec::new());
        for (field, value) in fields {
            match field.as_ref() {
                b"generation" => generation = Some(number(value.as_ref())?),
                b"version" => version = Some(number(value.as_ref())?),
                [b':', room @ ..] => {
                    let room = Name::new(str::from_utf8(room).ok()?).ok()?;
                    rooms.push((room, number(value.as_ref())?));
                }
                // A later version of this program may have further fields.
                _ => (),
            }
        }
        let version = Version { generation: generation?, number: version? };
        Some(Self { version, rooms, remaining })
    }
}

impl NodeId {
    /// Parses the reply of `ZRANGE` for the set of nodes.
    ///
    /// # Errors
    /// [`Malformed`] if it is not such a reply.
    pub(crate) fn parse_list<T: AsRef<[u8]>>(reply: &[T]) -> Result<Vec<Self>, Malformed> {
        let nodes = reply.iter().map(|text| number(text.as_ref()).map(Self));
        nodes.collect::<Option<_>>().ok_or(Malformed::Reply("ZRANGE"))
    }
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "a frame of {bytes} bytes is too long"),
            Self::Json(error) => write!(f, "not a frame: {error}"),
            Self::Reply(command) => write!(f, "not a reply of {command}"),
        }
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str = r#"{"from":7,"seq":12,"shares":{},"moves":{}}"#;

    fn answer(reply: &[&str]) -> Option<Answer> {
        Answer::parse(reply).ok()
    }

    fn snapshot(remaining_ms: i64, fields: &[(&str, &str)]) -> Option<Option<Snapshot>> {
        Snapshot::parse(remaining_ms, fields).ok()
    }

    #[test]
    fn a_write_is_done_or_lost_or_late() {
        let frame = Arc::new(Frame::from_json(FRAME.as_bytes()).expect("a frame"));
        assert_eq!(answer(&["done", FRAME]), Some(Answer::Done(frame.clone(), vec![])));
        assert_eq!(answer(&["done", FRAME, "4", "9"]), Some(Answer::Done(frame, vec![4, 9])));
        assert_eq!(answer(&["lost"]), Some(Answer::Lost(vec![])));
        assert_eq!(answer(&["lost", "4294967295"]), Some(Answer::Lost(vec![u32::MAX])));
        assert_eq!(answer(&["late"]), Some(Answer::Late));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for reply in [
            &[][..],
            &[""],
            &["done"],
            &["done", "{}"],
            &["done", FRAME, "x"],
            &["done", FRAME, "-1"],
            &["lost", "4294967296"],
            &["lost", ""],
            &["late", "1"],
            &["LATE"],
        ] {
            assert_eq!(answer(reply), None, "{reply:?}");
        }
        assert!(Answer::parse(&[b"done".as_slice(), b"\xff"]).is_err());
        assert!(Answer::parse(&[b"lost".as_slice(), b"\xff"]).is_err());
    }

    const VERSION: [(&str, &str); 2] = [("version", "40"), ("generation", "2")];

    #[test]
    fn a_hash_is_a_share_and_how_long_it_lives() {
        let fields = [&VERSION[..], &[("seq", "12"), (":lobby", "3"), ("x", "y")]].concat();
        let snapshot = snapshot(9_876, &fields).expect("a reply").expect("a hash");
        assert_eq!(snapshot.version, Version { generation: 2, number: 40 });
        assert_eq!(snapshot.rooms, [(Name::default(), 3)]);
        assert_eq!(snapshot.remaining, Duration::from_millis(9_876));
    }

    #[test]
    fn what_is_not_there_or_has_just_ended_is_no_hash() {
        assert!(matches!(snapshot(-2, &[]), Some(None)));
        assert!(matches!(snapshot(1, &[]), Some(None)));
        assert!(matches!(snapshot(-2, &VERSION), Some(None)));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        assert!(snapshot(100, &VERSION[..1]).is_none());
        assert!(snapshot(100, &[("generation", "x"), VERSION[0]]).is_none());
        for room in [(":lobby", "-1"), (":lobby", ""), (":", "1"), (":a\nb", "1")] {
            assert!(snapshot(100, &[VERSION[0], VERSION[1], room]).is_none(), "{room:?}");
        }
        assert!(Snapshot::parse(100, &[(b":\xff".as_slice(), b"1".as_slice())]).is_err());
    }

    #[test]
    fn a_list_is_of_ids() {
        let list = |reply: &[&str]| NodeId::parse_list(reply).ok();
        assert_eq!(list(&["7", "4294967295"]), Some(vec![NodeId(7), NodeId(u32::MAX)]));
        assert_eq!(list(&[]), Some(vec![]));
        assert_eq!(list(&["7", "seven"]), None);
    }
}
