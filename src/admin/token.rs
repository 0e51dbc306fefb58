//! The secret that an operator shows.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// The shortest token, in bytes: nobody can guess this many random characters.
const MIN_BYTES: usize = 16;

/// A secret of 16 or more visible ASCII characters: `Authorization: Bearer …`.
#[derive(Clone)]
pub struct AdminToken(Arc<str>);

/// The text is not a token: it is too short, or has other characters than visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

impl AdminToken {
    /// Whether this is the token that was given. The time that this takes does not reveal how
    /// much of it is right.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// The token as text, to be shown to a server.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AdminToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        if text.len() < MIN_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token is {MIN_BYTES} or more visible ASCII characters")
    }
}

impl std::error::Error for BadToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_16_or_more_visible_characters_and_never_printed() {
        let token: AdminToken = "0123456789abcdef".parse().expect("a token");
        assert!(token.is(b"0123456789abcdef"));
        assert_eq!(format!("{token:?}"), "AdminToken(…)");
        for other in [&b""[..], b"0123456789abcdeg", b"0123456789abcde", b"0123456789abcdef0"] {
            assert!(!token.is(other));
        }
        for bad in
            ["", "0123456789abcde", "0123456789 abcdef", "0123456789\tabcdef", "é123456789abcdef"]
        {
            assert_eq!(bad.parse::<AdminToken>().err(), Some(BadToken), "{bad}");
        }
    }
}
