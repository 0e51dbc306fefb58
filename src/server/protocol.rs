//! Recognizes the protocol that a client speaks by its first bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection whose first bytes were read already, and will be read again.
#[derive(Debug)]
pub(super) struct Rewound<T> {
    io: T,
    first: [u8; PREFACE.len()],
    read: usize,
    given: usize,
}

/// Reads from `io` until the protocol is clear; `None` if the client has left before it
/// sent anything.
pub(super) async fn recognize<T>(mut io: T) -> io::Result<Option<(Protocol, Rewound<T>)>>
where
    T: AsyncRead + Unpin,
{
    let mut first = [0; PREFACE.len()];
    let mut read = 0;
    let protocol = loop {
        if first[..read] != PREFACE[..read] {
            break Protocol::Http1;
        }
        if read == PREFACE.len() {
            break Protocol::Http2;
        }
        match io.read(&mut first[read..]).await? {
            0 if read == 0 => return Ok(None),
            // Only a part of the preface: whatever it is, HTTP/1 answers it.
            0 => break Protocol::Http1,
            more => read += more,
        }
    };
    Ok(Some((protocol, Rewound { io, first, read, given: 0 })))
}

impl<T> Rewound<T> {
    /// The connection, whose first bytes may have been read already.
    pub(super) fn get_ref(&self) -> &T {
        &self.io
    }

    /// The connection itself. Its first bytes must have been read again.
    pub(super) fn into_inner(self) -> T {
        debug_assert_eq!(self.given, self.read, "the first bytes are lost");
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = &this.first[this.given..this.read];
        if left.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let length = left.len().min(buf.remaining());
        buf.put_slice(&left[..length]);
        this.given += length;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// What these bytes, sent one by one, are recognized as, and what is read afterwards.
    async fn recognized(bytes: &[u8]) -> Option<(Protocol, Vec<u8>)> {
        let (mut client, server) = tokio::io::duplex(1);
        let sent = bytes.to_vec();
        tokio::spawn(async move { client.write_all(&sent).await });
        let (protocol, mut io) = recognize(server).await.expect("no error")?;
        let mut read = Vec::new();
        io.read_to_end(&mut read).await.expect("no error");
        Some((protocol, read))
    }

    #[tokio::test]
    async fn a_protocol_is_recognized_by_its_first_bytes_and_none_is_lost() {
        for (bytes, protocol) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Protocol::Http1),
            (b"PUT / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"\r\n", Protocol::Http1),
            (b"PRI * HT", Protocol::Http1),
            (PREFACE, Protocol::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more", Protocol::Http2),
        ] {
            assert_eq!(recognized(bytes).await, Some((protocol, bytes.to_vec())));
        }
    }

    #[tokio::test]
    async fn of_a_client_that_says_nothing_nothing_is_recognized() {
        assert_eq!(recognized(b"").await, None);
    }
}
