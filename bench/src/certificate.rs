//! The certificate of a server that is measured over TLS, made for it by `openssl`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// What kind of key it has. A server signs with it in every full handshake, so this
/// decides what one costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The curve P-256, what ACME clients ask for today.
    P256,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// A certificate and its key as files, which are removed when this is dropped.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// Makes one.
    ///
    /// # Errors
    /// If there is no `openssl`, or it fails.
    pub fn new(key: Key) -> anyhow::Result<Self> {
        let certificate = Self { folder: tempfile::tempdir().context("no temporary folder")? };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=bench"]);
        openssl.args(["-addext", "subjectAltName=DNS:bench", "-newkey"]);
        openssl.args(key.options());
        openssl.arg("-keyout").arg(certificate.key()).arg("-out").arg(certificate.chain());
        let output =
            openssl.output().context("cannot start openssl: bench/setup.sh installs it")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl makes no certificate: {}", said.trim());
        Ok(certificate)
    }

    /// The file of the certificate.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The file of its private key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::P256, Self::Rsa2048];

    /// Its name in the report.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::Rsa2048 => "RSA 2048",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::P256 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::Rsa2048 => &["rsa:2048"],
        }
    }
}
