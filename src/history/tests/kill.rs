//! A process that writes as fast as it can is killed, again and again.

use std::process::{Command, Stdio};

use super::*;

/// Names the file, in the process that is to be killed.
const FILE: &str = "HISTORY_TO_BE_KILLED_AT";
const KILLS: u32 = 50;

fn minute(at: u64) -> Batch {
    let people = (at / 60 % 100) as usize + 1;
    let names: Vec<_> = (0..100).map(|room| format!("room {room}")).collect();
    let stretch = stretch(people, 60.0 * people as f64, people);
    batch(at, &names.iter().map(|room| (room.as_str(), stretch)).collect::<Vec<_>>())
}

/// The process that is killed. By itself it is no test.
#[test]
#[ignore = "the test below runs it, and kills it"]
fn writes_until_it_is_killed() {
    let path = PathBuf::from(std::env::var_os(FILE).expect("it is run by the test below"));
    let mut store = open(&path);
    let mut at = store.peaks(0).expect("it can be read")[0].1.ever_at;
    loop {
        at += 60;
        let mut batch = minute(at);
        // So that it says where it was.
        batch.total.most = (at / 60) as usize;
        store.write(&batch, 1000).expect("it is written");
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_file_whatever_it_did() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.db");
    let mut written = 0;
    for kill in 0..KILLS {
        let this = std::env::current_exe().expect("it runs");
        let args = ["--exact", "--ignored", "history::tests::kill::writes_until_it_is_killed"];
        let mut child = Command::new(this)
            .args(args)
            .env(FILE, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        // Not before it has begun; then at any point of what it does.
        let deadline = Instant::now() + Duration::from_secs(20);
        let length = || file::size(&path);
        let before = length();
        while length() == before && Instant::now() < deadline {
            thread::yield_now();
        }
        thread::sleep(Duration::from_micros(u64::from(kill * kill % 97) * 400));
        assert_eq!(child.try_wait().expect("it is there"), None, "it has ended by itself");
        child.kill().expect("it is there");
        child.wait().expect("it has ended");

        let store = open(&path);
        let last = store.peaks(0).expect("it can be read")[0].1.ever_at;
        assert!(last >= written, "a minute is gone that was there: {last} after {written}");
        written = last;
    }
    let db = rusqlite::Connection::open(&path).expect("it opens");
    let check: String =
        db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it is checked");
    assert_eq!(check, "ok");
    // Each minute that is there is there with all of its rooms.
    let parts: usize = db
        .query_row(
            "SELECT count(*) FROM total_minute t
             WHERE (SELECT count(*) FROM room_minute r WHERE r.at = t.at) <> 100",
            [],
            |row| row.get(0),
        )
        .expect("it can be read");
    assert_eq!(parts, 0);
    assert!(written > 60 * u64::from(KILLS), "{written}");
}
