//! The last five minutes of every room, in memory, and each room's highest number.
//!
//! A room gets an entry only when it changes: one in which nothing happens has a single entry,
//! however long that lasts.

use std::collections::{HashMap, VecDeque};

use super::past::{Peak, Point, Step};
use crate::name::Name;
use crate::span::Stretch;

const STEPS: u32 = 60;
const DAY: u64 = 24 * 3600;

/// The numbers of each room in the last steps.
#[derive(Debug)]
pub(super) struct Recent {
    /// How many rooms are remembered at most. Those whose highest number is the smallest go
    /// first, and of equal ones those that had people the longest ago.
    max_rooms: usize,
    /// The number of the newest step. Steps are counted by a clock that can't be set.
    latest: u32,
    /// When that step began, by the wall clock.
    at: u64,
    /// The last steps, without those of which nothing is known.
    known: VecDeque<u32>,
    total: Track,
    rooms: HashMap<Name, Track>,
    /// The first step from which on rooms that are not in this map are known to have had
    /// nobody. In earlier steps a room may have had people and then been forgotten.
    known_from: u32,
}

/// One step of time, without the numbers of the rooms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// How many steps there were before it.
    pub(super) number: u32,
    /// When it began, in seconds since 1970.
    pub(super) at: u64,
    /// How long it lasted.
    pub(super) seconds: f64,
}

/// The numbers of a room in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    least: u32,
    mean: f32,
    most: u32,
}

#[derive(Debug, Default)]
struct Track {
    /// Its numbers, each with the step from which on they hold.
    runs: VecDeque<(u32, Reading)>,
    /// The first step for which the numbers are known.
    known_from: u32,
    /// The last step in which it had someone.
    seen: u32,
    /// The highest number of a day, and which day that is.
    today: usize,
    day: u64,
    ever: usize,
    ever_at: u64,
}

impl Recent {
    pub(super) fn new(max_rooms: usize) -> Self {
        Self {
            max_rooms,
            latest: 0,
            at: 0,
            known: VecDeque::new(),
            total: Track::default(),
            rooms: HashMap::new(),
            known_from: 0,
        }
    }

    /// Notes some of the rooms of a step that is not over yet.
    pub(super) fn note(&mut self, tick: Tick, rooms: &[(Name, Stretch)]) {
        for (name, stretch) in rooms {
            // The name is cloned only if the room is new here.
            if let Some(track) = self.rooms.get_mut(name) {
                track.note(tick, stretch);
            } else {
                let mut track = Track::new(self.known_from);
                track.note(tick, stretch);
                self.rooms.insert(name.clone(), track);
            }
        }
    }

    /// Ends a step: rooms that were not noted had nobody in them.
    pub(super) fn end(&mut self, tick: Tick, total: &Stretch) {
        self.total.note(tick, total);
        for track in self.rooms.values_mut().filter(|track| track.seen != tick.number) {
            track.push(tick.number, Reading::default());
        }
        (self.latest, self.at) = (tick.number, tick.at);
        self.known.push_back(tick.number);
        while self.known.front().is_some_and(|step| step + STEPS <= tick.number) {
            self.known.pop_front();
        }
        self.forget();
    }

    fn forget(&mut self) {
        let surplus = self.rooms.len().saturating_sub(self.max_rooms);
        if surplus == 0 {
            return;
        }
        let mut rooms: Vec<_> =
            self.rooms.iter().map(|(name, track)| ((track.ever, track.seen), name)).collect();
        rooms.select_nth_unstable_by_key(surplus - 1, |(rank, _)| *rank);
        let surplus: Vec<_> = rooms[..surplus].iter().map(|(_, name)| (*name).clone()).collect();
        for name in surplus {
            self.rooms.remove(&name);
        }
        self.known_from = self.latest + 1;
    }

    /// Takes over the highest numbers that a file has.
    pub(super) fn learn(&mut self, room: Option<&Name>, peak: Peak, day: u64) {
        let track = match room {
            None => &mut self.total,
            Some(name) => {
                let new = || Track::new(self.known_from);
                self.rooms.entry(name.clone()).or_insert_with(new)
            }
        };
        if peak.ever > track.ever {
            (track.ever, track.ever_at) = (peak.ever, peak.ever_at);
        }
        track.reach(peak.today, day);
    }

    /// The numbers of a room in each of the last steps of which anything is known; `None` is
    /// all rooms together.
    pub(super) fn points(&self, room: Option<&Name>) -> Vec<Point> {
        let track = self.track(room);
        let known_from = track.map_or(self.known_from, |track| track.known_from);
        let mut runs = track.into_iter().flat_map(|track| &track.runs).copied().peekable();
        let mut reading = Reading::default();
        let point = |step: &u32| {
            while let Some((_, next)) = runs.next_if(|(from, _)| from <= step) {
                reading = next;
            }
            let Reading { least, mean, most } = reading;
            let ago = u64::from(self.latest - step) * Step::Seconds.seconds();
            let (least, most) = (least as usize, most as usize);
            let mean = (f64::from(mean) * 100.0).round() / 100.0;
            Point { at: self.at.saturating_sub(ago), least, mean, most }
        };
        self.known.iter().filter(|step| **step >= known_from).map(point).collect()
    }

    /// The highest numbers of a room; `None` is all rooms together. `day` is today.
    pub(super) fn peak(&self, room: Option<&Name>, day: u64) -> Peak {
        self.track(room).map(|track| track.peak(day)).unwrap_or_default()
    }

    pub(super) fn peaks(&self, day: u64) -> Vec<(Name, Peak)> {
        self.rooms.iter().map(|(name, track)| (name.clone(), track.peak(day))).collect()
    }

    fn track(&self, room: Option<&Name>) -> Option<&Track> {
        room.map_or(Some(&self.total), |name| self.rooms.get(name))
    }
}

impl Track {
    fn new(known_from: u32) -> Self {
        Self { known_from, ..Self::default() }
    }

    fn note(&mut self, tick: Tick, stretch: &Stretch) {
        let small = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let (least, most) = (small(stretch.least), small(stretch.most));
        // If the area was measured a little after the end of the step, it may be a little too
        // large.
        let mean = (stretch.area / tick.seconds) as f32;
        let mean = mean.clamp(least as f32, most as f32);
        self.push(tick.number, Reading { least, mean, most });
        self.seen = tick.number;
        self.reach(stretch.most, tick.at / DAY);
        if stretch.most > self.ever {
            (self.ever, self.ever_at) = (stretch.most, tick.at);
        }
    }

    fn push(&mut self, step: u32, reading: Reading) {
        if self.runs.back().map_or(Reading::default(), |(_, last)| *last) != reading {
            self.runs.push_back((step, reading));
        }
        // The last entry before these steps stays, because it says with which numbers they
        // begin.
        while self.runs.get(1).is_some_and(|(from, _)| from + STEPS <= step) {
            self.runs.pop_front();
        }
    }

    fn reach(&mut self, count: usize, day: u64) {
        if day == self.day {
            self.today = self.today.max(count);
        } else {
            (self.today, self.day) = (count, day);
        }
    }

    fn peak(&self, day: u64) -> Peak {
        let today = if self.day == day { self.today } else { 0 };
        Peak { today, ever: self.ever, ever_at: self.ever_at }
    }
}

/// Which day a time is in, counted from 1970 (UTC).
pub(super) fn day(at: u64) -> u64 {
    at / DAY
}

/// When a day began.
pub(super) fn midnight(day: u64) -> u64 {
    day * DAY
}
