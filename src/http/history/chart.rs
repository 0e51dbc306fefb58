//! The past of a room as a picture, for READMEs and blogs: the range from the fewest to the
//! most, and the mean.

use std::fmt::{self, Display, Write};
use std::ops::Range;

use super::{Last, Unit};
use crate::history::{Point, Step};

const WIDTH: u64 = 600;
const HEIGHT: u64 = 150;
/// Where the curve is.
const LEFT: u64 = 12;
const RIGHT: u64 = WIDTH - 12;
const TOP: u64 = 40;
const BOTTOM: u64 = HEIGHT - 28;

/// A longer label is cut off, because the highest number stands beside it.
const LABEL: u64 = WIDTH - 110;

/// The maximum number of columns: each is two units of the picture wide.
const COLUMNS: u64 = 288;

/// What to draw, except for the points.
pub(super) struct Chart<'a> {
    pub(super) label: &'a str,
    pub(super) color: Option<&'a str>,
    pub(super) last: Last,
    pub(super) time: Range<u64>,
    pub(super) step: Step,
}

/// The points of one column, merged.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    least: usize,
    sum: f64,
    points: u32,
    most: usize,
}

/// A text in which nothing is markup.
struct Escaped<'a>(&'a str);

impl Chart<'_> {
    pub(super) fn draw(&self, points: &[Point]) -> String {
        let columns = self.columns(points);
        let known = columns.iter().flatten();
        let low = known.clone().map(|column| column.least).min();
        let high = known.map(|column| column.most).max();
        let label = Escaped(self.label);
        let last = self.last;
        let summary = match (low, high) {
            (Some(low), Some(high)) => format!("{low} to {high} people in the last {last}"),
            _ => format!("nothing is known of the last {last}"),
        };
        let peak = high.map(|high| format!("peak {high}")).unwrap_or_default();
        let (range, mean) = paths(&columns, high.unwrap_or_default());
        // Without a color, one that is legible on either background.
        let (light, dark) = match self.color {
            Some(color) => (hexadecimal(color), hexadecimal(color)),
            None => ("#0b6e4f", "#58d6a0"),
        };
        let (text, line, middle) = (TOP - 17, BOTTOM + 1, BOTTOM + 18);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"title\">\
             <title id=\"title\">{label}: {summary}</title>\
             <style>\
             svg{{font:14px system-ui,sans-serif;--ground:#fff;--text:#1f2328;--faint:#59636e;\
             --line:#d1d9e0;--color:{light}}}\
             @media(prefers-color-scheme:dark){{svg{{--ground:#0d1117;--text:#f0f6fc;\
             --faint:#9198a1;--line:#3d444d;--color:{dark}}}}}\
             text{{fill:var(--text)}}.faint{{fill:var(--faint);font-size:12px}}\
             </style>\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"var(--ground)\"/>\
             <svg width=\"{LABEL}\" height=\"{TOP}\">\
             <text x=\"{LEFT}\" y=\"{text}\" font-weight=\"600\">{label}</text></svg>\
             <text x=\"{RIGHT}\" y=\"{text}\" text-anchor=\"end\">{peak}</text>\
             <path d=\"M{LEFT} {line}H{RIGHT}\" stroke=\"var(--line)\"/>\
             <path d=\"{range}\" fill=\"var(--color)\" fill-opacity=\".3\"/>\
             <path d=\"{mean}\" fill=\"none\" stroke=\"var(--color)\" stroke-width=\"1.5\"/>\
             <text x=\"{LEFT}\" y=\"{middle}\" class=\"faint\">{last} ago</text>\
             <text x=\"{RIGHT}\" y=\"{middle}\" class=\"faint\" text-anchor=\"end\">now</text>\
             </svg>\n"
        )
    }

    /// `None` where nothing is known. Each column is at least as long as a step, so there is no
    /// gap where something is known.
    fn columns(&self, points: &[Point]) -> Vec<Option<Column>> {
        let Range { start, end } = self.time;
        let steps = (end - start).div_ceil(self.step.seconds()).max(1);
        let number = steps.min(COLUMNS);
        let mut columns = vec![None::<Column>; number as usize];
        // The first step may have begun before the time that was asked for.
        let begin = end.saturating_sub(steps * self.step.seconds());
        for point in points {
            let nth = (point.at.saturating_sub(begin) / self.step.seconds()) * number / steps;
            let Some(column) = columns.get_mut(nth as usize) else { continue };
            let Point { least, mean, most, .. } = *point;
            let before = column.unwrap_or(Column { least, sum: 0.0, points: 0, most });
            *column = Some(Column {
                least: before.least.min(least),
                sum: before.sum + mean,
                points: before.points + 1,
                most: before.most.max(most),
            });
        }
        columns
    }
}

/// The area from the fewest to the most, and the line of the mean.
fn paths(columns: &[Option<Column>], high: usize) -> (String, String) {
    let width = (RIGHT - LEFT) as f64 / columns.len() as f64;
    let x = |nth: usize| LEFT as f64 + nth as f64 * width;
    let height = (BOTTOM - TOP) as f64 / high.max(1) as f64;
    let y = |people: f64| BOTTOM as f64 - people * height;
    let (mut range, mut mean) = (String::new(), String::new());
    let mut nth = 0;
    for run in columns.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let run_of = || run.iter().flatten().enumerate().map(|(place, it)| (nth + place, it));
        for (place, column) in run_of() {
            let (from, to) = (x(place), x(place + 1));
            let start = if place == nth { 'M' } else { 'L' };
            let (of_mean, most) = (y(column.sum / f64::from(column.points)), y(column.most as f64));
            push(&mut mean, format_args!("{start}{from:.1} {of_mean:.1}H{to:.1}"));
            push(&mut range, format_args!("{start}{from:.1} {most:.1}H{to:.1}"));
        }
        for (place, column) in run_of().collect::<Vec<_>>().into_iter().rev() {
            let (from, to, least) = (x(place), x(place + 1), y(column.least as f64));
            push(&mut range, format_args!("L{to:.1} {least:.1}H{from:.1}"));
        }
        if run_of().next().is_some() {
            range.push('Z');
        }
        nth += run.len();
    }
    (range, mean)
}

/// The colors of <https://shields.io/badges>, as CSS has them.
fn hexadecimal(color: &str) -> &str {
    match color {
        "brightgreen" | "success" => "#4c1",
        "green" => "#97ca00",
        "yellowgreen" => "#a4a61d",
        "yellow" => "#dfb317",
        "orange" | "important" => "#fe7d37",
        "red" | "critical" => "#e05d44",
        "blue" | "informational" => "#007ec6",
        "grey" | "gray" => "#555",
        "lightgrey" | "lightgray" | "inactive" => "#9f9f9f",
        digits => digits,
    }
}

fn push(path: &mut String, piece: fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _infallible = path.write_fmt(piece);
}

impl Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Minutes => "minute",
            Unit::Hours => "hour",
            Unit::Days => "day",
        };
        let plural = if self.number == 1 { "" } else { "s" };
        write!(f, "{} {unit}{plural}", self.number)
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML must not contain these (<https://www.w3.org/TR/xml/#charsets>).
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
