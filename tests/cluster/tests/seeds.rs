//! The simulation of the cluster, with many seeds.
//!
//! `SEEDS=20000` tries so many, `SEEDS=1000..2000` these, and `SEED=17` this one alone.

use std::env;
use std::ops::Range;

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

#[test]
fn every_node_counts_everybody_once_whatever_goes_wrong() {
    let (mut all, mut tried, mut failed) = (Seen::default(), 0, Vec::new());
    for seed in seeds() {
        tried += 1;
        match run(seed) {
            Ok(seen) => {
                all.events += seen.events;
                all.checks += seen.checks;
                all.moves += seen.moves;
                all.backlog = all.backlog.max(seen.backlog);
            }
            Err(wrong) => {
                eprintln!("{wrong}\n");
                failed.push(seed);
            }
        }
        if failed.len() == ENOUGH {
            break;
        }
    }
    println!("{tried} seeds: {all:?}");
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
