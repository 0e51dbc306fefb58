//! The two lines of HTML that put a live number on a page of any site.

use crate::http::Script;
use crate::name::Name;
use crate::origin::Origin;

/// The lines for a page that counts in `room` on the server at `origin`; without a
/// room, in the one that the whole site shares.
///
/// `crossorigin` goes with `integrity`: a browser checks only what it may read.
#[must_use]
pub fn lines(origin: &Origin, room: Option<&Name>, script: &Script) -> String {
    let Script { path, integrity } = script;
    let room = room.map(|room| format!(" room=\"{}\"", escaped(room.as_str())));
    let room = room.unwrap_or_default();
    format!(
        "<script defer src=\"{origin}{path}\" integrity=\"{integrity}\" \
         crossorigin=\"anonymous\"></script>\n\
         <p><user-count{room}>–</user-count> reading this now</p>\n"
    )
}

/// Text as it may stand between quotes in HTML.
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
        let origin = "https://count.example.org".parse().expect("an origin");
        let room = room.map(|room| Name::new(room).expect("a name"));
        lines(&origin, room.as_ref(), &script)
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
