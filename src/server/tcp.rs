//! What the system knows about a TCP connection, and how it retransmits.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{GetSockOpt, SetSockOpt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

use crate::stream::{Link, RETRY};

/// `TCP_RTO_MAX_MS` of `<linux/tcp.h>`, from Linux 6.15: the longest time between two
/// retransmissions, at least a second. By default the time doubles up to two minutes, and
/// a client whose network is back would be tried too late.
const TCP_RTO_MAX_MS: libc::c_int = 44;

sockopt_impl!(RtoMax, SetOnly, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, libc::c_int);
sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfo);

/// The beginning of `struct tcp_info` (`<linux/tcp.h>`); the system writes as much of
/// the struct as there is room for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(unreachable_pub, reason = "the option is public, for the macro makes it so")]
pub struct TcpInfo {
    _state: [u8; 8],
    _sizes: [u32; 4],
    /// Segments that were not acknowledged.
    unacked: u32,
    _counts: [u32; 4],
    _times: [u32; 3],
    /// Milliseconds since the last acknowledgement.
    last_ack_recv: u32,
    _windows: [u32; 11],
    _rates: [u64; 2],
    /// Bytes that were acknowledged.
    bytes_acked: u64,
    _bytes_received: u64,
    _segments: [u32; 2],
    /// Bytes that were not sent yet: the client's buffer is full.
    notsent_bytes: u32,
    _padding: u32,
}

/// Asks the system what it knows about the client.
pub(super) fn link(socket: &impl AsFd) -> io::Result<Link> {
    let info = Info.get(socket)?;
    Ok(Link {
        waits: info.unacked > 0 || info.notsent_bytes > 0,
        taken: info.bytes_acked,
        heard: Duration::from_millis(info.last_ack_recv.into()),
    })
}

/// Makes the system retransmit at least every second, if it can.
pub(super) fn retry_soon(socket: &impl AsFd) {
    let milliseconds = RETRY.as_millis().try_into().unwrap_or(libc::c_int::MAX);
    let _before_linux_6_15 = RtoMax.set(socket, &milliseconds);
}
