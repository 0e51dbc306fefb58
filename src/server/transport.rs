//! The transport: what HTTP is spoken over, and the socket under it.

use tokio::io::{AsyncRead, AsyncWrite};

use super::protocol::Rewound;
use super::socket::Socket;

/// What HTTP is spoken over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The socket under it; `None` if there is none.
    fn socket(&self) -> Option<&Socket>;
}

impl Io for Socket {
    fn socket(&self) -> Option<&Socket> {
        Some(self)
    }
}

impl<T: Io> Io for Box<T> {
    fn socket(&self) -> Option<&Socket> {
        (**self).socket()
    }
}

impl<T: Io> Io for Rewound<T> {
    fn socket(&self) -> Option<&Socket> {
        self.get_ref().socket()
    }
}

#[cfg(test)]
impl Io for tokio::io::DuplexStream {
    fn socket(&self) -> Option<&Socket> {
        None
    }
}
