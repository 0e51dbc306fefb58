//! The line: one open stream, as seen by those who tell it something or end it. The one who
//! empties it has a [`Stream`](super::Stream).
//!
//! Whatever ends a stream, its guest is taken out of the line once, and what becomes of them
//! is settled before anybody can see that the stream is over.

use std::num::NonZeroU64;
use std::ops::AddAssign;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::frame::Frame;
use super::guest::{Guest, farewell};
use super::mailbox::Mailbox;
use super::sink::Sink;
use super::watch::Link;
use crate::ending::Reason;
use crate::tally::Tally;

/// Stands in place of a room for what concerns all rooms: whether the numbers are partial.
pub(super) const PARTIAL: u8 = u8::MAX;

/// Stands in place of a room for a new ticket.
pub(super) const TICKET: u8 = PARTIAL - 1;

/// An open stream, until its owner drops it.
pub(crate) struct Line {
    /// Locked only for what doesn't wait.
    state: Mutex<State>,
    rooms: Rooms,
}

pub(super) struct State {
    pub(super) mailbox: Mailbox,
    /// Where frames are written. Without a sink they wait to be asked for.
    pub(super) sink: Option<Box<dyn Sink>>,
    /// Whose stream it is, until it is over.
    pub(super) guest: Option<Guest>,
    /// The task that empties the mailbox, and the one that waits for the end.
    pub(super) reader: Option<Waker>,
    pub(super) watcher: Option<Waker>,
}

/// What the fan-outs of a stream's rooms store with it.
enum Rooms {
    One(InRoom),
    Several(Box<Several>),
}

struct InRoom {
    /// The room's id.
    room: NonZeroU64,
    /// The stream's place in the room's fan-out. Only the fan-out uses it.
    place: AtomicUsize,
}

struct Several {
    rooms: Box<[InRoom]>,
    /// When it was last told of a room other than its first.
    told: Mutex<Instant>,
}

/// What became of events that a stream was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many were sent, or wait to be.
    taken: u64,
    /// How many waited and were given up for a newer one.
    given_up: u64,
    /// Whether another task has to write some of them.
    left: bool,
}

impl Line {
    /// A stream of the rooms with these ids, which has not been sent its first frame yet.
    pub(super) fn new(
        guest: Guest,
        first: Frame,
        rooms: impl ExactSizeIterator<Item = NonZeroU64>,
    ) -> Arc<Self> {
        let seat = guest.seat().cloned();
        let state = State {
            mailbox: Mailbox::new(first),
            sink: None,
            guest: Some(guest),
            reader: None,
            watcher: None,
        };
        let (state, rooms) = (Mutex::new(state), Rooms::new(rooms));
        let line = Arc::new(Self { state, rooms });
        if let Some(seat) = seat {
            // When another stream takes the seat over, this one ends. The guest owns the seat,
            // so the reference cycle ends with the stream.
            let ends = Waker::from(line.clone());
            if seat.poll_taken(&mut Context::from_waker(&ends)).is_ready() {
                line.end(Reason::Replaced);
            }
        }
        line
    }

    /// Sends the client a frame about the room with this index (or [`PARTIAL`]) as soon as it
    /// takes it; but nothing once the end has begun. By then its guest may have left, and other
    /// cores tell of that.
    pub(super) fn tell(&self, room: u8, frame: &Frame) -> Told {
        let mut state = self.state();
        if state.guest.is_none() { Told::default() } else { state.send(room, frame) }
    }

    /// Ends the stream because the server wants to.
    pub(super) fn end(&self, reason: Reason) {
        let Some(guest) = self.state().guest.take() else { return };
        // Before the farewell, because a client that never reads it is gone all the same.
        guest.end(reason);
        let mut state = self.state();
        state.mailbox.close(farewell(reason).map(|text| Frame::new(&text)));
        state.wake();
    }

    /// Ends the stream of a client that is gone, or can't be told anything any more.
    pub(super) fn lose(&self, reason: Reason) {
        let Some(guest) = self.state().guest.take() else { return };
        guest.note(reason);
        drop(guest);
        let mut state = self.state();
        state.mailbox.lose();
        state.wake();
    }

    /// What is known about the client; `None` if nothing is.
    pub(super) fn link(&self) -> Option<Link> {
        let state = self.state();
        match &state.sink {
            Some(sink) => sink.link(),
            // A reader that asks for frames is there, and takes them or doesn't.
            None => Some(Link {
                waits: !state.mailbox.is_empty(),
                taken: state.mailbox.taken(),
                heard: Duration::ZERO,
            }),
        }
    }

    /// Whether the stream hears several rooms.
    pub(super) fn is_of_several(&self) -> bool {
        matches!(self.rooms, Rooms::Several(_))
    }

    /// The ids of the stream's rooms.
    pub(super) fn rooms(&self) -> impl Iterator<Item = NonZeroU64> {
        self.rooms.all().iter().map(|in_room| in_room.room)
    }

    /// Its place in the fan-out of the room with this index.
    pub(super) fn place(&self, room: u8) -> usize {
        self.rooms.all()[usize::from(room)].place.load(Ordering::Relaxed)
    }

    pub(super) fn set_place(&self, room: u8, place: usize) {
        self.rooms.all()[usize::from(room)].place.store(place, Ordering::Relaxed);
    }

    /// When it was last told of a room other than its first, if it has others.
    pub(super) fn told_of_another(&self) -> Option<Instant> {
        match &self.rooms {
            Rooms::One(_) => None,
            Rooms::Several(several) => Some(*several.told()),
        }
    }

    /// Notes that it was told of a room other than its first.
    pub(super) fn note_told_of_another(&self, now: Instant) {
        if let Rooms::Several(several) = &self.rooms {
            let mut told = several.told();
            *told = now.max(*told);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn new(ids: impl ExactSizeIterator<Item = NonZeroU64>) -> Self {
        let is_one = ids.len() == 1;
        let mut rooms = ids.map(|room| InRoom { room, place: AtomicUsize::new(0) });
        match rooms.next() {
            Some(only) if is_one => Self::One(only),
            first => {
                let rooms = first.into_iter().chain(rooms).collect();
                Self::Several(Box::new(Several { rooms, told: Mutex::new(Instant::now()) }))
            }
        }
    }

    fn all(&self) -> &[InRoom] {
        match self {
            Self::One(only) => slice::from_ref(only),
            Self::Several(several) => &several.rooms,
        }
    }
}

impl Several {
    fn told(&self) -> MutexGuard<'_, Instant> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Line {
    /// Another stream has the seat.
    fn wake(self: Arc<Self>) {
        self.end(Reason::Replaced);
    }
}

impl State {
    fn send(&mut self, room: u8, frame: &Frame) -> Told {
        let is_left = self.sink.is_none();
        let gave_up = match &mut self.sink {
            Some(sink) if self.mailbox.is_empty() && sink.is_ready() => {
                self.mailbox.pass();
                if !sink.send(frame) {
                    self.wake_reader();
                }
                false
            }
            // The task that has the sink takes the frame once the sink is ready.
            Some(_) => self.mailbox.put(room, frame.clone()),
            None => {
                let gave_up = self.mailbox.put(room, frame.clone());
                self.wake_reader();
                gave_up
            }
        };
        Told { taken: 1, given_up: gave_up.into(), left: is_left }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake(&mut self) {
        self.wake_reader();
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

impl Told {
    /// Whether something was sent, or waits to be.
    pub(super) fn is_sent(self) -> bool {
        self.taken > 0
    }

    /// Whether writing it is left to another task.
    pub(super) fn is_left(self) -> bool {
        self.left
    }

    pub(super) fn count(self, tally: &Tally) {
        tally.deliveries.add(self.taken);
        tally.lagged.add(self.given_up);
    }
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.taken += other.taken;
        self.given_up += other.given_up;
        self.left |= other.left;
    }
}

pub(super) fn register(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}
