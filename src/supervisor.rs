//! What the process tells the supervisor that started it, such as systemd: that it is ready,
//! that it reloads or stops and, again and again, that it is alive (`sd_notify(3)`).

use std::time::Duration;

use headcount::server::Pulse;
use sd_notify::NotifyState::{self, MonotonicUsec, Ready, Reloading, Stopping, Watchdog};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long the process waits until the supervisor has been told that it stops.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Whether there is a supervisor that wants to be told.
pub(crate) fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Says that the process is ready and, from then on, that it is alive. Once it drains, says
/// that it stops, and returns.
pub(crate) async fn keep_told(pulse: Pulse, drain: CancellationToken) {
    tell(vec![Ready]).await;
    tokio::spawn(live(pulse));
    drain.cancelled().await;
    tell(vec![Stopping]).await;
}

/// Says that the process is alive, twice in each interval in which the supervisor expects it,
/// if it expects it at all. Each time, all threads that serve must have shown that they aren't
/// stuck.
async fn live(pulse: Pulse) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let mut ticks = interval((limit / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !pulse.beat().await {
            return;
        }
        tell(vec![Watchdog]).await;
    }
}

/// Says that the process is reading something again.
pub(crate) async fn tell_reloading() {
    // A supervisor that is not told when this began accepts no answer to its signal.
    let now = NotifyState::monotonic_usec_now().unwrap_or(MonotonicUsec(0));
    tell(vec![Reloading, now]).await;
}

/// Says that the process has finished reading.
pub(crate) async fn tell_reloaded() {
    tell(vec![Ready]).await;
}

/// Waits for a supervisor that doesn't read, but not on a thread that serves.
async fn tell(states: Vec<NotifyState<'static>>) {
    if let Ok(Err(error)) = spawn_blocking(move || sd_notify::notify(&states)).await {
        warn!(%error, "the supervisor at NOTIFY_SOCKET can't be told anything");
    }
}
