//! Where threads meet in the rooms, named here alone: the model check (`tests/model`)
//! compiles those files with what shuttle can see in its place.

pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::broadcast;
