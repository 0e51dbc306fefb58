//! How many file descriptors a process may have: each stream takes one on either side.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit as far as the hard one allows, and says what it is then
/// (`None` for no limit).
///
/// # Errors
/// What the system says when it refuses.
pub fn raise() -> rustix::io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}
