//! Where, when and with what figures were taken.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::kernel;
use crate::peers::PEERS;

/// What a reader must know of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// When the run began (UTC).
    pub date: String,
    /// The commit that was measured, with `+` if the tree had changes.
    pub commit: String,
    /// The kernel's version.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// How many cores there were.
    pub cores: usize,
    /// How much memory was free to take, in bytes.
    pub memory: u64,
    /// How many file descriptors a process may have.
    pub descriptors: Option<u64>,
    /// How many threads wanted to run during the minute before (the load average): the
    /// less, the better the figures.
    pub load: f64,
    /// The versions of what was measured, by the peer's name.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn here(cores: usize, descriptors: Option<u64>) -> Self {
        let versions = PEERS.iter().filter_map(|peer| Some((peer.name.into(), peer.version()?)));
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: commit().unwrap_or_else(|| "unknown".into()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpu: cpu().unwrap_or_else(|| "unknown".into()),
            cores,
            memory: kernel::available().unwrap_or_default(),
            descriptors,
            load: load().unwrap_or_default(),
            versions: versions.collect(),
        }
    }
}

fn cpu() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    // The figures themselves are no change of what is measured.
    let changes = git(&["status", "--porcelain", "--", ":/", ":!/bench/results"])?;
    Some(if changes.is_empty() { commit } else { commit + "+" })
}
