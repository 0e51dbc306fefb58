//! Why a stream ended.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// The cause of a stream's end, as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client closed the connection (FIN), or gave up its stream.
    ClientClosed,
    /// The client's side reset the connection (RST): killed, crashed, or it
    /// closed with unread events.
    Reset,
    /// The client acknowledged nothing for the time that is allowed.
    TimedOut,
    /// The server is stopping.
    Shutdown,
    /// The connection failed in some other way.
    Error,
}

impl Reason {
    /// The reason in words (`client closed`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client closed",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::Shutdown => "shutdown",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the one who learns of a stream's end leaves word for the stream.
///
/// The socket knows of a reset and the drain of a shutdown, but the stream
/// itself is only dropped. They share this cell: the first cause noted is the
/// one told. When nobody noted any, the client gave up its stream.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<OnceLock<Reason>>);

impl Ending {
    /// Notes why the stream ends, unless a cause is noted already.
    pub fn note(&self, reason: Reason) {
        let _already_noted = self.0.set(reason);
    }

    /// The cause that was noted first.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.get().copied().unwrap_or(Reason::ClientClosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_the_one_told() {
        let ending = Ending::default();
        assert_eq!(ending.reason(), Reason::ClientClosed);
        let socket = ending.clone();
        ending.note(Reason::Shutdown);
        socket.note(Reason::Reset);
        assert_eq!(ending.reason(), Reason::Shutdown);
    }
}
