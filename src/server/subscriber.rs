//! One stream of HTTP/1 after its first event: its connection, without hyper.
//!
//! Two use it. Its room's fan-out writes each event to it, there and then; its
//! own task reads and forgets whatever the client says, and writes what could
//! not be written at once. What is kept for a stream is the connection, and the
//! frame that is being written.

use std::io;
use std::mem::take;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::connections::Io;
use super::link::Link;
use crate::event::{Change, Event, Frame};
use crate::tally::Tally;

/// What a client says is read in pieces of this size, and forgotten.
const UNHEARD: usize = 512;

/// One who is told what happens.
pub(super) trait Subscriber: Send + Sync {
    /// Tells the client, as soon as it takes it, unless it is no news to it.
    fn tell(&self, event: &Event) -> Told;

    /// Tells the client the newest number once more: the heartbeat.
    fn tell_again(&self, event: &Event) -> Told;

    /// Has its task look about.
    fn wake(&self);

    /// What the system knows of its client; `None` where it does not tell.
    fn link(&self) -> Option<Link>;

    /// Ends it: its client is gone.
    fn lose(&self);
}

/// What became of events that were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Those that were sent, or wait to be.
    taken: u64,
    /// Those that waited and were given up for a newer one.
    given_up: u64,
}

impl Told {
    /// It was no news, or the stream is over.
    const NOTHING: Self = Self { taken: 0, given_up: 0 };

    /// One event was taken.
    #[cfg(test)]
    pub(super) const SENT: Self = Self { taken: 1, given_up: 0 };

    /// Whether something was sent, or waits to be.
    pub(super) fn is_sent(self) -> bool {
        self.taken > 0
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
    }
}

/// A stream's connection.
pub(super) struct Line<T> {
    /// Whether its head promised chunks.
    chunked: bool,
    /// Held for a read or a write that does not wait.
    wire: Mutex<Wire<T>>,
}

struct Wire<T> {
    io: T,
    told: Change,
    /// What the task has to write. Until it has, nobody else writes. Boxed, for most
    /// streams have none, and what is touched for each event shall be small.
    backlog: Option<Box<Backlog>>,
    /// The stream is over: what waits is its last.
    over: bool,
    /// The client is gone.
    lost: bool,
    task: Option<Waker>,
}

/// What could not be written at once. Empty, it is still to be flushed.
#[derive(Default)]
struct Backlog {
    /// What is left of the frame that is being written.
    writing: Bytes,
    /// The newest frame that came while one could not be written.
    next: Bytes,
}

impl<T: Io> Line<T> {
    /// A connection on which the event of `told` was the last one sent.
    pub(super) fn new(io: T, chunked: bool, told: Change) -> Self {
        if let Some(socket) = io.socket() {
            socket.leave_to_watch();
        }
        let wire = Wire { io, told, backlog: None, over: false, lost: false, task: None };
        Self { chunked, wire: Mutex::new(wire) }
    }

    /// Has nothing told any more but this farewell, and the end of the body.
    pub(super) fn close(&self, farewell: Option<Frame>) {
        let mut last = farewell.map_or_else(Vec::new, |frame| frame.bytes(self.chunked).to_vec());
        if self.chunked {
            last.extend_from_slice(Frame::LAST_CHUNK);
        }
        let mut wire = self.wire();
        wire.backlog.get_or_insert_default().next = last.into();
        wire.over = true;
    }

    /// The task's part. Ready when the connection is done with: the client has
    /// left, or the stream is over and all of it was sent.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.wire();
        if wire.lost || wire.poll_client_left(cx).is_ready() {
            return Poll::Ready(());
        }
        if !wire.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            wire.task = Some(cx.waker().clone());
        }
        if ready!(wire.poll_backlog(cx)).is_err() {
            return Poll::Ready(());
        }
        if wire.over { Pin::new(&mut wire.io).poll_shutdown(cx).map(drop) } else { Poll::Pending }
    }

    fn wire(&self) -> MutexGuard<'_, Wire<T>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, mut wire: MutexGuard<'_, Wire<T>>, event: &Event) -> Told {
        if wire.over {
            return Told::NOTHING;
        }
        wire.told = event.change();
        let bytes = event.frame().bytes(self.chunked);
        let given_up = match &mut wire.backlog {
            Some(backlog) => {
                let waited = !backlog.next.is_empty();
                backlog.next = Bytes::copy_from_slice(bytes);
                u64::from(waited)
            }
            None => {
                wire.write_at_once(bytes);
                0
            }
        };
        Told { taken: 1, given_up }
    }
}

impl<T: Io> Subscriber for Line<T> {
    fn tell(&self, event: &Event) -> Told {
        let wire = self.wire();
        if event.change().is_news_after(wire.told) { self.send(wire, event) } else { Told::NOTHING }
    }

    fn tell_again(&self, event: &Event) -> Told {
        let wire = self.wire();
        if wire.told.is_after(event.change()) { Told::NOTHING } else { self.send(wire, event) }
    }

    fn wake(&self) {
        self.wire().wake();
    }

    fn link(&self) -> Option<Link> {
        self.wire().io.socket()?.link()
    }

    fn lose(&self) {
        let mut wire = self.wire();
        if let Some(socket) = wire.io.socket() {
            socket.lose();
        }
        wire.lost = true;
        wire.wake();
    }
}

impl<T: Io> Wire<T> {
    /// Ready when the client has closed its side, or the connection has failed.
    fn poll_client_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unheard = [0; UNHEARD];
        loop {
            let mut buf = ReadBuf::new(&mut unheard);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                Poll::Ready(Err(error)) => {
                    if let Some(socket) = self.io.socket() {
                        socket.failed(&error);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Writes as much as the connection takes now. What is left, and a failure, is the
    /// task's.
    fn write_at_once(&mut self, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut self.io).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        let all = written == bytes.len();
        if all && matches!(Pin::new(&mut self.io).poll_flush(&mut cx), Poll::Ready(Ok(()))) {
            return;
        }
        let writing = Bytes::copy_from_slice(&bytes[written..]);
        self.backlog = Some(Box::new(Backlog { writing, next: Bytes::new() }));
        self.wake();
    }

    /// Ready when all that waits is out of our hands. Flushed too, for TLS takes some
    /// 64 kB of frames without having sent the first.
    fn poll_backlog(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(backlog) = &mut self.backlog {
            while !backlog.writing.is_empty() {
                let written = ready!(Pin::new(&mut self.io).poll_write(cx, &backlog.writing))?;
                backlog.writing.advance(written);
            }
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            if backlog.next.is_empty() {
                self.backlog = None;
            } else {
                backlog.writing = take(&mut backlog.next);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// As many bytes as an event of one digit has, with its chunk around it.
    const EVENT: usize = 33;

    /// A connection that takes so many bytes until its client reads.
    fn line(capacity: usize, chunked: bool) -> (Line<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(capacity);
        (Line::new(server, chunked, Event::new(1).change()), client)
    }

    fn poll<T: Io>(line: &Line<T>) -> Poll<()> {
        line.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// What the client gets, while the task does its part.
    async fn read<T: Io>(line: &Line<T>, client: &mut DuplexStream, bytes: usize) -> String {
        let mut read = vec![0; bytes];
        let mut at = 0;
        while at < bytes {
            let _not_over = poll(line);
            at += client.read(&mut read[at..]).await.expect("no error");
        }
        String::from_utf8(read).expect("text")
    }

    fn event(count: usize) -> String {
        format!("1b\r\nevent: user count\ndata: {count}\n\n\r\n")
    }

    #[tokio::test]
    async fn news_is_written_at_once_and_what_is_no_news_is_not() {
        let (line, mut client) = line(1024, true);
        let second = Event::new(1).next(2);
        let third = second.next(3);
        assert_eq!(line.tell(&third), Told { taken: 1, given_up: 0 });
        assert_eq!(line.tell(&second), Told::NOTHING, "older than what was told");
        assert_eq!(line.tell(&third), Told::NOTHING);
        assert_eq!(line.tell_again(&second), Told::NOTHING);
        assert_eq!(line.tell_again(&third), Told { taken: 1, given_up: 0 });
        drop(line);
        let mut all = String::new();
        client.read_to_string(&mut all).await.expect("text");
        assert_eq!(all, event(3) + &event(3));
    }

    #[tokio::test]
    async fn who_does_not_read_is_sent_the_rest_of_a_frame_and_then_the_newest() {
        let (line, mut client) = line(EVENT + 7, true);
        let mut newest = Event::new(1);
        let mut told = Told::default();
        for count in 2..=9 {
            newest = newest.next(count);
            told += line.tell(&newest);
        }
        assert_eq!(told, Told { taken: 8, given_up: 5 });
        assert!(poll(&line).is_pending());
        assert_eq!(read(&line, &mut client, 3 * EVENT).await, event(2) + &event(3) + &event(9));
        assert!(poll(&line).is_pending());
        assert_eq!(line.tell(&newest.next(8)), Told { taken: 1, given_up: 0 });
        assert_eq!(read(&line, &mut client, EVENT).await, event(8));
    }

    #[tokio::test]
    async fn a_farewell_takes_the_place_of_what_waits_and_ends_the_body() {
        for (chunked, farewell) in
            [(true, "c\r\nretry: 250\n\n\r\n0\r\n\r\n"), (false, "retry: 250\n\n")]
        {
            let (line, mut client) = line(1024, chunked);
            line.close(Some(Frame::retry(std::time::Duration::from_millis(250))));
            assert_eq!(line.tell(&Event::new(1).next(2)), Told::NOTHING);
            assert!(poll(&line).is_ready());
            let mut all = String::new();
            client.read_to_string(&mut all).await.expect("text");
            assert_eq!(all, farewell);
        }
    }

    #[tokio::test]
    async fn whatever_the_client_says_its_end_is_noticed() {
        let (line, mut client) = line(4096, true);
        client.write_all(&[b'x'; 3 * UNHEARD]).await.expect("no error");
        assert!(poll(&line).is_pending());
        drop(client);
        assert!(poll(&line).is_ready());
    }
}
