//! Who runs on which core: the server on the first, the load client on the second, so
//! that neither takes the other's time.

use anyhow::ensure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// The cores that the bench may use.
#[derive(Clone, Debug)]
pub struct Cores(Vec<usize>);

/// How the cores are dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The server on one core, the load client on another.
    Apart,
    /// Both on both.
    Together,
}

impl Cores {
    /// The cores that this process was started on.
    ///
    /// # Errors
    /// If there are not two.
    pub fn of_this_process() -> anyhow::Result<Self> {
        let set = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        ensure!(cores.len() >= 2, "the bench needs two cores: one for the server, one for itself");
        Ok(Self(cores))
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Moves this thread, and what it starts from now on, to the server's cores.
    ///
    /// # Errors
    /// What the system says.
    pub fn be_server(&self, placement: Placement) -> anyhow::Result<()> {
        self.run_on(match placement {
            Placement::Apart => &self.0[..1],
            Placement::Together => &self.0[..2],
        })
    }

    /// Moves this thread to the load client's cores.
    ///
    /// # Errors
    /// What the system says.
    pub fn be_client(&self, placement: Placement) -> anyhow::Result<()> {
        self.run_on(match placement {
            Placement::Apart => &self.0[1..2],
            Placement::Together => &self.0[..2],
        })
    }

    fn run_on(&self, cores: &[usize]) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}
