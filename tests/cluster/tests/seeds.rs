//! The simulation of the cluster, with many seeds.
//!
//! `SEEDS=20000` tries so many, `SEEDS=1000..2000` these, and `SEED=17` this one alone.

use std::env;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;

use headcount_cluster::{Seen, run};

/// Seeds that are tried unless somebody asks for others.
const SEEDS: u64 = 1_000;

/// After so many that fail, no more are tried.
const ENOUGH: usize = 10;

fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Ok(seed) = env::var("SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    let seeds = env::var("SEEDS").unwrap_or_else(|_| SEEDS.to_string());
    match seeds.split_once("..") {
        Some((start, end)) => number(start)..number(end),
        None => 0..number(&seeds),
    }
}

/// What was seen with all of them.
#[derive(Default)]
struct All {
    tried: usize,
    seen: Seen,
    failed: Vec<u64>,
}

impl All {
    fn add(&mut self, seed: u64, result: Result<Seen, String>) {
        self.tried += 1;
        match result {
            Ok(seen) => {
                self.seen.events += seen.events;
                self.seen.checks += seen.checks;
                self.seen.moves += seen.moves;
                self.seen.backlog = self.seen.backlog.max(seen.backlog);
            }
            Err(wrong) => {
                eprintln!("{wrong}\n");
                self.failed.push(seed);
            }
        }
    }
}

#[test]
fn every_node_counts_everybody_once_whatever_goes_wrong() {
    let (seeds, all) = (Mutex::new(seeds()), Mutex::new(All::default()));
    let next = || {
        let is_enough = all.lock().expect("no panic").failed.len() >= ENOUGH;
        seeds.lock().expect("no panic").next().filter(|_| !is_enough)
    };
    let work = || {
        while let Some(seed) = next() {
            let result = run(seed);
            all.lock().expect("no panic").add(seed, result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let All { tried, seen, failed } = all.into_inner().expect("no panic");
    println!("{tried} seeds: {seen:?}");
    assert!(
        failed.is_empty(),
        "{} of {tried} seeds failed; try SEED=n of {failed:?}",
        failed.len()
    );
}

#[test]
fn a_seed_shows_the_same_each_time() {
    assert_eq!(run(17), run(17));
}
