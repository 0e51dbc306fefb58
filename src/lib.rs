//! Headcount: how many people are here, right now.
//!
//! A live user counter over [Server-Sent Events][sse]. Each client opens a
//! stream, which counts it; the stream's end, for whatever cause, uncounts it;
//! and every change is pushed to every open stream as a `user count` event.
//!
//! This crate is the `headcount` binary and the parts that it is made of. To
//! have the counter in an axum app of your own, [`router`] is all it takes: leave the
//! default feature `server` out, and nothing of the binary is compiled (`config`, `embed`,
//! `page`, `admin` and `server` are not there then). [`Rooms`] tells the rest of the app who
//! is where.
//!
//! # The way of a visitor
//!
//! 1. `server` accepts the connection, sets the socket's options and hands
//!    what comes over it to hyper.
//! 2. [`http`] is what the request meets: the router, and before anything is
//!    counted, admission: is this really a stream, and of which room?
//! 3. [`name`] says what may be a room's name.
//! 4. `stream` (private) is what is then opened: one open stream, from its place among
//!    the `limits` (private) to its end, whoever carries it.
//! 5. [`rooms`] finds the room, or opens it.
//! 6. [`room`] counts the visitor and subscribes them, in one critical section
//!    that also tells everyone else. What the visitor hears from here on is a
//!    [`Subscription`] for each room; what it holds is its [`presence`], whose `Drop` is the
//!    only way out. Each has a [`seat`], named by a [`token`]: who comes back
//!    with theirs (on a [`ticket`]) while the lost connection is still counted takes the seat over.
//! 7. [`event`] is what is told, encoded once for everybody.
//! 8. The fan-out of the room, on each core, puts it into the mailbox of each stream. Over
//!    HTTP/1, `server` takes the stream back from hyper once the first event is sent, and
//!    the mailbox is a connection that is written to at once; else it is the body of the
//!    answer, which hyper asks for the next frame.
//! 9. `pace` (private) says how soon a large crowd may be told again.
//! 10. [`ending`] remembers why the visitor left, for the log and the [`tally`],
//!     which is what `/metrics` tells.
//! 11. `journal` (private) logs who comes and goes; those who are too many for a line
//!     each, as a number.
//!
//! What is not on that way: [`origin`] says whose pages may come, [`RoomPattern`] which rooms
//! there are, `admin` is the operator's listener with the dashboard, `embed` what a page of
//! another site has to say, `page` the name of the room that is a page, and `config` is every
//! setting of the binary. A `SeatsFile` keeps who sits where for the next process; where that
//! can't be known, there is [`Doubt`]. As a `Node`, this process counts together with others
//! through Redis: `cluster` (private) says what they tell each other. A `History` keeps how
//! many there were: a `span` (private) of each room says so, whenever it is asked.
//!
//! [sse]: https://html.spec.whatwg.org/multipage/server-sent-events.html

#![forbid(unsafe_code)]
// The build with the server looks for code that nobody uses: much of what the modules
// below have is for the server, and dead without it.
#![cfg_attr(not(feature = "server"), allow(dead_code))]

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
mod cluster;
#[cfg(feature = "server")]
pub mod config;
mod doubt;
#[cfg(feature = "server")]
pub mod embed;
pub mod ending;
pub mod event;
#[cfg(feature = "server")]
mod exchange;
#[cfg(feature = "server")]
mod history;
pub mod http;
mod journal;
mod limits;
#[cfg(test)]
mod logged;
pub mod name;
#[cfg(feature = "server")]
mod node;
pub mod origin;
mod pace;
#[cfg(feature = "server")]
pub mod page;
mod pattern;
pub mod presence;
mod register;
mod regular_file;
pub mod room;
pub mod rooms;
pub mod seat;
#[cfg(feature = "server")]
mod seats_file;
#[cfg(feature = "server")]
pub mod server;
mod span;
mod stream;
mod sync;
pub mod tally;
pub mod ticket;
pub mod token;
mod watch;

pub use doubt::Doubt;
pub use ending::{Ending, Reason};
pub use event::{Change, Event};
#[cfg(feature = "server")]
pub use history::{History, HistoryError, HistoryTally, NoPast, Peak, Point, Step};
pub use http::{Options, Script, router};
#[cfg(feature = "server")]
pub use http::{Overview, Routes};
pub use limits::Full;
pub use name::{BadName, Name};
#[cfg(feature = "server")]
pub use node::{BadRedis, Node, Redis};
pub use origin::{AllowedOrigin, BadOrigin, Origin};
pub use pattern::{BadPattern, RoomPattern};
pub use presence::{Observer, Presence};
pub use room::Subscription;
pub use rooms::{NoSeat, Rooms, TooManyRooms};
pub use seat::Seat;
#[cfg(feature = "server")]
pub use seats_file::{SeatsError, SeatsFile};
pub use ticket::Ticket;
pub use token::Token;

/// What the signatures above have of other crates.
pub use {ipnet::IpNet, tokio_stream::Stream, tokio_util::sync::CancellationToken};
