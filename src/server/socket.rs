//! An accepted socket: its options, and how its client leaves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tcp;
use crate::ending::{Ending, Reason};
use crate::stream::{Link, Patience};

/// How many bytes may wait in the kernel to be sent (`TCP_NOTSENT_LOWAT`): some
/// 50 events. By default megabytes may wait, and a reader that stopped for a while
/// would first be sent thousands of old numbers. Of what doesn't fit, only the newest
/// number is kept.
const UNSENT: u32 = 2048;

/// The socket as its protocol uses it. It notes what it learns about the connection's end,
/// so that the stream, which is only dropped, can tell why.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    ending: Ending,
    /// The user timeout to restore when the stream no longer watches the client, in
    /// milliseconds. Set once a stream watches it.
    unwatched: OnceLock<u32>,
}

impl Socket {
    /// Sets the options of a socket that was just accepted.
    pub(super) fn new(tcp: TcpStream, patience: Patience, ending: Ending) -> io::Result<Self> {
        // An event is one small write, which must not wait for the last one's ACK.
        tcp.set_nodelay(true)?;
        // Without it the system retransmits to a peer that vanished for 15 minutes.
        let options = SockRef::from(&tcp);
        options.set_tcp_user_timeout(Some(patience.for_answer()))?;
        options.set_tcp_notsent_lowat(UNSENT)?;
        tcp::retry_soon(&tcp);
        Ok(Self { tcp, ending, unwatched: OnceLock::new() })
    }

    /// What the system knows about the client; `None` if it doesn't say.
    pub(super) fn link(&self) -> Option<Link> {
        tcp::link(&self.tcp).ok()
    }

    /// Leaves it to the stream's watch to notice that the client has vanished, if the system
    /// says what it knows. If that fails, the system ends the connection long after.
    pub(super) fn leave_to_watch(&self, patience: Patience) {
        if self.link().is_some()
            && SockRef::from(&self.tcp).set_tcp_user_timeout(Some(patience.too_long())).is_ok()
        {
            let unwatched = patience.for_answer().as_millis().try_into().unwrap_or(u32::MAX);
            let _it_is_watched = self.unwatched.set(unwatched);
        }
    }

    /// Notes an error of the protocol above: one side breaks the rules of TLS.
    pub(super) fn failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData {
            self.ending.note(Reason::Error);
        }
    }

    fn heard<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.ending.note(match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::Reset,
                // At the same time-out the kernel says "unreachable" if a router, or its own
                // neighbour table, has told it so meanwhile.
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => Reason::TimedOut,
                _ => Reason::Error,
            });
        }
        result
    }
}

impl Drop for Socket {
    /// The system goes on trying to send what is left, but no longer than usual.
    fn drop(&mut self) {
        if let Some(unwatched) = self.unwatched.get() {
            let unwatched = Duration::from_millis((*unwatched).into());
            let _ = SockRef::from(&self.tcp).set_tcp_user_timeout(Some(unwatched));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.tcp).poll_read(cx, buf));
        Poll::Ready(self.heard(read))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, buf));
        Poll::Ready(self.heard(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs));
        Poll::Ready(self.heard(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
