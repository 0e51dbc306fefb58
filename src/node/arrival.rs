//! Somebody who comes back with the token of another node's seat, until the seat has moved
//! here.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::inbox::SeatEntry;
use crate::cluster::place::Place;
use crate::ending::Ending;
use crate::name::Name;
use crate::presence::Presence;
use crate::room::{Keeper, Subscription};
use crate::rooms::Rooms;
use crate::seat::Seat;
use crate::ticket::Ticket;

/// Somebody who waits for their seat. Their place among the limits is taken already, and
/// their rooms are kept open.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) seat: Arc<Seat>,
    pub(super) entry: SeatEntry,
    pub(super) rooms: Arc<[Name]>,
    /// The seat that they had.
    pub(super) from: Place,
    /// Those of the rooms that the ticket shows it was in.
    pub(super) had: Arc<[Name]>,
    /// The ticket that they came with.
    pub(super) brought: Ticket,
    pub(super) ending: Ending,
    #[expect(dead_code, reason = "their `Drop` is what they are for")]
    pub(super) keepers: Vec<Keeper>,
    pub(super) seated: oneshot::Sender<Arrived>,
}

impl Arrival {
    /// Seats them in the rooms, which count them already. Their client is given the ticket to
    /// their seat, or keeps the one that it brought and is given theirs `later`, if the seat is
    /// not confirmed yet.
    pub(super) fn sit(
        self,
        rooms: &Rooms,
        heard: Vec<Subscription>,
        later: Option<oneshot::Receiver<Ticket>>,
    ) {
        let own = || self.entry.ticket(self.seat.token(), &self.rooms);
        let ticket = if later.is_none() { own() } else { self.brought };
        self.seat.set_entry(Box::new(self.entry));
        let presence = rooms.arrive(self.seat, &heard, self.ending);
        // If they no longer wait, this drops their presence, so they leave.
        let _has_left = self.seated.send(Arrived { presence, heard, ticket, later });
    }
}

/// Somebody who has come back.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) presence: Presence,
    pub(crate) heard: Vec<Subscription>,
    /// The ticket with which their client comes the next time.
    pub(crate) ticket: Ticket,
    /// The ticket that it is given later, if the seat is not confirmed yet.
    pub(crate) later: Option<oneshot::Receiver<Ticket>>,
}
