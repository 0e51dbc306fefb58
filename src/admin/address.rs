//! Where the operator's listener is: an address and port, or a Unix socket.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::SockRef;

use super::lease::TERM;

/// Who may connect to the Unix socket: its owner and their group.
const MODE: u32 = 0o660;

/// An address to listen on for the operator: `127.0.0.1:3001` or `unix:/run/headcount/admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

/// The text is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// A socket that listens at such an address.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AdminAddress {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Listens, and returns the address that it has: the system chooses a port if this one is
    /// 0.
    pub(super) fn bind(&self) -> io::Result<(Listener, Self)> {
        match self {
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                // Connections inherit this option, so a watcher that sleeps is gone in time.
                SockRef::from(&listener).set_tcp_user_timeout(Some(TERM))?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                Ok((Listener::Tcp(listener), Self::Tcp(address)))
            }
            Self::Unix(path) => {
                remove_if_left_behind(path);
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, Permissions::from_mode(MODE))?;
                listener.set_nonblocking(true)?;
                Ok((Listener::Unix(listener), self.clone()))
            }
        }
    }
}

/// The file of a Unix socket that this process listens on. The file outlives the socket, so it
/// is removed when this is dropped, unless another process has put its own in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and the inode of the file.
    identity: (u64, u64),
}

impl SocketFile {
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { identity: identity(&path)?, path })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _it_is_gone = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket that nobody listens on: a process that was killed leaves its own behind.
fn remove_if_left_behind(path: &Path) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = || {
        let error = UnixStream::connect(path).err();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && refuses() {
        // If it can't be removed, listening fails and says why.
        let _removed = fs::remove_file(path);
    }
}

impl FromStr for AdminAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(BadAddress),
            None => text.parse().map(Self::Tcp).map_err(|_| BadAddress),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operator's address must be IP:PORT or unix:/PATH")
    }
}

impl std::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> AdminAddress {
        text.parse().expect("an address")
    }

    #[test]
    fn loopback_and_unix_sockets_are_reached_by_this_machine_alone() {
        for local in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/a"] {
            assert!(address(local).is_local(), "{local}");
        }
        for public in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            assert!(!address(public).is_local(), "{public}");
        }
        for bad in ["", "3001", "localhost:3001", "unix:", "unix:admin", "/run/admin"] {
            assert_eq!(bad.parse::<AdminAddress>(), Err(BadAddress), "{bad}");
        }
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin");
        let admin = address(&format!("unix:{}", path.display()));
        // A socket's file outlives it.
        drop(UnixListener::bind(&path).expect("it listens"));
        let first = admin.bind().expect("nobody listens there");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = admin.bind().expect_err("the first listens there");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, "precious").expect("it is written");
        admin.bind().expect_err("there is a file");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    }
}
