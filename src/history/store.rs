//! The file: an SQLite database, which anybody with `sqlite3` can look into while the server
//! runs. `schema.sql` says what is in it.
//!
//! Times are those of the wall clock. If that is set back, or the server is restarted within a
//! minute, the minute is written twice and has the sum of both: its seconds and its
//! person-seconds are added up.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::database::{StoreError, connect, prepare};
use super::minute::Batch;
use super::past::{Peak, Step};
use super::recent::midnight;
use crate::name::Name;
use crate::span::Stretch;

/// How often at most it is written down that a room had someone, in seconds.
const SEEN_EVERY: u64 = 3600;

/// An open file, which belongs to this process alone.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    rooms: HashMap<Name, Kept>,
    total: Kept,
    /// The hour that was written to last.
    hour: Option<u64>,
}

/// What the file says of a room.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    id: i64,
    most: usize,
    seen_at: u64,
}

impl Store {
    /// Opens a file that is [locked](super::file::lock), and may be empty.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        prepare(&mut db)?;
        let mut store = Self { db, rooms: HashMap::new(), total: Kept::default(), hour: None };
        store.read_rooms()?;
        Ok(store)
    }

    fn read_rooms(&mut self) -> Result<(), StoreError> {
        let mut ask = self.db.prepare("SELECT id, name, most, seen_at FROM room")?;
        let mut rows = ask.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            let kept = Kept { id, most: row.get(2)?, seen_at: row.get(3)? };
            match Name::new(&name) {
                _ if id == 0 => self.total = kept,
                Ok(name) => drop(self.rooms.insert(name, kept)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// How many rooms are in the file.
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Writes a minute, and gives up rooms beyond the maximum. Returns how many these were.
    pub(super) fn write(&mut self, batch: &Batch, max_rooms: usize) -> Result<usize, StoreError> {
        let hour = batch.at - batch.at % Step::Hour.seconds();
        if self.hour != Some(hour) {
            self.roll_up(hour)?;
            self.prune(batch.at)?;
        }
        let write = self.db.transaction()?;
        let goes_on = write
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM total_minute WHERE at = ?)")?
            .query_row([batch.at], |row| row.get(0))?;
        add_total(&write, batch)?;
        let mut total = self.total;
        total.reach(&write, batch.at, batch.total.most)?;
        let known = add_rooms(&write, batch, goes_on, &self.rooms)?;
        let surplus = (self.rooms.len() + known.new).saturating_sub(max_rooms);
        let given_up = smallest(&self.rooms, &known.kept, surplus);
        let mut remove = write.prepare("DELETE FROM room WHERE id = ?")?;
        for (_, id) in &given_up {
            remove.execute([id])?;
        }
        drop(remove);
        remove_oldest(&write, Step::Minute, batch.at)?;
        write.commit()?;
        // Only what is in the file may be remembered as such.
        (self.hour, self.total) = (Some(hour), total);
        self.rooms.extend(known.kept);
        for (name, _) in &given_up {
            self.rooms.remove(name);
        }
        Ok(given_up.len())
    }

    /// Puts together each hour that has more minutes than when it was last put together, except
    /// for the current one.
    fn roll_up(&mut self, current: u64) -> Result<(), StoreError> {
        let mut ask = self.db.prepare(
            "SELECT hour FROM (SELECT at - at % 3600 AS hour, sum(seconds) AS known
                               FROM total_minute GROUP BY 1)
             LEFT JOIN total_hour ON total_hour.at = hour
             WHERE hour <> ?1 AND (total_hour.at IS NULL OR seconds < known - 0.5)",
        )?;
        let hours = ask.query_map([current], |row| row.get(0))?.collect::<Result<Vec<u64>, _>>()?;
        drop(ask);
        for hour in hours {
            let write = self.db.transaction()?;
            put_together(&write, hour)?;
            write.commit()?;
        }
        Ok(())
    }

    fn prune(&mut self, now: u64) -> Result<(), StoreError> {
        let write = self.db.transaction()?;
        remove_oldest(&write, Step::Minute, now)?;
        remove_oldest(&write, Step::Hour, now)?;
        Ok(write.commit()?)
    }

    /// Each room's highest numbers, on this day and ever. `None` is all rooms together.
    pub(super) fn peaks(&self, day: u64) -> Result<Vec<(Option<Name>, Peak)>, StoreError> {
        let mut today = HashMap::<i64, usize>::new();
        let since = midnight(day);
        for of_day in [
            "SELECT room, most FROM room_hour WHERE at BETWEEN ?1 AND ?1 + 86399",
            "SELECT 0, most FROM total_minute WHERE at BETWEEN ?1 AND ?1 + 86399",
            // The hours that have not been put together yet.
            "SELECT room, most FROM room_minute WHERE at BETWEEN
               max(?1, (SELECT coalesce(max(at), 0) + 3600 FROM total_hour)) AND ?1 + 86399",
        ] {
            let mut ask = self.db.prepare(of_day)?;
            let mut rows = ask.query([since])?;
            while let Some(row) = rows.next()? {
                let most = today.entry(row.get(0)?).or_default();
                *most = row.get::<_, usize>(1)?.max(*most);
            }
        }
        let mut ask = self.db.prepare("SELECT id, name, most, most_at FROM room")?;
        let mut rows = ask.query([])?;
        let mut peaks = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            let today = today.get(&id).copied().unwrap_or_default();
            let peak = Peak { today, ever: row.get(2)?, ever_at: row.get(3)? };
            match Name::new(&name) {
                _ if id == 0 => peaks.push((None, peak)),
                Ok(name) => peaks.push((Some(name), peak)),
                Err(_) => {}
            }
        }
        Ok(peaks)
    }
}

/// What is known of a minute's rooms once they have been written.
struct Known {
    kept: HashMap<Name, Kept>,
    new: usize,
}

impl Kept {
    /// Notes in the file how high the number was, and that somebody was there.
    fn reach(&mut self, write: &Transaction<'_>, at: u64, most: usize) -> rusqlite::Result<()> {
        if most > self.most {
            self.most = most;
            write
                .prepare_cached("UPDATE room SET most = ?2, most_at = ?3 WHERE id = ?1")?
                .execute(params![self.id, most, at])?;
        }
        if at.abs_diff(self.seen_at) >= SEEN_EVERY {
            self.seen_at = at;
            write
                .prepare_cached("UPDATE room SET seen_at = ?2 WHERE id = ?1")?
                .execute(params![self.id, at])?;
        }
        Ok(())
    }
}

fn add_total(write: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let Batch { at, seconds, total, .. } = batch;
    let area = total.area.round() as u64;
    write
        .prepare_cached(
            "INSERT INTO total_minute VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
             SET seconds = seconds + ?2, least = min(least, ?3),
                 person_seconds = person_seconds + ?4, most = max(most, ?5)",
        )?
        .execute(params![at, seconds, total.least, area, total.most])
        .map(drop)
}

fn add_rooms(
    write: &Transaction<'_>,
    batch: &Batch,
    goes_on: bool,
    rooms: &HashMap<Name, Kept>,
) -> rusqlite::Result<Known> {
    let at = batch.at;
    let mut known = Known { kept: HashMap::with_capacity(batch.rooms.len()), new: 0 };
    let mut rows = Vec::with_capacity(batch.rooms.len());
    for (name, stretch) in &batch.rooms {
        let mut kept = match rooms.get(name) {
            Some(kept) => *kept,
            None => {
                known.new += 1;
                let id = write
                    .prepare_cached("INSERT INTO room VALUES (NULL, ?, 0, 0, 0) RETURNING id")?
                    .query_row([name.as_str()], |row| row.get(0))?;
                Kept { id, ..Kept::default() }
            }
        };
        kept.reach(write, at, stretch.most)?;
        rows.push((kept.id, *stretch));
        // In the file the time may be a little older.
        known.kept.insert(name.clone(), Kept { seen_at: at, ..kept });
    }
    rows.sort_unstable_by_key(|(id, _)| *id);
    if goes_on {
        join_parts(write, at, &mut rows)?;
    }
    let mut add = write.prepare_cached(
        "INSERT INTO room_minute VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
         SET least = min(least, ?3), person_seconds = person_seconds + ?4, most = max(most, ?5)",
    )?;
    for (id, Stretch { least, most, area }) in rows {
        add.execute(params![at, id, least, area.round() as u64, most])?;
    }
    Ok(known)
}

/// Handles a minute of which a part was written before: a room that is in only one part had
/// nobody in the other.
fn join_parts(
    write: &Transaction<'_>,
    at: u64,
    rows: &mut [(i64, Stretch)],
) -> rusqlite::Result<()> {
    let mut ask = write.prepare_cached("SELECT room FROM room_minute WHERE at = ?")?;
    let before = ask.query_map([at], |row| row.get(0))?.collect::<Result<HashSet<i64>, _>>()?;
    let now: HashSet<_> = rows.iter().map(|(id, _)| *id).collect();
    let mut empty =
        write.prepare_cached("UPDATE room_minute SET least = 0 WHERE at = ? AND room = ?")?;
    for id in before.difference(&now) {
        empty.execute(params![at, id])?;
    }
    for (_, stretch) in rows.iter_mut().filter(|(id, _)| !before.contains(id)) {
        stretch.least = 0;
    }
    Ok(())
}

/// The rooms whose highest number is the smallest; of equal ones, those that had nobody for the
/// longest time, then the newest. So a visitor who opens thousands of rooms alone pushes out no
/// room that had more people. The numbers of these rooms stay in the file, without a name,
/// until they are too old, because finding them would take long.
fn smallest(
    before: &HashMap<Name, Kept>,
    now: &HashMap<Name, Kept>,
    number: usize,
) -> Vec<(Name, i64)> {
    if number == 0 {
        return Vec::new();
    }
    let before = before.iter().filter(|(name, _)| !now.contains_key(*name));
    let rank = |kept: &Kept| (kept.most, kept.seen_at, Reverse(kept.id));
    let mut rooms: Vec<_> = before.chain(now).collect();
    if number < rooms.len() {
        rooms.select_nth_unstable_by_key(number, |(_, kept)| rank(kept));
    }
    rooms.into_iter().take(number).map(|(name, kept)| (name.clone(), kept.id)).collect()
}

/// Makes an hour out of its minutes.
fn put_together(write: &Transaction<'_>, hour: u64) -> rusqlite::Result<()> {
    let minutes: u64 = write.query_row(
        "SELECT count(*) FROM total_minute WHERE at BETWEEN ?1 AND ?1 + 3599",
        [hour],
        |row| row.get(0),
    )?;
    write.execute(
        "INSERT OR REPLACE INTO total_hour
         SELECT ?1, sum(seconds), min(least), sum(person_seconds), max(most)
         FROM total_minute WHERE at BETWEEN ?1 AND ?1 + 3599",
        [hour],
    )?;
    // Not `GROUP BY`, which would sort all rows, far more than there are rooms.
    let mut rooms = HashMap::<i64, (u64, u64, u64, u64)>::new();
    let mut ask = write.prepare(
        "SELECT room, least, person_seconds, most FROM room_minute
         WHERE at BETWEEN ?1 AND ?1 + 3599",
    )?;
    let mut rows = ask.query([hour])?;
    while let Some(row) = rows.next()? {
        let (least, most) = (row.get(1)?, row.get(3)?);
        let sum = rooms.entry(row.get(0)?).or_insert((0, least, 0, most));
        *sum = (sum.0 + 1, sum.1.min(least), sum.2.saturating_add(row.get(2)?), sum.3.max(most));
    }
    let mut rooms: Vec<_> = rooms.into_iter().collect();
    rooms.sort_unstable_by_key(|(id, _)| *id);
    write.execute("DELETE FROM room_hour WHERE at = ?", [hour])?;
    let mut add =
        write.prepare("INSERT INTO room_hour SELECT ?1, id, ?3, ?4, ?5 FROM room WHERE id = ?2")?;
    for (id, (in_minutes, least, area, most)) in rooms {
        let least = if in_minutes < minutes { 0 } else { least };
        add.execute(params![hour, id, least, area, most])?;
    }
    Ok(())
}

/// Removes everything older than the newest steps that are kept.
///
/// Steps are counted, not compared with the clock: a clock that is wrong for a while must not
/// cost the past. For the same reason steps in the future stay, but no more of these than of
/// the past.
fn remove_oldest(write: &Transaction<'_>, step: Step, now: u64) -> rusqlite::Result<()> {
    let (total, rooms) = match step {
        Step::Hour => ("total_hour", "room_hour"),
        _ => ("total_minute", "room_minute"),
    };
    for (compared, order) in [("<=", "DESC"), (">", "ASC")] {
        let beyond: Result<u64, _> = write
            .prepare_cached(&format!(
                "SELECT at FROM {total} WHERE at {compared} ?1 ORDER BY at {order}
                 LIMIT 1 OFFSET ?2"
            ))?
            .query_row([now, step.kept()], |row| row.get(0));
        let beyond = match beyond {
            Err(rusqlite::Error::QueryReturnedNoRows) => continue,
            beyond => beyond?,
        };
        let compared = if order == "DESC" { "<=" } else { ">=" };
        for table in [rooms, total] {
            write
                .prepare_cached(&format!("DELETE FROM {table} WHERE at {compared} ?"))?
                .execute([beyond])?;
        }
    }
    Ok(())
}
