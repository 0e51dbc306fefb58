//! A token: names one visitor's seat, so that they can take it up again.

use std::fmt;
use std::str::FromStr;

/// 128 bits that nobody can guess, written as 32 hexadecimal digits: random, or signed by one
/// of several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

/// The text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

impl Token {
    /// A new token, from `rand`'s generator for secrets.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        // Checked here because `from_str_radix` accepts a sign too.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadToken);
        }
        let bits = u128::from_str_radix(text, 16).map_err(|_| BadToken)?;
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_32_hexadecimal_digits_and_reads_back() {
        let token = Token::random();
        let text = token.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(token));
        assert_eq!(
            "0000000000000000000000000000005c".parse(),
            Ok(Token((0x5c_u128).to_be_bytes()))
        );
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        assert_ne!(Token::random(), Token::random());
    }

    #[test]
    fn junk_is_no_token() {
        for junk in [
            "",
            "1",
            &"g".repeat(32),
            &"0".repeat(33),
            &"+".repeat(32),
            "+000000000000000000000000000005c",
        ] {
            assert_eq!(junk.parse::<Token>(), Err(BadToken), "{junk}");
        }
    }

    proptest! {
        #[test]
        fn every_token_reads_back_and_no_other_text_is_one(bits: [u8; 16], text in ".{0,40}") {
            prop_assert_eq!(Token(bits).to_string().parse(), Ok(Token(bits)));
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string(), text.to_lowercase());
            }
        }
    }
}
