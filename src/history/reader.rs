//! The thread that reads the file. Questions wait for each other, and for nothing else. The
//! thread has a connection of its own, which sees what is written and can change nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc::Receiver;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::warn;

use super::database::{StoreError, connect, gave_up_rooms};
use super::past::{NoPast, Point, Step};
use super::tally::HistoryTally;
use crate::name::Name;

/// How many answers are kept until another minute is written: all visitors of a page with a
/// chart ask the same question. The largest answer takes 0.3 MB, most take 50 kB.
const MAX_ANSWERS: usize = 32;

/// How many questions may wait.
pub(super) const MAX_WAITING: usize = 32;

/// How many of these, including the one that is being answered, may be visitors' questions.
pub(super) const MAX_OF_VISITORS: usize = MAX_WAITING / 2;

/// One question.
pub(super) struct Question {
    /// `None` is all rooms together.
    pub(super) room: Option<Name>,
    /// In seconds since 1970.
    pub(super) time: Range<u64>,
    pub(super) step: Step,
    pub(super) answer: oneshot::Sender<Result<Vec<Point>, NoPast>>,
    /// Kept by a visitor's question until it has been answered, even if nobody waits for it any
    /// more.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// Answers until nobody can ask any more.
pub(super) fn run(path: &Path, questions: &Receiver<Question>, tally: &HistoryTally) {
    let mut fails = false;
    let mut written = 0;
    let mut answers = HashMap::<(Option<Name>, Range<u64>, Step), Vec<Point>>::new();
    for question in questions {
        // The client that asked may have gone.
        if question.answer.is_closed() {
            continue;
        }
        if written != tally.written.get() || answers.len() == MAX_ANSWERS {
            answers.clear();
            written = tally.written.get();
        }
        let asked = (question.room.clone(), question.time.clone(), question.step);
        if let Some(points) = answers.get(&asked) {
            let _nobody_waits = question.answer.send(Ok(points.clone()));
            continue;
        }
        // Opened for each question: this takes a tenth of a millisecond, and the file may be a
        // new one.
        let read = || {
            connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|db| Ok(read(&db, &question)?))
        };
        // Whatever is wrong with one question, the others are answered.
        let read = panic::catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err(StoreError::Damaged("reading it failed".into())));
        let answer = read.map_err(|error: StoreError| {
            if !fails {
                warn!(file = %path.display(), "the history can't be read: {error}");
            }
            NoPast::Unreadable
        });
        fails = answer.is_err();
        if let Ok(points) = &answer {
            answers.insert(asked, points.clone());
        }
        let _nobody_waits = question.answer.send(answer);
    }
}

/// What is added up to one point.
#[derive(Default)]
struct Sum {
    seconds: f64,
    least: u64,
    area: u64,
    most: u64,
}

fn read(db: &Connection, question: &Question) -> rusqlite::Result<Vec<Point>> {
    let Question { room, time, step, .. } = question;
    // A transaction, to see both tables as they are at one time.
    let db = db.unchecked_transaction()?;
    // A new file has no rows, and at first not even tables.
    let is_new = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    if db.query_row(is_new, [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let (id, since) = match room {
        None => (None, 0),
        Some(name) => {
            let find = "SELECT id, since FROM room WHERE name = ?";
            let found: Option<(i64, u64)> = db
                .query_row(find, [name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            // A room that was given up may have had people; any other unknown room had nobody.
            if found.is_none() && gave_up_rooms(&db)? {
                return Ok(Vec::new());
            }
            // No room has this id.
            let (id, since) = found.unwrap_or((-1, 0));
            (Some(id), since)
        }
    };
    let time = time.start.max(since)..time.end;
    let mut sums = BTreeMap::new();
    match step {
        Step::Hour => {
            add(&db, &mut sums, "hour", id, time.clone(), *step)?;
            let ended = "SELECT coalesce(max(at) + 3600, 0) FROM total_hour WHERE at < ?";
            let ended: u64 = db.query_row(ended, [time.end], |row| row.get(0))?;
            // The hours that have not been put together yet.
            add(&db, &mut sums, "minute", id, time.start.max(ended)..time.end, *step)?;
        }
        _ => add(&db, &mut sums, "minute", id, time.clone(), *step)?,
    }
    let point = |(at, Sum { seconds, least, area, most }): (u64, Sum)| {
        let (least, most) = (least as usize, most as usize);
        // Measured values are rounded. (Not `clamp`: in a damaged file the least may be more
        // than the most.)
        let mean = (area as f64 / seconds).max(least as f64).min(most as f64);
        Point { at, least, mean: (mean * 100.0).round() / 100.0, most }
    };
    Ok(sums.into_iter().map(point).collect())
}

/// Adds the rows of a table to the steps that they belong to.
fn add(
    db: &Connection,
    sums: &mut BTreeMap<u64, Sum>,
    table: &str,
    room: Option<i64>,
    time: Range<u64>,
    step: Step,
) -> rusqlite::Result<()> {
    let mut note = |row: &Row<'_>| {
        let at: u64 = row.get(0)?;
        let (least, most) = (row.get(2)?, row.get(4)?);
        let new = || Sum { least, ..Sum::default() };
        let sum = sums.entry(at - at % step.seconds()).or_insert_with(new);
        sum.seconds += row.get::<_, f64>(1)?;
        sum.least = sum.least.min(least);
        sum.area = sum.area.saturating_add(row.get(3)?);
        sum.most = sum.most.max(most);
        Ok::<_, rusqlite::Error>(())
    };
    let Range { start, end } = time;
    match room {
        None => {
            let sql = format!(
                "SELECT at, seconds, least, person_seconds, most FROM total_{table}
                 WHERE at >= ?1 AND at < ?2"
            );
            let mut ask = db.prepare(&sql)?;
            let mut rows = ask.query(params![start, end])?;
            while let Some(row) = rows.next()? {
                note(row)?;
            }
        }
        Some(id) => {
            // One index lookup for each step.
            let sql = format!(
                "SELECT t.at, t.seconds, ifnull(r.least, 0), ifnull(r.person_seconds, 0),
                        ifnull(r.most, 0)
                 FROM total_{table} t LEFT JOIN room_{table} r ON r.at = t.at AND r.room = ?3
                 WHERE t.at >= ?1 AND t.at < ?2"
            );
            let mut ask = db.prepare(&sql)?;
            let mut rows = ask.query(params![start, end, id])?;
            while let Some(row) = rows.next()? {
                note(row)?;
            }
        }
    }
    Ok(())
}
