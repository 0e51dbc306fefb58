//! What the file has, and for how long.

use super::*;

pub(super) const START: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("history.db")
    }

    pub(super) fn open(&self) -> Store {
        open(&self.path())
    }

    /// A number that a query answers with.
    pub(super) fn ask(&self, sql: &str) -> u64 {
        let db = rusqlite::Connection::open(self.path()).expect("it opens");
        db.query_row(sql, [], |row| row.get(0)).expect("an answer")
    }

    /// When, the fewest, the mean and the most.
    async fn past(
        &self,
        room: Option<&str>,
        time: Range<u64>,
        step: Step,
    ) -> Vec<(u64, usize, f64, usize)> {
        let (ask, asked) = mpsc::sync_channel(1);
        let (answer, answered) = oneshot::channel();
        let (room, path) = (room.map(name), self.path());
        ask.send(Question { room, time, step, answer, _permit: None }).expect("it waits");
        drop(ask);
        reader::run(&path, &asked, &HistoryTally::default());
        let points = answered.await.expect("an answer").expect("the file can be read");
        points.iter().map(|it| (it.at, it.least, it.mean, it.most)).collect()
    }
}

#[tokio::test]
async fn a_minute_is_read_as_it_was_written_and_a_room_that_is_not_in_it_had_nobody() {
    let place = Place::new();
    let mut store = place.open();
    let (a, b) = (stretch(1, 90.0, 2), stretch(0, 30.0, 7));
    store.write(&batch(START, &[("a", a), ("b", b)]), 10).expect("it is written");
    store.write(&batch(START + 120, &[("a", a)]), 10).expect("it is written");
    let time = START..START + 180;
    let of_a = place.past(Some("a"), time.clone(), Step::Minute).await;
    assert_eq!(of_a, [(START, 1, 1.5, 2), (START + 120, 1, 1.5, 2)]);
    let of_b = place.past(Some("b"), time.clone(), Step::Minute).await;
    assert_eq!(of_b, [(START, 0, 0.5, 7), (START + 120, 0, 0.0, 0)]);
    let of_nobody = place.past(Some("c"), time.clone(), Step::Minute).await;
    assert_eq!(of_nobody, [(START, 0, 0.0, 0), (START + 120, 0, 0.0, 0)]);
    let of_all = place.past(None, time, Step::Minute).await;
    assert_eq!(of_all, [(START, 1, 2.0, 9), (START + 120, 1, 1.5, 2)]);
    assert_eq!(place.past(None, START..START, Step::Minute).await, []);
    // What the docs say of the file.
    assert_eq!(place.ask("SELECT most FROM minutes WHERE room = 'b' AND mean = 0.5"), 7);
    assert_eq!(place.ask("SELECT most FROM peaks WHERE room = 'b'"), 7);
}

#[tokio::test]
async fn minutes_become_hours_and_the_hour_that_goes_on_is_there_too() {
    let place = Place::new();
    let mut store = place.open();
    for minute in 0..90 {
        let a = stretch(2, 120.0, 2 + minute as usize);
        let both = [("a", a), ("b", stretch(3, 180.0, 3))];
        // `b` is there for half an hour.
        let rooms = if minute < 30 { &both[..] } else { &both[..1] };
        store.write(&batch(START + minute * 60, rooms), 10).expect("it is written");
    }
    let hours = [(START, 2, 2.0, 61), (START + HOUR, 2, 2.0, 91)];
    let time = START - DAY..START + DAY;
    assert_eq!(place.past(Some("a"), time.clone(), Step::Hour).await, hours);
    let of_b = place.past(Some("b"), time.clone(), Step::Hour).await;
    assert_eq!(of_b, [(START, 0, 1.5, 3), (START + HOUR, 0, 0.0, 0)]);
    let total = place.past(None, time.clone(), Step::Hour).await;
    assert_eq!(total, [(START, 2, 3.5, 61), (START + HOUR, 2, 2.0, 91)]);
    assert_eq!(place.ask("SELECT count(*) FROM total_hour"), 1);
    // The next process puts together what the last one could not.
    drop(store);
    let rooms = [("a", stretch(1, 60.0, 1))];
    place.open().write(&batch(START + 3 * HOUR, &rooms), 10).expect("it is written");
    assert_eq!(place.ask("SELECT count(*) FROM total_hour"), 2);
    let later = [(START + 3 * HOUR, 1, 1.0, 1)];
    assert_eq!(place.past(Some("a"), time, Step::Hour).await, [&hours[..], &later].concat());
}

#[tokio::test]
async fn a_minute_that_two_processes_wrote_parts_of_is_both_together() {
    let place = Place::new();
    let half = |rooms: &[_]| Batch { seconds: 30.0, ..batch(START, rooms) };
    let (a, b) = (("a", stretch(2, 60.0, 2)), ("b", stretch(4, 120.0, 4)));
    place.open().write(&half(&[a, b]), 10).expect("it is written");
    place.open().write(&half(&[a, ("c", stretch(1, 30.0, 1))]), 10).expect("it is written");
    let time = START..START + 60;
    for (room, expected) in [("a", (2, 2.0, 2)), ("b", (0, 2.0, 4)), ("c", (0, 0.5, 1))] {
        let (least, mean, most) = expected;
        let past = place.past(Some(room), time.clone(), Step::Minute).await;
        assert_eq!(past, [(START, least, mean, most)], "{room}");
    }
    assert_eq!(place.past(None, time, Step::Minute).await, [(START, 3, 4.5, 6)]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_adds_to_minutes_and_hours_that_were() {
    let place = Place::new();
    let mut store = place.open();
    let mut write = |minute: u64, people: usize| {
        let a = stretch(people, 60.0 * people as f64, people);
        store.write(&batch(START + minute * 60, &[("a", a)]), 10).expect("it is written");
    };
    (0..65).for_each(|minute| write(minute, 2));
    // Back by an hour, and on for two: what was is there twice, with both numbers.
    (5..125).for_each(|minute| write(minute, 4));
    let past = place.past(Some("a"), START..START + DAY, Step::Minute).await;
    assert_eq!(past.len(), 125, "each minute is there once");
    assert_eq!((past[4], past[5]), ((START + 240, 2, 2.0, 2), (START + 300, 2, 3.0, 4)));
    assert_eq!(past[65], (START + 65 * 60, 4, 4.0, 4));
    let hours = place.past(Some("a"), START..START + DAY, Step::Hour).await;
    let mean: f64 = 2.0 * 60.0 / 115.0 + 4.0 * 55.0 / 115.0;
    assert_eq!(hours[0], (START, 2, (mean * 100.0).round() / 100.0, 4));
    assert_eq!(hours.len(), 3);
}

#[test]
fn minutes_are_kept_for_two_days_and_hours_for_four_hundred() {
    let place = Place::new();
    let mut store = place.open();
    let a = [("a", stretch(1, 60.0, 1))];
    store.write(&batch(START, &a), 10).expect("it is written");
    // What would have been written in all that time.
    for (step, length) in [("minute", 60), ("hour", HOUR)] {
        let steps = format!(
            "WITH RECURSIVE step (at) AS
               (SELECT {START} UNION ALL SELECT at + {length} FROM step LIMIT 10000)"
        );
        let db = rusqlite::Connection::open(place.path()).expect("it opens");
        let rows = format!(
            "INSERT OR REPLACE INTO total_{step} {steps} SELECT at, {length}, 1, {length}, 1 FROM step;
             INSERT OR REPLACE INTO room_{step} {steps} SELECT at, 1, 1, {length}, 1 FROM step;"
        );
        db.execute_batch(&rows).expect("it is written");
    }
    let right = START + 10_000 * HOUR;
    let count = |table: &str| place.ask(&format!("SELECT count(*) FROM {table}"));
    let counts = || ["total_minute", "room_minute", "total_hour", "room_hour"].map(count);
    store.write(&batch(right, &a), 10).expect("it is written");
    assert_eq!(counts(), [2880, 2880, 9600, 9600]);
    assert_eq!(place.ask("SELECT min(at) FROM room_hour"), START + 400 * HOUR);
    assert_eq!(place.ask("SELECT min(at) FROM room_minute"), START + (10_000 - 2879) * 60);
    // A clock that goes wrong, by ten years on and by fifty back, costs no more than the
    // oldest.
    store.write(&batch(right + 10 * 365 * DAY, &a), 10).expect("it is written");
    store.write(&batch(0, &a), 10).expect("it is written");
    store.write(&batch(right + 60, &a), 10).expect("it is written");
    assert_eq!(place.ask("SELECT min(at) FROM total_minute"), START + (10_000 - 2878) * 60);
    assert!(place.ask("SELECT count(*) FROM total_hour") > 9600);
    assert_eq!(place.ask("SELECT count(*) FROM total_minute WHERE at > 0"), 2881);
}

#[tokio::test]
async fn the_same_question_is_answered_from_memory_until_another_minute_is_written() {
    let place = Place::new();
    let a = [("a", stretch(1, 60.0, 1))];
    place.open().write(&batch(START, &a), 10).expect("it is written");
    let start = || History::start(&Rooms::measured(10), Some(place.path()), 10);
    let history = when_free(|| start().map_err(|_| StoreError::InUse));
    let points = async |end| {
        let past = history.past(Some(&name("a")), START..end, Step::Minute).await;
        past.expect("the file can be read").len()
    };
    assert_eq!(points(START + 130).await, 1);
    let db = rusqlite::Connection::open(place.path()).expect("it opens");
    db.execute("INSERT INTO total_minute SELECT at + 60, 60, 0, 0, 0 FROM total_minute", [])
        .expect("it is written");
    // Another second of the same minute.
    assert_eq!(points(START + 150).await, 1);
    assert_eq!(points(START + 190).await, 2);
    history.tally().written.count();
    assert_eq!(points(START + 130).await, 2);
}

#[tokio::test]
async fn a_stranger_who_visits_any_number_of_rooms_alone_pushes_out_none_that_had_more() {
    let place = Place::new();
    let mut store = place.open();
    let past = [("lobby", stretch(0, 90.0, 2)), ("alone", stretch(1, 60.0, 1))];
    store.write(&batch(START, &past), 3).expect("it is written");
    let mut visit = |minute: u64, rooms: &[&str]| {
        let rooms: Vec<_> = rooms.iter().map(|room| (*room, stretch(0, 5.0, 1))).collect();
        store.write(&batch(START + minute * 60, &rooms), 3).expect("it is written")
    };
    assert_eq!(visit(1, &["1", "2", "3"]), 2);
    assert_eq!(visit(2, &["4", "5", "6"]), 3);
    assert_eq!(place.ask("SELECT count(*) FROM room WHERE name = 'lobby'"), 1);
    assert_eq!(place.ask("SELECT count(*) FROM room WHERE id > 0"), 3);
    let time = START..START + 60;
    assert_eq!(place.past(Some("lobby"), time.clone(), Step::Minute).await.len(), 1);
    let of_forgotten = place.past(Some("alone"), time, Step::Minute).await;
    assert_eq!(of_forgotten, [], "it had somebody, and nobody knows any more");
}

#[tokio::test]
async fn a_file_that_makes_no_sense_is_read_as_well_as_it_can_be_or_is_damaged() {
    let place = Place::new();
    let write = |sql: &str| {
        let db = rusqlite::Connection::open(place.path()).expect("it opens");
        db.execute_batch(sql).expect("it is written");
    };
    place.open().write(&batch(START, &[("a", stretch(1, 60.0, 1))]), 10).expect("it is written");
    write("UPDATE total_minute SET least = 5");
    let past = place.past(None, START..START + 60, Step::Minute).await;
    assert_eq!(past, [(START, 5, 1.0, 1)]);
    for damage in ["UPDATE room SET most = -1", "UPDATE room SET most = 1; DROP TABLE room_hour"] {
        write(damage);
        let opened = Store::open(&place.path());
        let written = opened.and_then(|mut store| store.write(&batch(START + 2 * HOUR, &[]), 10));
        assert!(matches!(written, Err(StoreError::Damaged(_))), "{damage}: {written:?}");
    }
}

#[tokio::test]
async fn any_time_can_be_asked_for() {
    let place = Place::new();
    let start = || History::start(&Rooms::measured(10), Some(place.path()), 10);
    let history = when_free(|| start().map_err(|_| StoreError::InUse));
    for time in [0..u64::MAX, u64::MAX - 1..u64::MAX, u64::MAX..u64::MAX] {
        for step in [Step::Seconds, Step::Minute, Step::Hour] {
            let past = history.past(None, time.clone(), step).await;
            assert_eq!(past, Ok(vec![]), "{time:?}");
        }
    }
}

#[test]
fn of_equal_rooms_that_are_too_many_the_least_recently_used_are_forgotten() {
    let place = Place::new();
    let mut store = place.open();
    let one = stretch(1, 60.0, 1);
    for (minute, rooms) in [["a", "b"], ["b", "c"], ["c", "d"]].iter().enumerate() {
        let rooms = rooms.map(|room| (room, one));
        let at = START + minute as u64 * 60;
        let evicted = store.write(&batch(at, &rooms), 3).expect("it is written");
        assert_eq!(evicted, usize::from(minute == 2));
    }
    assert_eq!(place.ask("SELECT count(*) FROM room WHERE id > 0"), 3);
    assert_eq!(place.ask("SELECT count(*) FROM room WHERE name = 'a'"), 0);
    assert_eq!(place.ask("SELECT count(*) FROM minutes WHERE room = 'b'"), 2);
    // Who comes back begins anew, and has nothing of what another was.
    store.write(&batch(START + 180, &[("a", one)]), 3).expect("it is written");
    assert_eq!(place.ask("SELECT count(*) FROM minutes WHERE room = 'a'"), 1);
}

#[tokio::test]
async fn of_a_room_that_was_given_up_nothing_is_known_until_it_is_kept() {
    let place = Place::new();
    let mut store = place.open();
    let [few, many, lots] = [1, 2, 3].map(|most| stretch(most, 60.0 * most as f64, most));
    let mut write = |minute: u64, rooms: &[(&str, Stretch)]| {
        store.write(&batch(START + minute * 60, rooms), 2).expect("it is written")
    };
    assert_eq!(write(0, &[("a", lots)]), 0);
    let time = START..START + 240;
    let past = async |room| place.past(Some(room), time.clone(), Step::Minute).await;
    assert_eq!(past("c").await, [(START, 0, 0.0, 0)], "no room was given up, so it had nobody");

    // Who has few people now had most of all once.
    assert_eq!(write(1, &[("a", few), ("b", lots), ("c", many), ("d", many)]), 2);
    assert_eq!(past("a").await, [(START, 3, 3.0, 3), (START + 60, 1, 1.0, 1)]);
    assert_eq!(past("b").await, [(START, 0, 0.0, 0), (START + 60, 3, 3.0, 3)]);
    for room in ["c", "d", "never"] {
        assert_eq!(past(room).await, [], "{room}");
    }

    assert_eq!(write(2, &[("c", lots)]), 1);
    assert_eq!(past("c").await, [(START + 120, 3, 3.0, 3)]);
    assert_eq!(past("b").await, []);
    // In an hour that is put together, too.
    assert_eq!(write(70, &[("c", lots)]), 0);
    let hours = place.past(Some("c"), START..START + 2 * HOUR, Step::Hour).await;
    assert_eq!(hours, [(START + HOUR, 3, 3.0, 3)]);
}
