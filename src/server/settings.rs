//! The settings that the operator decides.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::tls::Tls;

/// How the server treats its connections, in addition to the router's
/// [`Options`](crate::Options).
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads serve connections; one means the calling thread alone.
    pub threads: NonZeroUsize,
    /// How long a drain waits for connections that do not end.
    pub shutdown_grace: Duration,
    /// How many connections may be open. To make room for one more, the longest idle is
    /// closed; if all have streams, the new one is.
    pub max_connections: usize,
    /// How many connections one address may have open. Trusted proxies have no such limit.
    pub max_connections_per_ip: Option<usize>,
    /// If set, the server speaks TLS with this certificate.
    pub tls: Option<Arc<Tls>>,
}
