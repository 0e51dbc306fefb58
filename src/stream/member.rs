//! One stream in the fan-out of one of its rooms: what it was told of that room, and what
//! is due to it besides events.
//!
//! Of a stream's rooms, the fan-out of the first sees to all that is due to the stream as a
//! whole: its heartbeat, its end and the watch over its client.

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
    /// Which of its rooms this one is.
    nth: u8,
    /// The change that it was told of last.
    told: Change,
    /// When something was sent to it last.
    sent: Instant,
    /// When it is to end, and why. Boxed, for few have such a time.
    ends: Option<Box<(Instant, Reason)>>,
    watch: Watch,
    /// Whether it was told that the numbers are partial, if it wants to be told.
    partial: Option<bool>,
}

/// An event to be told to many, made a frame once for all of them.
pub(super) struct News<'a> {
    event: &'a Event,
    subscription: &'a Subscription,
    frame: Frame,
    /// For the streams of several rooms, if there are any.
    named: OnceLock<Frame>,
}

impl Member {
    /// A stream whose first frame is on its way, and told it of a change of this room.
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

    /// What it is found by.
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

    /// Tells the stream, unless it is no news to it.
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

    /// Tells the stream whether the numbers are partial, if it wants to know and doesn't.
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
            // Whoever left since the last time is to be found out in the time that is
            // allowed since then; in a lively room that need not be looked for each time.
            let heartbeat = self.sent + terms.heartbeat().longest();
            self.watch.sent(heartbeat.min(now + terms.patience.silent()).max(now));
        }
        self.sent = sent;
    }

    /// Does what is due: tells the number again, ends the stream whose time has come or
    /// whose client is gone.
    pub(super) fn look(&mut self, news: &News<'_>, now: Instant, terms: &Terms) -> Told {
        if !self.is_first() {
            return Told::default();
        }
        let mut told = Told::default();
        if now >= self.heartbeat(terms) {
            match self.line.told_of_another() {
                Some(sent) if sent > self.sent => self.note_sent(sent, now, terms),
                _ => {
                    // If it is older than what the stream was told, news is on its way.
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
                // Then it is the system that ends it.
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

    /// When it is to end.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends.as_ref().map(|ends| ends.0)
    }

    /// When to look whether the client has taken what it was sent.
    pub(super) fn watch(&self) -> Option<Instant> {
        self.watch.due()
    }

    /// When its number is to be said again, if nothing is sent before.
    fn heartbeat(&self, terms: &Terms) -> Instant {
        self.sent + terms.heartbeat().silence(share(self.line.place(self.nth)))
    }

    /// Has the stream end then.
    pub(super) fn end_at(&mut self, instant: Instant, reason: Reason) {
        if self.is_first() {
            self.ends = Some(Box::new((instant, reason)));
        }
    }

    /// Gives the stream up: nothing can be told to it any more.
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

/// The place of a stream among all, from 0 to 1. Of however many that follow each other,
/// the shares are spread evenly (Fibonacci hashing: Knuth, The Art of Computer
/// Programming, volume 3, section 6.4).
fn share(place: usize) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
    #[expect(clippy::cast_precision_loss, reason = "there are not so many streams")]
    let place = place as f64;
    (place * GOLDEN_RATIO).fract()
}
