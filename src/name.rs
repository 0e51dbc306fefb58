//! The name of a room: what may be one, and what to say of what may not.

use std::fmt;
use std::sync::Arc;

/// The longest name that a room may have, in bytes of UTF-8. Long enough for
/// the path of most pages, short enough to be a line of a log.
pub const MAX_BYTES: usize = 128;

/// A room's name: UTF-8, 1 to 128 bytes, no control characters.
///
/// Names are compared byte by byte; nothing is folded or normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no room name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It has no characters.
    Empty,
    /// It is longer than [`MAX_BYTES`].
    TooLong,
    /// It holds a control character (Unicode's category Cc), which could forge
    /// a line of a log or of a stream.
    ControlCharacter,
}

impl Name {
    /// Takes `text` as a room's name.
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

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    /// `lobby`, the room of everyone who names none.
    fn default() -> Self {
        Self("lobby".into())
    }
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a room's name must not be empty"),
            Self::TooLong => write!(f, "a room's name has at most {MAX_BYTES} bytes"),
            Self::ControlCharacter => write!(f, "a room's name has no control characters"),
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
        // It is bytes that count: 43 characters of 3 bytes each are 129.
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
