//! What the rest of the server tells the driver: who has come and who has left. Posting waits
//! only for a lock that is never held for long.

use std::collections::HashMap;
use std::mem::take;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::arrival::Arrival;
use super::secret::{Secret, Vouched, place};
use crate::cluster::place::{NodeId, Place, SeatNumber};
use crate::name::Name;
use crate::register::{Entry, Register};
use crate::ticket::Ticket;
use crate::token::Token;

/// What the driver has not read yet, and who sits here.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) id: NodeId,
    next_seat: AtomicU32,
    secret: RwLock<Secret>,
    /// Whether the other nodes have that secret too, or will learn it.
    is_secret_shared: watch::Sender<bool>,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    mail: Vec<Mail>,
    seats: HashMap<SeatNumber, Sitting>,
    /// Whether nobody reads what is posted any more.
    is_closed: bool,
}

#[derive(Debug)]
pub(super) enum Mail {
    /// Somebody has sat down, perhaps in place of their seat `before`.
    Join { seat: SeatNumber, rooms: Arc<[Name]>, before: Option<SeatNumber> },
    /// Somebody whose seat is another node's wants to sit down.
    Arrive(Arrival),
    /// Somebody has left.
    Leave { seat: SeatNumber },
}

/// Who sits here, or is about to.
#[derive(Clone, Debug)]
pub(super) struct Sitting {
    pub(super) token: Token,
    pub(super) rooms: Arc<[Name]>,
    /// How many entries there are: somebody who takes a seat over adds theirs before the
    /// former one is dropped.
    entries: usize,
}

/// What the other nodes know of a seat. Dropping it tells them that it was left.
#[derive(Debug)]
pub(super) struct SeatEntry {
    inbox: Arc<Inbox>,
    seat: SeatNumber,
    stays: bool,
}

impl Inbox {
    pub(super) fn new(id: NodeId) -> Arc<Self> {
        Arc::new(Self {
            id,
            next_seat: AtomicU32::new(1),
            secret: RwLock::new(Secret::random()),
            is_secret_shared: watch::Sender::new(false),
            state: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// The token of a new seat.
    pub(super) fn new_seat(&self, rooms: &[Name]) -> Token {
        let seat = self.next_seat.fetch_add(1, Ordering::Relaxed);
        self.secret().token(Place { node: self.id, seat }, rooms)
    }

    /// Whether a node gave this token out, and its seat can be claimed.
    pub(super) fn knows(&self, token: Token) -> bool {
        self.read(&token.into(), &[]).is_some() && !self.state().is_closed
    }

    /// The ticket to a seat in these rooms.
    pub(super) fn ticket(&self, token: Token, rooms: &[Name]) -> Ticket {
        self.secret().ticket(token, rooms)
    }

    /// What a ticket says, if a node gave it out.
    pub(super) fn read(&self, ticket: &Ticket, rooms: &[Name]) -> Option<Vouched> {
        self.secret().read(ticket, rooms)
    }

    /// The secret, as bytes.
    pub(super) fn secret_bytes(&self) -> Vec<u8> {
        self.secret().bytes().to_vec()
    }

    /// Uses this secret from now on.
    pub(super) fn follow_secret(&self, bytes: &[u8]) {
        self.secret.write().unwrap_or_else(PoisonError::into_inner).follow(bytes);
        self.is_secret_shared.send_replace(true);
    }

    /// Whether no other node knows its secret yet.
    pub(super) fn is_new(&self) -> bool {
        !*self.is_secret_shared.borrow()
    }

    /// Waits until the other nodes have its secret too.
    pub(super) async fn is_known(&self) {
        let mut is_shared = self.is_secret_shared.subscribe();
        let _inbox_is_there = is_shared.wait_for(|is_shared| *is_shared).await;
    }

    fn secret(&self) -> impl std::ops::Deref<Target = Secret> + '_ {
        self.secret.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts that somebody whose seat is another node's wants to sit down.
    pub(super) fn arrive(
        self: &Arc<Self>,
        token: Token,
        rooms: Arc<[Name]>,
        arrival: impl FnOnce(SeatEntry) -> Arrival,
    ) {
        let entry = self.enter(self.state(), token, rooms);
        self.post(self.state(), Mail::Arrive(arrival(entry)));
    }

    /// Who sits there.
    pub(super) fn sitting(&self, seat: SeatNumber) -> Option<Sitting> {
        self.state().seats.get(&seat).cloned()
    }

    /// Takes what was posted, in order.
    pub(super) fn take(&self) -> Vec<Mail> {
        take(&mut self.state().mail)
    }

    /// Accepts no more mail, because nobody will read it. People who wait for their seats stop
    /// waiting.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let unread = take(&mut state.mail);
        // Dropped without the lock: it makes people who waited leave, which takes the lock.
        drop(state);
        drop(unread);
    }

    /// Posts this, unless nobody reads it any more.
    fn post(&self, mut state: MutexGuard<'_, State>, mail: Mail) {
        if state.is_closed {
            drop(state);
            drop(mail);
        } else {
            state.mail.push(mail);
            drop(state);
            self.news.notify_one();
        }
    }

    /// Waits until something was posted.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Notes who sits there.
    fn enter(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        token: Token,
        rooms: Arc<[Name]>,
    ) -> SeatEntry {
        let seat = place(token).seat;
        let sitting = state.seats.entry(seat);
        sitting.or_insert_with(|| Sitting { token, rooms, entries: 0 }).entries += 1;
        SeatEntry { inbox: self.clone(), seat, stays: false }
    }

    fn leave(&self, seat: SeatNumber) {
        let mut state = self.state();
        let Some(sitting) = state.seats.get_mut(&seat) else { return };
        sitting.entries -= 1;
        if sitting.entries > 0 {
            return;
        }
        state.seats.remove(&seat);
        self.post(state, Mail::Leave { seat });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register for Inbox {
    /// The same token as before for the same rooms. A seat in other rooms is another one, because
    /// its token vouches for its rooms.
    fn token(&self, rooms: &[Name], before: Option<Token>) -> Token {
        let is_the_same = |before: &Token| {
            let vouched = self.read(&(*before).into(), rooms);
            vouched.is_some_and(|it| it.is_in_rooms && it.place.node == self.id)
        };
        before.filter(is_the_same).unwrap_or_else(|| self.new_seat(rooms))
    }

    fn write(
        self: Arc<Self>,
        token: Token,
        rooms: &[&Name],
        before: Option<Token>,
    ) -> Box<dyn Entry> {
        let rooms: Arc<[_]> = rooms.iter().copied().cloned().collect();
        let (seat, mut state) = (place(token).seat, self.state());
        if state.seats.contains_key(&seat) {
            return Box::new(self.enter(state, token, rooms));
        }
        // One message for both seats, or one person would briefly be two.
        let before = before.map(|before| place(before).seat);
        let before = before.filter(|before| state.seats.remove(before).is_some());
        let entry = self.enter(state, token, rooms.clone());
        self.post(self.state(), Mail::Join { seat, rooms, before });
        Box::new(entry)
    }
}

impl SeatEntry {
    pub(super) fn number(&self) -> SeatNumber {
        self.seat
    }

    /// The ticket to this seat.
    pub(super) fn ticket(&self, token: Token, rooms: &[Name]) -> Ticket {
        self.inbox.ticket(token, rooms)
    }
}

impl Entry for SeatEntry {
    fn stay(mut self: Box<Self>) {
        self.stays = true;
    }
}

impl Drop for SeatEntry {
    fn drop(&mut self) {
        if !self.stays {
            self.inbox.leave(self.seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::new(text).expect("a good name")).collect()
    }

    fn write(
        inbox: &Arc<Inbox>,
        token: Token,
        rooms: &[Name],
        before: Option<Token>,
    ) -> Box<dyn Entry> {
        inbox.clone().write(token, &rooms.iter().collect::<Vec<_>>(), before)
    }

    /// What was posted, in short.
    fn said(inbox: &Inbox) -> Vec<(&'static str, SeatNumber, Option<SeatNumber>)> {
        let short = |mail| match mail {
            Mail::Join { seat, before, .. } => ("join", seat, before),
            Mail::Leave { seat } => ("leave", seat, None),
            Mail::Arrive(arrival) => ("arrive", arrival.entry.number(), None),
        };
        inbox.take().into_iter().map(short).collect()
    }

    #[test]
    fn a_seat_that_is_taken_over_is_joined_once_and_left_once() {
        let (inbox, rooms) = (Inbox::new(NodeId(7)), names(&["a", "b"]));
        let token = inbox.token(&rooms, None);
        let first = write(&inbox, token, &rooms, None);
        assert_eq!(inbox.token(&rooms, Some(token)), token);
        let second = write(&inbox, token, &rooms, Some(token));
        drop(first);
        assert_eq!(said(&inbox), [("join", 1, None)]);
        drop(second);
        assert_eq!(said(&inbox), [("leave", 1, None)]);
        assert!(inbox.sitting(1).is_none());
    }

    #[test]
    fn a_seat_in_other_rooms_follows_the_one_before_it_in_one_step() {
        let inbox = Inbox::new(NodeId(7));
        let old = inbox.token(&names(&["a"]), None);
        let first = write(&inbox, old, &names(&["a"]), None);
        let new = inbox.token(&names(&["b"]), Some(old));
        assert_ne!(new, old, "its token vouches for its rooms");
        let second = write(&inbox, new, &names(&["b"]), Some(old));
        drop(first);
        assert_eq!(said(&inbox), [("join", 1, None), ("join", 2, Some(1))]);
        drop(second);
        assert_eq!(said(&inbox), [("leave", 2, None)]);
    }

    #[test]
    fn a_token_of_another_node_is_not_taken_for_an_own_one() {
        let (inbox, other, rooms) = (Inbox::new(NodeId(7)), Inbox::new(NodeId(8)), names(&["a"]));
        inbox.follow_secret(&other.secret_bytes());
        let theirs = other.new_seat(&rooms);
        assert!(inbox.read(&theirs.into(), &rooms).is_some_and(|vouched| vouched.is_in_rooms));
        assert_ne!(inbox.token(&rooms, Some(theirs)), theirs);
    }

    #[test]
    fn who_is_left_behind_has_not_left() {
        let (inbox, rooms) = (Inbox::new(NodeId(7)), names(&["a"]));
        let token = inbox.token(&rooms, None);
        write(&inbox, token, &rooms, None).stay();
        assert_eq!(said(&inbox), [("join", 1, None)]);
        assert!(inbox.sitting(1).is_some(), "another node may claim it still");
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_join_and_of_a_leave() {
        let (inbox, rooms) = (Inbox::new(NodeId(7)), names(&["a"]));
        let entry = write(&inbox, inbox.token(&rooms, None), &rooms, None);
        inbox.news().await;
        drop(entry);
        inbox.news().await;
        assert_eq!(said(&inbox), [("join", 1, None), ("leave", 1, None)]);
    }

    #[test]
    fn when_nobody_reads_it_any_more_nothing_is_kept() {
        let (inbox, rooms) = (Inbox::new(NodeId(7)), names(&["a"]));
        let token = inbox.new_seat(&rooms);
        let entry = write(&inbox, token, &rooms, None);
        assert!(inbox.knows(token));
        inbox.close();
        assert!(inbox.take().is_empty());
        drop(entry);
        let token = inbox.new_seat(&rooms);
        drop(write(&inbox, token, &rooms, None));
        assert!(inbox.take().is_empty());
        assert!(inbox.sitting(place(token).seat).is_none());
        assert!(!inbox.knows(token), "nobody would let them in");
    }
}
