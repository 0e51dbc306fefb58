use super::*;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::task::Waker;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::tls::Tls;

/// A record that was not encrypted.
const GARBAGE: [u8; 37] = {
    let mut record = [0; 37];
    (record[0], record[1], record[2], record[4]) = (23, 3, 3, 32);
    record
};

/// What an unencrypted record of an alert begins with.
const ALERT: u8 = 21;

struct Configs {
    server: Arc<ServerConfig>,
    trusted: RootCertStore,
}

fn configs() -> &'static Configs {
    static CONFIGS: OnceLock<Configs> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", "/CN=test", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-addext"])
            .args(["subjectAltName=DNS:test", "-addext", "basicConstraints=CA:FALSE"])
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .output();
        assert!(made.expect("openssl").status.success());
        let server = Tls::read(&certificate, &key).expect("a pair").config();
        let mut trusted = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&certificate).expect("a certificate");
        trusted.add(certificate).expect("it can be trusted");
        Configs { server, trusted }
    })
}

fn connector(version: &'static SupportedProtocolVersion) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("it is known")
        .with_root_certificates(configs().trusted.clone())
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Both ends of a connection that holds this many bytes on their way.
async fn connected(
    version: &'static SupportedProtocolVersion,
    room: usize,
) -> (Box<Encrypted<DuplexStream>>, TlsStream<DuplexStream>) {
    let (server, client) = duplex(room);
    let name = ServerName::try_from("test").expect("a name");
    let accepted = Encrypted::accept(server, configs().server.clone());
    let connected = connector(version).connect(name, client);
    in_time(async { tokio::try_join!(accepted, connected) }).await.expect("no error")
}

/// This many bytes, which are not all the same.
fn text(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(Duration::from_secs(20), step).await.expect("in time")
}

async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    in_time(io.read_to_end(&mut read)).await.map(|_| read)
}

async fn write_all(io: &mut (impl AsyncWrite + Unpin), text: &[u8]) {
    io.write_all(text).await.expect("it is taken");
    io.flush().await.expect("it is sent");
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[tokio::test]
async fn both_sides_are_heard_however_their_words_are_cut_up() {
    let said = text(3 * PLAIN);
    for (version, room) in [(&TLS13, 1), (&TLS13, 4096), (&TLS12, 1), (&TLS12, 1 << 20)] {
        let (server, client) = duplex(room);
        let heard = async {
            let name = ServerName::try_from("test").expect("a name");
            let mut client = connector(version).connect(name, client).await?;
            client.write_all(&said).await?;
            client.shutdown().await?;
            read_all(&mut client).await
        };
        let answered = async {
            let mut server = Encrypted::accept(server, configs().server.clone()).await?;
            let heard = read_all(&mut server).await?;
            server.write_all(&heard).await?;
            server.shutdown().await
        };
        let both = in_time(async { tokio::try_join!(heard, answered) }).await;
        let (heard, ()) = both.expect("no error");
        assert!(heard == said, "by {version:?} through {room}");
    }
}

#[tokio::test]
async fn nothing_is_kept_while_nothing_comes_or_goes() {
    // No record comes or goes in one piece.
    let (mut server, mut client) = connected(&TLS13, 16).await;
    let mut heard = [0; 5];
    let said = async { in_time(server.read_exact(&mut heard)).await.expect("it was said") };
    tokio::join!(write_all(&mut client, b"hello"), said);
    let said = async { in_time(client.read_exact(&mut heard)).await.expect("it was said") };
    tokio::join!(write_all(&mut server, b"hello"), said);
    assert_eq!(&heard, b"hello");
    let Encrypted { incoming, read, outgoing, .. } = *server;
    assert_eq!((incoming.capacity(), read.capacity(), outgoing.capacity()), (0, 0, 0));
}

#[tokio::test]
async fn no_more_is_taken_than_a_record_before_the_client_takes_it() {
    let (mut server, mut client) = connected(&TLS13, 4096).await;
    let said = text(2 * PLAIN);
    let mut write = |text: &[u8]| Pin::new(&mut *server).poll_write(&mut context(), text);
    assert!(matches!(write(&said), Poll::Ready(Ok(PLAIN))));
    assert!(write(&said[PLAIN..]).is_pending());
    let mut heard = vec![0; said.len()];
    let rest = async { write_all(&mut server, &said[PLAIN..]).await };
    assert!(tokio::join!(rest, client.read_exact(&mut heard)).1.is_ok());
    assert!(heard == said);
}

#[tokio::test]
async fn who_has_said_that_no_more_comes_is_still_answered() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = connected(version, 4096).await;
        client.shutdown().await.expect("closed");
        assert_eq!(read_all(&mut server).await.expect("no error"), b"");
        write_all(&mut server, b"hello").await;
        server.shutdown().await.expect("closed");
        assert_eq!(read_all(&mut client).await.expect("no error"), b"hello");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_was_not_closed() {
    for cut_up in [&b""[..], &GARBAGE[..20]] {
        let (mut server, client) = connected(&TLS13, 4096).await;
        let (mut client, _) = client.into_inner();
        write_all(&mut client, cut_up).await;
        drop(client);
        let error = read_all(&mut server).await.expect_err("it may lack something");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn who_does_not_keep_to_tls_is_told_so_and_nothing_else() {
    for version in [&TLS12, &TLS13] {
        let (mut server, client) = connected(version, 4096).await;
        let (mut client, mut session) = client.into_inner();
        write_all(&mut client, &GARBAGE).await;
        for _ in 0..2 {
            let error = read_all(&mut server).await.expect_err("it is no record");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let error = server.write_all(b"hello").await.expect_err("it has failed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        server.shutdown().await.expect("closed");
        drop(server);
        let told = read_all(&mut client).await.expect("no error");
        session.read_tls(&mut &told[..]).expect("it has room");
        let told = session.process_new_packets().expect_err("an alert");
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_or_too_large_or_cut_fails() {
    let hello = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    for (said, kind) in [
        (b"GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_vec(), io::ErrorKind::InvalidData),
        ([&hello[..], &hello].concat(), io::ErrorKind::InvalidData),
        (hello[..100].to_vec(), io::ErrorKind::UnexpectedEof),
    ] {
        let (server, mut client) = duplex(1 << 20);
        client.write_all(&said).await.expect("it is taken");
        client.shutdown().await.expect("closed");
        let accepted = Encrypted::accept(server, configs().server.clone()).await;
        assert_eq!(accepted.err().map(|error| error.kind()), Some(kind));
        let told = read_all(&mut client).await.expect("no error");
        let is_told = kind == io::ErrorKind::InvalidData && said[0] != 22;
        assert_eq!(told.first(), is_told.then_some(&ALERT));
    }
}

#[tokio::test]
async fn when_keys_are_changed_no_word_is_lost() {
    let (mut server, mut client) = connected(&TLS13, 4096).await;
    let mut heard = [0; 5];
    for _ in 0..3 {
        client.get_mut().1.refresh_traffic_keys().expect("keys can be changed");
        write_all(&mut client, b"hello").await;
        in_time(server.read_exact(&mut heard)).await.expect("it was said");
        write_all(&mut server, &heard).await;
        in_time(client.read_exact(&mut heard)).await.expect("it was said");
        assert_eq!(&heard, b"hello");
    }
}
