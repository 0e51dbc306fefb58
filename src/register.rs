//! The register, where it is written down who sits where, for the process that comes after
//! this one or for the other nodes.

use std::fmt::Debug;
use std::sync::Arc;

use crate::name::Name;
use crate::token::Token;

/// Where seats are written down.
pub(crate) trait Register: Debug + Send + Sync {
    /// The token for a seat in these rooms, whose client may have had another one `before`.
    fn token(&self, _rooms: &[Name], before: Option<Token>) -> Token {
        before.unwrap_or_else(Token::random)
    }

    /// Writes down a seat in these rooms, which may follow a seat whose token is `before`. The
    /// entry of that one is struck out later.
    fn write(
        self: Arc<Self>,
        token: Token,
        rooms: &[&Name],
        before: Option<Token>,
    ) -> Box<dyn Entry>;
}

/// What is written about one seat. Dropping it strikes it out.
pub(crate) trait Entry: Debug + Send + Sync {
    /// Leaves the entry as it is, for the next process or another node.
    fn stay(self: Box<Self>);
}
