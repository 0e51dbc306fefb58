//! Hours, put together from their minutes.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};

/// Puts together each hour that has more minutes than when it was last put together, except for
/// the current one.
pub(super) fn put_together(db: &mut Connection, current: u64) -> rusqlite::Result<()> {
    let mut ask = db.prepare(
        "SELECT hour FROM (SELECT at - at % 3600 AS hour, sum(seconds) AS known
                           FROM total_minute GROUP BY 1)
         LEFT JOIN total_hour ON total_hour.at = hour
         WHERE hour <> ?1 AND (total_hour.at IS NULL OR seconds < known - 0.5)",
    )?;
    let hours = ask.query_map([current], |row| row.get(0))?.collect::<Result<Vec<u64>, _>>()?;
    drop(ask);
    for hour in hours {
        let write = db.transaction()?;
        add(&write, hour)?;
        write.commit()?;
    }
    Ok(())
}

/// Makes an hour out of its minutes.
fn add(write: &Transaction<'_>, hour: u64) -> rusqlite::Result<()> {
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
