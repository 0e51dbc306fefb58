//! `GET /api/rooms/{room}/history` and `GET /api/history?room=R`: how many people were in a
//! room. Without a room, `/api/history` answers for all rooms together.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::board::Board;
use super::refused::Refused;
use super::search::{room, texts};
use crate::history::{NoPast, Point, Step};
use crate::name::Name;

/// How far back the answer goes by default, in seconds.
const SPAN: u64 = 300;

/// How far ahead of the clock an answer may end, in seconds: the clock may be set back.
const AHEAD: u64 = 24 * 60 * 60;

/// The answer. All times are in seconds since 1970.
#[derive(Serialize)]
struct Past<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    from: u64,
    to: u64,
    step: u64,
    /// Steps of which nothing is known are left out.
    points: Vec<Point>,
}

/// Answers for the room that the path names.
pub(super) async fn of_path(
    board: State<Arc<Board>>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refused> {
    let Ok(Path(name)) = name else {
        return Err(Refused::bad("a room's name must be percent-encoded UTF-8"));
    };
    past(&board, Some(room(&name)?), &uri).await
}

/// Answers for the room that the query names (`room=`). Browsers can't send `..` in a path.
pub(super) async fn of_query(board: State<Arc<Board>>, uri: Uri) -> Result<Response, Refused> {
    let [name] = texts(&uri, ["room"])?;
    let name = name.map(|name| room(&name)).transpose()?;
    past(&board, name, &uri).await
}

async fn past(board: &Board, room: Option<Name>, uri: &Uri) -> Result<Response, Refused> {
    let [from, to, step] = texts(uri, ["from", "to", "step"])?;
    let seconds = |name: &str, text: Option<String>| {
        let why = || Refused::bad(format!("{name} must be a number of seconds"));
        text.map(|text| text.parse::<u64>().map_err(|_| why())).transpose()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Nothing is known of the future.
    let to = seconds("to", to)?.unwrap_or(now).min(now + AHEAD);
    let from = seconds("from", from)?.unwrap_or(to.saturating_sub(SPAN));
    if from >= to {
        return Err(Refused::bad("from must be a time before to, in seconds since 1970"));
    }
    // The longer the steps are, the longer they are kept.
    let oldest = now.saturating_sub(from);
    let step = seconds("step", step)?.unwrap_or(Step::finest_for(oldest).seconds());
    let kept = [Step::Hour, Step::Minute, Step::Seconds];
    let Some(base) = kept.into_iter().find(|base| step > 0 && step % base.seconds() == 0) else {
        return Err(Refused::bad("step must be a multiple of 5 seconds"));
    };
    let history = board.overview().history().ok_or(Refused::NoPast(NoPast::NoFile))?;
    let points = history.past(room.as_ref(), from..to, base).await.map_err(Refused::NoPast)?;
    let points = merge(&points, step);
    let past = Past { room: room.as_ref().map(Name::as_str), from, to, step, points };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(past)).into_response())
}

/// Merges points into longer steps.
fn merge(points: &[Point], step: u64) -> Vec<Point> {
    let chunks = points.chunk_by(|a, b| a.at / step == b.at / step);
    let merged = chunks.filter_map(|chunk| {
        let sum: f64 = chunk.iter().map(|point| point.mean).sum();
        let mean = sum / chunk.len() as f64;
        Some(Point {
            at: chunk.first()?.at / step * step,
            least: chunk.iter().map(|point| point.least).min()?,
            mean: (mean * 100.0).round() / 100.0,
            most: chunk.iter().map(|point| point.most).max()?,
        })
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_steps_have_the_least_the_mean_and_the_most_of_those_that_are_known() {
        let point = |at, least, mean, most| Point { at, least, mean, most };
        let points = [
            point(60, 1, 2.0, 3),
            point(65, 0, 1.0, 9),
            // Nothing is known of the time in between.
            point(85, 4, 4.0, 4),
        ];
        assert_eq!(merge(&points, 5), points);
        assert_eq!(merge(&points, 20), [point(60, 0, 1.5, 9), point(80, 4, 4.0, 4)]);
        assert_eq!(merge(&points, 60), [point(60, 0, 2.33, 9)]);
        assert_eq!(merge(&[], 60), []);
    }
}
