//! One open stream, whoever carries it: from the moment that it is asked for to its end.
//!
//! [`Streams`] opens it: finds its place among the limits and its seat in each of its rooms.
//! Its [`Guest`](guest::Guest) has both, and there is one way to lose them. The [`fanout`]s
//! of its rooms fill its [`mailbox`] on its core; that of the first also sees to its
//! heartbeat and [`watch`]es its client, and ends it when it is too old or the server stops.
//! Who carries the [`Stream`] only empties the mailbox: by writing to a [`Sink`] or by being
//! asked for the next [`Frame`].

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

/// So many streams or seats are seen to before other tasks of the core have a turn.
const BATCH: usize = 64;

/// An open stream, until it is dropped: then its client has left, unless it was ended
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

    /// Has frames written from now on. [`poll_sent`](Self::poll_sent) is to be polled
    /// then.
    pub(crate) fn attach(&mut self, sink: Box<dyn sink::Sink>) {
        let mut state = self.line.state();
        state.mailbox.keep_newest();
        state.sink = Some(sink);
    }

    /// Writes what waits. Ready when the connection is done with: the client has left,
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

    /// Ready when the stream is over; what waits is its last.
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
        // First: who left is told nothing more.
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

    /// The allocator has blocks of 64, 80, 96, 112, 128, 160, 192 and 224 bytes. Elsewhere than
    /// on Linux a lock may be larger.
    #[test]
    fn a_stream_takes_a_block_of_192_bytes_and_a_place_of_80_in_its_fan_out() {
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<Line>() + counts <= 192, "{}", size_of::<Line>() + counts);
        assert!(size_of::<Member>() <= 80, "{}", size_of::<Member>());
    }
}
