//! What a request's `Accept` header accepts.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether a client that sent these headers accepts `text/event-stream`.
pub(super) fn event_stream(headers: &HeaderMap) -> bool {
    weight(headers, "text", "event-stream") > 0.0
}

/// Whether these headers name `text/event-stream`, as those of `EventSource` do and those of
/// images, frames and scripts don't.
pub(super) fn names_event_stream(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let name = range.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("text/event-stream")
        })
    })
}

/// Whether the client prefers `text/plain` to `application/json`.
pub(super) fn plain_text(headers: &HeaderMap) -> bool {
    weight(headers, "text", "plain") > weight(headers, "application", "json")
}

/// How much a media type is wanted, from 0 (not at all) to 1 (RFC 9110, section 12.5.1).
///
/// Without the header every type is wanted. The most specific range that matches decides; of
/// two equally specific ones, the higher weight. What can't be read as a range is ignored.
fn weight(headers: &HeaderMap, kind: &str, subtype: &str) -> f32 {
    if !headers.contains_key(header::ACCEPT) {
        return 1.0;
    }
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.filter_map(|value| HeaderValue::to_str(value).ok());
    let ranges = ranges.flat_map(|value| value.split(','));
    let matching = ranges.filter_map(|range| matching(range, kind, subtype));
    let best = matching.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    best.map_or(0.0, |(_, weight)| weight)
}

/// If a range matches, how specific it is, and its weight.
fn matching(range: &str, kind: &str, subtype: &str) -> Option<(u8, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
    let specificity = match (range_kind, range_subtype) {
        ("*", "*") => 0,
        (k, "*") if k.eq_ignore_ascii_case(kind) => 1,
        (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => 2,
        _ => return None,
    };
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case("q").then_some(value.trim_start())
    });
    // An unreadable weight is ignored.
    let weight = weight.and_then(|weight| weight.parse().ok());
    let weight = weight.filter(|weight| (0.0..=1.0).contains(weight));
    Some((specificity, weight.unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accept(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT, line.parse().expect("a header's value"));
        }
        headers
    }

    fn accepts(lines: &[&str]) -> bool {
        event_stream(&accept(lines))
    }

    #[test]
    fn an_event_stream_is_taken_unless_it_is_excluded() {
        for yes in [
            &[][..],
            &["text/event-stream"],
            &["Text/Event-Stream"],
            &["*/*"],
            &["text/*"],
            &["text/html, text/event-stream;q=0.1"],
            &["text/html", "*/*;q=0.5"],
            &["text/event-stream; charset=utf-8"],
            &["text/event-stream;q=1.000"],
            &["text/*;q=0, text/event-stream"],
            &["text/event-stream;q=high"],
        ] {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in [
            &["text/html"][..],
            &["application/json, image/*"],
            &["text/event-stream;q=0"],
            &["text/event-stream; q=0.000, */*"],
            &["text/*;Q=0, */*"],
            &["*/*;q=0"],
            &[""],
            &["text"],
        ] {
            assert!(!accepts(no), "{no:?}");
        }
    }

    #[test]
    fn a_stream_is_named_by_who_wants_just_that() {
        for yes in ["text/event-stream", "text/html, Text/Event-Stream;q=0.1"] {
            assert!(names_event_stream(&accept(&[yes])), "{yes}");
        }
        for no in ["*/*", "text/*", "image/avif,image/*,*/*;q=0.8", "text/event-stream-2", ""] {
            assert!(!names_event_stream(&accept(&[no])), "{no}");
        }
        assert!(!names_event_stream(&accept(&[])));
    }

    #[test]
    fn plain_text_is_for_those_who_would_rather_have_it_than_json() {
        for yes in [
            &["text/plain"][..],
            &["TEXT/PLAIN"],
            &["text/*"],
            &["text/plain, application/json;q=0.9"],
            &["application/json;q=0.1", "text/plain;q=0.2"],
            &["text/plain, */*;q=0.5"],
            &["application/json;q=0, */*"],
            &["text/plain;q=0.5, text/plain;q=0.8, application/json;q=0.7"],
        ] {
            assert!(plain_text(&accept(yes)), "{yes:?}");
        }
        for no in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["application/json, text/plain"],
            &["text/plain;q=0.5, application/json"],
            &["text/plain;q=0"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["text/plain;q=0.1, */*"],
            &["image/png"],
            &["text/plain;q=0.5, application/json;q=nan"],
            &[""],
        ] {
            assert!(!plain_text(&accept(no)), "{no:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_and_naming_the_stream_is_enough(junk in "[ -~]{0,60}") {
            accepts(&[&junk]);
            plain_text(&accept(&[&junk]));
            if !junk.to_ascii_lowercase().contains("text/event-stream") {
                prop_assert!(accepts(&[&junk, "text/event-stream"]));
            }
        }
    }
}
