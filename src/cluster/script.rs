//! What Redis does. `tests/cluster/src/redis.rs` does the same, for the simulation.
//!
//! | script | `KEYS` | `ARGV` | answer |
//! |---|---|---|---|
//! | [`WRITE`] | the node's hash | prefix, `PUBLISH` or `SPUBLISH`, lease, memory and memory of those who left in ms, the write as JSON | `done`, the frame as JSON, and each seat that is not seen; or `lost` and each of those seats; or `late` |
//! | [`READ`] | the node's hash | | each field and its value, then what is left of its life in ms; or nothing |
//! | [`LIST`] | the set of nodes | | their ids |

/// Carries out a [`Write`](super::write::Write), and publishes its
/// [`Frame`](super::frame::Frame).
pub(crate) const WRITE: &str = include_str!("write.lua");

/// Reads a [`Snapshot`](super::share::Snapshot).
pub(crate) const READ: &str = include_str!("read.lua");

/// Lists the nodes.
pub(crate) const LIST: &str = "return redis.call('ZRANGE', KEYS[1], 0, -1)";
