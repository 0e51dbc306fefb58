//! What the one who runs the server decides.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::tls::Tls;
use crate::stream::Patience;

/// How the server treats its connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads serve connections; one means the calling thread alone.
    pub threads: NonZeroUsize,
    /// How often an HTTP/2 client is asked whether it is there (PING).
    pub keep_alive: Duration,
    /// How long sent data, or a PING, may stay without an answer.
    pub user_timeout: Duration,
    /// How long a client may take nothing of what waits for it.
    pub stall_timeout: Duration,
    /// How long a drain waits for connections that do not end.
    pub shutdown_grace: Duration,
    /// How many connections may be open. For one more the longest idle is closed; if
    /// each has a stream, the one more is.
    pub max_connections: usize,
    /// The same for the connections of one address.
    pub max_connections_per_ip: Option<usize>,
    /// Proxies, whose connections are not limited by their address.
    pub trusted_proxies: Vec<IpNet>,
    /// Speak TLS, with this certificate.
    pub tls: Option<Arc<Tls>>,
}

impl Settings {
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.user_timeout, self.stall_timeout)
    }
}
