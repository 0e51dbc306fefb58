//! The certificate that connections are encrypted with.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{ServerConfig, crypto::ring};

use crate::regular_file;

/// A certificate and its key: the files, and what was read from them and is in use.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// Makes the tickets that clients resume their sessions with. Its keys rotate and
    /// outlive a reload, so that neither a new certificate nor many other clients force
    /// a full handshake.
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Arc<ServerConfig>>,
}

/// What is wrong with a certificate or its key, in one sentence.
#[derive(Debug)]
pub struct TlsError(String);

impl Tls {
    /// Reads the certificate chain and the private key, both PEM. If they are pipes, this waits
    /// until somebody writes to them.
    ///
    /// # Errors
    /// If a file can't be read, or the two don't make a pair.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |error| TlsError(format!("cannot make keys for session tickets: {error}"));
        let tickets = ring::Ticketer::new().map_err(wrong)?;
        let (certificate, key) = (Pem::read(certificate)?, Pem::read(key)?);
        let current = RwLock::new(config(&certificate, &key, tickets.clone())?);
        Ok(Self { certificate: certificate.path, key: key.path, tickets, current })
    }

    /// Reads the files again. Connections that are open keep what they have.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and if they are not files but pipes or the like, which
    /// can't be read twice. On an error, what was in use stays in use.
    pub fn read_again(&self) -> Result<(), TlsError> {
        let (certificate, key) = (Pem::read_again(&self.certificate)?, Pem::read_again(&self.key)?);
        let config = config(&certificate, &key, self.tickets.clone())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The content of a file, and its path.
struct Pem {
    path: PathBuf,
    text: Vec<u8>,
}

impl Pem {
    fn read(path: &Path) -> Result<Self, TlsError> {
        let text = fs::read(path).map_err(|error| cannot_use(path, &error))?;
        Ok(Self { path: path.into(), text })
    }

    fn read_again(path: &Path) -> Result<Self, TlsError> {
        let mut text = Vec::new();
        regular_file::open(path)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|error| cannot_use(path, &error))?;
        Ok(Self { path: path.into(), text })
    }

    fn is_wrong(&self, why: &dyn fmt::Display) -> TlsError {
        cannot_use(&self.path, why)
    }
}

fn cannot_use(path: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError(format!("cannot use {}: {why}", path.display()))
}

fn config(
    certificate: &Pem,
    key: &Pem,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate.text)
        .collect::<Result<_, _>>()
        .map_err(|error| certificate.is_wrong(&error))?;
    if chain.is_empty() {
        return Err(certificate.is_wrong(&"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&key.text).map_err(|error| key.is_wrong(&error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate.is_wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| certificate.is_wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(Arc::new(config))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}
