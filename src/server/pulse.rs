//! Whether the threads that serve still work.

use tokio::runtime::Handle;

use super::workers::Workers;

/// A watchdog's means to check on the threads that serve.
#[derive(Clone, Debug)]
pub struct Pulse {
    runtimes: Vec<Handle>,
}

impl Pulse {
    pub(super) fn of(workers: &Workers) -> Self {
        Self { runtimes: workers.runtimes().cloned().collect() }
    }

    /// Returns once each thread has run a task that was queued behind all that it had to do
    /// before; never, if one is stuck. Says whether all of them still serve.
    pub async fn beat(&self) -> bool {
        for runtime in &self.runtimes {
            if runtime.spawn(async {}).await.is_err() {
                return false;
            }
        }
        true
    }
}
