//! The Redis of several nodes: Debian's own, started for a scenario, written to as nodes
//! do, and asked what it did.

use std::io::{Write as _, copy, sink};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use redis::{Client, Connection, Script};

use crate::cores::{Cores, Placement};
use crate::results;
use crate::server::Server;

/// What each key and the channel of frames begin with.
const PREFIX: &str = "{headcount}:";

/// How long a share counts, who was claimed, and who left is remembered, in ms.
const LEASE: u32 = 10_000;
const MEMORY: u32 = 60_000;
const LEFT_MEMORY: u32 = 20_000;

/// A Redis that ends when this is dropped.
pub struct Redis {
    server: Server,
    connection: Connection,
}

/// Somebody who writes as a node does.
pub struct Writer {
    connection: Connection,
    script: Script,
}

/// What it had done at a time.
pub struct Reading {
    at: Instant,
    cpu_s: f64,
    writes: u64,
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    ///
    /// # Errors
    /// If it isn't installed, or fails.
    pub fn start(cores: &Cores) -> anyhow::Result<Self> {
        let command = |address: std::net::SocketAddr| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.arg("--port").arg(address.port().to_string());
            command
        };
        let server = Server::start(command, cores, Placement::Apart)
            .context("nodes need Redis (Debian's package redis-server)")?;
        let connection = Client::open(url(&server))?.get_connection()?;
        Ok(Self { server, connection })
    }

    /// Where nodes find it.
    #[must_use]
    pub fn url(&self) -> String {
        url(&self.server)
    }

    /// Subscribes one more to the frames, who throws them away until Redis ends.
    ///
    /// # Errors
    /// If there is no connection for it.
    pub fn add_hearer(&mut self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(self.server.address())?;
        stream.write_all(format!("SUBSCRIBE {PREFIX}frames\r\n").as_bytes())?;
        thread::spawn(move || copy(&mut stream, &mut sink()));
        Ok(())
    }

    /// A connection of somebody who writes.
    ///
    /// # Errors
    /// If there is none.
    pub fn writer(&self) -> anyhow::Result<Writer> {
        let connection = Client::open(self.url())?.get_connection()?;
        let script = Script::new(include_str!("../../src/cluster/write.lua"));
        Ok(Writer { connection, script })
    }

    /// Looks at what it has done so far.
    ///
    /// # Errors
    /// If it does not say.
    pub fn reading(&mut self) -> anyhow::Result<Reading> {
        let info = |section: &str, connection: &mut Connection| -> anyhow::Result<String> {
            Ok(redis::cmd("INFO").arg(section).query(connection)?)
        };
        let stats = info("stats", &mut self.connection)?;
        let commands = info("commandstats", &mut self.connection)?;
        Ok(Reading {
            at: Instant::now(),
            cpu_s: self.server.tree().cpu()?.as_secs_f64(),
            // Nothing was published yet if there is no such line.
            writes: number(&commands, "cmdstat_publish:calls=").unwrap_or(0),
            commands: number(&stats, "total_commands_processed:").context("no commands")?,
            bytes_in: number(&stats, "total_net_input_bytes:").context("no bytes")?,
            bytes_out: number(&stats, "total_net_output_bytes:").context("no bytes")?,
        })
    }

    /// What it has done since.
    ///
    /// # Errors
    /// If it does not say.
    pub fn since(&mut self, before: &Reading) -> anyhow::Result<results::Redis> {
        let now = self.reading()?;
        Ok(results::Redis {
            seconds: (now.at - before.at).as_secs_f64(),
            cpu_s: now.cpu_s - before.cpu_s,
            writes: now.writes - before.writes,
            commands: now.commands - before.commands,
            bytes_in: now.bytes_in - before.bytes_in,
            bytes_out: now.bytes_out - before.bytes_out,
        })
    }
}

impl Writer {
    /// Has a write of a node's carried out, which is JSON.
    ///
    /// # Errors
    /// If Redis does not do as asked.
    pub fn write(&mut self, node: usize, write: &str) -> anyhow::Result<()> {
        let mut call = self.script.key(format!("{PREFIX}node:{node}"));
        call.arg(PREFIX).arg(LEASE).arg(MEMORY).arg(LEFT_MEMORY).arg(write);
        let answer: Vec<String> = call.invoke(&mut self.connection)?;
        let is_done = answer.first().is_some_and(|word| word == "done");
        ensure!(is_done, "Redis answered {answer:?} to a write");
        Ok(())
    }
}

fn url(server: &Server) -> String {
    format!("redis://{}", server.address())
}

/// The digits that follow a line's beginning.
fn number(text: &str, beginning: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_its_line() {
        let info = "# Stats\r\ntotal_net_output_bytes:123\r\ncmdstat_publish:calls=7,usec=12\r\n";
        assert_eq!(number(info, "total_net_output_bytes:"), Some(123));
        assert_eq!(number(info, "cmdstat_publish:calls="), Some(7));
        assert_eq!(number(info, "cmdstat_get:calls="), None);
    }
}
