//! The binary itself, as a process of its own.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::soon;

/// A running `headcount`, killed with the test.
pub struct Headcount {
    pub address: SocketAddr,
    /// What it said before it listened.
    pub before: Vec<Value>,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Headcount {
    /// The command, with nothing of the test's environment that would change it.
    pub fn command() -> Command {
        Self::prepared(Command::new(env!("CARGO_BIN_EXE_headcount")))
    }

    /// The same with an address space of so many kB.
    pub fn command_with_memory(kilobytes: usize) -> Command {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_headcount")]);
        Self::prepared(shell)
    }

    fn prepared(mut command: Command) -> Command {
        let options = std::env::vars_os().map(|(name, _)| name);
        for name in options.filter(|name| name.to_string_lossy().starts_with("HEADCOUNT_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").kill_on_drop(true);
        // Nobody was here before: its numbers are whole from the first one on.
        command.env("HEADCOUNT_SETTLE", "0s");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it on a free port, and waits until it listens there.
    pub async fn start(args: &[&str]) -> Self {
        let mut command = Self::command();
        command.args(args);
        Self::started(command).await
    }

    /// The same of a command that was prepared.
    pub async fn started(mut command: Command) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut log = BufReader::new(stderr).lines();
        let mut before = Vec::new();
        let address = loop {
            let line = line(&mut log).await.expect("it logs where it listens");
            let message = line["message"].as_str().unwrap_or_default().to_owned();
            if let Some(address) = message.strip_prefix("listening on http://") {
                break address.parse().expect("an address");
            }
            before.push(line);
        };
        Self { address, before, child, log }
    }

    /// The next line of the log with this message.
    pub async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = line(&mut self.log).await;
            let line = line.unwrap_or_else(|| panic!("the log ended before «{message}»"));
            if line["message"] == message {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| id.try_into().ok()).expect("it runs");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        soon("the end of the process", self.child.wait()).await.expect("its exit status")
    }
}

async fn line(log: &mut Lines<BufReader<ChildStderr>>) -> Option<Value> {
    let line = soon("a line of the log", log.next_line()).await.expect("text")?;
    Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}")))
}
