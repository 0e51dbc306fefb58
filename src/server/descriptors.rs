//! How many file descriptors the process may have. Each stream takes one.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit on this process's file descriptors (`RLIMIT_NOFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors(pub u64);

/// Raises the soft limit as far as the hard one allows.
///
/// # Errors
/// The system's error if it can't say what the limit is.
pub fn raise() -> io::Result<Descriptors> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Some containers refuse this; then the limit stays what it was.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    Ok(Descriptors(if raised { hard } else { soft }))
}

impl Descriptors {
    /// How many streams fit if an eighth of the descriptors (16 to 256) is
    /// kept for files, the listener, and clients that ask for something else.
    #[must_use]
    pub fn streams(self) -> usize {
        self.less(self.reserve())
    }

    /// How many connections fit: those of the streams, and half of the reserve.
    #[must_use]
    pub fn connections(self) -> usize {
        self.less(self.reserve() / 2)
    }

    fn reserve(self) -> u64 {
        (self.0 / 8).clamp(16, 256)
    }

    fn less(self, reserve: u64) -> usize {
        usize::try_from(self.0.saturating_sub(reserve)).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_what_is_no_stream() {
        assert_eq!(Descriptors(8).streams(), 1);
        assert_eq!(Descriptors(64).streams(), 48);
        assert_eq!(Descriptors(1024).streams(), 896);
        assert_eq!(Descriptors(20_000).streams(), 19_744);
        assert_eq!(Descriptors(8).connections(), 1);
        assert_eq!(Descriptors(256).connections(), 240);
        assert_eq!(Descriptors(20_000).connections(), 19_872);
    }
}
