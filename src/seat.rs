//! A seat: one place among those that a room counts.
//!
//! A seat outlasts a lost connection for as long as nobody noticed the loss. Who
//! comes back with its token takes it over, and the stream that had it is told.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

use crate::limits::{Full, Permit};
use crate::token::Token;

/// A place, for the time that one stream has it.
#[derive(Debug)]
pub struct Seat {
    token: Token,
    is_taken: AtomicBool,
    waker: AtomicWaker,
    /// Its place among the limits, which it has for as long as it is counted.
    permit: Mutex<Option<Permit>>,
}

impl Seat {
    /// The place that `token` names, for a stream that has it now.
    pub(crate) fn new(token: Token) -> Arc<Self> {
        Arc::new(Self {
            token,
            is_taken: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            permit: Mutex::default(),
        })
    }

    /// What names the place.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Has the seat take a place among the limits with it. It is to be a new seat, of
    /// which nobody knows the token yet.
    pub(crate) fn hold(&self, permit: Permit) {
        self.set_permit(Some(permit));
    }

    /// Gives the place among the limits to `heir`, whose client is at `address`, if
    /// that may have one more.
    pub(crate) fn bequeath(&self, heir: &Self, address: Option<IpAddr>) -> Result<(), Full> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = &mut *permit {
            permit.move_to(address)?;
        }
        heir.set_permit(permit.take());
        Ok(())
    }

    /// Whether its place among the limits is one of this address already.
    pub(crate) fn is_at(&self, address: Option<IpAddr>) -> bool {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        permit.as_ref().is_some_and(|permit| permit.is_at(address))
    }

    /// Frees the place among the limits, if it has one yet.
    pub(crate) fn free(&self) {
        self.set_permit(None);
    }

    fn set_permit(&self, permit: Option<Permit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    /// Waits until another stream has this place. Of several who wait at once
    /// only the last is woken.
    pub async fn taken(&self) {
        poll_fn(|cx| self.poll_taken(cx)).await;
    }

    /// Ready when another stream has this place.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before it is looked: a take-over in between is not missed.
        self.waker.register(cx.waker());
        if self.is_taken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Tells the stream that had the place.
    pub(crate) fn give_away(&self) {
        self.is_taken.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The seats of one room, found by their tokens.
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

    /// Whether this very seat is here, and not one that has taken its place.
    pub(crate) fn has(&self, seat: &Arc<Seat>) -> bool {
        self.get(seat.token).is_some_and(|here| Arc::ptr_eq(here, seat))
    }

    /// Puts `seat` in the place of the one with its token; `None` if there is none.
    pub(crate) fn replace(&mut self, seat: Arc<Seat>) -> Option<Arc<Seat>> {
        let ByToken(old) = self.0.take(&seat.token)?;
        self.add(seat);
        Some(old)
    }

    /// Takes this very seat away, and not one that has taken its place.
    pub(crate) fn remove(&mut self, seat: &Arc<Seat>) -> bool {
        self.has(seat) && self.0.remove(&seat.token)
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
    use std::mem::size_of;

    #[test]
    fn a_seat_has_one_holder_at_a_time() {
        let mut seats = Seats::default();
        let first = Seat::new(Token::random());
        let second = Seat::new(first.token());
        assert!(seats.replace(second.clone()).is_none(), "there is none to replace");
        assert_eq!(seats.len(), 0);
        seats.add(first.clone());
        let old = seats.replace(second.clone()).expect("the first");
        assert!(Arc::ptr_eq(&old, &first));
        assert_eq!(seats.len(), 1);
        assert!(!seats.remove(&first), "it is the second's now");
        assert!(seats.remove(&second));
        assert!(!seats.remove(&second));
        assert_eq!(seats.len(), 0);
    }

    #[tokio::test]
    async fn the_holder_is_told_before_or_while_it_waits() {
        let seat = Seat::new(Token::random());
        seat.give_away();
        seat.taken().await;

        let seat = Seat::new(Token::random());
        let holder = seat.clone();
        let waits = tokio::spawn(async move { holder.taken().await });
        tokio::task::yield_now().await;
        seat.give_away();
        waits.await.expect("no panic");
    }

    #[test]
    fn a_seat_with_its_place_among_the_limits_costs_at_most_150_bytes() {
        let allocation = size_of::<Seat>() + 2 * size_of::<usize>();
        // A set is between 7/16 and 7/8 full, with a byte of its own for each slot.
        let slots = (size_of::<ByToken>() + 1) * 16 / 7;
        let pointer = size_of::<Arc<Seat>>();
        assert!(allocation + slots + pointer <= 150, "{allocation} + {slots} + {pointer}");
    }
}
