//! A seat: one client's place among those that are counted, in one or several rooms.
//!
//! A seat outlasts a lost connection until the loss is noticed. A client that comes back
//! with its token takes it over, and the stream that had it is told.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::limits::{Full, Permit};
use crate::name::Name;
use crate::register::Entry;
use crate::sync::{Mutex, MutexGuard};
use crate::token::Token;

/// A seat, for as long as one stream has it.
#[derive(Debug)]
pub struct Seat {
    token: Token,
    /// Locked while the seat is taken over, until all of it is the new stream's, and while
    /// it is left.
    handover: Mutex<()>,
    /// The standard library's lock suffices, because only the limits are locked under it.
    state: std::sync::Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Its place among the limits, as long as it is counted.
    permit: Option<Permit>,
    /// In how many rooms it is counted.
    rooms: u32,
    /// What a register has written about it, if there is one.
    entry: Option<Box<dyn Entry>>,
    /// Whether another stream has it.
    is_taken: bool,
    /// Wakes the stream that has it, once another one does.
    holder: Option<Waker>,
}

impl Seat {
    /// The seat that `token` names, for a stream that has it now.
    pub(crate) fn new(token: Token, permit: Option<Permit>) -> Arc<Self> {
        let state = State { permit, rooms: 0, entry: None, is_taken: false, holder: None };
        Arc::new(Self { token, handover: Mutex::new(()), state: std::sync::Mutex::new(state) })
    }

    /// The token that names the seat.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Keeps anybody else from taking the seat over or leaving it meanwhile. `None` if it was
    /// already taken over.
    pub(crate) fn hand_over(&self) -> Option<MutexGuard<'_, ()>> {
        let handover = self.keep();
        (!self.is_taken()).then_some(handover)
    }

    /// Keeps anybody from taking the seat over meanwhile.
    pub(crate) fn keep(&self) -> MutexGuard<'_, ()> {
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another stream has it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.state().is_taken
    }

    /// Gives the place among the limits to a new seat with this `token`, whose client is at
    /// `address` and in these `rooms`, if the limits allow it. `None` if this seat is no longer
    /// counted.
    pub(crate) fn bequeath(
        &self,
        token: Token,
        address: Option<IpAddr>,
        rooms: &[Name],
    ) -> Result<Option<Arc<Self>>, Full> {
        let mut state = self.state();
        if state.rooms == 0 {
            return Ok(None);
        }
        if let Some(permit) = &mut state.permit {
            permit.move_to(address, rooms)?;
        }
        Ok(Some(Self::new(token, state.permit.take())))
    }

    /// Whether its place among the limits already counts for this address.
    pub(crate) fn is_at(&self, address: Option<IpAddr>) -> bool {
        self.state().permit.as_ref().is_some_and(|permit| permit.is_at(address))
    }

    /// In how many rooms it is counted.
    pub(crate) fn rooms(&self) -> u32 {
        self.state().rooms
    }

    /// Notes that it is counted in one more room.
    pub(crate) fn enter_room(&self) {
        self.state().rooms += 1;
    }

    /// Notes that it is counted in one room less. With the last room it gives up its place
    /// among the limits, if it still has it.
    pub(crate) fn leave_room(&self) {
        let mut state = self.state();
        state.rooms -= 1;
        let freed = if state.rooms == 0 { state.permit.take() } else { None };
        drop(state);
        drop(freed);
    }

    /// Notes what a register has written about it.
    pub(crate) fn set_entry(&self, entry: Box<dyn Entry>) {
        self.state().entry = Some(entry);
    }

    /// Takes out what a register has written about it.
    pub(crate) fn take_entry(&self) -> Option<Box<dyn Entry>> {
        self.state().entry.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another stream has this seat. If several tasks wait at once, only the last
    /// one is woken.
    pub async fn taken(&self) {
        poll_fn(|cx| self.poll_taken(cx)).await;
    }

    /// Ready when another stream has this seat.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_taken {
            return Poll::Ready(());
        }
        let former = state.holder.replace(cx.waker().clone());
        // Dropped without the lock: it may be the last reference to a stream that has this seat.
        drop(state);
        drop(former);
        Poll::Pending
    }

    /// Notifies nobody when another stream takes the seat: no stream has it any more.
    pub(crate) fn abandon(&self) {
        let holder = self.state().holder.take();
        drop(holder);
    }

    /// Tells the stream that had the seat that another one has it, now that the handover is `done`.
    pub(crate) fn give_away(&self, done: MutexGuard<'_, ()>) {
        let mut state = self.state();
        state.is_taken = true;
        let holder = state.holder.take();
        drop(state);
        drop(done);
        if let Some(holder) = holder {
            holder.wake();
        }
    }
}

/// Seats, found by their tokens.
#[derive(Debug, Default)]
pub(crate) struct Seats(HashSet<ByToken>);

#[derive(Debug)]
struct ByToken(Arc<Seat>);

impl Seats {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn add(&mut self, seat: Arc<Seat>) {
        self.0.insert(ByToken(seat));
    }

    /// The seat that `token` names, if it is here.
    pub(crate) fn get(&self, token: Token) -> Option<&Arc<Seat>> {
        self.0.get(&token).map(|ByToken(seat)| seat)
    }

    /// Removes exactly this seat, and not one that has taken its place.
    pub(crate) fn remove(&mut self, seat: &Arc<Seat>) -> bool {
        let is_here = self.get(seat.token).is_some_and(|here| Arc::ptr_eq(here, seat));
        is_here && self.0.remove(&seat.token)
    }
}

impl Borrow<Token> for ByToken {
    fn borrow(&self) -> &Token {
        &self.0.token
    }
}

impl Hash for ByToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.token.hash(state);
    }
}

impl PartialEq for ByToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.token == other.0.token
    }
}

impl Eq for ByToken {}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat() -> Arc<Seat> {
        Seat::new(Token::random(), None)
    }

    fn give_away(seat: &Seat) {
        seat.give_away(seat.hand_over().expect("nobody has it yet"));
    }

    #[test]
    fn a_token_finds_the_seat_that_has_it_now() {
        let mut seats = Seats::default();
        let first = seat();
        seats.add(first.clone());
        assert!(seats.get(first.token()).is_some_and(|here| Arc::ptr_eq(here, &first)));
        let second = Seat::new(first.token(), None);
        assert!(!seats.remove(&second), "it is the first's still");
        assert!(seats.remove(&first));
        seats.add(second.clone());
        assert!(!seats.remove(&first), "it is the second's now");
        assert_eq!(seats.len(), 1);
        assert!(seats.remove(&second));
        assert!(!seats.remove(&second));
        assert_eq!(seats.len(), 0);
    }

    #[test]
    fn a_seat_is_handed_over_once_and_only_while_it_is_counted() {
        let heir = |seat: &Seat| seat.bequeath(seat.token(), None, &[]).expect("no limit");
        let seat = seat();
        assert!(heir(&seat).is_none(), "it is not counted yet");
        seat.enter_room();
        assert!(heir(&seat).is_some());
        give_away(&seat);
        assert!(seat.hand_over().is_none());
        seat.leave_room();
        assert!(heir(&seat).is_none());
    }

    #[tokio::test]
    async fn the_holder_is_told_before_or_while_it_waits() {
        let early = seat();
        give_away(&early);
        early.taken().await;

        let seat = seat();
        let holder = seat.clone();
        let waits = tokio::spawn(async move { holder.taken().await });
        tokio::task::yield_now().await;
        give_away(&seat);
        waits.await.expect("no panic");
    }

    /// On Linux only: elsewhere a lock may be larger.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_seat_with_its_place_among_the_limits_costs_at_most_184_bytes() {
        let allocation = size_of::<Seat>() + 2 * size_of::<usize>();
        assert!(allocation <= 128, "{allocation}");
        // A set is between 7/16 and 7/8 full, with one more byte for each slot. A seat is in
        // two sets: that of its room, and that of all rooms.
        let slots = 2 * (size_of::<ByToken>() + 1) * 16 / 7;
        let pointer = size_of::<Arc<Seat>>();
        assert!(allocation + slots + pointer <= 184, "{allocation} + {slots} + {pointer}");
    }
}
