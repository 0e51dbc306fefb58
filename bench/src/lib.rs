//! Headcount measured beside other servers that do the same.
//!
//! # The way of a figure
//!
//! 1. [`peers`] lists the servers, and [`plan`] what is done to them, in which order, and
//!    over which [`way`].
//! 2. [`server`] starts one of them on its core ([`cores`]), with a [`certificate`] if it
//!    is to speak TLS, and ends it.
//! 3. [`load`] is the load client: it holds the streams and knows what each was told.
//! 4. [`scenario`] is what is done with both, and [`process`] and [`kernel`] tell what it
//!    cost.
//! 5. [`results`] are the raw figures of every run, as they are kept in JSON, with the
//!    [`machine`] that they are from.
//! 6. [`report`] is made from them alone: [`figures`] condenses, `svg` draws.
//!
//! The servers that are built here are `src/bin/floor.rs`, what the task costs with
//! nothing around it, and `src/bin/plain.rs`, the counter as axum's users write it.

pub mod certificate;
pub mod cores;
pub mod descriptors;
pub mod figures;
pub mod kernel;
pub mod load;
pub mod machine;
pub mod peers;
pub mod plan;
pub mod process;
pub mod progress;
pub mod redis;
pub mod report;
pub mod results;
pub mod scenario;
pub mod server;
mod svg;
pub mod way;
