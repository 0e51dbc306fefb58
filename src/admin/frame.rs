//! What one watcher is told: each second as much of what is news to them as fits into the
//! budget. What does not fit comes with the next frame, with the numbers of then.

use std::collections::{BTreeMap, HashMap};
use std::ops::Not;

use serde::Serialize;

use super::board::{Reading, Row};
use super::search::Search;
use crate::http::Overview;
use crate::name::Name;

/// The most that a frame has, in bytes. There is one frame a second, and no watcher is to
/// take more than 20 kB of each.
const BUDGET: usize = 18_000;

/// Of these, the most for rooms that are to be shown no more.
const BUDGET_OF_GONE: usize = BUDGET / 2;

/// What is around the rooms of a frame, besides the totals.
const FRAME: usize = 200;

/// Which rooms somebody watches.
pub(super) enum Wish {
    /// The largest that a search finds.
    Rooms(Search),
    /// One room, though nobody be there.
    Room(Name),
}

/// A watcher, and what they know.
pub(super) struct Watcher {
    wish: Wish,
    told: HashMap<Name, Told>,
    nth: u64,
    /// Whether they are signed in by a cookie, and can sign out.
    is_session: bool,
}

struct Told {
    count: usize,
    peak: Option<usize>,
    /// The frame that told it, and the last one in which it was to be told.
    nth: u64,
    wanted: u64,
}

/// `event: snapshot`, `event: change`.
#[derive(Serialize)]
struct Frame<'a, T> {
    totals: &'a T,
    /// How many rooms there are that the search finds.
    found: usize,
    /// `[name, count]`, or `[name, count, today's peak]` if that is known. Those that are new
    /// or have changed.
    rooms: Vec<Line<'a>>,
    /// Those that are not among the largest any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    /// There is more to tell.
    #[serde(skip_serializing_if = "Not::not")]
    more: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    first: Option<First>,
}

/// What the first frame has besides.
#[derive(Serialize)]
struct First {
    session: bool,
    /// What would help against each reason for which streams are refused.
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

    /// The rooms to be shown now, and how many there would be.
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

    /// What is new of these rooms: those never told first, then those whose last word is
    /// oldest.
    fn news<'a>(
        &mut self,
        wanted: &'a [Cow<'_>],
        overview: &Overview,
    ) -> Vec<(&'a Row, Option<usize>)> {
        let mut news = Vec::new();
        for row in wanted {
            // A peak is never less than the number beside it.
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

    /// Those that were told and are not among those to be shown.
    fn gone(&self) -> impl Iterator<Item = &Name> {
        self.told.iter().filter(|(_, told)| told.wanted < self.nth).map(|(name, _)| name)
    }
}

type Cow<'a> = std::borrow::Cow<'a, Row>;

/// How many digits a number of people has at most.
const MAX_DIGITS: usize = 10;

fn json(value: &impl Serialize) -> String {
    // It can't fail: there are no maps with other keys than texts.
    serde_json::to_string(value).unwrap_or_default()
}

/// How long a name is as JSON.
fn length(name: &Name) -> usize {
    let quoted = name.as_str().bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    name.as_str().len() + quoted + 2
}
