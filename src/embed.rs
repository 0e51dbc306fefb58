//! The two lines of HTML that put a live number on a page of any site.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::http::Script;
use crate::name::Name;
use crate::origin::{BadOrigin, Origin};

/// The characters to encode in a query: all that a server or a shell may misread.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b':');

/// Where browsers reach a server: its origin, and the path that it is served under, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    origin: Origin,
    /// Without a slash at its end.
    path: String,
}

impl FromStr for Address {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let url: Url = text.parse().map_err(|_| BadOrigin)?;
        let is_more = url.query().is_some() || url.fragment().is_some();
        let origin = text.split('/').take(3).collect::<Vec<_>>().join("/").parse()?;
        let path = url.path().trim_end_matches('/').to_owned();
        if is_more { Err(BadOrigin) } else { Ok(Self { origin, path }) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// The lines for a page that counts in `room` on the server at `address`; without a room, in
/// the default room.
///
/// `integrity` needs `crossorigin`, because a browser checks only what it may read.
#[must_use]
pub fn lines(address: &Address, room: Option<&str>, script: &Script) -> String {
    let Script { path, integrity } = script;
    let room = room.map(|room| format!(" room=\"{}\"", escaped(room))).unwrap_or_default();
    let address = escaped(&address.to_string());
    format!(
        "<script defer src=\"{address}{path}\" integrity=\"{integrity}\" \
         crossorigin=\"anonymous\"></script>\n\
         <p><user-count{room}>–</user-count> reading this now</p>\n"
    )
}

/// The addresses of the same room as a badge and as a stream.
#[must_use]
pub fn elsewhere(address: &Address, room: &Name) -> [String; 2] {
    let room = utf8_percent_encode(room.as_str(), QUERY);
    ["badge.svg", "events"].map(|route| format!("{address}/{route}?room={room}"))
}

/// Escapes text for use between quotes in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(room: Option<&str>) -> String {
        let script = Script { path: "/client-0.js".into(), integrity: "sha384-x".into() };
        let address = "https://count.example.org".parse().expect("an address");
        lines(&address, room, &script)
    }

    #[test]
    fn a_server_may_be_under_a_path() {
        let script = Script { path: "/client-0.js".into(), integrity: "sha384-x".into() };
        for (text, expected) in [
            ("https://Example.org/live", "https://example.org/live"),
            ("https://example.org:443/live/", "https://example.org/live"),
            ("http://example.org:3000/", "http://example.org:3000"),
            ("https://example.org/a/b c", "https://example.org/a/b%20c"),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), expected);
            let src = format!("src=\"{expected}/client-0.js\"");
            assert!(lines(&address, None, &script).contains(&src), "{text}");
        }
        for text in [
            "example.org/live",
            "https://example.org/live?a",
            "https://example.org/live#a",
            "https://user@example.org/live",
            "https://*.example.org/live",
            "ftp://example.org/live",
            "/live",
            "",
        ] {
            assert_eq!(text.parse::<Address>(), Err(BadOrigin), "{text}");
        }
    }

    #[test]
    fn the_same_room_is_elsewhere_by_an_encoded_name() {
        let address = "https://example.org/live".parse().expect("an address");
        let room = Name::new("blog.example/a b/привіт/?'&").expect("a name");
        let encoded = "blog.example/a%20b/%D0%BF%D1%80%D0%B8%D0%B2%D1%96%D1%82/%3F%27%26";
        assert_eq!(
            elsewhere(&address, &room),
            [
                format!("https://example.org/live/badge.svg?room={encoded}"),
                format!("https://example.org/live/events?room={encoded}"),
            ]
        );
    }

    #[test]
    fn there_are_two_lines_a_script_and_a_number() {
        assert_eq!(
            lines_of(Some("/blog/hello")),
            "<script defer src=\"https://count.example.org/client-0.js\" \
             integrity=\"sha384-x\" crossorigin=\"anonymous\"></script>\n\
             <p><user-count room=\"/blog/hello\">–</user-count> reading this now</p>\n"
        );
        assert!(lines_of(None).contains("<p><user-count>–</user-count>"));
    }

    #[test]
    fn a_room_can_not_leave_its_quotes() {
        let lines = lines_of(Some("\"><img src=x onerror='alert(1)'>&amp;"));
        let room = "&quot;&gt;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;amp;";
        assert!(lines.contains(&format!("<user-count room=\"{room}\">")), "{lines}");
    }
}
