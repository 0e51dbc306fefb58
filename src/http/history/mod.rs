//! `GET /history` and `/history.svg`: how many people were in a room, as numbers and as a
//! picture. Neither counts anybody.

mod chart;
mod metrics;

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::Refusal;
use super::{Shared, badge, query};
use crate::history::{NoPast, Point, Step};
use crate::name::Name;
use chart::Chart;
pub(super) use metrics::register;

/// The longest time that may be asked for, in days: 2,160 points.
const MAX_DAYS: u64 = 90;

/// `{"room":"lobby","step":60,"points":[{"at":1764000000,"least":1,"mean":2.5,"most":3}]}`
#[derive(Serialize)]
struct Answer<'a> {
    room: &'a str,
    step: u64,
    points: Vec<Point>,
}

/// What was asked for, and what is known of it.
struct Asked {
    room: Name,
    last: Last,
    time: Range<u64>,
    step: Step,
    points: Vec<Point>,
}

/// A length of time until now, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    number: u64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Minutes,
    Hours,
    Days,
}

pub(super) async fn numbers(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let [room, last] = query::values(&uri, ["room", "last"]);
    let asked = ask(&shared, room, self::last(last, Last { number: 5, unit: Unit::Minutes })?);
    let Asked { room, step, points, .. } = asked.await?;
    let answer = Answer { room: room.as_str(), step: step.seconds(), points };
    Ok((cache_control(step), Json(answer)).into_response())
}

pub(super) async fn picture(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let [room, last, label, color] = query::values(&uri, ["room", "last", "label", "color"]);
    let (label, color) = (badge::label(label)?, badge::color(color)?);
    let last = self::last(last, Last { number: 24, unit: Unit::Hours })?;
    let Asked { room, last, time, step, points } = ask(&shared, room, last).await?;
    let label = label.unwrap_or_else(|| room.as_str().to_owned());
    let chart = Chart { label: &label, color: color.as_deref(), last, time, step };
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A picture that is opened by itself is a document, and this one has a style.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    Ok((cache_control(step), headers, chart.draw(&points)).into_response())
}

async fn ask(shared: &Shared, room: query::Value, last: Last) -> Result<Asked, Refusal> {
    let room = shared.allowed(query::name(room)?)?;
    if shared.private_history {
        return Err(Refusal::PrivateHistory);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = now.saturating_sub(last.seconds())..now;
    let step = Step::finest_for(last.seconds());
    let points = match &shared.history {
        Some(history) => history.past_for_visitors(Some(&room), time.clone(), step).await?,
        // Nothing is known. That is no error, because the page asks whether there is a history.
        None if step == Step::Seconds => Vec::new(),
        None => return Err(Refusal::NoHistoryFile),
    };
    Ok(Asked { room, last, time, step, points })
}

/// An answer holds until the next step has ended.
fn cache_control(step: Step) -> [(HeaderName, &'static str); 1] {
    let value = if step == Step::Seconds { "max-age=5" } else { "max-age=60" };
    [(header::CACHE_CONTROL, value)]
}

fn last(value: query::Value, default: Last) -> Result<Last, Refusal> {
    let Some(text) = value.map_err(|_| Refusal::BadLast)? else { return Ok(default) };
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
    let unit = match unit {
        "m" => Unit::Minutes,
        "h" => Unit::Hours,
        "d" => Unit::Days,
        _ => return Err(Refusal::BadLast),
    };
    let number = number.parse().map_err(|_| Refusal::BadLast)?;
    let last = Last { number, unit };
    let longest = Last { number: MAX_DAYS, unit: Unit::Days };
    // Checked as a number of seconds first, so that a huge number can't overflow.
    let fits = number > 0 && number <= longest.seconds() && last.seconds() <= longest.seconds();
    if fits { Ok(last) } else { Err(Refusal::BadLast) }
}

impl Last {
    fn seconds(self) -> u64 {
        self.number
            * match self.unit {
                Unit::Minutes => 60,
                Unit::Hours => 3600,
                Unit::Days => 24 * 3600,
            }
    }
}

impl From<NoPast> for Refusal {
    fn from(why: NoPast) -> Self {
        match why {
            NoPast::NoFile => Self::NoHistoryFile,
            NoPast::Busy => Self::HistoryBusy,
            NoPast::Unreadable => Self::HistoryUnreadable,
        }
    }
}

#[cfg(test)]
mod tests;
