//! What the one who runs the server decides.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::tls::Tls;

/// How the server treats its connections, beside what the router's
/// [`Options`](crate::Options) say of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads serve connections; one means the calling thread alone.
    pub threads: NonZeroUsize,
    /// How long a drain waits for connections that do not end.
    pub shutdown_grace: Duration,
    /// How many connections may be open. For one more the longest idle is closed; if
    /// each has a stream, the one more is.
    pub max_connections: usize,
    /// The same for the connections of one address. A trusted proxy has no such limit.
    pub max_connections_per_ip: Option<usize>,
    /// Speak TLS, with this certificate.
    pub tls: Option<Arc<Tls>>,
}
