//! The fan-out: one task for a room, on each core, which tells all of the room's
//! streams there.
//!
//! A room publishes an event to its channel once; this task takes it from there
//! and writes it to one connection after the other. A task for each stream in its
//! place, woken and scheduled for each event, makes a delivery dearer by a fifth.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::subscriber::{Subscriber, Told};
use crate::http::Life;
use crate::room::Subscription;

/// So many are told before other tasks of the core have a turn.
const BATCH: usize = 64;

/// The fan-outs of one core.
#[derive(Default)]
pub(super) struct Fanouts {
    /// By the room's address, which is the room's as long as it is subscribed to.
    by_room: Mutex<HashMap<usize, Fanout>>,
    cut: CancellationToken,
}

struct Fanout {
    members: Arc<Members>,
    _teller: AbortOnDropHandle<()>,
}

/// What calls for a fan-out besides events.
struct Calls {
    keep_alive: Duration,
    drain: CancellationToken,
    cut: CancellationToken,
}

/// The streams of one room on one core.
#[derive(Default)]
struct Members(Mutex<Slab<Arc<dyn Subscriber>>>);

/// A stream's place in a fan-out. Dropping it gives the place up, and the last one
/// to go ends the fan-out.
pub(super) struct Membership {
    fanouts: Arc<Fanouts>,
    room: usize,
    place: usize,
}

impl Fanouts {
    /// The fan-outs whose streams end at once when `cut` is cancelled.
    pub(super) fn new(cut: CancellationToken) -> Arc<Self> {
        Arc::new(Self { by_room: Mutex::default(), cut })
    }

    /// Has a stream told what it would hear by the subscription of its own, which
    /// ends here, and woken when the server stops.
    pub(super) fn join(
        self: &Arc<Self>,
        subscriber: &Arc<impl Subscriber + 'static>,
        mut subscription: Subscription,
        life: &Life,
    ) -> Membership {
        let room = Arc::as_ptr(subscription.room()).addr();
        let mut by_room = self.by_room();
        let Some(fanout) = by_room.get(&room) else {
            let members = Arc::new(Members::default());
            let place = members.lock().insert(subscriber.clone());
            let calls = Calls {
                keep_alive: life.keep_alive(),
                drain: life.drain().clone(),
                cut: self.cut.clone(),
            };
            // Unconstrained: a batch is as much as one turn may do.
            let teller = tokio::spawn(unconstrained(members.clone().tell(subscription, calls)));
            by_room.insert(room, Fanout { members, _teller: AbortOnDropHandle::new(teller) });
            return Membership { fanouts: self.clone(), room, place };
        };
        let place = fanout.members.lock().insert(subscriber.clone());
        drop(by_room);
        // The fan-out may have told already what waits here; what it has yet to
        // tell and was told here is no news then.
        let mut told = Told::default();
        while let Some(event) = subscription.try_next() {
            told += subscriber.tell(&event);
        }
        told.count(subscription.tally());
        Membership { fanouts: self.clone(), room, place }
    }

    fn by_room(&self) -> MutexGuard<'_, HashMap<usize, Fanout>> {
        self.by_room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Whether the stream is to end at once.
    pub(super) fn is_cut(&self) -> bool {
        self.fanouts.cut.is_cancelled()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut by_room = self.fanouts.by_room();
        let Some(fanout) = by_room.get(&self.room) else { return };
        let mut members = fanout.members.lock();
        let _left = members.try_remove(self.place);
        let empty = members.is_empty();
        drop(members);
        if empty {
            by_room.remove(&self.room);
        }
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Slab<Arc<dyn Subscriber>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with everyone who is here all the while, a batch at a time.
    async fn for_each(&self, mut act: impl FnMut(&dyn Subscriber)) {
        let mut next = 0;
        loop {
            {
                let members = self.lock();
                let batch = next..members.capacity().min(next + BATCH);
                next = batch.end;
                batch.filter_map(|place| members.get(place)).for_each(|one| act(&**one));
                if next == members.capacity() {
                    return;
                }
            }
            yield_now().await;
        }
    }

    /// Tells everyone what the room publishes, and after a silence the number
    /// again.
    async fn tell(self: Arc<Self>, mut subscription: Subscription, calls: Calls) {
        let mut drained = pin!(calls.drain.cancelled());
        let mut cut = pin!(calls.cut.cancelled());
        let (mut is_drained, mut is_cut) = (false, false);
        loop {
            tokio::select! {
                biased;
                () = &mut cut, if !is_cut => {
                    is_cut = true;
                    self.for_each(|one| one.wake()).await;
                }
                () = &mut drained, if !is_drained => {
                    is_drained = true;
                    self.for_each(|one| one.wake()).await;
                }
                event = timeout(calls.keep_alive, subscription.next()) => {
                    let mut told = Told::default();
                    match event {
                        Ok(event) => self.for_each(|one| told += one.tell(&event)).await,
                        Err(_silence) => {
                            let event = subscription.now();
                            self.for_each(|one| told += one.tell_again(&event)).await;
                        }
                    }
                    told.count(subscription.tally());
                }
            }
        }
    }
}
