//! The numbers that the dashboard shows, read once for everybody who watches.
//!
//! Nothing is read while nobody watches. A reading asks each room for its number, one after
//! the other. Readings take at most a hundredth of one core's time: with many rooms, there
//! are fewer of them.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::http::{Numbers, Overview};
use crate::name::Name;

/// The shortest pause between two readings, and between two frames of a feed.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two readings while somebody watches.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The pause after a reading, in multiples of the time that it took.
const PAUSE_FACTOR: u32 = 100;

/// The newest reading, and those who wait for the next.
pub(super) struct Board {
    overview: Overview,
    latest: watch::Sender<Arc<Reading>>,
    /// Notified when somebody begins to watch.
    begun: Notify,
    /// When the next reading may be taken. The lock is held while one is taken.
    due: Mutex<Instant>,
}

/// The numbers at one moment.
pub(super) struct Reading {
    /// The rooms that have people, sorted.
    pub(super) rooms: Vec<Row>,
    pub(super) totals: Totals,
    at: Instant,
}

/// A room that has people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) room: Name,
    pub(super) count: usize,
}

/// The numbers of the server as a whole.
#[derive(Serialize)]
pub(super) struct Totals {
    /// Each person counts once for every room that they are in.
    people: usize,
    rooms: usize,
    /// Streams that opened, and that ended, per second since the last reading; unknown if that
    /// was too long ago.
    joins: Option<f64>,
    leaves: Option<f64>,
    #[serde(flatten)]
    numbers: Numbers,
}

impl Board {
    pub(super) fn new(overview: Overview) -> Arc<Self> {
        let latest = watch::Sender::new(Arc::new(Reading::of(&overview, None)));
        let due = Mutex::new(Instant::now());
        Arc::new(Self { overview, latest, begun: Notify::new(), due })
    }

    pub(super) fn overview(&self) -> &Overview {
        &self.overview
    }

    /// The newest reading; if it is old enough, a new one is taken.
    pub(super) fn read(&self) -> Arc<Reading> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, last) = (Instant::now(), self.latest.borrow().clone());
        if start < *due {
            return last;
        }
        let reading = Arc::new(Reading::of(&self.overview, Some(&last)));
        let pause = (start.elapsed() * PAUSE_FACTOR).clamp(PAUSE, LONGEST_PAUSE);
        *due = Instant::now() + pause;
        self.latest.send_replace(reading.clone());
        reading
    }

    /// Begins to watch. The receiver has a reading to show at once.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Reading>> {
        let mut watch = self.latest.subscribe();
        self.begun.notify_one();
        self.read();
        // Even if it was taken for others, it is new to this watcher.
        watch.mark_changed();
        watch
    }

    /// Takes readings forever, whenever somebody watches.
    pub(super) async fn keep_reading(self: Arc<Self>) {
        loop {
            if self.latest.receiver_count() == 0 {
                self.begun.notified().await;
            }
            self.read();
            let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
            sleep(due.saturating_duration_since(Instant::now())).await;
        }
    }
}

impl Reading {
    pub(super) fn of(overview: &Overview, last: Option<&Self>) -> Self {
        let counts = overview.rooms().counts().into_iter().filter(|(_, count)| *count > 0);
        let mut rooms: Vec<_> = counts.map(|(room, count)| Row { room, count }).collect();
        rooms.sort_unstable();
        let (at, numbers) = (Instant::now(), overview.numbers());
        let before = last.map(|last| (at - last.at, &last.totals.numbers));
        // An average over a long time says nothing about now.
        let before = before.filter(|(time, _)| !time.is_zero() && *time < 2 * LONGEST_PAUSE);
        let rate = |of: fn(&Numbers) -> u64| {
            let (time, before) = before?;
            let rate = of(&numbers).saturating_sub(of(before)) as f64 / time.as_secs_f64();
            Some((rate * 10.0).round() / 10.0)
        };
        let totals = Totals {
            people: rooms.iter().map(|row| row.count).sum(),
            rooms: rooms.len(),
            joins: rate(|numbers| numbers.joins),
            leaves: rate(|numbers| numbers.leaves),
            numbers,
        };
        Self { rooms, totals, at }
    }

    /// The rows after this one, or after the place where it would be.
    pub(super) fn after(&self, row: &Row) -> &[Row] {
        let place = self.rooms.partition_point(|other| other <= row);
        &self.rooms[place..]
    }
}

/// The largest first, and equal ones by name, so that a list which is read page by page has a
/// fixed order.
impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_name = || self.room.as_str().cmp(other.room.as_str());
        other.count.cmp(&self.count).then_with(by_name)
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
