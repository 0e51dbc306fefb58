//! `GET /api/rooms`: the rooms that have people, the largest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::board::{Board, Row};
use super::search::{Search, bad, room, texts};

#[derive(Serialize)]
struct Page<'a> {
    rooms: Vec<Line<'a>>,
    /// How many rooms there are that the query finds, on all pages.
    found: usize,
    /// What to ask for the page after this one (`after=`), if there is one.
    next: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    room: &'a str,
    count: usize,
}

pub(super) async fn rooms(State(board): State<Arc<Board>>, uri: Uri) -> Result<Response, Response> {
    let search = Search::of(&uri)?;
    let [after] = texts(&uri, ["after"])?;
    let after = after.map(|cursor| place(&cursor)).transpose()?;
    let reading = board.read();
    let found = |rows: &[Row]| rows.iter().filter(|row| search.finds(row)).count();
    let rest = after.as_ref().map_or(&*reading.rooms, |row| reading.after(row));
    let mut rest = rest.iter().filter(|row| search.finds(row));
    let rows: Vec<_> = rest.by_ref().take(search.limit).collect();
    let next = rest.next().and(rows.last()).map(|row| cursor(row));
    let page = Page {
        rooms: rows.iter().map(|row| Line { room: row.room.as_str(), count: row.count }).collect(),
        found: found(&reading.rooms),
        next,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}

/// Where a page ends: its last row (`12:lobby`). If the room's number changes, the next page
/// still begins where its row was.
fn cursor(Row { room, count }: &Row) -> String {
    format!("{count}:{}", room.as_str())
}

fn place(cursor: &str) -> Result<Row, Response> {
    let no_cursor = || bad("after is what the page before this one has as next");
    let (count, name) = cursor.split_once(':').ok_or_else(no_cursor)?;
    let count = count.parse().map_err(|_| no_cursor())?;
    Ok(Row { room: room(name).map_err(|_| no_cursor())?, count })
}
