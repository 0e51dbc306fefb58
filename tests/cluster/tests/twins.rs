//! The script that Redis runs, and the model of it that the simulation runs.

use std::env;

use headcount_cluster::compare;

/// Writes that are tried unless somebody asks for others.
const WRITES: usize = 10_000;

#[test]
fn the_script_and_its_model_agree_on_random_writes() {
    let number = |name, default| {
        env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let (seed, writes) = (number("SEED", 0), number("WRITES", WRITES as u64));
    if let Err(error) = compare(seed, writes as usize) {
        panic!("{error}");
    }
}
