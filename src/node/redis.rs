//! Where Redis is, and how it is reached.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError,
    TlsCertificates,
};

/// A peer that doesn't answer for this long is gone, whatever TCP says.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where Redis is: one server, or some nodes of a Redis Cluster.
#[derive(Clone)]
pub struct Redis {
    servers: Vec<ConnectionInfo>,
    /// The certificate authorities to trust, as PEM, in place of the system's.
    ca: Option<Vec<u8>>,
    prefix: String,
}

/// Why Redis can't be used as asked.
#[derive(Debug)]
pub struct BadRedis(String);

impl Redis {
    /// Redis at these addresses (`redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or
    /// `rediss://…` over TLS), with keys and a channel that begin with `{prefix}:`.
    ///
    /// # Errors
    /// [`BadRedis`] if one of them is no such address, or the prefix is empty or has braces.
    pub fn new(addresses: &[String], prefix: &str) -> Result<Self, BadRedis> {
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            return Err(BadRedis("expected a prefix without braces, and not an empty one".into()));
        }
        let servers = addresses.iter().map(|address| server(address)).collect::<Result<_, _>>()?;
        Ok(Self { servers, ca: None, prefix: format!("{{{prefix}}}:") })
    }

    /// Trusts only certificates that one of these authorities (as PEM) has signed.
    #[must_use]
    pub fn with_ca(mut self, pem: Vec<u8>) -> Self {
        self.ca = Some(pem);
        self
    }

    /// Uses this password, and this user, for servers whose address has no password.
    #[must_use]
    pub fn with_password(mut self, user: Option<&str>, password: &str) -> Self {
        for server in &mut self.servers {
            let mut settings = server.redis_settings().clone();
            if settings.password().is_none() {
                settings = settings.set_password(password);
                if let Some(user) = user {
                    settings = settings.set_username(user);
                }
            }
            *server = server.clone().set_redis_settings(settings);
        }
        self
    }

    /// What all keys and the channel begin with. It is in braces, so that a Redis Cluster keeps
    /// them in one slot.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A client of the nth server, counting from the first again after the last; or of the
    /// server that it has `named` (`HOST:PORT`, or `:PORT` on its own host), which is reached in
    /// the same way.
    pub(super) fn client(&self, nth: usize, named: Option<&str>) -> Result<Client, RedisError> {
        let mut server = self.servers[nth % self.servers.len()].clone();
        if let Some((host, port)) = named.and_then(|named| named.rsplit_once(':')) {
            let addr = server.addr().clone();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            server = server.set_addr(renamed(addr, host, port.parse().unwrap_or_default()));
        }
        let (client_tls, root_cert) = (None, self.ca.clone());
        match server.addr() {
            ConnectionAddr::TcpTls { .. } => {
                Client::build_with_tls(server, TlsCertificates { client_tls, root_cert })
            }
            _ => Client::open(server),
        }
    }
}

fn server(address: &str) -> Result<ConnectionInfo, BadRedis> {
    let server = address.trim().into_connection_info().map_err(|error| {
        // Without the address, which may have a password.
        BadRedis(format!(
            "expected redis://HOST:PORT or rediss://HOST:PORT, perhaps with USER:PASSWORD@ \
             before the host ({error})"
        ))
    })?;
    let keepalive = TcpKeepalive::new()
        .with_time(PATIENCE)
        .with_interval(Duration::from_secs(1))
        .with_retries(2);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(PATIENCE);
    // RESP3, so that frames and replies come over one connection.
    let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(server.set_tcp_settings(tcp).set_redis_settings(settings))
}

fn renamed(addr: ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    let or_itself = |itself| if host.is_empty() { itself } else { host.to_owned() };
    match addr {
        ConnectionAddr::TcpTls { host, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: or_itself(host), port, insecure, tls_params }
        }
        ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(or_itself(host), port),
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    }
}

impl fmt::Debug for Redis {
    /// Without the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|it| it.addr().to_string()).collect();
        f.debug_struct("Redis").field("servers", &servers).finish_non_exhaustive()
    }
}

impl fmt::Display for BadRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRedis {}
