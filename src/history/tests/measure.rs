//! What it costs: `cargo test --release --lib history::tests::measure -- --ignored --nocapture`

use super::*;

const ROOMS: usize = 10_000;

/// The processor time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it is there");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |nth: usize| fields[nth].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::test]
#[ignore = "it measures, and checks nothing"]
async fn an_hour_of_ten_thousand_rooms_that_all_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.db");
    let rooms = Rooms::measured(ROOMS);
    let mut people = Vec::new();
    let names: Vec<_> = (0..ROOMS).map(|nth| name(&format!("/blog/2026/{nth}"))).collect();
    for (nth, room) in names.iter().enumerate() {
        for _ in 0..nth % 5 + 1 {
            people.push(rooms.join(room, Ending::default()).expect("a room").0);
        }
    }
    let start = cpu();
    let before = Instant::now();
    for _ in 0..100 {
        rooms.take_stretches().expect("it is measured");
    }
    println!("asking the rooms: {:?} each, {} s for 100", before.elapsed() / 100, cpu() - start);

    let mut bench = Bench::new(ROOMS);
    let mut store = open(&path);
    let (mut collecting, mut writing, mut slowest) = (0.0, 0.0, Duration::ZERO);
    for minute in 0..61 {
        let start = cpu();
        for step in 0..12_usize {
            let of_room = |(nth, room): (usize, &Name)| {
                let now = (nth * 7 + step * 3 + minute * 11) % 40;
                (room.clone(), stretch(now, 5.0 * now as f64 + 2.5, now + 1 + nth % 3))
            };
            let rooms: Vec<_> = names.iter().enumerate().map(of_room).collect();
            bench.now += Duration::from_secs(5);
            bench.wall += 5.0;
            let total = stretch(190_000, 1e6, 210_000);
            let wall = Duration::from_secs_f64(bench.wall);
            bench.collector.step(bench.now, wall, Stretches { total, rooms }, false);
        }
        collecting += cpu() - start;
        let start = cpu();
        for batch in bench.written() {
            let before = Instant::now();
            store.write(&batch, ROOMS).expect("it is written");
            slowest = slowest.max(before.elapsed());
        }
        writing += cpu() - start;
    }
    println!("an hour: collecting {collecting:.2} s, writing {writing:.2} s, slowest {slowest:?}");
    println!("the file: {} bytes with its log", file::size(&path));
    let file = Some(path.clone());
    drop(store);
    println!("the file: {} bytes", file::size(&path));

    // A day of minutes, for how long a question takes.
    let mut store = open(&path);
    for minute in 61..1440 {
        let of_room = |(nth, room): (usize, &Name)| {
            let now = (nth * 7 + minute * 11) % 40;
            (room.clone(), stretch(now, 60.0 * now as f64, now + 1))
        };
        let batch = Batch {
            at: 1_800_000_000 + minute as u64 * 60,
            seconds: 60.0,
            total: stretch(190_000, 1e6, 210_000),
            rooms: names.iter().enumerate().map(of_room).collect(),
        };
        store.write(&batch, ROOMS).expect("it is written");
    }
    drop(store);
    println!("a day: {} bytes", file::size(&path));
    let history = History::start(&rooms, file, ROOMS).expect("the file is ours");
    for (seconds, step) in [(86_400, Step::Minute), (90 * 86_400, Step::Hour)] {
        let time = 1_800_086_400 - seconds..1_800_086_400;
        let before = Instant::now();
        let mut points = 0;
        for room in names.iter().take(50) {
            points = history.past(Some(room), time.clone(), step).await.expect("a past").len();
        }
        println!("{points} points of a room: {:?}", before.elapsed() / 50);
    }
}
