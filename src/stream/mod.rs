//! One open stream, whoever carries it: from the moment that it is asked for to its end.
//!
//! [`Streams`] opens it: finds its place among the limits and its seat in the room. Its
//! [`Guest`](guest::Guest) has both, and there is one way to lose them. The [`fanout`] of
//! its room fills its [`mailbox`] on its core, sees to its heartbeat and [`watch`]es its
//! client, and ends it when it is too old or the server stops. Who carries the
//! [`Stream`] only empties the mailbox: by writing to a [`Sink`] or by being asked for
//! the next [`Frame`].

mod fanout;
mod frame;
mod guest;
mod heartbeat;
mod held;
mod line;
mod mailbox;
mod sink;
mod watch;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::random_range;
use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

use crate::ending::Ending;
use crate::event;
use crate::limits::{Full, Limits};
use crate::name::Name;
use crate::room::Subscription;
use crate::rooms::Rooms;
use crate::token::Token;
use fanout::Fanouts;
pub(crate) use frame::Frame;
use guest::{Guest, Who};
#[cfg(test)]
pub(crate) use guest::{HOLD as AGED_HOLD, RETRY_MS, SHORT_RETRY_MS};
pub(crate) use heartbeat::Heartbeat;
#[cfg(test)]
pub(crate) use held::HOLD;
use held::Held;
use line::Line;
pub(crate) use line::Stream;
#[cfg(feature = "server")]
pub(crate) use sink::Sink;
pub(crate) use watch::Patience;
#[cfg(feature = "server")]
pub(crate) use watch::{Link, RETRY};

/// What holds for every stream, and for the connection that carries it.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) keep_alive: Duration,
    pub(crate) patience: Patience,
    pub(crate) max_age: Option<Duration>,
    /// Cancelled when the server stops.
    pub(crate) drain: CancellationToken,
    /// The longest time over which the stop spreads the ends of many streams.
    pub(crate) drain_spread: Duration,
}

impl Terms {
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(self.keep_alive)
    }
}

/// All open streams of a router.
pub(crate) struct Streams {
    rooms: Rooms,
    limits: Arc<Limits>,
    held: Arc<Held>,
    terms: Arc<Terms>,
    /// Those of each runtime, for a task is woken where it runs.
    cores: Mutex<HashMap<runtime::Id, Arc<Fanouts>>>,
}

/// Who asks for a stream, and which.
pub(crate) struct Wish<'a> {
    pub(crate) room: &'a Name,
    /// Where limits apply to it.
    pub(crate) address: Option<IpAddr>,
    /// Where others note why its connection ends.
    pub(crate) ending: Ending,
    pub(crate) kind: Kind,
    /// Whether it wants to be told the keep-alive.
    pub(crate) wants_keep_alive: bool,
}

/// Whether somebody is to be counted.
pub(crate) enum Kind {
    Observer,
    Visitor {
        /// The seat that they had before.
        token: Option<Token>,
        /// Whether their seat is to wait when they leave.
        holds: bool,
    },
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoStream {
    Full(Full),
    TooManyRooms,
    Draining,
}

impl Streams {
    pub(crate) fn new(rooms: Rooms, limits: Arc<Limits>, terms: Terms) -> Self {
        let held = Held::new(terms.drain.clone());
        let (terms, cores) = (Arc::new(terms), Mutex::default());
        Self { rooms, limits, held, terms, cores }
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How many places among the limits are taken.
    pub(crate) fn places(&self) -> usize {
        self.limits.places()
    }

    /// Opens the stream that somebody wishes. Its first frame waits in it.
    pub(crate) fn open(&self, wish: Wish<'_>) -> Result<Stream, NoStream> {
        if self.terms.drain.is_cancelled() {
            return Err(NoStream::Draining);
        }
        let (who, subscription) = self.find_place(&wish)?;
        let tally = self.rooms.tally();
        let guest = Guest::new(who, tally);
        let told = subscription.told();
        let token = guest.seat().map(|seat| seat.token());
        let mut first = told.first(guest::retry(), token);
        if wish.wants_keep_alive {
            first = [first, event::keep_alive(self.terms.keep_alive)].concat().into();
        }
        tally.deliveries.count();
        let line = Line::new(guest, Frame::new(&first), told.change(), &self.terms.drain);
        // Jittered, or those who came together would go together.
        let age = self.terms.max_age.map(|age| age.mul_f64(random_range(0.8..=1.0)));
        let membership = self.fanouts().join(&line, subscription, age);
        Ok(Stream::new(line, membership))
    }

    /// Joins the room, or takes a seat over; or only listens.
    fn find_place(&self, wish: &Wish<'_>) -> Result<(Who, Subscription), NoStream> {
        let Wish { room, address, ending, .. } = wish;
        let (room, address) = (*room, *address);
        let (token, held) = match wish.kind {
            Kind::Observer => {
                let permit = self.limits.admit(address, room)?;
                let (observer, subscription) = self.rooms.observe(room)?;
                return Ok((Who::Observer(observer, permit), subscription));
            }
            Kind::Visitor { token, holds } => (token, holds.then(|| self.held.clone())),
        };
        let mut joined = match token {
            Some(token) => self.rooms.take_over(room, token, address, ending.clone())?,
            None => None,
        };
        if let (None, Some(held)) = (&joined, &held) {
            let succeed = |left: &_| self.rooms.succeed(room, left, address, ending.clone());
            joined = held.give(room, |left| left.is_at(address), succeed)?;
        }
        let (presence, subscription) = match joined {
            Some(returned) => returned,
            None => {
                let permit = self.limits.admit(address, room)?;
                let newcomer = self.rooms.join(room, ending.clone())?;
                newcomer.0.seat().hold(permit);
                newcomer
            }
        };
        Ok((Who::Counted(presence, held), subscription))
    }

    /// The fan-outs of the runtime that asks.
    fn fanouts(&self) -> Arc<Fanouts> {
        let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        let here = cores.entry(Handle::current().id());
        here.or_insert_with(|| Fanouts::new(self.terms.clone())).clone()
    }
}

impl From<Full> for NoStream {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<crate::rooms::TooManyRooms> for NoStream {
    fn from(_: crate::rooms::TooManyRooms) -> Self {
        Self::TooManyRooms
    }
}
