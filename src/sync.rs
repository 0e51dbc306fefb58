//! What threads use to meet in the rooms, named only here: the model check (`tests/model`)
//! compiles the rooms' files with shuttle's versions in their place.

pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::broadcast;
