//! Whether the threads that serve still do.

use tokio::runtime::Handle;

use super::workers::Workers;

/// Felt by a watchdog.
#[derive(Clone, Debug)]
pub struct Pulse {
    runtimes: Vec<Handle>,
}

impl Pulse {
    pub(super) fn of(workers: &Workers) -> Self {
        Self { runtimes: workers.runtimes().cloned().collect() }
    }

    /// Returns once each thread has done something that was asked of it after everything that
    /// it had to do before; never, if one is stuck. Says whether all of them serve still.
    pub async fn beat(&self) -> bool {
        for runtime in &self.runtimes {
            if runtime.spawn(async {}).await.is_err() {
                return false;
            }
        }
        true
    }
}
