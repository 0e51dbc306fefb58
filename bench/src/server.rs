//! A server that is measured: started fresh, on its cores and a free port, and ended
//! with everything that it started.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cores::{Cores, Placement};
use crate::process::Tree;

/// How long a server may take until it accepts a connection.
const START: Duration = Duration::from_secs(20);

/// How long it may take to end by itself.
const END: Duration = Duration::from_secs(3);

/// How much of what a server wrote is shown when it fails, in bytes.
const SHOWN: usize = 2000;

/// The process groups of the servers that run: they are to end when we are interrupted.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// One server, which ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    output: File,
}

impl Server {
    /// Starts a server, and waits until it accepts connections. `command` makes the
    /// command for an address to listen on.
    ///
    /// # Errors
    /// If it can't be started or accepts no connection; with what it wrote.
    pub fn start(
        command: impl FnOnce(SocketAddr) -> Command,
        cores: &Cores,
        placement: Placement,
    ) -> anyhow::Result<Self> {
        let address = free_port()?;
        let output = tempfile::tempfile().context("no temporary file")?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
        // A group of its own, to end all of it at once.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        cores.be_server(placement)?;
        let child = command.spawn();
        cores.be_client(placement)?;
        let child =
            child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        running(|running| running.push(Pid::from_child(&child)));
        let mut server = Self { child, address, output };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processes.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree::new(self.child.id())
    }

    /// The end of what it wrote to standard output and error.
    #[must_use]
    pub fn output(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.output.rewind();
        let _ = self.output.read_to_end(&mut bytes);
        let start = bytes.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status}): {}", self.output());
            }
            if Instant::now() > deadline {
                bail!("it took no connection within {START:?}: {}", self.output());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let _it_has_ended = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            sleep(Duration::from_millis(2));
        }
        // Also for those of its group that a leader left behind.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        running(|running| running.retain(|group| *group != Pid::from_child(&self.child)));
    }
}

/// Lets an interrupt of the bench end the servers that run, too: in groups of their own
/// they hear of none.
///
/// # Errors
/// If the signals can't be handled.
pub fn end_on_interrupt() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        running(|running| {
            for group in running {
                let _it_has_ended = kill_process_group(*group, Signal::KILL);
            }
        });
        std::process::exit(130);
    })?;
    Ok(())
}

fn running(act: impl FnOnce(&mut Vec<Pid>)) {
    act(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
