//! The mailbox: what a stream has not been told yet.

use std::collections::VecDeque;

use super::frame::Frame;
use crate::room;

/// The frames that wait for one client. A client that falls behind is told some more steps
/// and then the newest number of each room, never an older one after that.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Boxed, because most streams have nothing waiting, and what each event touches should
    /// be small.
    #[expect(clippy::box_collection, reason = "three words more for each stream")]
    waiting: Option<Box<VecDeque<Letter>>>,
    /// How many frames were taken out.
    taken: u64,
    /// Whether a room's newest frame replaces one that waits even if the mailbox is not full.
    only_newest: bool,
    /// Whether nothing follows what waits.
    closed: bool,
    /// Whether the client is gone, so that there is no use in telling it anything.
    lost: bool,
}

/// A frame, and which of the stream's rooms it is about, if it is about a single one.
type Letter = (Option<u8>, Frame);

impl Mailbox {
    /// A mailbox with the stream's first frame in it.
    pub(crate) fn new(first: Frame) -> Self {
        let waiting = Some(Box::new(VecDeque::from([(None, first)])));
        Self { waiting, taken: 0, only_newest: false, closed: false, lost: false }
    }

    /// Keeps only each room's newest frame from now on: the sink that empties this mailbox
    /// buffers another frame itself.
    pub(crate) fn keep_newest(&mut self) {
        self.only_newest = true;
    }

    /// Notes that the client was sent a frame that didn't have to wait here.
    pub(crate) fn pass(&mut self) {
        self.taken += 1;
    }

    /// Puts in a frame about the stream's room with this index. Returns whether another frame
    /// was given up for it.
    pub(crate) fn put(&mut self, room: u8, frame: Frame) -> bool {
        let depth = if self.only_newest { 0 } else { room::CAPACITY };
        let waiting = self.waiting.get_or_insert_default();
        let is_of_it = |letter: &Letter| letter.0 == Some(room);
        let full = waiting.len() > depth;
        let given_up = if full { waiting.iter().rposition(is_of_it) } else { None };
        given_up.map(|place| waiting.remove(place));
        waiting.push_back((Some(room), frame));
        given_up.is_some()
    }

    /// Puts in the last frame, if there is one, and accepts no more.
    pub(crate) fn close(&mut self, farewell: Option<Frame>) {
        if let Some(farewell) = farewell {
            self.waiting.get_or_insert_default().push_back((None, farewell));
        }
        self.closed = true;
    }

    /// Gives up what waits, and accepts no more.
    pub(crate) fn lose(&mut self) {
        self.waiting = None;
        (self.closed, self.lost) = (true, true);
    }

    /// Takes out the next frame.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let letter = self.waiting.as_mut()?.pop_front();
        self.taken += u64::from(letter.is_some());
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_empty()) {
            self.waiting = None;
        }
        letter.map(|(_, frame)| frame)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
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
        let mut mailbox = Mailbox::new(frame(1));
        for count in 2..=room::CAPACITY {
            assert!(!mailbox.put(0, frame(count)));
        }
        assert_eq!(all(&mut mailbox), (1..=room::CAPACITY).map(frame).collect::<Vec<_>>());
        assert!(mailbox.is_empty());
    }

    #[test]
    fn who_does_not_is_told_some_steps_and_then_the_newest() {
        let mut mailbox = Mailbox::new(frame(1));
        let given_up: usize = (2..=60).map(|count| usize::from(mailbox.put(0, frame(count)))).sum();
        let waited = all(&mut mailbox);
        assert_eq!(waited.len(), room::CAPACITY + 1);
        assert_eq!(waited.last(), Some(&frame(60)));
        assert_eq!(given_up, 60 - waited.len());
        mailbox.keep_newest();
        for count in [61, 62] {
            mailbox.put(0, frame(count));
        }
        assert_eq!(all(&mut mailbox), [frame(62)]);
    }

    #[test]
    fn the_newest_of_each_room_is_kept_and_of_all_no_more_than_a_few() {
        let mut mailbox = Mailbox::new(frame(1));
        for count in 2..=60 {
            mailbox.put(0, frame(count));
        }
        for count in 61..=120 {
            mailbox.put(1 + u8::try_from(count % 3).expect("a small one"), frame(count));
        }
        let waited = all(&mut mailbox);
        assert_eq!(waited[0], frame(1), "the first frame tells of all of them");
        assert_eq!(waited[room::CAPACITY..], [60, 118, 119, 120].map(frame));
        mailbox.keep_newest();
        for (room, count) in [(0, 1), (1, 2), (0, 3), (1, 4), (0, 5)] {
            mailbox.put(room, frame(count));
        }
        assert_eq!(all(&mut mailbox), [4, 5].map(frame));
    }

    #[test]
    fn the_farewell_is_the_last() {
        let mut mailbox = Mailbox::new(frame(1));
        mailbox.close(Some(Frame::new(b"retry: 250\n\n")));
        assert!(mailbox.is_closed());
        assert_eq!(all(&mut mailbox), [frame(1), Frame::new(b"retry: 250\n\n")]);
    }
}
