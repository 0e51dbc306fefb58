//! This process as one node of several that share their numbers through Redis.
//!
//! [`cluster`](crate::cluster), which does no IO, decides what the nodes say to each other.
//! The [`driver`] carries that to Redis over a [`link`], and into the rooms. The rest of the
//! server posts to the [`inbox`] who has come and who has left. Clients that come back from
//! another node wait as [`arrival`]s; the [`secret`] that the nodes share shows that their
//! tokens are genuine.

mod arrival;
mod certainty;
mod driver;
mod inbox;
mod link;
mod redis;
mod secret;
mod tally;

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

pub use self::redis::{BadRedis, Redis};
use crate::cluster::place::NodeId;
use crate::ending::Ending;
use crate::limits::Permit;
use crate::name::Name;
use crate::rooms::{Rooms, TooManyRooms};
use crate::seat::Seat;
use crate::ticket::Ticket;
use crate::token::Token;
use arrival::Arrival;
pub(crate) use arrival::Arrived;
use driver::Driver;
use inbox::Inbox;
use secret::Vouched;
use tally::NodeTally;

/// How long a node waits at its start for the others' secret.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// This process as one node of several. The handle is cheap to clone. When the last one is
/// dropped, the node stops, and what it has written ends with its lease.
#[derive(Clone, Debug)]
pub struct Node(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    name: String,
    inbox: Arc<Inbox>,
    tally: Arc<NodeTally>,
    _stop: DropGuard,
}

impl Node {
    /// Begins to share the numbers of these rooms with all nodes of this Redis, even if it can't
    /// be reached yet. The rooms must still be empty. The `name` is for people.
    ///
    /// If there is no other node, and no share that this one left when it stopped, clients that
    /// nobody knows of may be on their way back. The numbers are then partial until the cluster
    /// has had time to `settle`.
    ///
    /// # Errors
    /// If the system can't start a thread.
    pub fn start(redis: Redis, name: String, settle: Duration, rooms: &Rooms) -> io::Result<Self> {
        let (inbox, tally) = (Inbox::new(NodeId(rand::random())), Arc::<NodeTally>::default());
        rooms.write_down(inbox.clone());
        let stop = CancellationToken::new();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stopped, rooms) = (stop.clone(), rooms.clone());
        let (to_inbox, to_tally) = (inbox.clone(), tally.clone());
        thread::Builder::new().name("cluster".into()).spawn(move || {
            let _entered = runtime.enter();
            let driver = Driver::new(Arc::new(redis), to_inbox, to_tally, settle, rooms);
            runtime.block_on(driver.run(stopped));
        })?;
        info!(node = name, "this node counts together with all others of its Redis");
        Ok(Self(Arc::new(Handle { name, inbox, tally, _stop: stop.drop_guard() })))
    }

    /// Waits until the other nodes know the tokens that this one gives out, but not for long,
    /// because it must serve without Redis too. Clients that come before that are new to other
    /// nodes.
    pub async fn meet(&self) {
        let _in_time = timeout(INTRODUCTION, self.0.inbox.is_known()).await;
    }

    /// The node's name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Its id, which is new at each start.
    pub(crate) fn id(&self) -> u32 {
        self.0.inbox.id.0
    }

    pub(crate) fn tally(&self) -> &NodeTally {
        &self.0.tally
    }

    /// Whether a node gave this token out, and its seat can be claimed.
    pub(crate) fn knows(&self, token: Token) -> bool {
        self.0.inbox.knows(token)
    }

    /// The ticket with which the client of a seat in these rooms comes back, here or to another
    /// node.
    pub(crate) fn ticket(&self, token: Token, rooms: &[Name]) -> Ticket {
        self.0.inbox.ticket(token, rooms)
    }

    /// Moves the seat of a client that brings another node's ticket here. `None` if that can't
    /// be done, because the ticket isn't genuine, this process stops, or the client has come
    /// once more meanwhile.
    ///
    /// # Errors
    /// [`TooManyRooms`] if a room can't be opened.
    pub(crate) async fn claim(
        &self,
        rooms: &[Name],
        ticket: &Ticket,
        permit: Permit,
        ending: Ending,
        all: &Rooms,
    ) -> Result<Option<Arrived>, TooManyRooms> {
        let inbox = &self.0.inbox;
        let Some(Vouched { place: from, had, .. }) = inbox.read(ticket, rooms) else {
            return Ok(None);
        };
        let keepers = all.keep(rooms)?.into_iter().map(|(keeper, _)| keeper).collect();
        let (seated, waits) = oneshot::channel();
        let (own, rooms) = (inbox.new_seat(rooms), Arc::<[_]>::from(rooms));
        let seat = Seat::new(own, Some(permit));
        inbox.arrive(own, rooms.clone(), |entry| Arrival {
            seat,
            entry,
            rooms,
            from,
            had,
            brought: ticket.clone(),
            ending,
            keepers,
            seated,
        });
        Ok(waits.await.ok())
    }
}
