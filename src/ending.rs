//! Why a stream ended.

use std::sync::{Arc, OnceLock};

/// The cause of a stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client closed the connection (FIN), or gave up its stream.
    ClientClosed,
    /// The client's side reset the connection (RST): killed, crashed, or it
    /// closed with unread events.
    Reset,
    /// The client acknowledged nothing for as long as is allowed.
    TimedOut,
    /// The client came back with its token and took over its own seat.
    Replaced,
    /// The stream reached the greatest age that is allowed.
    AgedOut,
    /// The server is stopping.
    Shutdown,
    /// The connection failed in some other way.
    Error,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Self; 7] = [
        Self::ClientClosed,
        Self::Reset,
        Self::TimedOut,
        Self::Replaced,
        Self::AgedOut,
        Self::Shutdown,
        Self::Error,
    ];

    /// The reason in words, as the log has it (`client closed`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client closed",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::Replaced => "replaced",
            Self::AgedOut => "aged out",
            Self::Shutdown => "shutdown",
            Self::Error => "error",
        }
    }
}

/// Where the cause of a stream's end is noted for the stream.
///
/// The socket knows about a reset and the drain about a shutdown, but the stream
/// itself is only dropped. They share this cell: the first cause noted is the
/// reason. If none was noted, the client gave up its stream.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    reason: OnceLock<Reason>,
    /// Where the end of the whole connection is noted, if it has many streams.
    connection: Option<Ending>,
}

impl Ending {
    /// The ending of one of many streams, where this is the ending of their connection. The
    /// stream ends for its own reason or, if it has none, for that of the connection.
    #[must_use]
    pub fn of_one_stream(&self) -> Self {
        let noted = Noted { connection: Some(self.clone()), ..Noted::default() };
        Self(Arc::new(noted))
    }

    /// Notes why the stream ends, unless a cause is noted already.
    pub fn note(&self, reason: Reason) {
        let _already_noted = self.0.reason.set(reason);
    }

    /// The cause that was noted first.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.noted().unwrap_or(Reason::ClientClosed)
    }

    fn noted(&self) -> Option<Reason> {
        let of_connection = || self.0.connection.as_ref()?.noted();
        self.0.reason.get().copied().or_else(of_connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stands() {
        let ending = Ending::default();
        assert_eq!(ending.reason(), Reason::ClientClosed);
        let socket = ending.clone();
        ending.note(Reason::Shutdown);
        socket.note(Reason::Reset);
        assert_eq!(ending.reason(), Reason::Shutdown);
    }

    #[test]
    fn a_stream_ends_for_a_cause_of_its_own_or_with_its_connection() {
        let connection = Ending::default();
        let (first, second) = (connection.of_one_stream(), connection.of_one_stream());
        first.note(Reason::AgedOut);
        assert_eq!(second.reason(), Reason::ClientClosed);
        connection.note(Reason::Reset);
        assert_eq!((first.reason(), second.reason()), (Reason::AgedOut, Reason::Reset));
    }

    #[test]
    fn every_reason_is_at_its_place() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
