//! The memory that the kernel takes for sockets. It can't be told whose it is: the
//! server's and the load client's ends are both in it, and those of the whole machine.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::process::kilobytes;

/// A page of `/proc/net/sockstat`, in bytes.
const PAGE: u64 = 4096;

/// What the kernel keeps, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// Buffers of TCP (`mem` in `/proc/net/sockstat`).
    pub tcp: u64,
    /// Its own objects: sockets, files, epoll entries (`Slab` in `/proc/meminfo`).
    pub slab: u64,
}

impl Kernel {
    /// What it keeps now.
    ///
    /// # Errors
    /// If `/proc` does not tell.
    pub fn now() -> anyhow::Result<Self> {
        let sockstat = fs::read_to_string("/proc/net/sockstat")?;
        let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:")).and_then(tcp_pages);
        Ok(Self {
            tcp: tcp.context("no TCP memory in /proc/net/sockstat")? * PAGE,
            slab: meminfo("Slab:")?,
        })
    }
}

/// How much memory may still be taken, in bytes.
///
/// # Errors
/// If `/proc` does not tell.
pub fn available() -> anyhow::Result<u64> {
    meminfo("MemAvailable:")
}

fn meminfo(name: &str) -> anyhow::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    kilobytes(&meminfo, name).with_context(|| format!("no {name} in /proc/meminfo"))
}

fn tcp_pages(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_from_the_line_of_tcp() {
        assert_eq!(tcp_pages(" inuse 27 orphan 0 tw 23 alloc 30 mem 5"), Some(5));
    }
}
