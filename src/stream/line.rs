//! One open stream: [`Stream`] as the one who empties it has it, [`Line`] as the fan-out
//! that fills it has it.
//!
//! Whatever ends a stream, its guest is taken out of the line once, and what became of
//! them is done before anybody can see that the stream is over.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::fanout::Membership;
use super::frame::Frame;
use super::guest::{Guest, farewell};
use super::mailbox::Mailbox;
use super::sink::Sink;
use super::watch::Link;
use crate::ending::Reason;
use crate::event::{Change, Event};
use crate::tally::Tally;

/// An open stream, until it is dropped: then its client has left, unless it was ended
/// before.
pub(crate) struct Stream {
    membership: Membership,
    line: Arc<Line>,
}

/// An open stream, as those who tell it something or end it have it.
pub(crate) struct Line {
    /// Held for what does not wait.
    state: Mutex<State>,
    /// Its place in its fan-out, which alone uses it.
    place: AtomicUsize,
    drain: CancellationToken,
}

struct State {
    mailbox: Mailbox,
    /// Where frames are written; without one they wait to be asked for.
    sink: Option<Box<dyn Sink>>,
    /// Until the stream is over.
    guest: Option<Guest>,
    /// The client is gone: there is no use in telling it anything.
    lost: bool,
    /// Who empties the mailbox, and who waits for the end.
    reader: Option<Waker>,
    watcher: Option<Waker>,
}

/// What became of events that were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Those that were sent, or wait to be.
    taken: u64,
    /// Those that waited and were given up for a newer one.
    given_up: u64,
    /// Those that another task is yet to write.
    left: u64,
}

impl Stream {
    pub(super) fn new(line: Arc<Line>, membership: Membership) -> Self {
        Self { membership, line }
    }

    /// Takes the next frame out; `None` when the stream is over.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut state = self.line.state();
        if state.lost {
            return Poll::Ready(None);
        }
        match state.mailbox.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if state.mailbox.is_closed() => Poll::Ready(None),
            None => {
                register(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Has frames written from now on. [`poll_sent`](Self::poll_sent) is to be polled
    /// then.
    pub(crate) fn attach(&mut self, sink: Box<dyn Sink>) {
        let mut state = self.line.state();
        state.mailbox.keep_newest();
        state.sink = Some(sink);
    }

    /// Writes what waits. Ready when the connection is done with: the client has left,
    /// or the stream is over and all of it was sent.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.state();
        register(&mut state.reader, cx);
        let State { mailbox, sink: Some(sink), lost: false, .. } = &mut *state else {
            return Poll::Ready(());
        };
        if sink.poll_left(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            if ready!(sink.poll_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match mailbox.take() {
                Some(frame) => drop(sink.send(&frame)),
                None if mailbox.is_closed() => return sink.poll_close(cx).map(drop),
                None => return Poll::Pending,
            }
        }
    }

    /// Ready when the stream is over; what waits is its last.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.state();
        if state.mailbox.is_closed() || state.lost {
            return Poll::Ready(());
        }
        register(&mut state.watcher, cx);
        Poll::Pending
    }

    /// Whether the stream is over.
    pub(crate) fn is_over(&self) -> bool {
        self.line.state().mailbox.is_closed()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // First: who left is told nothing more.
        self.membership.leave(&self.line);
        let (guest, sink) = {
            let mut state = self.line.state();
            state.lost = true;
            (state.guest.take(), state.sink.take())
        };
        drop(sink);
        drop(guest);
    }
}

impl Line {
    /// A stream that has yet to be told its first frame, of `change`.
    pub(super) fn new(
        guest: Guest,
        first: Frame,
        change: Change,
        drain: &CancellationToken,
    ) -> Arc<Self> {
        let seat = guest.seat().cloned();
        let state = State {
            mailbox: Mailbox::new(first, change),
            sink: None,
            guest: Some(guest),
            lost: false,
            reader: None,
            watcher: None,
        };
        let (state, place) = (Mutex::new(state), AtomicUsize::new(0));
        let line = Arc::new(Self { state, place, drain: drain.clone() });
        if let Some(seat) = seat {
            // Whoever takes the seat over ends this stream. The seat is the guest's, so
            // the circle ends with the stream.
            let ends = Waker::from(line.clone());
            if seat.poll_taken(&mut Context::from_waker(&ends)).is_ready() {
                line.end(Reason::Replaced);
            }
        }
        line
    }

    /// Tells the client, as soon as it takes it, unless it is no news to it.
    pub(super) fn tell(&self, event: &Event, frame: &Frame) -> Told {
        let mut state = self.state();
        let is_news = state.mailbox.is_news(event.change());
        if is_news { state.send(event.change(), frame) } else { Told::default() }
    }

    /// Tells the client the newest number once more: the heartbeat.
    pub(super) fn tell_again(&self, event: &Event, frame: &Frame) -> Told {
        let mut state = self.state();
        let is_current = state.mailbox.is_current(event.change());
        if is_current { state.send(event.change(), frame) } else { Told::default() }
    }

    /// Ends the stream for a reason of the server's own.
    pub(super) fn end(&self, reason: Reason) {
        let Some(guest) = self.state().guest.take() else { return };
        // Before the farewell: one who never reads it is gone all the same.
        guest.end(reason, &self.drain);
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
        state.lost = true;
        state.mailbox.close(None);
        state.wake();
    }

    /// What is known of the client; `None` if nothing is.
    pub(super) fn link(&self) -> Option<Link> {
        let state = self.state();
        match &state.sink {
            Some(sink) => sink.link(),
            // Who asks for frames is there, and takes them or doesn't.
            None => Some(Link {
                waits: !state.mailbox.is_empty(),
                taken: state.mailbox.taken(),
                heard: Duration::ZERO,
            }),
        }
    }

    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    pub(super) fn set_place(&self, place: usize) {
        self.place.store(place, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Line {
    /// Another stream has the seat.
    fn wake(self: Arc<Self>) {
        self.end(Reason::Replaced);
    }
}

impl State {
    fn send(&mut self, change: Change, frame: &Frame) -> Told {
        let is_left = self.sink.is_none();
        let gave_up = match &mut self.sink {
            Some(sink) if self.mailbox.is_empty() && sink.is_ready() => {
                self.mailbox.pass(change);
                if !sink.send(frame) {
                    self.wake_reader();
                }
                false
            }
            // The task that has the sink sees to it once that is ready.
            Some(_) => self.mailbox.put(change, frame.clone()),
            None => {
                let gave_up = self.mailbox.put(change, frame.clone());
                self.wake_reader();
                gave_up
            }
        };
        Told { taken: 1, given_up: gave_up.into(), left: is_left.into() }
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
        self.left > 0
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
        self.left += other.left;
    }
}

fn register(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}
