//! A server that keeps a history, and whose dashboard is watched.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::server::free_port;

/// How many watch.
const WATCHERS: usize = 3;

/// The history's file and the operator's listener, until they are not needed any more.
pub(super) struct Watched {
    admin: SocketAddr,
    directory: TempDir,
}

/// Those who watch, until this is dropped.
pub(super) struct Watchers(Vec<TcpStream>);

impl Watched {
    pub(super) fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no directory for the history")?;
        Ok(Self { admin: free_port()?, directory })
    }

    /// What the server has to be told.
    pub(super) fn options(&self) -> [String; 4] {
        let history = self.directory.path().join("history.db").display().to_string();
        ["--admin-listen".into(), self.admin.to_string(), "--history".into(), history]
    }

    /// Has some watch the server, which has to run.
    pub(super) fn watch(&self) -> anyhow::Result<Watchers> {
        let mut watchers = Watchers(Vec::new());
        for _ in 0..WATCHERS {
            let mut feed = TcpStream::connect(self.admin).context("no dashboard")?;
            write!(feed, "GET /api/feed HTTP/1.1\r\nhost: {}\r\n\r\n", self.admin)?;
            let mut reader = feed.try_clone()?;
            watchers.0.push(feed);
            thread::spawn(move || {
                let mut frames = [0; 65_536];
                while reader.read(&mut frames).is_ok_and(|read| read > 0) {}
            });
        }
        Ok(watchers)
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for feed in &self.0 {
            let _it_has_ended = feed.shutdown(std::net::Shutdown::Both);
        }
    }
}
