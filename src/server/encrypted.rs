//! A connection that is encrypted with TLS, and small while nothing comes or goes.
//!
//! rustls does the work; this moves its bytes. Instead of a buffer of 4 kB for each
//! connection, it reads and writes through one buffer that all connections of a thread
//! share, and keeps only what it must: the first part of an incomplete record, what was
//! decrypted but not yet read, and what the socket did not take.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;
use super::transport::Io;

/// How many bytes a record has at most, including its head (RFC 5246, section 6.2.3; less
/// in TLS 1.3), and so the most that is kept of an incomplete one. A handshake message that
/// is spread over several records must fit in too.
const RECORD: usize = 5 + 16_384 + 2048;

/// How many bytes at most are encrypted into one record (RFC 8446, section 5.1).
const PLAIN: usize = 16_384;

thread_local! {
    /// The buffer that records are received and encrypted into, taken by whichever connection
    /// is at work.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The connection under it, and the session.
pub(super) struct Encrypted<T> {
    io: T,
    session: UnbufferedServerConnection,
    /// The first part of a record.
    incoming: Vec<u8>,
    /// What was decrypted and has not been read.
    read: BytesMut,
    /// What was encrypted and has not been sent.
    outgoing: BytesMut,
    /// Whether the client may still say something.
    client: Client,
    /// Whether we have said that nothing more comes (`close_notify`).
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Speaks,
    /// It has said that nothing more comes (`close_notify`).
    Closed,
    /// It broke the rules of TLS, and rustls is not asked again.
    Failed,
}

impl<T: Io> Encrypted<T> {
    /// Performs the handshake.
    pub(super) async fn accept(io: T, config: Arc<ServerConfig>) -> io::Result<Box<Self>> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        // Boxed, because it is large and passed from future to future, each of which would
        // keep room for it.
        let mut new = Box::new(Self {
            io,
            session,
            incoming: Vec::new(),
            read: BytesMut::new(),
            outgoing: BytesMut::new(),
            client: Client::Speaks,
            closed: false,
        });
        poll_fn(|cx| new.poll_accepted(cx)).await?;
        Ok(new)
    }

    fn poll_accepted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    /// Sends what was encrypted.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(sent);
        }
        self.outgoing = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Receives something, and decrypts the complete records. Also sends what the client may
    /// be waiting for, but doesn't wait until it is sent: the client may have something to say
    /// first.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut records = SHARED.take();
        records.resize(records.len().max(RECORD), 0);
        let _sent_or_not = self.poll_sent(cx);
        let received = self.poll_receive_into(&mut records[..RECORD], cx);
        let _sent_or_not = self.poll_sent(cx);
        SHARED.set(records);
        received
    }

    fn poll_receive_into(
        &mut self,
        records: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (begun, free) = records.split_at_mut(self.incoming.len());
        begun.copy_from_slice(&self.incoming);
        if free.is_empty() {
            self.client = Client::Failed;
            return Poll::Ready(Err(invalid("a handshake message is too large")));
        }
        let mut free = ReadBuf::new(free);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut free))?;
        if free.filled().is_empty() {
            // Anybody who can cut the connection could cut a message short.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = begun.len() + free.filled().len();
        let decrypted = self.decrypt(&mut records[..end]);
        let done = decrypted.inspect_err(|_| self.client = Client::Failed)?;
        if done == end {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(&records[done..end]);
        }
        Poll::Ready(Ok(()))
    }

    /// Decrypts the complete ones of `records`. Returns how many bytes are done with.
    fn decrypt(&mut self, records: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut records[done..]);
            let error = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        self.read.extend_from_slice(record.map_err(invalid)?.payload);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    append(&mut self.outgoing, data);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.client = Client::Closed;
                    None
                }
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => return Ok(done + discard),
                // We take none.
                Ok(_early_data) => return Err(invalid("early data")),
                Err(error) => Some(error),
            };
            done += discard;
            if let Some(error) = error {
                self.encode_alert(&mut records[done..]);
                return Err(invalid(error));
            }
        }
    }

    /// Encodes the alert that tells the client about its error.
    fn encode_alert(&mut self, records: &mut [u8]) {
        while self.session.wants_write() {
            match self.session.process_tls_records(records).state {
                Ok(ConnectionState::EncodeTlsData(data)) => append(&mut self.outgoing, data),
                _ => return,
            }
        }
    }

    /// Encrypts `plain` or, if there is none, the message that nothing more comes
    /// (`close_notify`). Returns how many bytes of `record` that takes.
    fn encrypt(&mut self, plain: Option<&[u8]>, record: &mut Vec<u8>) -> io::Result<usize> {
        if self.client == Client::Failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            let mut traffic = match self.session.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(traffic)) => traffic,
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    append(&mut self.outgoing, data);
                    continue;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    continue;
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let encrypted = match plain {
                Some(plain) => traffic.encrypt(plain, record),
                None => traffic.queue_close_notify(record),
            };
            match encrypted {
                Ok(size) => return Ok(size),
                Err(EncryptError::InsufficientSize(needed)) => {
                    record.resize(needed.required_size, 0);
                }
                Err(error @ EncryptError::EncryptExhausted) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Encrypts as [`encrypt`](Self::encrypt) does, and sends as much as the socket takes.
    fn send(&mut self, plain: Option<&[u8]>, cx: &mut Context<'_>) -> io::Result<()> {
        let mut record = SHARED.take();
        record.resize(record.len().max(RECORD), 0);
        let sent = self.encrypt(plain, &mut record).and_then(|size| {
            let record = &record[..size];
            let sent = match Pin::new(&mut self.io) {
                io if self.outgoing.is_empty() => io.poll_write(cx, record),
                _ => Poll::Pending,
            };
            let sent = match sent {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            self.outgoing.extend_from_slice(&record[sent..]);
            Ok(())
        });
        SHARED.set(record);
        sent
    }
}

fn append<Data>(outgoing: &mut BytesMut, mut data: EncodeTlsData<'_, Data>) {
    let end = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(end + needed.required_size, 0);
        let _it_fits = data.encode(&mut outgoing[end..]);
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<T: Io> AsyncRead for Encrypted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match this.client {
                Client::Speaks => ready!(this.poll_receive(cx))?,
                Client::Closed => return Poll::Ready(Ok(())),
                Client::Failed => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
        let length = this.read.len().min(buf.remaining());
        buf.put_slice(&this.read[..length]);
        this.read.advance(length);
        if this.read.is_empty() {
            this.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Io> AsyncWrite for Encrypted<T> {
    /// Takes a whole record, or nothing as long as the last one has not been sent.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        let plain = &buf[..buf.len().min(PLAIN)];
        if !plain.is_empty() {
            this.send(Some(plain), cx)?;
        }
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            this.closed = true;
            if this.client != Client::Failed {
                this.send(None, cx)?;
            }
        }
        ready!(this.poll_sent(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // The client has closed it already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

impl<T: Io> Io for Encrypted<T> {
    fn socket(&self) -> Option<&Socket> {
        self.io.socket()
    }
}

#[cfg(test)]
mod tests;
