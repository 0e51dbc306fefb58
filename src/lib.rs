//! Headcount: how many people are here, right now.
//!
//! A live user counter over [Server-Sent Events][sse]. Each client opens a
//! stream, which counts it; when the stream ends, for whatever cause, the client is no longer
//! counted; and every change is pushed to every open stream as a `user count` event.
//!
//! This crate is the `headcount` binary and the parts that it is made of. To put the counter
//! into your own axum app, all you need is [`router`]. Disable the default feature `server`,
//! and nothing of the binary is compiled: `config`, `embed`, `page`, `admin` and `server` don't
//! exist then. [`Rooms`] tells the rest of the app how many people are where.
//!
//! # The way of a visitor
//!
//! 1. `server` accepts the connection, sets the socket's options and hands
//!    what comes over it to hyper.
//! 2. [`http`] gets the request: first the router, and then, before anything is counted,
//!    admission: is this really a stream, and of which room?
//! 3. [`name`] says what may be a room's name.
//! 4. `stream` (private) is opened then: one open stream, whatever carries it, from its
//!    place among the `limits` (private) to its end.
//! 5. [`rooms`] finds the room, or opens it.
//! 6. [`room`] counts the visitor and subscribes them, in one critical section
//!    that also tells everyone else. From here on the visitor hears a [`Subscription`] for
//!    each room, and holds a [`presence`], whose `Drop` is the only way out. Each visitor has
//!    a [`seat`], named by a [`token`]: a client that comes back with its token (on a
//!    [`ticket`]) while the lost connection is still counted takes its seat over.
//! 7. [`event`] is what is told, encoded once for everybody.
//! 8. The fan-out of the room, on each core, puts it into the mailbox of each stream. Over
//!    HTTP/1, `server` takes the stream back from hyper once the first event is sent, and
//!    what the mailbox gets is written to the connection at once. Otherwise the mailbox is
//!    the body of the answer, which hyper asks for the next frame.
//! 9. `pace` (private) says how soon a large crowd may be told again.
//! 10. [`ending`] remembers why the visitor left, for the log and for the [`tally`],
//!     which `/metrics` shows.
//! 11. `journal` (private) logs who comes and goes or, when they are too many for a line
//!     each, how many.
//!
//! Other modules are not on that way: [`origin`] says whose pages may come, [`RoomPattern`]
//! which rooms there are, `admin` is the operator's listener with the dashboard, `embed` writes
//! the lines for a page of another site, `page` names the room of a page, and `config` has all
//! settings of the binary. A `SeatsFile` keeps who sits where for the next process; where that
//! can't be known, there is [`Doubt`]. As a `Node`, this process counts together with others
//! through Redis: `cluster` (private) says what they tell each other. A `History` keeps how
//! many there were, as the `span` (private) of each room tells.
//!
//! [sse]: https://html.spec.whatwg.org/multipage/server-sent-events.html

#![forbid(unsafe_code)]
// Only the build with the server checks for dead code: much in the modules below is only
// for the server, and dead without it.
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

/// What the signatures above use from other crates.
pub use {ipnet::IpNet, tokio_stream::Stream, tokio_util::sync::CancellationToken};
