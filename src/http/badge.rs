//! `GET /badge.svg`: the number as a picture, for places where no script can run.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use shields::{BadgeParams, render_badge_svg};

use super::refusal::Refusal;
use super::{Shared, query};

/// The label beside the number, if the query has none.
const LABEL: &str = "here now";
const COLOR: &str = "brightgreen";

/// The longest label, in characters: one line of a page.
const MAX_LABEL: usize = 64;

/// The names of colors on shields.io (<https://shields.io/badges>).
const COLORS: [&str; 16] = [
    "brightgreen",
    "green",
    "yellowgreen",
    "yellow",
    "orange",
    "red",
    "blue",
    "grey",
    "gray",
    "lightgrey",
    "lightgray",
    "success",
    "important",
    "critical",
    "informational",
    "inactive",
];

pub(super) async fn badge(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let [room, label, color] = query::values(&uri, ["room", "label", "color"]);
    let (room, label, color) = (query::name(room)?, self::label(label)?, self::color(color)?);
    let label = label.unwrap_or_else(|| LABEL.into());
    let color = color.unwrap_or_else(|| COLOR.into());
    let room = shared.allowed(room)?;
    let count = shared.rooms().count(&room).to_string();
    let params = BadgeParams { message_color: Some(&color), ..BadgeParams::new(&label, &count) };
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        // The first header keeps GitHub's image proxy from caching the picture.
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate, max-age=0"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A picture that is opened by itself is a document.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    Ok((headers, render_badge_svg(&params)).into_response())
}

/// The label beside the number, if the query has one.
pub(super) fn label(value: query::Value) -> Result<Option<String>, Refusal> {
    let label = value.map_err(|_| Refusal::BadLabel)?;
    // XML must not contain the last two (<https://www.w3.org/TR/xml/#charsets>).
    let is_bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let is_too_long = |label: &str| label.chars().count() > MAX_LABEL;
    if label.as_deref().is_some_and(|label| is_too_long(label) || label.contains(is_bad)) {
        return Err(Refusal::BadLabel);
    }
    Ok(label)
}

/// A color, if the query has one: one of the names, or `#` and hexadecimal digits.
pub(super) fn color(value: query::Value) -> Result<Option<String>, Refusal> {
    let Some(color) = value.map_err(|_| Refusal::BadColor)? else { return Ok(None) };
    let color = color.to_ascii_lowercase();
    let digits = color.strip_prefix('#').unwrap_or(&color);
    if matches!(digits.len(), 3 | 6 | 8) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(Some(format!("#{digits}")))
    } else if COLORS.contains(&&*color) {
        Ok(Some(color))
    } else {
        Err(Refusal::BadColor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn color_of(query: &str) -> Result<Option<String>, Refusal> {
        let [value] = query::values(&uri(query), ["color"]);
        color(value)
    }

    fn label_of(query: &str) -> Result<Option<String>, Refusal> {
        let [value] = query::values(&uri(query), ["label"]);
        label(value)
    }

    fn uri(query: &str) -> Uri {
        Uri::try_from(format!("/badge.svg?{query}")).expect("a URI")
    }

    #[test]
    fn a_color_is_a_name_or_hexadecimal_digits() {
        for (query, expected) in [
            ("", None),
            ("color=red", Some("red")),
            ("color=Blue", Some("blue")),
            ("color=4c1", Some("#4c1")),
            ("color=%23FF00aa", Some("#ff00aa")),
            ("color=ff00aa80", Some("#ff00aa80")),
        ] {
            assert_eq!(color_of(query).as_ref().map(Option::as_deref), Ok(expected), "{query}");
        }
        for bad in [
            "color=",
            "color=puce",
            "color=12",
            "color=12345",
            "color=%23%23123",
            "color=red&color=red",
            "color=%FF",
            "color=url(%23a)",
            "color=rgb(1,2,3)",
            "color=red%22",
            "color=%23",
        ] {
            assert_eq!(color_of(bad), Err(Refusal::BadColor), "{bad}");
        }
        // `shields` draws a color that it does not know as blue.
        let drawn = |color| {
            render_badge_svg(&BadgeParams {
                message_color: Some(color),
                ..BadgeParams::new("", "1")
            })
        };
        for name in COLORS {
            assert_ne!(
                drawn(name) == drawn("blue"),
                !["blue", "informational"].contains(&name),
                "{name}"
            );
        }
    }

    #[test]
    fn a_label_is_a_line_of_text() {
        assert_eq!(label_of("room=a"), Ok(None));
        assert_eq!(label_of("label="), Ok(Some(String::new())));
        assert_eq!(label_of("label=%D0%9A+%3C"), Ok(Some("К <".into())));
        let (longest, too_long) = ("%C3%BC".repeat(64), "a".repeat(65));
        assert_eq!(label_of(&format!("label={longest}")), Ok(Some("ü".repeat(64))));
        for bad in [&*too_long, "%0A", "%00", "%C2%85", "%FF", "%EF%BF%BE", "a&label=b"] {
            assert_eq!(label_of(&format!("label={bad}")), Err(Refusal::BadLabel), "{bad}");
        }
    }

    proptest! {
        /// Everything that is text or in quotes in the picture is escaped.
        #[test]
        fn no_label_is_more_than_text(text in "[<>&'\"a-z=/ -]{0,40}") {
            let encoded = percent_encode(text.as_bytes(), NON_ALPHANUMERIC);
            let label = label_of(&format!("label={encoded}")).expect("it is right").expect("a label");
            let (with, without) =
                (render_badge_svg(&BadgeParams::new(&label, "1")), BadgeParams::new("x", "1"));
            for structural in ['<', '>', '"', '\''] {
                let count = |svg: &str| svg.matches(structural).count();
                if !label.trim().is_empty() {
                    prop_assert_eq!(count(&with), count(&render_badge_svg(&without)));
                }
            }
        }
    }
}
