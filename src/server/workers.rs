//! The threads that serve connections, one for each core. Each has a runtime of its own, so
//! that a task is woken where it runs and no thread waits for another's queue.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The threads. The first one starts the others and accepts connections.
pub(super) struct Workers {
    runtimes: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Workers {
    /// Starts this many, counting the calling thread.
    ///
    /// # Errors
    /// If the system has no more threads, memory or file descriptors for this process.
    /// The threads that have already started end.
    pub(super) fn start(number: NonZeroUsize) -> io::Result<Self> {
        let (runtimes, threads) = (vec![Handle::current()], Vec::new());
        let mut workers = Self { runtimes, threads, stop: CancellationToken::new() };
        for nth in 1..number.get() {
            workers.add(format!("worker-{nth}"))?;
        }
        Ok(workers)
    }

    fn add(&mut self, name: String) -> io::Result<()> {
        let stop = self.stop.clone();
        let (report, started) = mpsc::channel();
        // The runtime is made on its own thread. Otherwise, if the thread can't start, the
        // runtime would be dropped here, within another runtime, which panics.
        let thread = thread::Builder::new().name(name).spawn(move || {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _waits = report.send(Ok(runtime.handle().clone()));
                    runtime.block_on(stop.cancelled());
                    // Dropping it would wait for whatever still blocks.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _waits = report.send(Err(error));
                }
            }
        })?;
        self.threads.push(thread);
        self.runtimes.push(started.recv().map_err(io::Error::other)??);
        Ok(())
    }

    pub(super) fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.runtimes.iter()
    }
}

impl Drop for Workers {
    /// Ends the threads, and with them whatever still runs there.
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_threads_end_though_something_that_they_asked_for_blocks_for_ever() {
        let main = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (unblock, blocked) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let (ended, ends) = mpsc::channel();
        main.block_on(async {
            let two = NonZeroUsize::new(2).expect("it is not zero");
            let workers = Workers::start(two).expect("they start");
            workers.runtimes[1].spawn_blocking(move || {
                begun.send(()).expect("the test waits");
                let _never = blocked.recv();
            });
            begins.recv().expect("it begins");
            thread::spawn(move || {
                drop(workers);
                ended.send(()).expect("the test waits");
            });
        });
        let soon = Duration::from_secs(10);
        ends.recv_timeout(soon).expect("the threads end");
        drop(unblock);
    }
}
