//! `GET /api/rooms`: the rooms that have people, the largest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::board::{Board, Row};
use super::refused::Refused;
use super::search::{Search, room, texts};
use crate::http::Overview;

#[derive(Serialize)]
struct Page<'a> {
    rooms: Vec<Line<'a>>,
    /// How many rooms the query finds on all pages together.
    found: usize,
    /// The cursor of the next page (`after=`), if there is one.
    next: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    room: &'a str,
    count: usize,
    /// The highest number today (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<usize>,
    /// How the number changed in the last five minutes: pairs of a time and the number from
    /// then on (`recent=1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    recent: Option<Vec<(u64, usize)>>,
}

pub(super) async fn rooms(State(board): State<Arc<Board>>, uri: Uri) -> Result<Response, Refused> {
    let search = Search::of(&uri)?;
    let [after, recent] = texts(&uri, ["after", "recent"])?;
    let has_recent = recent.as_deref() == Some("1");
    let after = after.map(|cursor| place(&cursor)).transpose()?;
    let reading = board.read();
    let found = |rows: &[Row]| rows.iter().filter(|row| search.finds(row)).count();
    let rest = after.as_ref().map_or(&*reading.rooms, |row| reading.after(row));
    let mut rest = rest.iter().filter(|row| search.finds(row));
    let rows: Vec<_> = rest.by_ref().take(search.limit).collect();
    let next = rest.next().and(rows.last()).map(|row| cursor(row));
    let page = Page {
        rooms: rows.iter().map(|row| line(board.overview(), row, has_recent)).collect(),
        found: found(&reading.rooms),
        next,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}

fn line<'a>(overview: &Overview, Row { room, count }: &'a Row, has_recent: bool) -> Line<'a> {
    let steps = || {
        let mut points = overview.history()?.last_minutes(Some(room));
        points.dedup_by_key(|point| point.most);
        Some(points.iter().map(|point| (point.at, point.most)).collect())
    };
    Line {
        room: room.as_str(),
        count: *count,
        peak: overview.peak(room).map(|peak| peak.max(*count)),
        recent: has_recent.then(steps).flatten(),
    }
}

/// The cursor is the last row of a page (`12:lobby`). If that room's number changes, the next
/// page still begins where the row was.
fn cursor(Row { room, count }: &Row) -> String {
    format!("{count}:{}", room.as_str())
}

fn place(cursor: &str) -> Result<Row, Refused> {
    let no_cursor = || Refused::bad("after must be the next of the page before");
    let (count, name) = cursor.split_once(':').ok_or_else(no_cursor)?;
    let count = count.parse().map_err(|_| no_cursor())?;
    Ok(Row { room: room(name).map_err(|_| no_cursor())?, count })
}
