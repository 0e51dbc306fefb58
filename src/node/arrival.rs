//! Somebody who comes back with the token of another node's seat, while that moves here.

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

/// One who waits for their seat. Its place among the limits is taken, and its rooms are kept.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) seat: Arc<Seat>,
    pub(super) entry: SeatEntry,
    pub(super) rooms: Arc<[Name]>,
    /// The seat that they had.
    pub(super) from: Place,
    /// Those of the rooms that it is known to have been in.
    pub(super) had: Arc<[Name]>,
    /// What they came with.
    pub(super) brought: Ticket,
    pub(super) ending: Ending,
    #[expect(dead_code, reason = "their `Drop` is what they are for")]
    pub(super) keepers: Vec<Keeper>,
    pub(super) seated: oneshot::Sender<Arrived>,
}

impl Arrival {
    /// Has them sit in the rooms that they are in by now, and hear these. Their client is given
    /// the ticket to their seat, or `later` on, if that is not certain yet.
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
        // One who did not wait for it leaves.
        let _has_left = self.seated.send(Arrived { presence, heard, ticket, later });
    }
}

/// One who has come back.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) presence: Presence,
    pub(crate) heard: Vec<Subscription>,
    /// What their client is given to come with the next time.
    pub(crate) ticket: Ticket,
    /// What it is given later on, if that is not certain yet.
    pub(crate) later: Option<oneshot::Receiver<Ticket>>,
}
