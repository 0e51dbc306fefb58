//! `headcount health`: asks the server on this machine whether it is ready.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use headcount::admin::{AdminAddress, AdminToken};
use headcount::config::Config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// How long the server may take to accept, and then for each part of its answer. By default,
/// Docker waits for 30 s, and Kubernetes for one second.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024;

/// A connection of any kind.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Asks for `/readyz` where the server with this configuration listens for the operator or, if
/// it doesn't, for visitors.
pub(crate) fn ask(config: &Config, token: Option<&AdminToken>) -> Result<(), String> {
    let (place, connection): (_, io::Result<Box<dyn Connection>>) = match &config.admin_listen {
        Some(place @ AdminAddress::Tcp(address)) => (place.to_string(), tcp(*address)),
        Some(place @ AdminAddress::Unix(path)) => {
            let connection = UnixStream::connect(path).and_then(|unix| {
                unix.set_read_timeout(Some(PATIENCE))?;
                unix.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(unix) as _)
            });
            (place.to_string(), connection)
        }
        None if config.tls_cert.is_some() => {
            (format!("https://{}", config.listen()), tls(config.listen()))
        }
        None => (format!("http://{}", config.listen()), tcp(config.listen())),
    };
    let answer = connection.and_then(|connection| answer(connection, token));
    let answer = answer.map_err(|error| match error.kind() {
        // Linux reports a timeout as an operation that may be tried again.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer at {place} within {} s", PATIENCE.as_secs())
        }
        _ => format!("no answer at {place}: {error}"),
    })?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            let error = serde_json::from_str::<serde_json::Value>(body);
            let error = error.ok().and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
            Err(format!("not ready: {}", error.unwrap_or_else(|| format!("status {status}"))))
        }
        None => Err(format!("the answer at {place} is not HTTP")),
    }
}

/// Sends the request, and reads the answer as far as it goes.
fn answer(mut connection: Box<dyn Connection>, token: Option<&AdminToken>) -> io::Result<String> {
    let token = token.map(|token| format!("Authorization: Bearer {}\r\n", token.as_str()));
    let token = token.unwrap_or_default();
    let request =
        format!("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match connection.take(MAX_ANSWER).read_to_end(&mut answer) {
        // The other side of TLS may close the connection without notice.
        Err(error) if answer.is_empty() || error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

fn tcp(address: SocketAddr) -> io::Result<Box<dyn Connection>> {
    Ok(Box::new(connect(address)?))
}

fn tls(address: SocketAddr) -> io::Result<Box<dyn Connection>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Ours(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(client, connect(address)?)))
}

/// Connects to a server that listens on this machine.
fn connect(mut address: SocketAddr) -> io::Result<TcpStream> {
    if address.port() == 0 {
        return Err(io::Error::other("port 0 is any port, and nobody knows which"));
    }
    match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(any) if any.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

/// Accepts any certificate. The question is only whether this machine's own server answers, and
/// its certificate may be for a name that leads elsewhere.
#[derive(Debug)]
struct Ours(Arc<CryptoProvider>);

impl ServerCertVerifier for Ours {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
