//! The memory and file descriptors that the process uses, for the dashboard.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;

/// Each is `None` if the system does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    /// Resident memory, in bytes.
    memory: Option<u64>,
    /// How many file descriptors are open, and how many may be.
    descriptors: (Option<u64>, Option<u64>),
}

impl Usage {
    /// What this process uses now.
    pub(super) fn now() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _hard)| soft);
        Self { memory: memory(), descriptors: (descriptors(), limit) }
    }
}

fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn descriptors() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    // Since Linux 6.2 the size of the directory is the number of descriptors. Reading it takes
    // long if there are many.
    match fs::metadata(DIRECTORY).ok()?.len() {
        // One of them is the descriptor of the directory itself.
        0 => Some(fs::read_dir(DIRECTORY).ok()?.count().saturating_sub(1) as u64),
        open => Some(open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_takes() {
        let Usage { memory, descriptors: (open, limit) } = Usage::now();
        assert!(memory.is_some_and(|bytes| bytes > 1_000_000), "{memory:?}");
        let (open, limit) = (open.expect("a number"), limit.expect("a limit"));
        assert!((3..=limit).contains(&open), "{open} of {limit}");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null")).collect();
        let more = Usage::now().descriptors.0.expect("a number");
        // Meanwhile, other tests open and close some.
        assert!(more >= open + 25, "{more} after {open} and {}", files.len());
    }
}
