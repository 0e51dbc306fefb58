//! TLS as the load client speaks it: it believes every certificate, for what it has to
//! compute must stay below what the server has to.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientConnection, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, NamedGroup, SignatureScheme};
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::Protocol;

/// How a client's connections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handshake {
    /// Each as if the client had never been there: the server proves who it is.
    Full,
    /// With a ticket of an earlier connection, as soon as [`Load::use_tickets`] says so.
    ///
    /// [`Load::use_tickets`]: super::Load::use_tickets
    Resumed,
}

/// What all connections of a load have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    config: Arc<ClientConfig>,
    tickets: Arc<Tickets>,
    name: ServerName<'static>,
}

impl Settings {
    pub(super) fn new(protocol: Protocol, handshake: Handshake) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![application(protocol).into()];
        let tickets = Arc::<Tickets>::default();
        config.resumption = match handshake {
            Handshake::Full => Resumption::disabled(),
            Handshake::Resumed => Resumption::store(tickets.clone()),
        };
        Ok(Self { config: Arc::new(config), tickets, name: ServerName::try_from("bench")? })
    }

    /// From now on, connections begin with a ticket if there is one.
    pub(super) fn use_tickets(&self) {
        self.tickets.in_use.store(true, Ordering::Relaxed);
    }

    /// How many tickets there are.
    pub(super) fn tickets(&self) -> usize {
        self.tickets.all().len()
    }

    pub(super) fn session(&self) -> anyhow::Result<Session> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone())?;
        Ok(Session(Box::new(connection)))
    }
}

/// The tickets of all visitors. Each is used once, as browsers do; and since a server need
/// not give one for another, they are collected first and used then.
#[derive(Debug, Default)]
struct Tickets {
    in_use: AtomicBool,
    all: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl Tickets {
    fn all(&self) -> MutexGuard<'_, Vec<Tls13ClientSessionValue>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.all().push(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.in_use.load(Ordering::Relaxed).then(|| self.all().pop()).flatten()
    }

    // All servers here agree on what the client offers first.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    // TLS 1.2 is not offered.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

/// What ALPN calls it.
fn application(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http2 { .. } => b"h2",
        Protocol::EventStream | Protocol::SocketIo => b"http/1.1",
    }
}

/// The encryption of one connection.
pub(super) struct Session(Box<ClientConnection>);

impl Session {
    /// Decrypts what was received into `plain`, in place of what was there.
    pub(super) fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> anyhow::Result<()> {
        plain.clear();
        while !bytes.is_empty() {
            if self.0.read_tls(&mut bytes)? == 0 {
                bail!("the server said something after its goodbye");
            }
            let state = self.0.process_new_packets()?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut plain[start..])?;
        }
        Ok(())
    }

    /// Encrypts and sends `plain`, and whatever the handshake has to say before.
    pub(super) fn send(&mut self, plain: &[u8], mut socket: &Socket) -> anyhow::Result<()> {
        std::io::Write::write_all(&mut self.0.writer(), plain)?;
        while self.0.wants_write() {
            self.0.write_tls(&mut socket).context("cannot send over TLS")?;
        }
        Ok(())
    }

    /// How the handshake went, once it is over.
    pub(super) fn shook_hands(&self, protocol: Protocol) -> anyhow::Result<Option<Handshake>> {
        if self.0.is_handshaking() {
            return Ok(None);
        }
        if matches!(protocol, Protocol::Http2 { .. }) {
            let agreed = self.0.alpn_protocol() == Some(application(protocol));
            ensure!(agreed, "the server does not agree on HTTP/2 (ALPN)");
        }
        let resumed = self.0.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Some(if resumed { Handshake::Resumed } else { Handshake::Full }))
    }
}

/// Who believes every certificate, and that the server has its key.
#[derive(Debug)]
struct Gullible(Arc<CryptoProvider>);

impl ServerCertVerifier for Gullible {
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
        Err(rustls::Error::General("TLS 1.2 was not offered".into()))
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
