//! What processes take, as `/proc` tells it: CPU time and memory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// A process and all that it has started: a server may be a script, its workers or its
/// helper.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    root: u32,
}

impl Tree {
    /// The tree under the process `root`.
    #[must_use]
    pub fn new(root: u32) -> Self {
        Self { root }
    }

    /// The CPU time that all threads of the tree have taken. (That of a thread which
    /// has ended is not in it; servers keep theirs.)
    ///
    /// # Errors
    /// If the root process is gone.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        for process in self.processes()? {
            // A helper or a thread may end between the list and the look.
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for task in tasks.flatten() {
                total += on_cpu(&task.path()).unwrap_or_default();
            }
        }
        Ok(total)
    }

    /// The resident memory of all processes of the tree, in bytes.
    ///
    /// # Errors
    /// If the root process is gone.
    pub fn resident(self) -> anyhow::Result<u64> {
        Ok(self.processes()?.into_iter().filter_map(resident).sum())
    }

    /// The root and everything under it.
    fn processes(self) -> anyhow::Result<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").context("no /proc")?.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if let Some(parent) = parent(process) {
                parents.push((process, parent));
            }
        }
        anyhow::ensure!(
            parents.iter().any(|(process, _)| *process == self.root),
            "the server is gone"
        );
        let mut tree = vec![self.root];
        let mut at = 0;
        while at < tree.len() {
            let children = parents.iter().filter(|(_, parent)| *parent == tree[at]);
            let children: Vec<_> = children.map(|(process, _)| *process).collect();
            tree.extend(children);
            at += 1;
        }
        Ok(tree)
    }
}

/// The CPU time that this thread has taken.
///
/// # Errors
/// If `/proc` does not tell.
pub fn cpu_of_this_thread() -> anyhow::Result<Duration> {
    on_cpu(Path::new("/proc/thread-self")).context("/proc does not tell CPU time")
}

/// The CPU time of a thread: in nanoseconds where the kernel keeps `schedstat`, or else
/// in ticks of 10 ms.
fn on_cpu(task: &Path) -> Option<Duration> {
    if let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) {
        return schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos);
    }
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    // utime and stime, the 14th and 15th field (proc_pid_stat(5)).
    let mut fields = after_name(&stat)?.skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    after_name(&stat)?.nth(1)?.parse().ok()
}

/// The fields after the process's name, which may itself contain anything.
fn after_name(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

fn resident(process: u32) -> Option<u64> {
    // Exact, where `status` may be some pages for each thread behind.
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok();
    let rss = rollup.as_deref().and_then(|rollup| kilobytes(rollup, "Rss:"));
    rss.or_else(|| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        kilobytes(&status, "VmRSS:")
    })
}

/// The value of a line `Name:   123 kB`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_tree_is_a_process_and_what_it_started() {
        let mut shell =
            Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("a shell");
        let tree = Tree::new(shell.id());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while tree.processes().expect("it runs").len() < 2 {
            assert!(std::time::Instant::now() < deadline, "the shell starts its sleep");
        }
        assert!(tree.resident().expect("it runs") > 0);
        let processes = tree.processes().expect("it runs");
        Command::new("kill").arg(processes[1].to_string()).status().expect("kill runs");
        shell.wait().expect("it ends");
        assert!(tree.cpu().is_err(), "the server is gone");
    }

    #[test]
    fn a_name_with_blanks_and_brackets_is_skipped() {
        let fields = after_name("12 (a ) b) S 3 12").expect("fields");
        assert_eq!(fields.collect::<Vec<_>>(), ["S", "3", "12"]);
    }

    #[test]
    fn kilobytes_are_read_from_their_line() {
        assert_eq!(kilobytes("Size: 1 kB\nRss:        2048 kB\n", "Rss:"), Some(2048 * 1024));
        assert_eq!(kilobytes("Size: 1 kB\n", "Rss:"), None);
    }
}
