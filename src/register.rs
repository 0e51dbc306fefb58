//! What a room's people don't see: that it is written down who sits where, for the process
//! that comes after this one, or for the other nodes.

use std::fmt::Debug;
use std::sync::Arc;

use crate::name::Name;
use crate::token::Token;

/// Where seats are written down.
pub(crate) trait Register: Debug + Send + Sync {
    /// The token of a seat in these rooms, whose client had another `before`.
    fn token(&self, _rooms: &[Name], before: Option<Token>) -> Token {
        before.unwrap_or_else(Token::random)
    }

    /// Writes down a seat in these rooms, which follows the one of another token if it has one
    /// `before`. What is written of that is struck out later.
    fn write(
        self: Arc<Self>,
        token: Token,
        rooms: &[&Name],
        before: Option<Token>,
    ) -> Box<dyn Entry>;
}

/// What is written of one seat. Dropping it strikes it out.
pub(crate) trait Entry: Debug + Send + Sync {
    /// Leaves it as it is, for whoever comes next.
    fn stay(self: Box<Self>);
}
