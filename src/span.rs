//! How many people were in a room over a span of time: the fewest, the most, and the mean.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::sync::Mutex;

/// A number that changes, followed since it was last [taken](Span::take).
#[derive(Clone, Debug)]
pub(crate) struct Span {
    count: usize,
    since: Instant,
    stretch: Stretch,
}

/// What a number was over a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// The area under the number, in people times seconds.
    pub(crate) area: f64,
}

/// The span of a room and that of all rooms together. Both change in one step.
#[derive(Debug)]
pub(crate) struct Measure {
    span: Span,
    /// Each room takes this lock while it holds its own, and takes no other while it holds this
    /// one.
    total: Arc<Mutex<Span>>,
}

impl Span {
    /// A span that begins `now` with this many people.
    pub(crate) fn new(count: usize, now: Instant) -> Self {
        Self { count, since: now, stretch: Stretch::of(count) }
    }

    /// There are this many people from `now` on.
    pub(crate) fn change(&mut self, count: usize, now: Instant) {
        self.pass(now);
        self.count = count;
        self.stretch.least = self.stretch.least.min(count);
        self.stretch.most = self.stretch.most.max(count);
    }

    /// How many people there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Ends a stretch `now` and returns it. The next one begins.
    pub(crate) fn take(&mut self, now: Instant) -> Stretch {
        self.pass(now);
        std::mem::replace(&mut self.stretch, Stretch::of(self.count))
    }

    fn pass(&mut self, now: Instant) {
        // Threads read the clock before they take the lock, so one may come with an earlier
        // time than the one before it.
        self.stretch.area += self.count as f64 * now.duration_since(self.since).as_secs_f64();
        self.since = self.since.max(now);
    }
}

impl Stretch {
    fn of(count: usize) -> Self {
        Self { least: count, most: count, area: 0.0 }
    }
}

impl Measure {
    pub(crate) fn new(span: Span, total: Arc<Mutex<Span>>) -> Self {
        Self { span, total }
    }

    /// There are this many people in the room from now on.
    pub(crate) fn change(&mut self, count: usize) {
        change(&mut self.span, &self.total, count);
    }

    pub(crate) fn take(&mut self, now: Instant) -> Stretch {
        self.span.take(now)
    }

    pub(crate) fn into_span(self) -> Span {
        self.span
    }
}

/// Sets how many people are in a room from now on, and changes the total by the difference.
pub(crate) fn change(span: &mut Span, total: &Mutex<Span>, count: usize) {
    let now = Instant::now();
    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
    let others = total.count.saturating_sub(span.count);
    total.change(others + count, now);
    drop(total);
    span.change(count, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_stretch_has_the_fewest_the_most_and_the_area_between() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut span = Span::new(2, start);
        span.change(5, at(1));
        span.change(0, at(3));
        span.change(1, at(4));
        let first = span.take(at(10));
        assert_eq!(first, Stretch { least: 0, most: 5, area: 2.0 + 10.0 + 0.0 + 6.0 });
        // The next stretch begins with the number that the last one ended with.
        assert_eq!(span.take(at(12)), Stretch { least: 1, most: 1, area: 2.0 });
    }

    #[test]
    fn a_clock_that_was_read_too_early_takes_nothing_away() {
        let start = Instant::now();
        let mut span = Span::new(1, start + Duration::from_secs(2));
        span.change(3, start);
        let stretch = span.take(start + Duration::from_secs(3));
        assert_eq!(stretch, Stretch { least: 1, most: 3, area: 3.0 });
    }

    #[test]
    fn all_rooms_together_have_a_number_of_their_own() {
        let start = Instant::now();
        let total = Arc::new(Mutex::new(Span::new(0, start)));
        let mut rooms = [(); 2].map(|()| Measure::new(Span::new(0, start), total.clone()));
        // Two rooms have ten people, one after the other: there are never twenty.
        for room in &mut rooms {
            (0..=10).for_each(|count| room.change(count));
            (0..10).rev().for_each(|count| room.change(count));
        }
        let stretch = total.lock().expect("no panic").take(Instant::now());
        assert_eq!((stretch.least, stretch.most), (0, 10));
        let each = rooms.each_mut().map(|room| room.take(Instant::now()).most);
        assert_eq!(each, [10, 10]);
    }
}
