//! A ticket: what a client is given to come back with.

use std::fmt;
use std::str::FromStr;

use crate::token::{BadToken, Token};

/// How many hexadecimal digits a token has, and how many a room's code.
const TOKEN: usize = 32;
const CODE: usize = 8;

/// The most codes that a ticket has: as many as a stream may have rooms.
const MOST_CODES: usize = 32;

/// The token of a seat and, if it has several rooms and other nodes must recognize them, the
/// codes of its rooms: hexadecimal digits, 32 and then 8 for each room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) token: Token,
    /// These tell the node that a client comes back to which of the rooms that it asks for are
    /// the seat's. (The token alone says only whether they are exactly the seat's rooms.)
    pub(crate) codes: Vec<u32>,
}

impl From<Token> for Ticket {
    fn from(token: Token) -> Self {
        Self { token, codes: Vec::new() }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)?;
        self.codes.iter().try_for_each(|code| write!(f, "{code:08x}"))
    }
}

impl FromStr for Ticket {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (token, codes) = text.split_at_checked(TOKEN).ok_or(BadToken)?;
        let is_whole = codes.len() % CODE == 0 && codes.len() / CODE <= MOST_CODES;
        if !is_whole || !codes.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadToken);
        }
        let code = |nth: usize| u32::from_str_radix(&codes[nth * CODE..][..CODE], 16);
        let codes = (0..codes.len() / CODE).map(code).collect::<Result<_, _>>();
        Ok(Self { token: token.parse()?, codes: codes.map_err(|_| BadToken)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ticket_is_a_token_and_then_8_digits_for_each_room() {
        let token = "5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6";
        assert_eq!(token.parse(), Ok(Ticket::from(token.parse::<Token>().expect("a token"))));
        let text = format!("{token}0000000a0000000b");
        let ticket: Ticket = text.parse().expect("a ticket");
        assert_eq!((ticket.codes.as_slice(), ticket.to_string()), (&[10, 11][..], text));
    }

    #[test]
    fn junk_is_no_ticket() {
        let token = "5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6";
        let many = token.to_owned() + &"0".repeat(CODE * (MOST_CODES + 1));
        for junk in ["", "5c", &format!("{token}0"), &format!("{token}+000000a"), &many] {
            assert_eq!(junk.parse::<Ticket>(), Err(BadToken), "{junk}");
        }
    }

    proptest! {
        #[test]
        fn every_ticket_reads_back_and_no_other_text_is_one(
            codes in prop::collection::vec(any::<u32>(), 0..=MOST_CODES),
            text in ".{0,60}",
        ) {
            let ticket = Ticket { token: Token::random(), codes };
            prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
            if let Ok(ticket) = text.parse::<Ticket>() {
                prop_assert_eq!(ticket.to_string(), text.to_lowercase());
            }
        }
    }
}
