//! Where connections come from: one address has some 28,000 ports, and each that was
//! used waits for a minute.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};

/// So many connections in a row have the same address.
const OF_ONE_ADDRESS: u32 = 8000;

/// How many of the addresses of 127.0.0.0/24 are used.
const ADDRESSES: u32 = 250;

/// The address of the next connection, whose port is any.
pub(super) fn next() -> SocketAddrV4 {
    static CONNECTIONS: AtomicU32 = AtomicU32::new(0);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let last = 1 + number / OF_ONE_ADDRESS % ADDRESSES;
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last as u8), 0)
}
