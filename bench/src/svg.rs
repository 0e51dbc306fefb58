//! Two kinds of picture: bars and lines. Drawn by hand, because the little that these
//! need is then exactly as it should be; with a background of their own, because a page
//! may be dark.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const INK: &str = "#1f2933";
const FAINT: &str = "#d9dee4";
const QUIET: &str = "#616e7c";

/// Colours that people who confuse colours can tell apart (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#52606d", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6d46"];

/// One bar, or one line's label.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// What stands at its end.
    pub(crate) text: String,
    /// Which of the colours.
    pub(crate) colour: usize,
}

/// One line through points.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) colour: usize,
}

/// An axis of a picture of lines.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 to 100 in equal steps.
    PerCent,
    /// Each step ten times the last.
    Logarithmic,
}

/// Bars from left to right, and a line at `mark` to compare them with.
pub(crate) fn bars(title: &str, mark: Option<(f64, &str)>, bars: &[Bar]) -> String {
    const ROW: f64 = 34.0;
    const TOP: f64 = 74.0;
    let height = TOP + ROW * bars.len() as f64 + 20.0;
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let longest = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let left = (7.0 * longest as f64 + 20.0).max(170.0);
    let scale = (WIDTH - left - 190.0) / if most > 0.0 { most } else { 1.0 };
    let mut svg = begin(title, height);
    if let Some((at, name)) = mark {
        let (x, end) = (left + at * scale, height - 14.0);
        line(&mut svg, (x, TOP - 8.0), (x, end), QUIET, "4 3");
        text(&mut svg, (x, TOP - 14.0), "middle", QUIET, name);
    }
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let (width, colour) = ((bar.value * scale).max(1.0), colour(bar.colour));
        let _ = writeln!(
            svg,
            r#"<rect x="{left}" y="{y:.1}" width="{width:.1}" height="22" rx="2" fill="{colour}"/>"#
        );
        text(&mut svg, (left - 10.0, y + 16.0), "end", INK, &bar.label);
        text(&mut svg, (left + width + 8.0, y + 16.0), "start", INK, &bar.text);
    }
    svg + "</svg>\n"
}

/// Lines through points, with their names above.
pub(crate) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    const LEFT: f64 = 76.0;
    const RIGHT: f64 = WIDTH - 30.0;
    const TOP: f64 = 124.0;
    const BOTTOM: f64 = 404.0;
    let mut svg = begin(title, BOTTOM + 50.0);
    let points = || lines.iter().flat_map(|line| &line.points);
    let (x_from, x_to) = x.scale.range(points().map(|point| point.0));
    let (y_from, y_to) = y.scale.range(points().map(|point| point.1));
    let at_x = |value| LEFT + (RIGHT - LEFT) * x.scale.position(value, x_from, x_to);
    let at_y = |value| BOTTOM - (BOTTOM - TOP) * y.scale.position(value, y_from, y_to);
    for tick in x.scale.ticks(x_from, x_to) {
        let x = at_x(tick);
        line(&mut svg, (x, TOP), (x, BOTTOM), FAINT, "");
        text(&mut svg, (x, BOTTOM + 18.0), "middle", QUIET, &short(tick));
    }
    for tick in y.scale.ticks(y_from, y_to) {
        let y = at_y(tick);
        line(&mut svg, (LEFT, y), (RIGHT, y), FAINT, "");
        text(&mut svg, (LEFT - 8.0, y + 4.0), "end", QUIET, &short(tick));
    }
    text(&mut svg, (RIGHT, BOTTOM + 38.0), "end", QUIET, x.label);
    text(&mut svg, (20.0, TOP - 12.0), "start", QUIET, y.label);

    let mut name_at = (20.0, 52.0);
    for series in lines {
        let colour = colour(series.colour);
        let mut path = String::new();
        for (x, y) in &series.points {
            let _ = write!(path, "{:.1},{:.1} ", at_x(*x), at_y(*y));
        }
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.trim_end()
        );
        // Where it was measured; not where a line is a distribution.
        if series.points.len() < 20 {
            for (x, y) in &series.points {
                let (x, y) = (at_x(*x), at_y(*y));
                let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
            }
        }
        let width = 40.0 + 7.0 * series.label.chars().count() as f64;
        if name_at.0 + width > WIDTH {
            name_at = (20.0, name_at.1 + 20.0);
        }
        let (x, y) = name_at;
        let _ =
            writeln!(svg, r#"<rect x="{x:.1}" y="{y:.1}" width="16" height="4" fill="{colour}"/>"#);
        text(&mut svg, (x + 21.0, y + 7.0), "start", INK, &series.label);
        name_at.0 += width;
    }
    svg + "</svg>\n"
}

fn begin(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" role=\"img\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>\n"
    );
    let _ = writeln!(
        svg,
        r#"<text x="20" y="30" font-size="16" font-weight="600" fill="{INK}">{title}</text>"#
    );
    svg
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, fill: &str, text: &str) {
    let (x, y) = at;
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{fill}">{text}</text>"#
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str, dashes: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{stroke}" stroke-dasharray="{dashes}"/>"#
    );
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// A number on an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{},000", value / 1000.0),
        value => format!("{value}"),
    }
}

impl Scale {
    /// From where to where the axis goes, to have all values on it.
    fn range(self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        if self == Self::PerCent {
            return (0.0, 100.0);
        }
        let values: Vec<_> = values.filter(|value| *value > 0.0).collect();
        let (Some(least), Some(most)) = (
            values.iter().copied().min_by(f64::total_cmp),
            values.iter().copied().max_by(f64::total_cmp),
        ) else {
            return (1.0, 10.0);
        };
        (floor(least), ceiling(most).max(2.0 * floor(least)))
    }

    fn position(self, value: f64, from: f64, to: f64) -> f64 {
        match self {
            Self::PerCent => (value - from) / (to - from),
            Self::Logarithmic => (value.max(from) / from).ln() / (to / from).ln(),
        }
    }

    fn ticks(self, from: f64, to: f64) -> Vec<f64> {
        match self {
            Self::PerCent => (0..=4).map(|quarter| 25.0 * f64::from(quarter)).collect(),
            Self::Logarithmic => {
                let mut ticks = vec![from];
                while let Some(next) = ticks.last().map(|last| step_up(*last))
                    && next <= to * 1.001
                {
                    ticks.push(next);
                }
                ticks
            }
        }
    }
}

/// The greatest of 1, 2, 5, 10, 20 … that is not greater than `value`.
fn floor(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let digit = [5.0, 2.0].into_iter().find(|digit| digit * decade <= value * 1.000_001);
    tidy(digit.unwrap_or(1.0) * decade)
}

/// The least of them that is not less, and not the one before it either.
fn ceiling(value: f64) -> f64 {
    let below = floor(value);
    if below >= value * 0.999_999 { below } else { step_up(below) }
}

fn step_up(value: f64) -> f64 {
    let digit = value / 10_f64.powf(value.log10().floor());
    tidy(value * if (digit - 2.0).abs() < 0.01 { 2.5 } else { 2.0 })
}

/// Without what multiplication leaves behind, as in 0.30000000000000004.
fn tidy(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_ticks_are_round() {
        let (from, to) = Scale::Logarithmic.range([0.063, 4.7].into_iter());
        assert_eq!((from, to), (0.05, 5.0));
        assert_eq!(Scale::Logarithmic.ticks(from, to), [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(Scale::Logarithmic.range([1000.0, 18_000.0].into_iter()), (1000.0, 20_000.0));
    }

    #[test]
    fn nothing_to_draw_is_drawn_too() {
        let axis = || Axis { label: "x", scale: Scale::Logarithmic };
        assert!(lines("Nothing", &axis(), &axis(), &[]).ends_with("</svg>\n"));
        assert!(bars("Nothing", None, &[]).ends_with("</svg>\n"));
    }
}
