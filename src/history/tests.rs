use super::*;
use crate::ending::Ending;
use crate::rooms::Stretches;
use crate::span::Stretch;
use minute::Batch;
use std::path::Path;
use store::Store;

mod file_tests;
mod kill;
mod measure;
mod store_tests;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

pub(super) fn stretch(least: usize, area: f64, most: usize) -> Stretch {
    Stretch { least, most, area }
}

pub(super) fn open(path: &Path) -> Store {
    drop(when_free(|| file::lock(path)));
    Store::open(path).expect("it opens")
}

/// Opens a file once nobody else has it. A process that another test starts at that moment has
/// a copy of each of our descriptors, until it becomes another program.
pub(super) fn when_free<T>(open: impl Fn() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match open() {
            Err(StoreError::InUse) if Instant::now() < deadline => thread::yield_now(),
            opened => return opened.expect("the file is ours"),
        }
    }
}

/// A minute that is known completely: the rooms, and all of them together.
pub(super) fn batch(at: u64, rooms: &[(&str, Stretch)]) -> Batch {
    let sum = |of: fn(&Stretch) -> usize| rooms.iter().map(|(_, stretch)| of(stretch)).sum();
    let area = rooms.iter().map(|(_, stretch)| stretch.area).sum();
    let total = stretch(sum(|it| it.least), area, sum(|it| it.most));
    let rooms = rooms.iter().map(|(room, stretch)| (name(room), *stretch)).collect();
    Batch { at, seconds: 60.0, total, rooms }
}

/// A collector whose steps and clock are set by a test.
struct Bench {
    collector: Collector,
    recent: Arc<Mutex<Recent>>,
    queue: Arc<Queue>,
    now: Instant,
    wall: f64,
}

impl Bench {
    /// The clock begins at the start of a minute.
    fn new(max_rooms: usize) -> Self {
        let recent = Arc::new(Mutex::new(Recent::new(max_rooms)));
        let (queue, tally, now) = (Arc::<Queue>::default(), Arc::default(), Instant::now());
        let of_bench = Some(queue.clone());
        let collector = Collector::new(recent.clone(), of_bench, tally, now);
        let mut bench = Self { collector, recent, queue, now, wall: 1_800_000_000.0 };
        // The step before, so that everything from here on is known.
        bench.step(0.0, &[], false);
        bench
    }

    fn step(&mut self, seconds: f64, rooms: &[(&str, Stretch)], is_partial: bool) {
        self.now += Duration::from_secs_f64(seconds);
        self.wall += seconds;
        let Batch { total, rooms, .. } = batch(0, rooms);
        let wall = Duration::from_secs_f64(self.wall);
        self.collector.step(self.now, wall, Stretches { total, rooms }, is_partial);
    }

    /// The fewest, the mean and the most of each of the last steps.
    fn recent(&self, room: &str) -> Vec<(usize, f64, usize)> {
        let points = self.recent.lock().expect("no panic").points(Some(&name(room)));
        points.iter().map(|point| (point.least, point.mean, point.most)).collect()
    }

    fn written(&self) -> Vec<Arc<Batch>> {
        let next = || {
            let batch = self.queue.first()?;
            self.queue.written(&batch);
            Some(batch)
        };
        std::iter::from_fn(next).collect()
    }
}

#[test]
fn the_last_five_minutes_are_kept_in_steps_of_five_seconds() {
    let mut bench = Bench::new(10);
    bench.step(5.0, &[("a", stretch(1, 10.0, 3))], false);
    // The thread is woken a little late, and the next time a little early.
    bench.step(5.02, &[("a", stretch(3, 15.0, 3))], false);
    bench.step(4.98, &[], false);
    assert_eq!(bench.recent("a"), [(1, 2.0, 3), (3, 3.0, 3), (0, 0.0, 0)]);
    assert_eq!(bench.recent("b"), [(0, 0.0, 0); 3], "nobody was there");
    let begin = bench.wall as u64 - 15;
    let points = bench.recent.lock().expect("no panic").points(None);
    assert_eq!(
        points.iter().map(|point| point.at).collect::<Vec<_>>(),
        [begin, begin + 5, begin + 10]
    );
    for _ in 0..57 {
        bench.step(5.0, &[("a", stretch(2, 10.0, 2))], false);
    }
    assert_eq!(bench.recent("a")[..4], [(1, 2.0, 3), (3, 3.0, 3), (0, 0.0, 0), (2, 2.0, 2)]);
    bench.step(5.0, &[("a", stretch(2, 10.0, 2))], false);
    let kept = bench.recent("a");
    assert_eq!((kept.len(), kept[0]), (60, (3, 3.0, 3)));
    // A number that does not change has one entry, however long it lasts.
    (0..100).for_each(|_| bench.step(5.0, &[("a", stretch(2, 10.0, 2))], false));
    assert_eq!(bench.recent("a"), [(2, 2.0, 2); 60]);
}

#[test]
fn time_in_which_people_may_be_missing_is_not_known() {
    let mut bench = Bench::new(10);
    bench.step(5.0, &[("a", stretch(5, 25.0, 5))], false);
    // Partial at the end, then at the beginning; the third step is whole again.
    bench.step(5.0, &[("a", stretch(1, 5.0, 5))], true);
    bench.step(5.0, &[("a", stretch(1, 5.0, 5))], false);
    bench.step(5.0, &[("a", stretch(5, 25.0, 5))], false);
    assert_eq!(bench.recent("a"), [(5, 5.0, 5); 2]);
    let at: Vec<_> =
        bench.recent.lock().expect("no panic").points(None).iter().map(|it| it.at).collect();
    assert_eq!(at[1] - at[0], 15);
    // A step in which the process was stopped for minutes is not known either.
    bench.step(400.0, &[("a", stretch(5, 2000.0, 5))], false);
    bench.step(5.0, &[("a", stretch(5, 25.0, 5))], false);
    assert_eq!(bench.recent("a").len(), 1);
    let [first] = &bench.written()[..] else { panic!("there is one minute") };
    assert_eq!((first.seconds, first.rooms[0].1), (10.0, stretch(5, 50.0, 5)));
}

#[test]
fn a_minute_is_put_together_from_its_steps_and_is_ready_when_it_ends() {
    let mut bench = Bench::new(2);
    for step in 0..11 {
        let b = stretch(1, 5.0, step + 1);
        let rooms = [("a", stretch(2, 15.0, 4)), ("b", b), ("c", stretch(0, 1.0, 1))];
        bench.step(5.0, if step == 3 { &rooms[..1] } else { &rooms }, false);
    }
    assert!(bench.written().is_empty());
    bench.step(5.0, &[("a", stretch(2, 15.0, 9))], false);
    let [minute] = &bench.written()[..] else { panic!("there is one minute") };
    assert_eq!((minute.at, minute.seconds), (1_800_000_000, 60.0));
    let mut rooms = minute.rooms.clone();
    rooms.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    // In some steps nobody was in `b` and `c`. They are more than are kept, which is not for the
    // minute to decide.
    let expected =
        [("a", stretch(2, 180.0, 9)), ("b", stretch(0, 50.0, 11)), ("c", stretch(0, 10.0, 1))];
    assert_eq!(rooms, expected.map(|(room, stretch)| (name(room), stretch)));
    assert_eq!(minute.total, stretch(2, 15.0 * 12.0 + 5.0 * 10.0 + 10.0, 16));
}

#[test]
fn what_the_clock_on_the_wall_does_loses_no_step() {
    let mut bench = Bench::new(10);
    let a = [("a", stretch(1, 5.0, 1))];
    bench.step(5.0, &a, false);
    bench.wall -= 3600.0;
    bench.step(5.0, &a, false);
    bench.wall += 86_400.0;
    bench.step(5.0, &a, false);
    bench.wall = 2.0;
    bench.step(5.0, &a, false);
    assert_eq!(bench.recent("a"), [(1, 1.0, 1); 4]);
    let seconds: Vec<_> =
        bench.written().iter().map(|minute| (minute.at, minute.seconds)).collect();
    let start = 1_800_000_000;
    assert_eq!(seconds, [(start, 5.0), (start - 3600, 5.0), (start - 3600 + 86_400, 5.0)]);
}

#[test]
fn of_too_many_rooms_the_smallest_go_and_nothing_is_known_of_them() {
    let mut bench = Bench::new(2);
    bench.step(5.0, &[("a", stretch(1, 5.0, 1)), ("b", stretch(1, 5.0, 1))], false);
    bench.step(5.0, &[("b", stretch(1, 5.0, 1))], false);
    bench.step(5.0, &[("c", stretch(1, 5.0, 1))], false);
    assert_eq!(bench.recent("a"), [], "it had somebody, and nobody knows any more");
    bench.step(5.0, &[("c", stretch(2, 10.0, 2))], false);
    assert_eq!((bench.recent("a"), bench.recent("c").len()), (vec![(0, 0.0, 0)], 4));
    // It comes back, and is known from then on; but not as long as it is the smallest.
    for _ in 0..2 {
        bench.step(5.0, &[("b", stretch(2, 10.0, 2)), ("a", stretch(1, 5.0, 1))], false);
        assert_eq!(bench.recent("a"), []);
    }
    bench.step(5.0, &[("a", stretch(3, 15.0, 3))], false);
    assert_eq!(bench.recent("a"), [(3, 3.0, 3)]);
    bench.step(5.0, &[("c", stretch(4, 20.0, 4)), ("d", stretch(1, 5.0, 1))], false);
    let recent = bench.recent.lock().expect("no panic");
    let mut rooms: Vec<_> =
        recent.peaks(0).into_iter().map(|(name, _)| name.as_str().to_owned()).collect();
    rooms.sort();
    assert_eq!(rooms, ["a", "c"]);
}

#[test]
fn a_peak_is_of_the_day_and_of_ever() {
    let mut recent = Recent::new(10);
    let day = recent::day(1_800_000_000);
    let a = name("a");
    let known = Peak { today: 7, ever: 9, ever_at: 5 };
    recent.learn(Some(&a), known, day);
    assert_eq!(recent.peak(Some(&a), day), known);
    let mut note = |number, at, most| {
        let tick = recent::Tick { number, at, seconds: 5.0 };
        recent.note(tick, &[(a.clone(), stretch(0, 0.0, most))]);
        recent.end(tick, &stretch(0, 0.0, most));
        recent.peak(Some(&a), recent::day(at))
    };
    assert_eq!(note(1, 1_800_000_000, 8), Peak { today: 8, ever: 9, ever_at: 5 });
    let next = recent::midnight(day + 1);
    assert_eq!(note(2, next, 3), Peak { today: 3, ever: 9, ever_at: 5 });
    assert_eq!(note(3, next + 5, 12), Peak { today: 12, ever: 12, ever_at: next + 5 });
    assert_eq!(recent.peak(Some(&a), day + 2).today, 0);
    assert_eq!(recent.peak(None, day + 1).ever, 12);
}

#[test]
fn what_cannot_be_written_for_long_is_given_up_from_the_oldest_on() {
    let queue = Queue::default();
    let lost: u64 = (0..2000).map(|minute| queue.push(batch(minute * 60, &[]))).sum();
    assert_eq!((lost, queue.len()), (560, 1440));
    assert_eq!(queue.first().expect("one waits").at, 560 * 60);
    let many: Vec<_> = (0..150_000).map(|_| ("a", stretch(1, 1.0, 1))).collect();
    assert_eq!(queue.push(batch(0, &many)), 1);
    assert_eq!(queue.push(batch(60, &many)), 1440);
    assert_eq!(queue.len(), 1);
}

#[test]
fn rooms_say_how_many_they_had_since_they_were_asked() {
    let rooms = Rooms::measured(2);
    let ask = || {
        let Stretches { total, mut rooms } = rooms.take_stretches().expect("it is measured");
        rooms.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        let range = |stretch: Stretch| (stretch.least, stretch.most);
        let rooms: Vec<_> =
            rooms.iter().map(|(room, it)| (room.as_str().to_owned(), range(*it))).collect();
        (range(total), rooms)
    };
    let join = |room| rooms.join(&name(room), Ending::default()).expect("a room");
    let a = || "a".to_owned();
    assert_eq!(ask(), ((0, 0), vec![]));
    let first = join("a");
    let second = join("a");
    assert_eq!(ask(), ((0, 2), vec![(a(), (0, 2))]));
    assert_eq!(ask(), ((2, 2), vec![(a(), (2, 2))]));
    // The room closes, and opens and closes again: it is still one room, with one person at
    // most.
    drop((first, second));
    (0..3).for_each(|_| drop(join("a")));
    assert_eq!(ask(), ((0, 2), vec![(a(), (0, 2))]));
    assert_eq!(ask(), ((0, 0), vec![]));
    // Rooms that are open one after the other have one person together.
    for room in ["a", "b", "c", "d", "e"] {
        drop(join(room));
    }
    let (total, of_rooms) = ask();
    assert_eq!((total, of_rooms.len()), ((0, 1), 2), "more closed than are remembered");
    assert!(Rooms::new(2).take_stretches().is_none());
}

#[test]
fn people_at_other_nodes_are_measured_whether_the_room_is_open_here_or_not() {
    let rooms = Rooms::measured(10);
    let elsewhere = |count| drop(rooms.exchange(&name("a"), Some(count), &[], &[]));
    let ask = || {
        let Stretches { total, rooms } = rooms.take_stretches().expect("it is measured");
        let of_room = rooms.first().map(|(_, it)| (it.least, it.most));
        assert_eq!(of_room.unwrap_or_default(), (total.least, total.most), "it is the only room");
        of_room
    };
    elsewhere(3);
    elsewhere(5);
    assert_eq!(ask(), Some((0, 5)));
    let here = rooms.join(&name("a"), Ending::default()).expect("a room");
    assert_eq!(ask(), Some((5, 6)));
    elsewhere(1);
    drop(here);
    assert_eq!(ask(), Some((1, 6)));
    assert_eq!(ask(), Some((1, 1)));
    elsewhere(0);
    assert_eq!(ask(), Some((0, 1)));
    assert_eq!(ask(), None);
}
