//! The files of the page that are inside the binary.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "public/"]
struct Public;

/// The script that puts a number on a page.
pub(super) const CLIENT: &str = "client.js";

/// The files that make the element an npm package. They are beside the page, but not part of
/// it.
const OF_THE_PACKAGE: [&str; 4] = ["README.md", "package.json", "preact.d.ts", "react.d.ts"];

/// Every path, relative to the page.
pub(super) fn paths() -> impl Iterator<Item = Cow<'static, str>> {
    Public::iter().filter(|path| !OF_THE_PACKAGE.contains(&&**path))
}

/// A file as it is sent. The script, which every visitor of every site loads, is sent without
/// its comments, which are half of it.
pub(super) fn file(path: &str) -> Option<EmbeddedFile> {
    let mut file = Public::get(path)?;
    if path == CLIENT {
        let script = String::from_utf8_lossy(&file.data);
        file.data = without_comments(&script).into_bytes().into();
    }
    Some(file)
}

/// The style that all our pages share.
#[cfg(feature = "server")]
pub(crate) fn style() -> Option<EmbeddedFile> {
    Public::get("style.css")
}

/// A script without indentation, blank lines and comments, except for a comment that begins
/// with `/*!`. A block comment has its lines to itself, and a comment at the end of a line
/// follows ` // `, which occurs nowhere else.
fn without_comments(script: &str) -> String {
    let mut code = String::with_capacity(script.len());
    let mut is_comment = false;
    for line in script.lines().map(str::trim) {
        is_comment |= line.starts_with("/*") && !line.starts_with("/*!");
        let said = line.split(" // ").next().unwrap_or_default().trim_end();
        if !is_comment && !said.is_empty() && !said.starts_with("//") {
            code += said;
            code.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_without_its_comments() {
        let script = "/*! Whose it is. */\n/*\n * What it is,\n * and why.\n */\n  let a = 1; // ms\n\n  \
                      // Why.\n  /** Which. */\n  a = 'https://a.example/*'; // it\n  //\n}\n";
        let code = "/*! Whose it is. */\nlet a = 1;\na = 'https://a.example/*';\n}\n";
        assert_eq!(without_comments(script), code);
    }

    #[test]
    fn the_script_has_no_text_that_would_pass_for_a_comment() {
        let script = Public::get(CLIENT).expect("the script is there");
        let script = String::from_utf8_lossy(&script.data);
        for line in script.lines().filter(|line| line.contains(" // ")) {
            let (code, _) = line.split_once(" // ").expect("a comment");
            let quotes = code.chars().filter(|c| matches!(c, '\'' | '"' | '`')).count();
            assert!(quotes % 2 == 0, "{line}");
        }
        // A template literal of several lines would be changed.
        assert!(!script.lines().any(|line| line.matches('`').count() % 2 == 1));
    }
}
