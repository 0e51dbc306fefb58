//! What one watcher is told, at most once a second: whatever is new to them and fits into the
//! budget. The rest follows in the next frame, with the numbers of that time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Not;

use serde::Serialize;

use super::board::{Reading, Row};
use super::search::Search;
use crate::http::Overview;
use crate::name::Name;

/// The largest frame, in bytes. With one frame a second, a watcher takes less than 20 kB a
/// second.
const BUDGET: usize = 18_000;

/// How much of the budget the names of rooms that are no longer shown may take.
const BUDGET_OF_GONE: usize = BUDGET / 2;

/// What surrounds the JSON of a frame, in bytes, generously.
const FRAME: usize = 200;

/// Which rooms somebody watches.
pub(super) enum Wish {
    /// The largest rooms that a search finds.
    Rooms(Search),
    /// This room, even if nobody is there.
    Room(Name),
}

/// A watcher, and what they were told.
pub(super) struct Watcher {
    wish: Wish,
    told: HashMap<Name, Told>,
    nth: u64,
    /// Whether they have signed in with a cookie, and so can sign out.
    is_session: bool,
}

struct Told {
    count: usize,
    peak: Option<usize>,
    /// The last frame that told this, and the last frame for which the room was wanted.
    nth: u64,
    wanted: u64,
}

/// The data of a frame (`event: snapshot`, then `event: change`).
#[derive(Serialize)]
struct Frame<'a, T> {
    totals: &'a T,
    /// How many rooms the search finds.
    found: usize,
    /// Rooms that are new or have changed: `[name, count]`, or `[name, count, today's peak]`
    /// if that is known.
    rooms: Vec<Line<'a>>,
    /// Rooms that are no longer wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    /// Whether more is to follow.
    #[serde(skip_serializing_if = "Not::not")]
    more: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    first: Option<First>,
}

/// What only the first frame has.
#[derive(Serialize)]
struct First {
    session: bool,
    /// What would help against each reason for refusing streams.
    help: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Known(&'a str, usize, usize),
    New(&'a str, usize),
}

impl Watcher {
    pub(super) fn new(wish: Wish, is_session: bool) -> Self {
        Self { wish, told: HashMap::new(), nth: 0, is_session }
    }

    /// The next frame, as it is sent.
    pub(super) fn frame(&mut self, reading: &Reading, overview: &Overview) -> String {
        self.nth += 1;
        let first =
            (self.nth == 1).then(|| First { session: self.is_session, help: Overview::help() });
        let event = if first.is_some() { "snapshot" } else { "change" };
        let (found, wanted) = self.wanted(reading, overview);
        let mut frame = Frame {
            totals: &reading.totals,
            found,
            rooms: vec![],
            gone: vec![],
            more: false,
            first,
        };
        let mut size = FRAME + json(&frame).len();
        let news = self.news(&wanted, overview);
        let gone: Vec<_> = self.gone().cloned().collect();
        let budget = size + BUDGET_OF_GONE;
        for name in gone {
            let bytes = length(&name) + 1;
            if size + bytes > budget.min(BUDGET) {
                frame.more = true;
                break;
            }
            size += bytes;
            self.told.remove(&name);
            frame.gone.push(name.as_str().to_owned());
        }
        for (row, peak) in news {
            let bytes = length(&row.room) + 2 * MAX_DIGITS + 5;
            if size + bytes > BUDGET {
                frame.more = true;
                break;
            }
            size += bytes;
            let told = Told { count: row.count, peak, nth: self.nth, wanted: self.nth };
            self.told.insert(row.room.clone(), told);
            let name = row.room.as_str();
            frame.rooms.push(match peak {
                Some(peak) => Line::Known(name, row.count, peak),
                None => Line::New(name, row.count),
            });
        }
        format!("event: {event}\ndata: {}\n\n", json(&frame))
    }

    /// The rooms that the watcher wants now, and how many the search finds.
    fn wanted<'a>(&self, reading: &'a Reading, overview: &Overview) -> (usize, Vec<Cow<'a>>) {
        match &self.wish {
            Wish::Room(name) => {
                let row = Row { room: name.clone(), count: overview.rooms().count(name) };
                (1, vec![Cow::Owned(row)])
            }
            Wish::Rooms(search) => {
                let mut found = reading.rooms.iter().filter(|row| search.finds(row));
                let wanted: Vec<_> = found.by_ref().take(search.limit).map(Cow::Borrowed).collect();
                let more = if search.finds_all() {
                    reading.rooms.len() - wanted.len()
                } else {
                    found.count()
                };
                (wanted.len() + more, wanted)
            }
        }
    }

    /// What is new about these rooms: those never told first, then those told longest ago.
    fn news<'a>(
        &mut self,
        wanted: &'a [Cow<'_>],
        overview: &Overview,
    ) -> Vec<(&'a Row, Option<usize>)> {
        let mut news = Vec::new();
        for row in wanted {
            // The history is a few seconds behind.
            let peak = overview.peak(&row.room).map(|peak| peak.max(row.count));
            let nth = match self.told.get_mut(&row.room) {
                Some(told) => {
                    told.wanted = self.nth;
                    if (told.count, told.peak) == (row.count, peak) {
                        continue;
                    }
                    told.nth
                }
                None => 0,
            };
            news.push((nth, &**row, peak));
        }
        news.sort_by_key(|(nth, ..)| *nth);
        news.into_iter().map(|(_, row, peak)| (row, peak)).collect()
    }

    /// The rooms that were told and are no longer wanted.
    fn gone(&self) -> impl Iterator<Item = &Name> {
        self.told.iter().filter(|(_, told)| told.wanted < self.nth).map(|(name, _)| name)
    }
}

type Cow<'a> = std::borrow::Cow<'a, Row>;

/// The maximum number of digits of a number of people.
const MAX_DIGITS: usize = 10;

fn json(value: &impl Serialize) -> String {
    // This can't fail: all keys are strings.
    serde_json::to_string(value).unwrap_or_default()
}

/// The length of a name as JSON.
fn length(name: &Name) -> usize {
    let quoted = name.as_str().bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    name.as_str().len() + quoted + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::presence::Presence;
    use crate::{Options, Rooms, Routes};
    use serde_json::Value;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    /// A name that is as long as may be, and twice that as JSON.
    fn long(nth: usize) -> Name {
        name(&format!("{}{nth:08}", "\\".repeat(120)))
    }

    fn join(rooms: &Rooms, room: &Name) -> Presence {
        rooms.join(room, Ending::default()).expect("a room").0
    }

    struct Look {
        overview: Overview,
        watcher: Watcher,
        shown: HashMap<String, u64>,
    }

    impl Look {
        fn new(rooms: &Rooms, query: &str) -> Self {
            let overview = Routes::new(rooms.clone(), Options::default()).overview;
            let uri = format!("/api/feed?{query}").try_into().expect("a URI");
            let wish = Wish::Rooms(Search::of(&uri).expect("a good query"));
            Self { overview, watcher: Watcher::new(wish, false), shown: HashMap::new() }
        }

        /// Takes the next frame; it answers with its data.
        fn next(&mut self) -> Value {
            let reading = Reading::of(&self.overview, None);
            let frame = self.watcher.frame(&reading, &self.overview);
            assert!(frame.len() <= BUDGET + FRAME, "{} bytes", frame.len());
            let (_, data) = frame.split_once("\ndata: ").expect("an event");
            let data: Value = serde_json::from_str(data).expect("it is JSON");
            let list = |what: &str| data[what].as_array().cloned().unwrap_or_default();
            let text = |value: &Value| value.as_str().expect("a name").to_owned();
            for room in list("rooms") {
                self.shown.insert(text(&room[0]), room[1].as_u64().expect("a number"));
            }
            for room in list("gone") {
                self.shown.remove(&text(&room));
            }
            data
        }

        /// Takes frames until there is nothing more to tell, and returns how many it took.
        fn catch_up(&mut self) -> usize {
            (1..100).find(|_| self.next()["more"] != true).expect("an end")
        }
    }

    fn numbers(rooms: &Rooms) -> HashMap<String, u64> {
        let counts = rooms.counts().into_iter();
        counts.map(|(name, count)| (name.as_str().to_owned(), count as u64)).collect()
    }

    #[test]
    fn what_does_not_fit_into_a_frame_comes_with_the_next_with_the_numbers_of_then() {
        let rooms = Rooms::default();
        let mut people: Vec<_> = (0..300).map(|nth| join(&rooms, &long(nth))).collect();
        let mut look = Look::new(&rooms, "limit=1000");
        assert_eq!(look.next()["more"], true);
        let told = look.shown.len();
        assert!((20..150).contains(&told), "{told} in the first");
        // The last of them changes before it was told.
        people.push(join(&rooms, &long(299)));
        assert!(look.catch_up() > 1);
        assert_eq!(look.shown, numbers(&rooms));
        // Then only what changes is told.
        people.push(join(&rooms, &name("a")));
        let frame = look.next();
        assert_eq!(frame["rooms"].as_array().map(Vec::len), Some(1));
        assert_eq!(frame["gone"], Value::Null);
        // All of them go at once.
        people.clear();
        assert!(look.catch_up() > 1);
        assert_eq!(look.shown, HashMap::new());
    }

    #[test]
    fn where_all_change_all_the_time_each_has_its_turn() {
        let rooms = Rooms::default();
        let mut people: Vec<_> = (0..300).map(|nth| join(&rooms, &long(nth))).collect();
        let mut look = Look::new(&rooms, "limit=1000");
        look.catch_up();
        let before = look.shown.clone();
        for _ in 0..12 {
            people.extend((0..300).map(|nth| join(&rooms, &long(nth))));
            assert_eq!(look.next()["more"], true);
        }
        let same = look.shown.iter().filter(|(room, count)| before[*room] == **count).count();
        assert_eq!(same, 0, "so many were never told again");
    }

    #[test]
    fn whoever_is_not_among_the_largest_any_more_is_gone() {
        let rooms = Rooms::default();
        let _people: Vec<_> =
            ["a", "a", "b", "b", "c"].map(|room| join(&rooms, &name(room))).into();
        let mut look = Look::new(&rooms, "limit=2");
        assert_eq!(look.next()["found"], 3);
        assert_eq!(look.shown, HashMap::from([("a".into(), 2), ("b".into(), 2)]));
        let _more = [join(&rooms, &name("c")), join(&rooms, &name("c"))];
        assert_eq!(look.next()["gone"], serde_json::json!(["b"]));
        assert_eq!(look.shown, HashMap::from([("a".into(), 2), ("c".into(), 3)]));
    }
}
