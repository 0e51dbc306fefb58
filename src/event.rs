//! The wire form of `user count`: the bytes that every client gets.
//!
//! The format is the event stream of the HTML standard, section 9.2.6
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::name::Name;
use crate::ticket::Ticket;

/// The name that a client listens for: `source.addEventListener('user count', …)`.
pub const NAME: &str = "user count";

/// A change of a room's count: its number in that room, and the new count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    nth: u64,
    count: usize,
}

impl Change {
    /// Whether this is news to a client that was last told of `told`: it happened later, and
    /// the count is different. (After a merge it may be the same: somebody came and somebody
    /// went.)
    #[must_use]
    pub fn is_news_after(self, told: Self) -> bool {
        self.is_after(told) && self.count != told.count
    }

    /// Whether it happened later than `other`, in the same room.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        self.nth > other.nth
    }
}

/// One `user count` event, encoded once and shared by reference by all streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    change: Change,
    text: Bytes,
}

impl Event {
    /// Encodes the event that says `count` (`event: user count\ndata: 3\n\n`).
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self::of(Change { nth: 0, count })
    }

    /// Encodes the event of the room's next change, to `count`.
    #[must_use]
    pub fn next(&self, count: usize) -> Self {
        Self::of(Change { nth: self.change.nth + 1, count })
    }

    fn of(change: Change) -> Self {
        let text = format!("event: {NAME}\ndata: {}\n\n", change.count);
        Self { change, text: text.into() }
    }

    /// The number that the event says.
    #[must_use]
    pub fn count(&self) -> usize {
        self.change.count
    }

    /// The change that the event tells of.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }

    /// The event as a piece of an event stream.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The event for a stream of several rooms, one of which is this `room`
    /// (`event: user count\ndata: {"room":"blog","count":3}\n\n`).
    #[must_use]
    pub fn text_of(&self, room: &Name) -> Bytes {
        let (room, count) = (Value::from(room.as_str()), self.change.count);
        format!("event: {NAME}\ndata: {{\"room\":{room},\"count\":{count}}}\n\n").into()
    }
}

/// What a stream begins with, before its first event (`retry: 3172\nid: 5c9e…\n`).
///
/// `retry` is how long the client must wait before it comes back, sent in whole
/// milliseconds. `ticket` names this stream's seat, if it has one; browsers send it back
/// automatically as `Last-Event-ID`.
#[must_use]
pub fn preamble(retry: Duration, ticket: Option<&Ticket>) -> Bytes {
    let mut preamble = format!("retry: {}\n", retry.as_millis());
    if let Some(ticket) = ticket {
        preamble.push_str(&format!("id: {ticket}\n"));
    }
    preamble.into()
}

/// Tells a client after how long a silence the count is repeated, in whole milliseconds
/// (`event: keep-alive\ndata: 15000\n\n`).
#[must_use]
pub fn keep_alive(interval: Duration) -> Bytes {
    format!("event: keep-alive\ndata: {}\n\n", interval.as_millis()).into()
}

/// Tells a client whether the numbers are partial, so that some people may be missing from
/// them (`event: partial\ndata: true\n\n`).
#[must_use]
pub fn partial(is_partial: bool) -> Bytes {
    format!("event: partial\ndata: {is_partial}\n\n").into()
}

/// Gives a client another ticket to come back with (`id: 5c9e…\n\n`). A browser doesn't show
/// that to the page. A page that asked for the keep-alive is told it once more, and with that
/// event the ticket.
#[must_use]
pub fn ticket(ticket: &Ticket, interval: Option<Duration>) -> Bytes {
    let id = format!("id: {ticket}\n").into_bytes();
    let rest = interval.map_or_else(|| Bytes::from_static(b"\n"), keep_alive);
    [&id[..], &rest].concat().into()
}

/// Says only how long a client must wait before it comes back, in whole milliseconds
/// (`retry: 3172\n\n`).
#[must_use]
pub fn retry(retry: Duration) -> Bytes {
    format!("retry: {}\n\n", retry.as_millis()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_name_and_a_bare_number() {
        assert_eq!(&Event::new(3).text()[..], b"event: user count\ndata: 3\n\n");
        assert_eq!(&Event::new(0).text()[..], b"event: user count\ndata: 0\n\n");
        assert_eq!(
            *Event::new(usize::MAX).text(),
            format!("event: user count\ndata: {}\n\n", usize::MAX)
        );
    }

    #[test]
    fn a_keep_alive_is_told_in_milliseconds() {
        let told = keep_alive(Duration::from_millis(1500));
        assert_eq!(&told[..], b"event: keep-alive\ndata: 1500\n\n");
    }

    #[test]
    fn partial_is_true_or_false() {
        assert_eq!(&partial(true)[..], b"event: partial\ndata: true\n\n");
        assert_eq!(&partial(false)[..], b"event: partial\ndata: false\n\n");
    }

    #[test]
    fn a_stream_begins_with_retry_and_the_seats_token() {
        let ticket = "0000000000000000000000000000005c".parse().expect("a ticket");
        assert_eq!(
            &preamble(Duration::from_millis(3172), Some(&ticket))[..],
            b"retry: 3172\nid: 0000000000000000000000000000005c\n"
        );
        assert_eq!(&preamble(Duration::from_millis(3172), None)[..], b"retry: 3172\n");
    }

    #[test]
    fn a_ticket_comes_alone_or_with_the_keep_alive() {
        let given: Ticket = "0000000000000000000000000000005c0000000a".parse().expect("a ticket");
        let id = format!("id: {given}\n");
        assert_eq!(&ticket(&given, None)[..], format!("{id}\n").as_bytes());
        let told = ticket(&given, Some(Duration::from_secs(15)));
        assert_eq!(&told[..], format!("{id}event: keep-alive\ndata: 15000\n\n").as_bytes());
    }

    #[test]
    fn of_several_rooms_an_event_says_which() {
        for (room, json) in [("a", r#""a""#), ("\"\\/\u{2028}", "\"\\\"\\\\/\u{2028}\"")] {
            let text = Event::new(3).text_of(&Name::new(room).expect("a good name"));
            let text = std::str::from_utf8(&text).expect("text");
            let data = format!("{{\"room\":{json},\"count\":3}}");
            assert_eq!(text, format!("event: user count\ndata: {data}\n\n"));
        }
    }

    #[test]
    fn a_farewell_says_when_to_come_back() {
        assert_eq!(&retry(Duration::from_millis(250))[..], b"retry: 250\n\n");
    }

    #[test]
    fn news_is_what_happened_later_and_says_another_number() {
        let told = Event::new(1).next(2);
        let (later, same) = (told.next(3), told.next(3).next(2));
        assert!(later.change().is_news_after(told.change()));
        assert!(!told.change().is_news_after(later.change()), "it is older");
        assert!(!same.change().is_news_after(told.change()), "one came and one went");
        assert!(same.change().is_news_after(later.change()));
    }

    #[test]
    fn every_copy_of_an_event_shares_its_bytes() {
        let event = Event::new(12);
        assert_eq!(event.text().as_ptr(), event.clone().text().as_ptr());
    }
}
