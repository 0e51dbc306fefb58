//! What a room's people don't see: that it is written down who sits where, for the process
//! that comes after this one.

use std::fmt::Debug;
use std::sync::Arc;

use crate::name::Name;
use crate::token::Token;

/// Where seats are written down.
pub(crate) trait Register: Debug + Send + Sync {
    /// Writes down a seat in these rooms.
    fn write(self: Arc<Self>, token: Token, rooms: &[&Name]) -> Box<dyn Entry>;
}

/// What is written of one seat. Dropping it strikes it out.
pub(crate) trait Entry: Debug + Send + Sync {
    /// Leaves it as it is, for whoever comes next.
    fn stay(self: Box<Self>);
}
