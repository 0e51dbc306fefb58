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

use super::database::{StoreError, connect, gave_up_rooms, note_given_up, prepare};
use super::hours;
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
            hours::put_together(&mut self.db, hour)?;
            self.prune(batch.at)?;
        }
        let given_up = smallest(&self.rooms, batch, max_rooms);
        let write = self.db.transaction()?;
        let goes_on = write
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM total_minute WHERE at = ?)")?
            .query_row([batch.at], |row| row.get(0))?;
        add_total(&write, batch)?;
        let mut total = self.total;
        total.reach(&write, batch.at, batch.total.most)?;
        let kept = add_rooms(&write, batch, goes_on, &self.rooms, &given_up)?;
        give_up(&write, &given_up, &self.rooms)?;
        remove_oldest(&write, Step::Minute, batch.at)?;
        write.commit()?;
        // Only what is in the file may be remembered as such.
        (self.hour, self.total) = (Some(hour), total);
        self.rooms.extend(kept);
        self.rooms.retain(|name, _| !given_up.contains(name));
        Ok(given_up.len())
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

/// Returns what the file says of these rooms now.
fn add_rooms(
    write: &Transaction<'_>,
    batch: &Batch,
    goes_on: bool,
    before: &HashMap<Name, Kept>,
    given_up: &HashSet<Name>,
) -> rusqlite::Result<HashMap<Name, Kept>> {
    let at = batch.at;
    // A room that is new had nobody before, unless it may be one that was given up.
    let since = if gave_up_rooms(write)? { at } else { 0 };
    let mut now = HashMap::with_capacity(batch.rooms.len());
    let mut rows = Vec::with_capacity(batch.rooms.len());
    for (name, stretch) in batch.rooms.iter().filter(|(name, _)| !given_up.contains(name)) {
        let mut kept = match before.get(name) {
            Some(kept) => *kept,
            None => {
                let id = write
                    .prepare_cached("INSERT INTO room VALUES (NULL, ?, 0, 0, 0, ?) RETURNING id")?
                    .query_row(params![name.as_str(), since], |row| row.get(0))?;
                Kept { id, ..Kept::default() }
            }
        };
        kept.reach(write, at, stretch.most)?;
        rows.push((kept.id, *stretch));
        // In the file the time may be a little older.
        now.insert(name.clone(), Kept { seen_at: at, ..kept });
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
    Ok(now)
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

/// The rooms beyond the maximum: those whose highest number is the smallest; of equal ones, those
/// that had nobody for the longest time, then the newest. So a visitor who opens thousands of
/// rooms alone pushes out no room that had more people.
fn smallest(before: &HashMap<Name, Kept>, batch: &Batch, max_rooms: usize) -> HashSet<Name> {
    let new = batch.rooms.iter().filter(|(name, _)| !before.contains_key(name)).count();
    let surplus = (before.len() + new).saturating_sub(max_rooms);
    if surplus == 0 {
        return HashSet::new();
    }
    let mut rooms: HashMap<&Name, Kept> = before.iter().map(|(name, kept)| (name, *kept)).collect();
    for (name, stretch) in &batch.rooms {
        let kept = rooms.entry(name).or_insert(Kept { id: i64::MAX, ..Kept::default() });
        (kept.most, kept.seen_at) = (kept.most.max(stretch.most), batch.at);
    }
    let mut rooms: Vec<_> = rooms.into_iter().collect();
    let rank = |kept: &Kept| (kept.most, kept.seen_at, Reverse(kept.id));
    rooms.select_nth_unstable_by_key(surplus - 1, |(_, kept)| rank(kept));
    rooms.into_iter().take(surplus).map(|(name, _)| name.clone()).collect()
}

/// Forgets these rooms. Their numbers stay in the file, without a name, until they are too old,
/// because finding them would take long.
fn give_up(
    write: &Transaction<'_>,
    rooms: &HashSet<Name>,
    before: &HashMap<Name, Kept>,
) -> rusqlite::Result<()> {
    if !rooms.is_empty() && !gave_up_rooms(write)? {
        note_given_up(write)?;
    }
    let mut remove = write.prepare("DELETE FROM room WHERE id = ?")?;
    for kept in rooms.iter().filter_map(|name| before.get(name)) {
        remove.execute([kept.id])?;
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
