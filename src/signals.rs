//! The signals that the process handles. They are received on a thread of their own, so that a
//! second signal to stop ends the process whatever the other threads are stuck in.

use std::future::pending;
use std::io;
use std::process::exit;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT. The second one ends the process at once, with
/// the exit code that a shell reports for a process killed by that signal. SIGHUP counts as one
/// of them, unless there is a `reload` to notify instead.
pub(crate) fn hear(stop: CancellationToken, reload: Option<Arc<Notify>>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        // Registered here rather than on the thread, so that signals are received from now on.
        let _entered = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reload,
        }
    };
    let hearing = move || {
        runtime.block_on(async {
            signals.stop().await;
            stop.cancel();
            exit(128 + signals.stop().await.as_raw_value())
        })
    };
    thread::Builder::new().name("signals".into()).spawn(hearing)?;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reload: Option<Arc<Notify>>,
}

impl Signals {
    /// Waits for a signal that asks the process to stop.
    async fn stop(&mut self) -> SignalKind {
        loop {
            let heard = tokio::select! {
                Some(()) = self.terminate.recv() => SignalKind::terminate(),
                Some(()) = self.interrupt.recv() => SignalKind::interrupt(),
                Some(()) = self.hangup.recv() => SignalKind::hangup(),
                else => pending().await,
            };
            match &self.reload {
                Some(reload) if heard == SignalKind::hangup() => reload.notify_one(),
                _ => return heard,
            }
        }
    }
}
