use super::found::TOO_OLD;
use super::record::{ROOM_SLOTS, sum_up};
use super::*;
use tempfile::TempDir;

/// A file in its own directory.
struct Scratch {
    directory: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("seats")
    }

    /// A process whose predecessor's clients have had the time to come back.
    fn open(&self) -> SeatsFile {
        let file = SeatsFile::open(&self.path()).expect("the file");
        file.settle();
        file
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("the file")
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn write(file: &SeatsFile, token: Token, rooms: &[&str]) -> Box<dyn Entry> {
    let names: Vec<_> = rooms.iter().map(|room| name(room)).collect();
    file.register().write(token, &names.iter().collect::<Vec<_>>(), None)
}

/// The seats that are found in the file, sorted.
fn left(file: &SeatsFile) -> Vec<(String, Vec<String>)> {
    let left = file.left();
    let rooms = |left: &FoundSeat| {
        let mut rooms: Vec<_> = left.slots.iter().map(|(_, r)| r.as_str().to_owned()).collect();
        rooms.sort();
        rooms
    };
    let mut left: Vec<_> = left.iter().map(|left| (left.token.to_string(), rooms(left))).collect();
    left.sort();
    left
}

fn token(number: u8) -> Token {
    Token::from_bytes([number; 16])
}

fn seat(number: u8, rooms: &[&str]) -> (String, Vec<String>) {
    (token(number).to_string(), rooms.iter().map(|&room| room.to_owned()).collect())
}

/// Ends a process' use of the file, as if it had been killed: nothing is struck out.
fn kill(file: SeatsFile, entries: Vec<Box<dyn Entry>>) {
    entries.into_iter().for_each(Entry::stay);
    let register = Arc::downgrade(&file.register);
    drop(file);
    // The thread that notes that this process is alive may be doing so now.
    for _ in 0..10_000 {
        if register.strong_count() == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("somebody has the file still");
}

#[test]
fn the_next_process_finds_who_was_there_and_not_who_had_left() {
    let (scratch, long) = (Scratch::new(), "ü".repeat(64));
    let file = scratch.open();
    assert!(!file.is_whole(), "nobody knows who was there before");
    let stays = [write(&file, token(1), &["a"]), write(&file, token(2), &["a", &long])];
    drop(write(&file, token(3), &["b"]));
    let last = write(&file, token(4), &["c"]);
    // Nobody reuses the slot of this one.
    drop(write(&file, token(8), &["a"]));
    kill(file, Vec::from(stays).into_iter().chain([last]).collect());

    let file = scratch.open();
    assert!(file.is_whole());
    assert_eq!(left(&file), [seat(1, &["a"]), seat(2, &["a", &long]), seat(4, &["c"])]);
    // Some leave, some come, in whatever slots are free.
    let found = file.take_left();
    let (stay, go): (Vec<_>, Vec<_>) = found.into_iter().partition(|s| s.token == token(2));
    drop(go);
    let new = [5, 6, 7].map(|number| write(&file, token(number), &["c", "d"]));
    let size = scratch.bytes().len();
    kill(file, stay.into_iter().map(|seat| seat.entry).chain(new).collect());
    let file = scratch.open();
    let new = [5, 6, 7].map(|number| seat(number, &["c", "d"]));
    assert_eq!(left(&file), [vec![seat(2, &["a", &long])], Vec::from(new)].concat());
    assert!(size <= place(SLOTS_AT) + SLOT * (10 + 5 * ROOM_SLOTS), "slots are used again");
}

#[test]
fn who_was_found_and_taken_by_nobody_is_found_again() {
    let scratch = Scratch::new();
    let file = scratch.open();
    let entry = write(&file, token(1), &["a"]);
    kill(file, vec![entry]);
    for _ in 0..2 {
        let file = scratch.open();
        assert_eq!(left(&file), [seat(1, &["a"])]);
        // A process ends like this if another program has its port.
        kill(file, Vec::new());
    }
}

#[test]
fn a_million_seats_are_less_than_64_megabytes() {
    assert!(offset(1_000_000) <= 64_000_000);
}

#[test]
fn whoever_stands_there_twice_is_one() {
    let scratch = Scratch::new();
    let file = scratch.open();
    let entries = vec![write(&file, token(1), &["a"]), write(&file, token(1), &["b", "a"])];
    kill(file, entries);
    let file = scratch.open();
    let rooms: Vec<_> = left(&file).into_iter().flat_map(|(_, rooms)| rooms).collect();
    assert_eq!(rooms, ["a", "b"]);
}

#[test]
fn what_is_damaged_is_passed_over_and_the_rest_is_found() {
    let scratch = Scratch::new();
    let file = scratch.open();
    let entries = (1..=3).map(|number| write(&file, token(number), &["a"])).collect();
    kill(file, entries);
    let good = scratch.bytes();
    let all = [1, 2, 3].map(|number| seat(number, &["a"]));
    let open = |bytes: &[u8]| {
        fs::write(scratch.path(), bytes).expect("it is written");
        let file = scratch.open();
        let found = (file.is_whole(), left(&file));
        kill(file, Vec::new());
        found
    };
    assert_eq!(open(&good), (true, all.to_vec()));
    // The room is in slots 1 to 5, the second seat in slot 6.
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let second = place(offset(6));
    assert_eq!(open(&damaged(second + 9)), (false, vec![all[0].clone(), all[2].clone()]));
    assert_eq!(open(&damaged(second)), (false, vec![all[0].clone(), all[2].clone()]));
    let rest = vec![all[0].clone(), all[2].clone()];
    assert_eq!(open(&scratch.bytes()), (true, rest), "what is damaged is struck out");
    assert_eq!(open(&good[..good.len() - 1]), (true, all[..2].to_vec()));
    assert_eq!(open(&damaged(place(offset(1)) + 8)), (false, Vec::new()), "nobody knows where");
    for useless in [damaged(16), damaged(30), damaged(place(ALIVE_AT)), good[..100].to_vec()] {
        assert_eq!(open(&useless), (false, Vec::new()));
        assert_eq!(open(&scratch.bytes()), (true, Vec::new()), "it was made anew");
    }
}

#[test]
fn a_file_of_another_boot_or_another_time_is_useless() {
    let scratch = Scratch::new();
    let file = scratch.open();
    kill(file, Vec::new());
    let (bytes, boot, now) =
        (scratch.bytes(), boot().expect("a boot"), since_boot().expect("a clock"));
    let is_read = |boot, now| matches!(read(&mut bytes.clone(), boot, now), Found::Seats(..));
    assert!(is_read(&boot, now));
    assert!(is_read(&boot, now + TOO_OLD - Duration::from_secs(5)));
    assert!(!is_read(&boot, now + TOO_OLD + Duration::from_secs(5)));
    assert!(!is_read(&boot, now.saturating_sub(Duration::from_secs(1))), "that is another clock");
    assert!(!is_read(&[b'x'; 36], now));
}

#[test]
fn another_version_is_set_aside_and_another_file_is_left_alone() {
    let scratch = Scratch::new();
    let mut other = header(&boot().expect("a boot"));
    other[16] = 9;
    sum_up(0, &mut other);
    fs::write(scratch.path(), other).expect("it is written");
    assert!(!scratch.open().is_whole());
    let aside = scratch.directory.path().join("seats.old");
    assert_eq!(fs::read(aside).expect("it is kept"), other);

    fs::write(scratch.path(), "root:x:0:0").expect("it is written");
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o640)).expect("it is ours");
    let refused = SeatsFile::open(&scratch.path());
    assert!(matches!(refused, Err(SeatsError::Foreign)), "{refused:?}");
    assert_eq!(scratch.bytes(), b"root:x:0:0");
    let mode = fs::metadata(scratch.path()).expect("it is there").permissions().mode();
    assert_ne!(mode & 0o777, 0o600);
}

#[test]
fn nobody_else_may_read_a_file_that_was_there_already() {
    let scratch = Scratch::new();
    let aside = scratch.directory.path().join("seats.old");
    let mut other = header(&boot().expect("a boot"));
    other[16] = 9;
    sum_up(0, &mut other);
    for (path, bytes) in [(scratch.path(), &other[..]), (aside.clone(), b"older")] {
        fs::write(&path, bytes).expect("it is written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
    }
    kill(scratch.open(), Vec::new());
    for path in [scratch.path(), aside] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn one_process_has_it_at_a_time() {
    let scratch = Scratch::new();
    let first = scratch.open();
    let refused = SeatsFile::open(&scratch.path());
    assert!(matches!(refused, Err(SeatsError::InUse)), "{refused:?}");
    kill(first, Vec::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_no_reason_to_refuse_anybody() {
    let file = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let (slots, fails, misses) = Default::default();
    let register = Arc::new(SeatsRegister { file, slots, fails, misses });
    let room = name("a");
    drop(register.clone().write(token(1), &[&room], None));
    assert!(register.fails.load(Ordering::Relaxed), "it is said");
}

#[test]
fn a_process_that_failed_to_write_does_not_pass_its_file_for_whole() {
    let scratch = Scratch::new();
    let file = scratch.open();
    let entry = write(&file, token(1), &["a"]);
    file.register.note(Err(io::ErrorKind::StorageFull.into()));
    file.register.write_alive().expect("it can say so");
    kill(file, vec![entry]);
    let file = scratch.open();
    assert!(!file.is_whole());
    assert_eq!(left(&file), [seat(1, &["a"])]);
}

#[test]
fn a_process_that_ends_before_it_has_settled_does_not_pass_its_file_for_whole() {
    let scratch = Scratch::new();
    let file = SeatsFile::open(&scratch.path()).expect("the file");
    let entry = write(&file, token(1), &["a"]);
    kill(file, vec![entry]);
    for settles in [false, true] {
        let file = SeatsFile::open(&scratch.path()).expect("the file");
        assert!(!file.is_whole());
        assert_eq!(left(&file), [seat(1, &["a"])]);
        if settles {
            file.settle();
        }
        kill(file, Vec::new());
    }
    let file = scratch.open();
    assert!(file.is_whole());
    kill(file, Vec::new());
}

#[test]
fn whoever_does_not_come_back_is_given_up_after_a_minute_however_often_the_server_starts() {
    let scratch = Scratch::new();
    let file = scratch.open();
    let entries = vec![write(&file, token(1), &["a"]), write(&file, token(2), &["a"])];
    kill(file, entries);
    let file = scratch.open();
    // One of them comes back.
    let found = file.take_left();
    let (back, away): (Vec<_>, Vec<_>) = found.into_iter().partition(|s| s.token == token(2));
    let entry = write(&file, token(2), &["a"]);
    drop(back);
    kill(file, away.into_iter().map(|seat| seat.entry).chain([entry]).collect());

    let (mut bytes, boot, now) =
        (scratch.bytes(), boot().expect("a boot"), since_boot().expect("a clock"));
    let at = place(ALIVE_AT);
    for (later, people) in [(Duration::ZERO, 2), (TOO_OLD / 2, 2), (TOO_OLD * 2, 1)] {
        let alive = Alive { since_boot: now + later, misses: false }.record();
        bytes[at..at + alive.len()].copy_from_slice(&alive);
        let Found::Seats(slots, seats, is_whole) = read(&mut bytes.clone(), &boot, now + later)
        else {
            panic!("it can be used")
        };
        assert!(is_whole);
        assert_eq!((seats.len(), slots.free.len()), (people, 3 - people), "{later:?}");
    }
}
