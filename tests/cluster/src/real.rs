//! A real `redis-server`, with a connection to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process of its own, which listens on a socket in a directory of its own and ends with
/// this.
pub(crate) struct Real {
    process: Child,
    connection: BufReader<UnixStream>,
    _directory: TempDir,
}

impl Real {
    pub(crate) fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("headcount-redis-").tempdir()?;
        let socket = directory.path().join("socket");
        let mut process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + PATIENCE;
        let connection = loop {
            match UnixStream::connect(&socket) {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > deadline || process.try_wait()?.is_some() => {
                    let _ = process.kill();
                    let _ = process.wait();
                    return Err(error);
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { process, connection: BufReader::new(connection), _directory: directory })
    }

    /// Runs a command and takes its reply, as a list of texts.
    pub(crate) fn command(&mut self, words: &[&str]) -> io::Result<Vec<Vec<u8>>> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.connection.get_mut().write_all(text.as_bytes())?;
        match self.line()? {
            (b'*', length) => (0..length).map(|_| self.text()).collect(),
            first => Ok(vec![self.text_of(first)?]),
        }
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let first = self.line()?;
        self.text_of(first)
    }

    fn text_of(&mut self, (kind, number): (u8, usize)) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        if kind == b'$' {
            text.resize(number + 2, 0);
            self.connection.read_exact(&mut text)?;
            text.truncate(number);
        }
        Ok(text)
    }

    /// The kind of what comes, and how long it is. An error of Redis is one here.
    fn line(&mut self) -> io::Result<(u8, usize)> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let kind = line.bytes().next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let rest = line[1..].trim_end();
        match kind {
            b'*' | b'$' | b':' => {
                rest.parse().map(|number| (kind, number)).map_err(io::Error::other)
            }
            b'+' => Ok((kind, 0)),
            _ => Err(io::Error::other(line)),
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
