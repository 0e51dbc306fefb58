//! What is going on, read once for everybody who watches.
//!
//! Nobody is read for while nobody watches. Reading asks each room for its number, one after
//! the other, and takes at most a hundredth of one core's time: the more rooms there are, the
//! seldomer it is done.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::http::{Numbers, Overview};
use crate::name::Name;

/// The shortest time between two readings, which is also that between two frames of a feed;
/// and the longest, unless a single reading takes longer.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How many times the time that a reading took pass before the next.
const SHARE: u32 = 100;

/// What everybody sees.
pub(super) struct Board {
    overview: Overview,
    latest: watch::Sender<Arc<Reading>>,
    /// Told when somebody begins to watch.
    begun: Notify,
    /// Held by whoever reads.
    due: Mutex<Instant>,
}

/// The numbers at one moment.
pub(super) struct Reading {
    /// The rooms that have people, in their order.
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

/// What the rooms and the server come to.
#[derive(Serialize)]
pub(super) struct Totals {
    /// Once for each room that they are in.
    people: usize,
    rooms: usize,
    /// Streams that were opened and that ended in each of the last seconds; unknown if nobody
    /// watched before.
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

    /// The numbers as they were a moment ago, or as they are now.
    pub(super) fn read(&self) -> Arc<Reading> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, last) = (Instant::now(), self.latest.borrow().clone());
        if start < *due {
            return last;
        }
        let reading = Arc::new(Reading::of(&self.overview, Some(&last)));
        let pause = (start.elapsed() * SHARE).clamp(PAUSE, LONGEST_PAUSE);
        *due = Instant::now() + pause;
        self.latest.send_replace(reading.clone());
        reading
    }

    /// Watches: answers with what changes are told by.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Reading>> {
        let mut watch = self.latest.subscribe();
        self.begun.notify_one();
        self.read();
        // What was read for the one who comes is news to them.
        watch.mark_changed();
        watch
    }

    /// Reads for ever, while somebody watches.
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
        // What happened over a long time is no rate of now.
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

    /// The place of a row in the list, or where it would be.
    pub(super) fn after(&self, row: &Row) -> &[Row] {
        let place = self.rooms.partition_point(|other| other <= row);
        &self.rooms[place..]
    }
}

/// The largest first, and of equal ones by their names: a list that is read page by page stays
/// as it is.
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
