//! The simulation of the cluster, with many seeds.
//!
//! `SEEDS=20000` tries so many, `SEED=17` this one alone.

use std::env;

use headcount_cluster::{Seen, run};

/// Seeds that are tried unless somebody asks for others.
const SEEDS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_node_counts_everybody_once_whatever_goes_wrong() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let (mut all, mut failed, tried) = (Seen::default(), Vec::new(), seeds.end - seeds.start);
    for seed in seeds {
        match run(seed) {
            Ok(seen) => {
                all.events += seen.events;
                all.checks += seen.checks;
                all.claims += seen.claims;
                all.backlog = all.backlog.max(seen.backlog);
            }
            Err(wrong) => {
                eprintln!("{wrong}\n");
                failed.push(seed);
            }
        }
    }
    println!("{tried} seeds: {all:?}");
    assert!(failed.is_empty(), "{} seeds failed; try SEED=n of {failed:?}", failed.len());
}
