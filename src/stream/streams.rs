//! All open streams of a router, and how a stream is opened.

use std::collections::HashMap;
use std::net::IpAddr;
#[cfg(feature = "server")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::random_range;
use tokio::runtime::{self, Handle};
#[cfg(feature = "server")]
use tokio::sync::oneshot;
#[cfg(feature = "server")]
use tracing::info;

use super::fanout::Fanouts;
use super::frame::Frame;
use super::guest::{self, Guest, Who};
use super::held::Held;
use super::line::Line;
#[cfg(feature = "server")]
use super::line::TICKET;
use super::{Stream, Terms};
use crate::ending::Ending;
use crate::event;
use crate::limits::Limits;
use crate::name::Name;
#[cfg(feature = "server")]
use crate::node::Node;
use crate::room::Subscription;
use crate::rooms::{NoSeat, Rooms};
#[cfg(feature = "server")]
use crate::seats_file::{LeftSeat, SeatsFile};
use crate::ticket::Ticket;
use crate::token::Token;

/// All open streams of a router.
pub(crate) struct Streams {
    rooms: Rooms,
    limits: Arc<Limits>,
    pub(super) held: Arc<Held>,
    terms: Arc<Terms>,
    /// This process among the others that count the same rooms.
    #[cfg(feature = "server")]
    node: OnceLock<Node>,
    /// The fan-outs of each runtime: each runtime has its own, because a task is woken where
    /// it runs.
    cores: Mutex<HashMap<runtime::Id, Arc<Fanouts>>>,
}

/// A request for a stream.
pub(crate) struct Wish<'a> {
    /// The rooms, each named once.
    pub(crate) rooms: &'a [Name],
    /// The address whose limits apply to it.
    pub(crate) address: Option<IpAddr>,
    /// Where the cause of the connection's end is noted.
    pub(crate) ending: Ending,
    pub(crate) kind: Kind,
    pub(crate) wants: Extras,
}

/// What a stream is told besides numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// The keep-alive, once. A page can't see the headers of its stream, and wants to know
    /// how long a silence is normal.
    pub(crate) keep_alive: bool,
    /// Whether the numbers are partial, when that begins and when it ends.
    pub(crate) partial: bool,
}

/// Whether the client is counted.
pub(crate) enum Kind {
    Observer,
    Visitor {
        /// The ticket that they bring back, if they have one.
        ticket: Option<Ticket>,
        /// Whether their seat should be held when they leave.
        holds: bool,
    },
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoStream {
    NoSeat(NoSeat),
    Draining,
}

impl Streams {
    pub(crate) fn new(rooms: Rooms, limits: Arc<Limits>, terms: Terms) -> Self {
        let held = Held::new(terms.drain.clone());
        let (terms, cores) = (Arc::new(terms), Mutex::default());
        Self {
            rooms,
            limits,
            held,
            terms,
            #[cfg(feature = "server")]
            node: OnceLock::new(),
            cores,
        }
    }

    /// Takes over clients of other nodes that come here.
    #[cfg(feature = "server")]
    pub(crate) fn take_from(&self, node: Node) {
        let _there_is_one = self.node.set(node);
    }

    /// This process as one node of several, if it is one.
    #[cfg(feature = "server")]
    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.get()
    }

    /// From now on, writes down in this file who sits where. Counts the people whom the last
    /// process has left in it until they are back, or their time to come back is over.
    #[cfg(feature = "server")]
    pub(crate) fn go_on_from(&self, file: &SeatsFile) {
        let left = file.take_left();
        let (all, mut seats) = (left.len(), Vec::with_capacity(left.len()));
        for LeftSeat { token, rooms, entry } in left {
            // The client's address is not known until it is back.
            let Ok(permit) = self.limits.admit(None, &rooms) else { continue };
            seats.extend(self.rooms.restore(&rooms, token, permit, entry));
        }
        self.rooms.write_down(file.register());
        if all > 0 {
            info!(seats = seats.len(), of = all, "the seats of the last process are held");
        }
        // Clients whose seat could not be restored may still come back, and are missing until then.
        let doubt = (seats.len() < all).then(|| self.rooms.doubt());
        self.held.clone().keep_restored(seats, doubt);
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

    /// How many places there are.
    #[cfg(feature = "server")]
    pub(crate) fn max_streams(&self) -> usize {
        self.limits.max_streams()
    }

    /// Opens the stream that was asked for. Its first frame waits in it.
    ///
    /// This waits only for the seat of somebody who comes from another node, and not for long.
    pub(crate) async fn open(&self, wish: Wish<'_>) -> Result<Stream, NoStream> {
        if self.terms.drain.is_cancelled() {
            return Err(NoStream::Draining);
        }
        #[cfg(feature = "server")]
        if let Some(stream) = self.claim(&wish).await? {
            return Ok(stream);
        }
        let (who, heard) = self.find_place(&wish)?;
        let ticket = who.seat().map(|seat| self.ticket(seat.token(), wish.rooms));
        Ok(self.begin(&wish, who, ticket, heard))
    }

    /// The ticket that the client of a seat in these rooms is given.
    fn ticket(&self, token: Token, rooms: &[Name]) -> Ticket {
        #[cfg(feature = "server")]
        if let Some(node) = self.node.get() {
            return node.ticket(token, rooms);
        }
        let _one_node_knows_them = rooms;
        token.into()
    }

    /// Opens the stream of somebody who has their place, and who should bring this ticket the
    /// next time.
    fn begin(
        &self,
        wish: &Wish<'_>,
        who: Who,
        ticket: Option<Ticket>,
        heard: Vec<Subscription>,
    ) -> Stream {
        let guest = Guest::new(who, &self.held, self.rooms.tally());
        let partial = wish.wants.partial.then(|| self.rooms.is_partial());
        let first = self.first_frame(ticket.as_ref(), &heard, wish.wants, partial == Some(true));
        let line = Line::new(guest, first, heard.iter().map(Subscription::room_id));
        // Jittered, or clients that came together would be sent away together.
        let age = self.terms.max_age.map(|age| age.mul_f64(random_range(0.8..=1.0)));
        let membership = self.fanouts().join(&line, heard, age, partial);
        Stream::new(line, membership)
    }

    /// Opens the stream of somebody whose seat is or was another node's, and moves the seat here.
    #[cfg(feature = "server")]
    async fn claim(&self, wish: &Wish<'_>) -> Result<Option<Stream>, NoStream> {
        let Kind::Visitor { ticket: Some(ticket), holds } = &wish.kind else { return Ok(None) };
        let Some(node) = self.node.get() else { return Ok(None) };
        if self.rooms.find_seat(ticket.token).is_some() || !node.knows(ticket.token) {
            return Ok(None);
        }
        let permit = self.limits.admit(wish.address, wish.rooms)?;
        let claim = node.claim(wish.rooms, ticket, permit, wish.ending.clone(), &self.rooms);
        let arrived = claim.await?.ok_or(NoStream::Draining)?;
        let who = Who::Counted { presence: arrived.presence, holds: *holds };
        let stream = self.begin(wish, who, Some(arrived.ticket), arrived.heard);
        if let Some(later) = arrived.later {
            tell_later(stream.line(), later, self.keep_alive_for(wish.wants));
        }
        Ok(Some(stream))
    }

    /// What a stream is told first: the number of each room that it hears.
    fn first_frame(
        &self,
        ticket: Option<&Ticket>,
        heard: &[Subscription],
        wants: Extras,
        is_partial: bool,
    ) -> Frame {
        let mut first = event::preamble(guest::retry(), ticket).to_vec();
        if is_partial {
            // Before the numbers, so that nobody takes them for complete.
            first.extend(event::partial(true));
        }
        match heard {
            [heard] => first.extend(heard.told().text()),
            heard => {
                for heard in heard {
                    first.extend(heard.told().text_of(heard.room().name()));
                }
            }
        }
        first.extend(self.keep_alive_for(wants).map(event::keep_alive).unwrap_or_default());
        self.rooms.tally().deliveries.add(heard.len() as u64);
        Frame::new(&first)
    }

    /// The keep-alive, for a client that wants to know it.
    fn keep_alive_for(&self, wants: Extras) -> Option<Duration> {
        wants.keep_alive.then_some(self.terms.keep_alive)
    }

    /// Joins the rooms, takes over a seat, or only listens.
    fn find_place(&self, wish: &Wish<'_>) -> Result<(Who, Vec<Subscription>), NoStream> {
        let Wish { rooms, address, ref ending, .. } = *wish;
        let (token, holds) = match &wish.kind {
            Kind::Observer => {
                let permit = self.limits.admit(address, rooms)?;
                let (observer, heard) = self.rooms.observe_all(rooms)?;
                return Ok((Who::Observer(observer, permit), heard));
            }
            Kind::Visitor { ticket, holds } => (ticket.as_ref().map(|it| it.token), *holds),
        };
        let mut joined = match token {
            Some(token) => self.rooms.take_over(rooms, token, address, ending)?,
            None => None,
        };
        if let (Some(_), Some(token)) = (&joined, token) {
            self.held.welcome_back(token);
        }
        if joined.is_none() && holds {
            let succeed = |left: &_| self.rooms.succeed(rooms, left, address, ending);
            joined = self.held.give(rooms, |left| left.is_at(address), succeed)?;
        }
        let (presence, heard) = match joined {
            Some(returned) => returned,
            None => {
                let permit = self.limits.admit(address, rooms)?;
                self.rooms.admit(rooms, Some(permit), ending.clone())?
            }
        };
        Ok((Who::Counted { presence, holds }, heard))
    }

    /// The fan-outs of the current runtime.
    pub(super) fn fanouts(&self) -> Arc<Fanouts> {
        let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        let here = cores.entry(Handle::current().id());
        here.or_insert_with(|| Fanouts::new(self.terms.clone(), self.rooms.doubts().watch()))
            .clone()
    }
}

/// Sends a client its ticket once its seat is confirmed.
#[cfg(feature = "server")]
fn tell_later(line: &Arc<Line>, ticket: oneshot::Receiver<Ticket>, keep_alive: Option<Duration>) {
    let line = Arc::downgrade(line);
    tokio::spawn(async move {
        if let (Ok(ticket), Some(line)) = (ticket.await, line.upgrade()) {
            line.tell(TICKET, &Frame::new(&event::ticket(&ticket, keep_alive)));
        }
    });
}

impl<T: Into<NoSeat>> From<T> for NoStream {
    fn from(why: T) -> Self {
        Self::NoSeat(why.into())
    }
}
