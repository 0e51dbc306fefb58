//! An HTTP/1 connection that belongs to one stream, after its first event: without hyper.
//!
//! Whatever the client sends on it is read and discarded.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::transport::Io;
use crate::stream::{Frame, Link, Patience, Sink};

/// What a client sends is read in pieces of this size, and discarded.
const UNHEARD: usize = 512;

/// The connection, and what is being written to it.
pub(super) struct Wire<T> {
    io: T,
    /// Whether its head promised chunks.
    chunked: bool,
    /// What could not be written at once. If it is empty, it must still be flushed. Boxed,
    /// because most streams have none, and what each event touches should be small.
    writing: Option<Box<Bytes>>,
    /// Whether the end of the body was written, or is being written.
    ended: bool,
}

impl<T: Io> Wire<T> {
    pub(super) fn new(io: T, chunked: bool, patience: Patience) -> Self {
        if let Some(socket) = io.socket() {
            socket.leave_to_watch(patience);
        }
        Self { io, chunked, writing: None, ended: false }
    }

    /// Writes as much as the connection takes now. The caller of `poll_ready` writes the rest,
    /// and finds out if it failed.
    fn write_at_once(&mut self, bytes: &[u8]) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut self.io).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        let all = written == bytes.len();
        if all && matches!(Pin::new(&mut self.io).poll_flush(&mut cx), Poll::Ready(Ok(()))) {
            return true;
        }
        self.writing = Some(Box::new(Bytes::copy_from_slice(&bytes[written..])));
        false
    }
}

impl<T: Io> Sink for Wire<T> {
    fn send(&mut self, frame: &Frame) -> bool {
        self.write_at_once(frame.bytes(self.chunked))
    }

    fn is_ready(&self) -> bool {
        self.writing.is_none()
    }

    /// Flushes too, because TLS takes some 64 kB of frames before it has sent the first.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writing) = &mut self.writing {
            while !writing.is_empty() {
                let written = ready!(Pin::new(&mut self.io).poll_write(cx, writing))?;
                writing.advance(written);
            }
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.writing = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the client has closed its side, or the connection has failed.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unheard = [0; UNHEARD];
        loop {
            let mut buf = ReadBuf::new(&mut unheard);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) => return Poll::Ready(()),
                Err(error) => {
                    if let Some(socket) = self.io.socket() {
                        socket.failed(&error);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.chunked && !self.ended {
            self.ended = true;
            self.write_at_once(Frame::LAST_CHUNK);
        }
        ready!(self.poll_ready(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn link(&self) -> Option<Link> {
        self.io.socket()?.link()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use crate::event::Event;
    use crate::http::Options;

    /// As many bytes as an event with a number of one digit has, including its chunk.
    const EVENT: usize = 33;

    /// A connection that takes this many bytes until its client reads.
    fn wire(capacity: usize, chunked: bool) -> (Wire<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(capacity);
        (Wire::new(server, chunked, Options::default().terms().patience), client)
    }

    fn frame(count: usize) -> Frame {
        Frame::new(Event::new(count).text())
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[tokio::test]
    async fn what_is_not_taken_at_once_is_sent_when_it_is() {
        let (mut wire, mut client) = wire(EVENT + 7, true);
        assert!(wire.send(&frame(2)) && wire.is_ready());
        assert!(!wire.send(&frame(3)) && !wire.is_ready());
        assert!(wire.poll_ready(&mut context()).is_pending());
        let mut read = vec![0; EVENT + 7];
        client.read_exact(&mut read).await.expect("no error");
        assert!(wire.poll_ready(&mut context()).is_ready() && wire.is_ready());
        drop(wire);
        client.read_to_end(&mut read).await.expect("no error");
        assert_eq!(read, [frame(2).bytes(true), frame(3).bytes(true)].concat());
    }

    #[tokio::test]
    async fn the_end_of_the_body_is_the_last() {
        for (chunked, last) in [(true, Frame::LAST_CHUNK), (false, b"")] {
            let (mut wire, mut client) = wire(1024, chunked);
            assert!(wire.send(&frame(2)));
            assert!(wire.poll_close(&mut context()).is_ready());
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.expect("no error");
            assert_eq!(read, [frame(2).bytes(chunked), last].concat());
        }
    }

    #[tokio::test]
    async fn whatever_the_client_says_its_end_is_noticed() {
        let (mut wire, mut client) = wire(4096, true);
        client.write_all(&[b'x'; 3 * UNHEARD]).await.expect("no error");
        assert!(wire.poll_left(&mut context()).is_pending());
        drop(client);
        assert!(wire.poll_left(&mut context()).is_ready());
    }
}
