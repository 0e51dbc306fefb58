//! The task of one HTTP/1 stream after its first event. It sleeps until the client sends
//! something or leaves, the stream is over, or something could not be written at once.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::gate::Pass;
use super::transport::Io;
use super::wire::Wire;
use crate::stream::Stream;

/// How long a client has to take the farewell at the end of its stream.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Carries a stream until it is over or its client has left.
pub(super) struct Carrier {
    stream: Stream,
    /// How long the client still has, once the stream is over.
    patience: Option<Pin<Box<Sleep>>>,
    _pass: Pass,
}

impl Carrier {
    pub(super) fn new(mut stream: Stream, wire: Wire<impl Io>, mut pass: Pass) -> Self {
        pass.stays();
        stream.attach(Box::new(wire));
        Self { stream, patience: None, _pass: pass }
    }
}

impl Future for Carrier {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.poll_sent(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.patience.is_none() && self.stream.is_over() {
            self.patience = Some(Box::pin(sleep(FAREWELL)));
        }
        match &mut self.patience {
            Some(patience) => patience.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::socket::Socket;
    use tokio::net::TcpStream;

    /// In addition to the stream itself, and to what tokio needs for its task and its socket.
    #[test]
    fn a_stream_over_http_1_takes_two_blocks_of_64_bytes_more() {
        assert!(size_of::<Carrier>() <= 64, "{}", size_of::<Carrier>());
        // tokio uses 32 of these; mio adds 8 in a debug build, to check how it is used.
        let added = size_of::<Wire<Socket>>() - size_of::<TcpStream>();
        assert!(added <= 32, "{added}");
    }
}
