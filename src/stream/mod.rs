//! One open stream, whatever carries it, from the request for it to its end.
//!
//! [`Streams`] opens it: it finds its place among the limits and its seat in each of its
//! rooms. The stream's [`Guest`](guest::Guest) owns both, and there is one way to lose them.
//! The [`fanout`]s of its rooms fill its [`mailbox`] on its core; the fan-out of its first
//! room also takes care of its heartbeat, [`watch`]es its client, and ends it when it is too
//! old or the server stops. The carrier of the [`Stream`] only empties the mailbox: it writes
//! to a [`Sink`], or is asked for the next [`Frame`].

mod fanout;
mod frame;
mod guest;
mod heartbeat;
mod held;
mod line;
mod mailbox;
mod member;
mod sink;
mod stopwatch;
mod streams;
mod terms;
mod watch;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fanout::Membership;
pub(crate) use frame::Frame;
#[cfg(test)]
pub(crate) use guest::{RETRY_MS, SHORT_RETRY_MS};
#[cfg(test)]
pub(crate) use held::{AGED_HOLD, HOLD};
use line::{Line, State, register};
#[cfg(feature = "server")]
pub(crate) use sink::Sink;
pub(crate) use streams::{Extras, Kind, NoStream, Streams, Wish};
pub(crate) use terms::Terms;
pub(crate) use watch::Patience;
#[cfg(feature = "server")]
pub(crate) use watch::{Link, RETRY};

/// How many streams or seats are handled before other tasks of the core have a turn.
const BATCH: usize = 64;

/// An open stream. When it is dropped, its client has left, unless the stream was ended
/// before.
pub(crate) struct Stream {
    membership: Membership,
    line: Arc<Line>,
}

impl Stream {
    fn new(line: Arc<Line>, membership: Membership) -> Self {
        Self { membership, line }
    }

    #[cfg(feature = "server")]
    fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Takes the next frame out; `None` when the stream is over.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut state = self.line.state();
        match state.mailbox.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if state.mailbox.is_closed() => Poll::Ready(None),
            None => {
                register(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Writes frames to this sink from now on. The owner must then poll
    /// [`poll_sent`](Self::poll_sent).
    pub(crate) fn attach(&mut self, sink: Box<dyn sink::Sink>) {
        let mut state = self.line.state();
        state.mailbox.keep_newest();
        state.sink = Some(sink);
    }

    /// Writes what waits. Ready when the connection is no longer needed: the client has left,
    /// or the stream is over and all of it was sent.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.state();
        register(&mut state.reader, cx);
        let State { mailbox, sink: Some(sink), .. } = &mut *state else {
            return Poll::Ready(());
        };
        if mailbox.is_lost() || sink.poll_left(cx).is_ready() {
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

    /// Ready when the stream is over; nothing follows what still waits.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.state();
        if state.mailbox.is_closed() {
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
        // This comes first, so that a client that left is told nothing more.
        self.membership.leave(&self.line);
        let (guest, sink) = {
            let mut state = self.line.state();
            state.mailbox.lose();
            (state.guest.take(), state.sink.take())
        };
        drop(sink);
        drop(guest);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::member::Member;
    use super::*;

    /// The allocator has blocks of 64, 80, 96, 112, 128, 160, 192 and 224 bytes. On systems
    /// other than Linux a lock may be larger.
    #[test]
    fn a_stream_takes_a_block_of_192_bytes_and_a_place_of_80_in_its_fan_out() {
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<Line>() + counts <= 192, "{}", size_of::<Line>() + counts);
        assert!(size_of::<Member>() <= 80, "{}", size_of::<Member>());
    }
}
