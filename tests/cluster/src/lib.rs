//! The product's own protocol between nodes (`src/cluster`), driven by a simulation: nodes
//! and clients that come, go, die, sleep and are cut off, over a model of Redis, in virtual
//! time. Everything that happens follows from a seed, so what a seed shows can be seen again.

// What only the rest of the product uses.
#![allow(dead_code)]

mod chance;
mod check;
#[path = "../../../src/cluster/mod.rs"]
mod cluster;
mod link;
#[path = "../../../src/name.rs"]
pub mod name;
mod node;
mod person;
mod plan;
mod real;
mod redis;
mod twins;
mod world;

pub use twins::compare;
pub use world::{Seen, run};
