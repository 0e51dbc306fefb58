//! The slim loop: one stream of HTTP/1 after its first event, without hyper.
//!
//! It writes what the stream says, reads and forgets whatever the client says,
//! and ends when either does. What it keeps for a stream is the socket, the
//! stream itself, and the frame that is being written.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use super::connections::Io;
use crate::event::Frame;
use crate::http::Stay;

/// How long a client that was told goodbye has to take it.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a client says is read in pieces of this size, and forgotten.
const UNHEARD: usize = 512;

/// Carries a stream on until it is over or its client has left.
pub(super) async fn carry(io: impl Io, stay: Stay) {
    let mut carrier = Carrier { io, stay, writing: Bytes::new(), next: None, over: None };
    let is_over = poll_fn(|cx| carrier.poll(cx)).await;
    if is_over {
        let _closed_or_not = timeout(FAREWELL, carrier.io.shutdown()).await;
    }
}

struct Carrier<T> {
    io: T,
    stay: Stay,
    /// What is left of the frame that is being written.
    writing: Bytes,
    /// The newest frame that came while one could not be written.
    next: Option<Frame>,
    /// Set once the stream has said its last; then nothing more is asked of it.
    over: Option<Over>,
}

struct Over {
    /// Whether the end of the body is on its way too.
    last_chunk: bool,
    patience: Pin<Box<Sleep>>,
}

impl<T: Io> Carrier<T> {
    /// Ready when the connection is done with: `true` if the stream ended and all
    /// of it was sent, `false` if the client left or did not take it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.poll_client_left(cx).is_ready() {
            return Poll::Ready(false);
        }
        loop {
            match self.poll_written(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return self.poll_blocked(cx),
            }
            if !self.take_next(cx) {
                return if self.over.is_some() { Poll::Ready(true) } else { Poll::Pending };
            }
        }
    }

    /// Ready when the client has closed its side, or the connection has failed.
    fn poll_client_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unheard = [0; UNHEARD];
        loop {
            let mut buf = ReadBuf::new(&mut unheard);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    /// Ready when the frame is out of our hands. Flushed too, for TLS takes some
    /// 64 kB of frames without having sent the first.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writing.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.writing))?;
            self.writing.advance(written);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Goes on to what is to be written next; `false` if there is nothing now.
    fn take_next(&mut self, cx: &mut Context<'_>) -> bool {
        let frame = self.next.take().or_else(|| match self.poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        });
        if let Some(frame) = frame {
            self.writing = if self.stay.chunked { frame.chunk() } else { frame.text() };
            return true;
        }
        match &mut self.over {
            Some(over) if self.stay.chunked && !over.last_chunk => {
                over.last_chunk = true;
                self.writing = Frame::LAST_CHUNK;
                true
            }
            _ => false,
        }
    }

    /// The client does not take what is being written. The stream is still asked:
    /// of its numbers only the newest waits, and its end is not to be missed.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while let Poll::Ready(Some(frame)) = self.poll_frame(cx) {
            if self.next.replace(frame).is_some() {
                self.stay.tally.lagged.count();
            }
        }
        match &mut self.over {
            Some(over) => over.patience.as_mut().poll(cx).map(|()| false),
            None => Poll::Pending,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if self.over.is_some() {
            return Poll::Ready(None);
        }
        let frame = self.stay.frames.as_mut().poll_next(cx);
        if let Poll::Ready(None) = frame {
            self.over = Some(Over { last_chunk: false, patience: Box::pin(sleep(FAREWELL)) });
        }
        frame
    }
}
