//! The name of a room: which texts may be names, and why others may not.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The longest name that a room may have, in bytes of UTF-8. It is long enough for the path
/// of most pages, and short enough for a line of a log.
pub const MAX_BYTES: usize = 128;

/// How many characters of a name, or of another text from a client, are logged.
const MAX_LEGIBLE: usize = 64;

/// The room of everyone who doesn't name one.
const DEFAULT: &str = "lobby";

/// A room's name: UTF-8, 1 to 128 bytes, no control characters.
///
/// Names are compared byte by byte; nothing is folded or normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

/// Why a text can't be a room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It has no characters.
    Empty,
    /// It is longer than [`MAX_BYTES`].
    TooLong,
    /// It contains a control character (Unicode's category Cc), which could forge a line of
    /// a log or of a stream.
    ControlCharacter,
}

impl Name {
    /// Makes a room's name of `text`.
    ///
    /// # Errors
    /// [`BadName`] says which of the rules `text` breaks.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            Err(BadName::Empty)
        } else if text.len() > MAX_BYTES {
            Err(BadName::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(BadName::ControlCharacter)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Whether it is the room of everyone who doesn't name one.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self.0 == *DEFAULT
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in a form that is safe to log.
    pub(crate) fn legible(&self) -> Cow<'_, str> {
        legible(self.as_str())
    }
}

/// A client's text in a form that is safe to log, where it must not look like another text
/// or reverse what is next to it: invisible characters are shown as `<U+202E>`, and `…`
/// replaces everything after the 64th character.
pub(crate) fn legible(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LEGIBLE && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut legible = String::with_capacity(text.len().min(4 * MAX_LEGIBLE));
    let mut before = None;
    for (nth, character) in text.chars().enumerate() {
        if nth == MAX_LEGIBLE {
            legible.push('…');
            break;
        }
        if is_visible(character, before) {
            legible.push(character);
        } else {
            legible += &format!("<U+{:04X}>", u32::from(character));
        }
        before = Some(character);
    }
    Cow::Owned(legible)
}

/// Whether a reader sees that `character` is there, after the one `before` it.
fn is_visible(character: char, before: Option<char>) -> bool {
    match character {
        ' '..='~' => true,
        // This turns a symbol into an emoji.
        '\u{fe0f}' => {
            before.is_some_and(|it| !it.is_ascii() && !it.is_alphanumeric() && it != character)
        }
        // Letters, marks and symbols that are blank, or only change the one before them
        // (Unicode's `Default_Ignorable_Code_Point`, and the blank pattern of Braille).
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // The standard library escapes what is not printable. It escapes a mark only if no
        // letter is before it.
        _ => {
            let text = before.map_or_else(|| character.to_string(), |_| format!("a{character}"));
            text.escape_debug().eq(text.chars())
        }
    }
}

impl Default for Name {
    /// `lobby`, the room of everyone who doesn't name one.
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a room's name must not be empty"),
            Self::TooLong => write!(f, "a room's name may have at most {MAX_BYTES} bytes"),
            Self::ControlCharacter => write!(f, "a room's name must not have control characters"),
        }
    }
}

impl std::error::Error for BadName {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_1_to_128_bytes() {
        assert_eq!(Name::new(""), Err(BadName::Empty));
        assert_eq!(Name::new("a").map(|n| n.as_str().len()), Ok(1));
        assert_eq!(Name::new(&"a".repeat(128)).map(|n| n.as_str().len()), Ok(128));
        assert_eq!(Name::new(&"a".repeat(129)), Err(BadName::TooLong));
        // The limit is in bytes: 43 characters of 3 bytes each are 129.
        assert_eq!(Name::new(&"€".repeat(43)), Err(BadName::TooLong));
    }

    #[test]
    fn a_name_is_any_text_without_control_characters() {
        for good in ["/blog/hello", "Крамниця", "a b", "<img src=x>", "🐎", "\u{202e}abc"]
        {
            assert_eq!(Name::new(good).expect(good).as_str(), good);
        }
        for bad in ["a\nb", "\r", "\0", "\u{7f}", "\u{85}"] {
            assert_eq!(Name::new(bad), Err(BadName::ControlCharacter), "{bad:?}");
        }
    }

    fn legible(text: &str) -> String {
        super::legible(text).into_owned()
    }

    #[test]
    fn an_ordinary_name_stands_in_the_log_as_it_is() {
        for name in [
            "lobby",
            "/blog/it's \"so\" \\o/",
            "Крамниця",
            "カウンター・広場",
            "नमस्ते",
            "ตลาดน้ำ",
            "e\u{301}te\u{301}",
            "❤\u{fe0f} 🐎",
            "שלום",
            "سلام",
            "<U+202E>",
        ] {
            assert_eq!(legible(name), name);
        }
        let ascii = Name::default();
        assert!(matches!(ascii.legible(), Cow::Borrowed("lobby")), "nothing is allocated");
    }

    #[test]
    fn what_cannot_be_seen_is_shown_in_the_log() {
        for (name, shown) in [
            ("\u{202e}abc\u{2069}", "<U+202E>abc<U+2069>"),
            ("lob\u{200b}by", "lob<U+200B>by"),
            ("lob\u{ad}by\u{feff}", "lob<U+00AD>by<U+FEFF>"),
            ("a\u{a0}b\u{2028}c", "a<U+00A0>b<U+2028>c"),
            ("\u{301}a", "<U+0301>a"),
            ("a\u{fe0f}b\u{fe0e}c\u{34f}", "a<U+FE0F>b<U+FE0E>c<U+034F>"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}<U+FE0F>"),
            ("\u{3164}\u{2800}\u{e0041}\u{e0100}", "<U+3164><U+2800><U+E0041><U+E0100>"),
            ("\n\u{1b}[2J\u{85}", "<U+000A><U+001B>[2J<U+0085>"),
            ("\u{e000}\u{10ffff}", "<U+E000><U+10FFFF>"),
        ] {
            assert_eq!(legible(name), shown);
        }
    }

    #[test]
    fn a_name_is_cut_after_64_characters_in_the_log() {
        let (a64, e64) = ("a".repeat(64), "é".repeat(64));
        assert_eq!(legible(&a64), a64);
        assert_eq!(legible(&e64), e64);
        assert_eq!(legible(&"a".repeat(65)), a64 + "…");
        assert_eq!(legible(&"é".repeat(66)), e64 + "…");
    }

    #[test]
    fn the_default_room_is_the_lobby() {
        assert_eq!(Name::default(), Name::new("lobby").expect("a good name"));
    }

    proptest! {
        #[test]
        fn a_text_is_a_name_just_if_it_keeps_the_rules(text in ".{0,140}|\\PC{0,140}") {
            let is_good = (1..=MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control);
            let name = Name::new(&text);
            prop_assert_eq!(name.is_ok(), is_good);
            if let Ok(name) = name {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
