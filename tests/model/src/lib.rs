//! The product's own `room.rs`, `rooms.rs`, `exchange.rs`, `seat.rs` and `presence.rs`,
//! compiled with locks that shuttle can see (in place of the standard library's, and of the one inside tokio's
//! channel), without a log, and with a pace that decides by chance, so that shuttle can try many
//! orders in which threads meet in them. The checks are in `tests/checks.rs`.

// What only the rest of the product uses.
#![allow(dead_code)]

use std::collections::HashMap;

mod broadcast;
#[path = "../../../src/doubt.rs"]
pub mod doubt;
#[path = "../../../src/ending.rs"]
pub mod ending;
#[path = "../../../src/event.rs"]
pub mod event;
#[path = "../../../src/exchange.rs"]
mod exchange;
pub mod journal;
#[path = "../../../src/limits.rs"]
pub mod limits;
#[path = "../../../src/name.rs"]
pub mod name;
pub mod pace;
#[path = "../../../src/presence.rs"]
pub mod presence;
#[path = "../../../src/register.rs"]
pub mod register;
#[path = "../../../src/room.rs"]
pub mod room;
#[path = "../../../src/rooms.rs"]
pub mod rooms;
#[path = "../../../src/seat.rs"]
pub mod seat;
#[path = "../../../src/span.rs"]
mod span;
#[path = "../../../src/tally.rs"]
pub mod tally;
#[path = "../../../src/token.rs"]
pub mod token;

mod sync {
    pub(crate) use crate::broadcast;
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
}

/// Has so many people of the default room be on other nodes from now on, those among them
/// whose tokens these are.
pub fn go(rooms: &rooms::Rooms, elsewhere: usize, going: &[token::Token]) {
    let lobby = name::Name::default();
    let going = going.iter().map(|token| (*token, [lobby.clone()].into())).collect();
    let elsewhere = [(lobby, elsewhere)].into();
    rooms.carry_out(&exchange::Step { elsewhere, coming: Vec::new(), going });
}

/// The fewest and the most.
pub type Range = (usize, usize);

/// How many people there were since this was last asked: in all rooms, and in each.
pub fn ask(rooms: &rooms::Rooms) -> (Range, HashMap<name::Name, Range>) {
    let rooms::Stretches { total, rooms } = rooms.take_stretches().expect("it is measured");
    let range = |stretch: span::Stretch| (stretch.least, stretch.most);
    let rooms = rooms.into_iter().map(|(name, stretch)| (name, range(stretch)));
    (range(total), rooms.collect())
}
