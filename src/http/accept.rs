//! Whether a request's `Accept` has room for an event stream.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether a client that sent these headers takes `text/event-stream`
/// (RFC 9110, section 12.5.1).
///
/// Without the header it does. The most specific range that matches decides, by
/// whether its weight is more than 0. What can't be read as a range is passed over.
pub(super) fn event_stream(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ACCEPT) {
        return true;
    }
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.filter_map(|value| HeaderValue::to_str(value).ok());
    let ranges = ranges.flat_map(|value| value.split(','));
    let best = ranges.filter_map(matching).max_by_key(|(specificity, _)| *specificity);
    best.is_some_and(|(_, wanted)| wanted)
}

/// How specific a range is that matches, and whether it is wanted.
fn matching(range: &str) -> Option<(u8, bool)> {
    let mut parts = range.split(';').map(str::trim);
    let specificity = match parts.next()?.to_ascii_lowercase().as_str() {
        "text/event-stream" => 2,
        "text/*" => 1,
        "*/*" => 0,
        _ => return None,
    };
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case("q").then_some(value.trim_start())
    });
    let is_zero = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32));
    Some((specificity, !is_zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT, line.parse().expect("a header's value"));
        }
        event_stream(&headers)
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

    proptest! {
        #[test]
        fn no_header_panics_and_naming_the_stream_is_enough(junk in "[ -~]{0,60}") {
            accepts(&[&junk]);
            if !junk.to_ascii_lowercase().contains("text/event-stream") {
                prop_assert!(accepts(&[&junk, "text/event-stream"]));
            }
        }
    }
}
