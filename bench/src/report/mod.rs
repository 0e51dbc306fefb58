//! stub
use std::path::Path;
use crate::results::Results;
/// w
pub fn write(_results: &Results, _folder: &Path) -> anyhow::Result<()> { Ok(()) }
