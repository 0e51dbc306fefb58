//! To whom the file belongs, and what becomes of one that can't be used.

use super::store_tests::{Place, START};
use super::*;

#[test]
fn no_name_of_a_file_is_one_of_sqlites_special_names() {
    for name in [":memory:", "file:nowhere.db?mode=memory"] {
        let opened =
            database::connect(Path::new(name), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE);
        assert!(opened.is_err(), "{name}: there is no such file");
    }
}

#[test]
fn a_file_that_is_in_use_or_another_programs_is_left_alone() {
    let place = Place::new();
    let rooms = Rooms::measured(10);
    let start = || History::start(&rooms, Some(place.path()), 10);
    let first = start().expect("the file is ours");
    assert!(matches!(start(), Err(HistoryError::InUse)));
    first.stop();
    drop(first);
    drop(open(&place.path()));
    let theirs = place.dir.path().join("theirs.db");
    let refused = |path: &Path| {
        let before = std::fs::read(path).ok();
        let why = History::start(&rooms, Some(path.into()), 10).expect_err("it is another's");
        assert_eq!(std::fs::read(path).ok(), before, "{why}");
        why
    };
    let settings = place.dir.path().join("headcount.env");
    for text in ["A=1", "no database, but longer than a header"] {
        std::fs::write(&settings, text).expect("it is written");
        assert!(matches!(refused(&settings), HistoryError::Foreign), "{text}");
    }
    let db = rusqlite::Connection::open(&theirs).expect("it opens");
    db.execute_batch("CREATE TABLE precious (it)").expect("it is made");
    assert!(matches!(refused(&theirs), HistoryError::Foreign));
    db.execute_batch("PRAGMA application_id = 0x48434e54; PRAGMA user_version = 2")
        .expect("it is written");
    assert!(matches!(refused(&theirs), HistoryError::Version(2)));
    for path in [place.dir.path(), Path::new("/dev/null")] {
        assert!(matches!(refused(path), HistoryError::NotAFile), "{}", path.display());
    }
}

#[test]
fn the_start_waits_for_no_program_that_has_the_file() {
    let place = Place::new();
    let other = rusqlite::Connection::open(place.path()).expect("it opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("it is free");
    let (queue, recent) = (Arc::<Queue>::default(), Arc::new(Mutex::new(Recent::new(10))));
    let tally = Arc::<HistoryTally>::default();
    let writer =
        when_free(|| Writer::new(place.path(), 10, queue.clone(), recent.clone(), tally.clone()));
    assert_eq!(tally.failures.get(), 0, "it has not tried yet");
    other.execute_batch("ROLLBACK").expect("it began");
    queue.push(batch(START, &[("a", stretch(1, 60.0, 1))]));
    queue.end();
    writer.run();
    assert_eq!((tally.written.get(), tally.failures.get()), (1, 0));
}

#[tokio::test]
async fn visitors_leave_half_of_the_questions_to_the_operator() {
    let place = Place::new();
    let start = || History::start(&Rooms::measured(10), Some(place.path()), 10);
    let history = when_free(|| start().map_err(|_| StoreError::InUse));
    // As if so many of theirs waited.
    let all = history.0.for_visitors.available_permits();
    assert_eq!(all, reader::MAX_WAITING / 2);
    let waiting = history.0.for_visitors.clone().try_acquire_many_owned(all as u32);
    let time = START..START + 60;
    let refused = history.past_for_visitors(None, time.clone(), Step::Minute).await;
    assert_eq!((refused, history.tally().busy.get()), (Err(NoPast::Busy), 1));
    assert_eq!(history.past(None, time.clone(), Step::Minute).await, Ok(vec![]));
    drop(waiting);
    // Each is given back once it has been answered.
    for _ in 0..2 * all {
        let step = Step::Minute;
        while history.past_for_visitors(None, time.clone(), step).await != Ok(vec![]) {
            thread::yield_now();
        }
    }
}

#[test]
fn a_file_that_is_damaged_is_set_aside_at_the_start_and_while_it_is_written() {
    let place = Place::new();
    let history = || {
        let (queue, recent) = (Arc::<Queue>::default(), Arc::new(Mutex::new(Recent::new(10))));
        let tally = Arc::<HistoryTally>::default();
        let writer = || Writer::new(place.path(), 10, queue.clone(), recent.clone(), tally.clone());
        (when_free(writer), queue.clone(), tally.clone())
    };
    let write = |times: u64| {
        let (writer, queue, tally) = history();
        for minute in 0..times {
            queue.push(batch(START + minute * 60, &[("a", stretch(1, 60.0, 1))]));
        }
        queue.end();
        writer.run();
        (tally.written.get(), tally.set_aside.get(), queue.len())
    };
    let damage = |from: usize| {
        place.ask("PRAGMA wal_checkpoint(TRUNCATE)");
        let mut bytes = std::fs::read(place.path()).expect("it is there");
        bytes[from..].fill(0xa5);
        std::fs::write(place.path(), bytes).expect("it is written");
    };
    // Only its header is whole.
    write(2);
    damage(100);
    assert_eq!(write(2), (2, 1, 0));
    let aside = place.dir.path().join("history.db.damaged-1");
    assert!(std::fs::read(aside).expect("it is kept").ends_with(&[0xa5; 1000]));
    // Its first page is whole, and the table that is written to is not.
    write(200);
    damage(4096);
    assert_eq!(write(3), (3, 1, 0));
    assert!(place.dir.path().join("history.db.damaged-2").exists());
    assert_eq!(place.ask("SELECT count(*) FROM room_minute"), 3);
    // Its beginning isn't whole, or nothing is.
    for nth in 3..=6 {
        write(2);
        place.ask("PRAGMA wal_checkpoint(TRUNCATE)");
        let mut bytes = std::fs::read(place.path()).expect("it is there");
        match nth {
            3 => bytes[..60].fill(0),
            4 => bytes[..100].fill(0xa5),
            5 => bytes[..4096].fill(0),
            _ => bytes = b"nothing of it".into(),
        }
        std::fs::write(place.path(), bytes).expect("it is written");
        assert_eq!(write(2), (2, 1, 0), "{nth}");
        assert!(place.dir.path().join(format!("history.db.damaged-{nth}")).exists());
    }
    // Somebody moves it away.
    let (writer, queue, _) = history();
    std::fs::remove_file(place.path()).expect("it is there");
    queue.push(batch(START, &[("a", stretch(1, 60.0, 1))]));
    queue.end();
    writer.run();
    assert_eq!(place.ask("SELECT count(*) FROM room_minute"), 1);
}
