//! How a visitor's stream is carried. Browsers over plain HTTP use HTTP/1.1; over TLS
//! they agree with the server on HTTP/2 (ALPN) if it has that.

use serde::{Deserialize, Serialize};

use crate::load::Protocol;

/// How many streams share a connection. The least that a server ought to allow (RFC 9113,
/// section 6.5.2).
pub const OF_A_CONNECTION: u32 = 100;

/// One of the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// HTTP/1.1 without TLS, one connection a visitor.
    Http1,
    /// HTTP/1.1 over TLS, one connection a visitor.
    TlsHttp1,
    /// HTTP/2 by prior knowledge, one connection a visitor.
    Http2,
    /// HTTP/2 over TLS, one connection a visitor.
    TlsHttp2,
    /// HTTP/2 by prior knowledge, a hundred streams on each connection.
    SharedHttp2,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Http1, Self::TlsHttp1, Self::Http2, Self::TlsHttp2, Self::SharedHttp2];

    /// Its name in the report.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::TlsHttp1 => "TLS, HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::TlsHttp2 => "TLS, HTTP/2",
            Self::SharedHttp2 => "HTTP/2, 100 streams each",
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::TlsHttp1 | Self::TlsHttp2)
    }

    /// Whether it is HTTP/2.
    #[must_use]
    pub fn has_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::TlsHttp2 | Self::SharedHttp2)
    }

    /// What the load client speaks on it.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Http1 | Self::TlsHttp1 => Protocol::EventStream,
            Self::Http2 | Self::TlsHttp2 => Protocol::Http2 { streams: 1 },
            Self::SharedHttp2 => Protocol::Http2 { streams: OF_A_CONNECTION },
        }
    }
}
