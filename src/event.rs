//! The wire form of `user count`: the bytes that every client gets.
//!
//! The format is the event stream of the HTML standard, section 9.2.6
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

use std::time::Duration;

use bytes::Bytes;

/// The name that a client listens for: `source.addEventListener('user count', …)`.
pub const NAME: &str = "user count";

/// One `user count` event, encoded.
///
/// It is made once for each change of a room and shared by reference with
/// every stream, however many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    count: usize,
    bytes: Bytes,
}

impl Event {
    /// Encodes the event that says `count` (`event: user count\ndata: 3\n\n`).
    #[must_use]
    pub fn new(count: usize) -> Self {
        let bytes = Bytes::from(format!("event: {NAME}\ndata: {count}\n\n"));
        Self { count, bytes }
    }

    /// The number that the event says.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The event as it is on the wire.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The first event of a stream
    /// (`retry: 3172\nid: 5c9e…\nevent: user count\ndata: 3\n\n`).
    ///
    /// `retry` is how long the client shall wait before it comes back, sent in
    /// whole milliseconds; `token` names this stream's seat, 32 hexadecimal
    /// digits, which a browser sends back by itself as `Last-Event-ID`.
    #[must_use]
    pub fn first(&self, retry: Duration, token: u128) -> Bytes {
        let mut head = format!("retry: {}\nid: {token:032x}\n", retry.as_millis()).into_bytes();
        head.extend_from_slice(&self.bytes);
        head.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_name_and_a_bare_number() {
        assert_eq!(&Event::new(3).bytes()[..], b"event: user count\ndata: 3\n\n");
        assert_eq!(&Event::new(0).bytes()[..], b"event: user count\ndata: 0\n\n");
        assert_eq!(
            Event::new(usize::MAX).bytes(),
            format!("event: user count\ndata: {}\n\n", usize::MAX)
        );
    }

    #[test]
    fn the_first_event_also_carries_retry_and_the_seats_token() {
        assert_eq!(
            &Event::new(3).first(Duration::from_millis(3172), 0x5c9e)[..],
            b"retry: 3172\nid: 00000000000000000000000000005c9e\nevent: user count\ndata: 3\n\n"
        );
    }

    #[test]
    fn every_copy_of_an_event_shares_its_bytes() {
        let event = Event::new(12);
        assert_eq!(event.bytes().as_ptr(), event.clone().bytes().as_ptr());
    }
}
