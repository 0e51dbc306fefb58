//! Which rooms there may be, as an operator writes it: names with wildcards.
//!
//! These are not a shell's globs, in which `[`, `{` and `\` have a meaning; here they are
//! ordinary characters of a name.

use std::fmt;
use std::str::FromStr;

use crate::name::Name;

/// The rooms whose whole name matches this: `*` stands for any number of characters,
/// including `/`, `?` for one character, and every other character for itself.
///
/// ```
/// use headcount::{Name, RoomPattern};
///
/// let posts: RoomPattern = "/blog/*".parse()?;
/// assert!(posts.matches(&Name::new("/blog/2026/hello")?));
/// assert!(!posts.matches(&Name::new("/shop/blog/1")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPattern(Box<str>);

/// The text can't be a pattern of room names: it is empty or has a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

impl RoomPattern {
    /// Whether the room matches the pattern.
    #[must_use]
    pub fn matches(&self, room: &Name) -> bool {
        let (mut pattern, mut name) = (self.0.chars(), room.as_str().chars());
        // What follows the last `*`, and the rest of the name where that may begin next. An
        // earlier `*` need not be tried again: it took as little as it could.
        let mut last_star = None;
        loop {
            let from_here = (pattern.clone(), name.clone());
            match (pattern.next(), name.next()) {
                (Some('*'), _) => {
                    last_star = Some((pattern.clone(), from_here.1.clone()));
                    name = from_here.1;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(is)) if wanted == is => {}
                (_, None) => return false,
                (_, Some(_)) => {
                    let Some((after, begin)) = &mut last_star else { return false };
                    // The star takes one more character.
                    begin.next();
                    (pattern, name) = (after.clone(), begin.clone());
                }
            }
        }
    }
}

impl FromStr for RoomPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() || text.contains(char::is_control) {
            return Err(BadPattern);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern is a room's name, in which * and ? may stand for other characters")
    }
}

impl std::error::Error for BadPattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern: RoomPattern = pattern.parse().expect("a pattern");
        pattern.matches(&Name::new(name).expect("a name"))
    }

    #[test]
    fn a_pattern_is_a_whole_name_with_wildcards() {
        for (pattern, name, expected) in [
            ("lobby", "lobby", true),
            ("lobby", "lobby2", false),
            ("lobby", "a lobby", false),
            ("lobby", "Lobby", false),
            ("*", "lobby", true),
            ("**", "lobby", true),
            ("/blog/*", "/blog/", true),
            ("/blog/*", "/blog/2026/hello", true),
            ("/blog/*", "/blog", false),
            ("/blog/*/comments", "/blog/a/b/comments", true),
            ("/blog/*/comments", "/blog/comments", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*aab", "aaaab", true),
            ("?", "Ж", true),
            ("?", "🐎", true),
            ("?", "ab", false),
            ("a?", "a", false),
            ("крам*", "крамниця", true),
            ("Крам*", "крамниця", false),
            ("広?", "広場", true),
            // One character to a reader, and two to Unicode.
            ("e?", "e\u{301}", true),
            ("?", "e\u{301}", false),
            ("[ab]", "a", false),
            ("[ab]{c}\\*", "[ab]{c}\\anything", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_can_be_no_name_is_no_pattern() {
        for bad in ["", "a\nb", "\u{85}"] {
            assert_eq!(bad.parse::<RoomPattern>(), Err(BadPattern), "{bad:?}");
        }
    }

    /// The rules as documented, trying every possibility.
    fn is_like(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            (['*', rest @ ..], _) => (0..=name.len()).any(|taken| is_like(rest, &name[taken..])),
            (['?', rest @ ..], [_, others @ ..]) => is_like(rest, others),
            ([one, rest @ ..], [other, others @ ..]) => one == other && is_like(rest, others),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_rules_say(pattern in "[abй*?]{1,8}", name in "[abй]{1,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &name), is_like(&chars(&pattern), &chars(&name)));
        }
    }
}
