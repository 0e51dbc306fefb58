//! The script that Redis runs. `tests/cluster/src/redis.rs` does the same for the simulation.
//!
//! A node's hash is read with `PTTL` and `HGETALL`, and the nodes are listed with `ZRANGE`.
//! Every change is one run of the script:
//!
//! | `KEYS` | `ARGV` | answer |
//! |---|---|---|
//! | the node's hash | prefix, lease, memory and memory of those who left in ms, the write as JSON | `done`, the frame as JSON, and each seat that is not seen; or `lost` and each of those seats; or `late` |

/// Carries out a [`Write`](super::write::Write), and publishes its
/// [`Frame`](super::frame::Frame).
pub(crate) const WRITE: &str = include_str!("write.lua");
