//! What a stream has yet to be told.

use std::collections::VecDeque;

use super::frame::Frame;
use crate::event::Change;
use crate::room;

/// The frames that wait for one client. Whoever falls behind is told some more steps and
/// then the newest number, never an old one after it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The change that was put in last.
    told: Change,
    /// How many wait before the newest takes the place of the one before it.
    depth: usize,
    /// Boxed, for most streams have none, and what is touched for each event shall be
    /// small.
    #[expect(clippy::box_collection, reason = "three words more for each stream")]
    waiting: Option<Box<VecDeque<Frame>>>,
    /// How many were taken out.
    taken: u64,
    /// What waits is the last.
    closed: bool,
}

impl Mailbox {
    /// A mailbox with the stream's first frame in it, which told of `change`.
    pub(crate) fn new(first: Frame, change: Change) -> Self {
        let waiting = Some(Box::new(VecDeque::from([first])));
        Self { told: change, depth: room::CAPACITY, waiting, taken: 0, closed: false }
    }

    /// Keeps only the newest from now on: what empties it has another frame in its hands.
    pub(crate) fn keep_newest(&mut self) {
        self.depth = 0;
    }

    /// Whether a change is news to this stream.
    pub(crate) fn is_news(&self, change: Change) -> bool {
        !self.closed && change.is_news_after(self.told)
    }

    /// Whether it is no older than what this stream was told.
    pub(crate) fn is_current(&self, change: Change) -> bool {
        !self.closed && !self.told.is_after(change)
    }

    /// Notes that the client was told of a change without waiting for it.
    pub(crate) fn pass(&mut self, change: Change) {
        self.told = change;
        self.taken += 1;
    }

    /// Puts a frame in. Answers whether another was given up for it.
    pub(crate) fn put(&mut self, change: Change, frame: Frame) -> bool {
        self.told = change;
        let waiting = self.waiting.get_or_insert_default();
        let full = waiting.len() > self.depth;
        if full {
            waiting.pop_back();
        }
        waiting.push_back(frame);
        full
    }

    /// Puts the last frame in, if there is one, and takes no more.
    pub(crate) fn close(&mut self, farewell: Option<Frame>) {
        if let Some(farewell) = farewell {
            self.waiting.get_or_insert_default().push_back(farewell);
        }
        self.closed = true;
    }

    /// Takes the next one out.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let frame = self.waiting.as_mut()?.pop_front();
        self.taken += u64::from(frame.is_some());
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_empty()) {
            self.waiting = None;
        }
        frame
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many frames were taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn frame(count: usize) -> Frame {
        Frame::new(Event::new(count).text())
    }

    fn all(mailbox: &mut Mailbox) -> Vec<Frame> {
        std::iter::from_fn(|| mailbox.take()).collect()
    }

    #[test]
    fn who_takes_what_comes_is_told_every_step() {
        let mut newest = Event::new(1);
        let mut mailbox = Mailbox::new(frame(1), newest.change());
        for count in 2..=room::CAPACITY {
            newest = newest.next(count);
            assert!(mailbox.is_news(newest.change()));
            assert!(!mailbox.put(newest.change(), frame(count)));
            assert!(!mailbox.is_news(newest.change()) && mailbox.is_current(newest.change()));
        }
        assert_eq!(all(&mut mailbox), (1..=room::CAPACITY).map(frame).collect::<Vec<_>>());
        assert!(mailbox.is_empty());
    }

    #[test]
    fn who_does_not_is_told_some_steps_and_then_the_newest() {
        let mut newest = Event::new(1);
        let mut mailbox = Mailbox::new(frame(1), newest.change());
        let mut given_up = 0;
        for count in 2..=60 {
            newest = newest.next(count);
            given_up += usize::from(mailbox.put(newest.change(), frame(count)));
        }
        let waited = all(&mut mailbox);
        assert_eq!(waited.len(), room::CAPACITY + 1);
        assert_eq!(waited.last(), Some(&frame(60)));
        assert_eq!(given_up, 60 - waited.len());
        mailbox.keep_newest();
        for count in [61, 62] {
            mailbox.put(newest.change(), frame(count));
        }
        assert_eq!(all(&mut mailbox), [frame(62)]);
    }

    #[test]
    fn the_farewell_is_the_last() {
        let first = Event::new(1);
        let mut mailbox = Mailbox::new(frame(1), first.change());
        mailbox.close(Some(Frame::new(b"retry: 250\n\n")));
        assert!(!mailbox.is_news(first.next(2).change()));
        assert!(!mailbox.is_current(first.change()));
        assert_eq!(all(&mut mailbox), [frame(1), Frame::new(b"retry: 250\n\n")]);
    }
}
