//! A member: one stream in the fan-out of one of its rooms. It knows what the stream was told
//! of that room, and what is due to it besides events.
//!
//! The fan-out of a stream's first room takes care of what is due to the stream as a whole:
//! its heartbeat, its end and the watch over its client.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::Terms;
use super::frame::Frame;
use super::line::{Line, PARTIAL, Told};
use super::watch::Watch;
use crate::ending::Reason;
use crate::event::{Change, Event};
use crate::room::Subscription;

/// One stream, as a member of a room.
pub(super) struct Member {
    line: Arc<Line>,
    /// Which of the stream's rooms this is.
    nth: u8,
    /// The last change that it was told of.
    told: Change,
    /// When something was last sent to it.
    sent: Instant,
    /// When it must end, and why. Boxed, because few have such a time.
    ends: Option<Box<(Instant, Reason)>>,
    watch: Watch,
    /// Whether the numbers are partial, as it was last told; `None` if it doesn't want to know.
    partial: Option<bool>,
}

/// An event for many streams, made into a frame once for all of them.
pub(super) struct News<'a> {
    event: &'a Event,
    subscription: &'a Subscription,
    frame: Frame,
    /// The frame that names the room, for streams of several rooms, if there are any.
    named: OnceLock<Frame>,
}

impl Member {
    /// A stream whose first frame is on its way, and tells it of this change of the room.
    pub(super) fn new(
        line: Arc<Line>,
        nth: u8,
        told: Change,
        sent: Instant,
        ends: Option<(Instant, Reason)>,
        partial: Option<bool>,
    ) -> Self {
        let watch = Watch::default();
        let mut member = Self { line, nth, told, sent, ends: None, watch, partial: None };
        if member.is_first() {
            (member.ends, member.partial) = (ends.map(Box::new), partial);
            member.watch.sent(sent);
        }
        member
    }

    /// The line and the room's index in it, by which a member is found.
    pub(super) fn id(&self) -> (Arc<Line>, u8) {
        (self.line.clone(), self.nth)
    }

    pub(super) fn is(&self, line: &Arc<Line>) -> bool {
        Arc::ptr_eq(&self.line, line)
    }

    pub(super) fn set_place(&self, place: usize) {
        self.line.set_place(self.nth, place);
    }

    fn is_first(&self) -> bool {
        self.nth == 0
    }

    /// Tells the stream of an event that is news to it.
    pub(super) fn tell(&mut self, news: &News<'_>, now: Instant, terms: &Terms) -> Told {
        let change = news.event.change();
        if !change.is_news_after(self.told) {
            return Told::default();
        }
        self.told = change;
        self.send(news, now, terms)
    }

    /// Whether it wants to know whether the numbers are partial.
    pub(super) fn wants_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Tells the stream whether the numbers are partial, if it wants to know and doesn't yet.
    pub(super) fn tell_partial(
        &mut self,
        is_partial: bool,
        frame: &Frame,
        now: Instant,
        terms: &Terms,
    ) -> Told {
        if self.partial.is_none_or(|told| told == is_partial) {
            return Told::default();
        }
        self.partial = Some(is_partial);
        let told = self.line.tell(PARTIAL, frame);
        if told.is_sent() {
            self.note_sent(now, now, terms);
        }
        told
    }

    fn send(&mut self, news: &News<'_>, now: Instant, terms: &Terms) -> Told {
        let told = self.line.tell(self.nth, news.frame_for(&self.line));
        if !told.is_sent() {
            return told;
        }
        if self.is_first() {
            self.note_sent(now, now, terms);
        } else {
            self.line.note_told_of_another(now);
        }
        told
    }

    /// Notes that something was sent at this time.
    fn note_sent(&mut self, sent: Instant, now: Instant, terms: &Terms) {
        if self.watch.due().is_none() {
            // The time allowed for noticing that the client has left began when something was
            // last sent, so in a lively room there is no need to look after each event.
            let heartbeat = self.sent + terms.heartbeat().longest();
            self.watch.sent(heartbeat.min(now + terms.patience.silent()).max(now));
        }
        self.sent = sent;
    }

    /// Does what is due: tells the number again, or ends the stream if its time has come or
    /// its client is gone.
    pub(super) fn look(&mut self, news: &News<'_>, now: Instant, terms: &Terms) -> Told {
        if !self.is_first() {
            return Told::default();
        }
        let mut told = Told::default();
        if now >= self.heartbeat(terms) {
            match self.line.told_of_another() {
                Some(sent) if sent > self.sent => self.note_sent(sent, now, terms),
                _ => {
                    // If this event is older than what the stream was told, news is on its way.
                    if !self.told.is_after(news.event.change()) {
                        self.told = news.event.change();
                        told = self.send(news, now, terms);
                    }
                    self.sent = now;
                }
            }
        }
        if let Some(ends) = self.ends.take_if(|ends| ends.0 <= now) {
            self.line.end(ends.1);
        }
        if self.watch.due().is_some_and(|due| due <= now) {
            match self.line.link() {
                Some(link) if self.watch.look(now, link, terms.patience) => {
                    self.line.lose(Reason::TimedOut);
                }
                Some(_) => {}
                // Nothing is known of the client, so the system must end the stream.
                None => self.watch = Watch::default(),
            }
        }
        told
    }

    /// When to look next.
    pub(super) fn next(&self, terms: &Terms) -> Option<Instant> {
        let heartbeat = self.is_first().then(|| self.heartbeat(terms));
        heartbeat.into_iter().chain(self.ends()).chain(self.watch()).min()
    }

    /// When it must end.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends.as_ref().map(|ends| ends.0)
    }

    /// When to look whether the client has taken what it was sent.
    pub(super) fn watch(&self) -> Option<Instant> {
        self.watch.due()
    }

    /// When it must be told the number again, if nothing is sent before.
    fn heartbeat(&self, terms: &Terms) -> Instant {
        self.sent + terms.heartbeat().silence(share(self.line.place(self.nth)))
    }

    /// Ends the stream at this time.
    pub(super) fn end_at(&mut self, instant: Instant, reason: Reason) {
        if self.is_first() {
            self.ends = Some(Box::new((instant, reason)));
        }
    }

    /// Gives up the stream: nothing can be told to it any more.
    pub(super) fn lose(&self, reason: Reason) {
        self.line.lose(reason);
    }
}

impl<'a> News<'a> {
    pub(super) fn new(event: &'a Event, subscription: &'a Subscription) -> Self {
        let frame = Frame::new(event.text());
        Self { event, subscription, frame, named: OnceLock::new() }
    }

    fn frame_for(&self, line: &Line) -> &Frame {
        if !line.is_of_several() {
            return &self.frame;
        }
        let name = || self.subscription.room().name();
        self.named.get_or_init(|| Frame::new(&self.event.text_of(name())))
    }
}

/// The share of a stream, from 0 to 1, by its place. Any number of successive places have
/// evenly spread shares (Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3,
/// section 6.4).
fn share(place: usize) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
    #[expect(clippy::cast_precision_loss, reason = "there are not so many streams")]
    let place = place as f64;
    (place * GOLDEN_RATIO).fract()
}
