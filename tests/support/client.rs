//! A client that hides nothing: HTTP/1.1 by hand over a TCP connection.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::soon;

/// A connection, and the answer to a request once there is one.
pub struct Client {
    tcp: BufReader<TcpStream>,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

/// An answer that ended.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: String,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The lines of a header that has several.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = soon("connecting", TcpStream::connect(address)).await.expect("a connection");
        Self::over(tcp)
    }

    pub fn over(tcp: TcpStream) -> Self {
        Self { tcp: BufReader::new(tcp) }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).await.expect("the server takes what is sent");
    }

    /// Sends a request without a body, and reads the head of its answer.
    pub async fn request(&mut self, method: &str, path: &str, headers: &str) -> Head {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        self.send(request.as_bytes()).await;
        self.head().await
    }

    /// Reads the head of an answer.
    pub async fn head(&mut self) -> Head {
        let line = self.line().await;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Head { status, headers }
    }

    /// One request on a connection of its own, its body read to the end.
    pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
        let mut client = Self::connect(address).await;
        let headers = format!("connection: close\r\n{headers}");
        let head = client.request(method, path, &headers).await;
        Answer { head, body: client.rest().await }
    }

    /// The number that `/count` says.
    pub async fn count(address: SocketAddr, room: &str) -> usize {
        let answer = Self::ask(address, "GET", &format!("/count?room={room}"), "").await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["room"], room);
        body["count"].as_u64().and_then(|n| n.try_into().ok()).expect("a count")
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        soon("the end of the answer", self.tcp.read_to_string(&mut rest)).await.expect("text");
        rest
    }

    /// A line without its CRLF; empty at the end of a head.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = soon("a line", self.tcp.read_line(&mut line)).await.expect("a line of text");
        assert_ne!(read, 0, "the server closed the connection");
        line.trim_end_matches("\r\n").to_owned()
    }

    /// One chunk of a chunked body; `None` at the last one.
    async fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line().await, 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        soon("a chunk", self.tcp.read_exact(&mut chunk)).await.expect("a whole chunk");
        assert!(chunk.ends_with(b"\r\n"), "a chunk ends with CRLF");
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).expect("UTF-8"))
    }
}

/// An open stream of a client. Dropping it closes the connection.
pub struct Stream {
    client: Client,
    pub head: Head,
    /// Bytes of the stream that belong to the next event.
    read: String,
}

impl Stream {
    /// Joins the default room.
    pub async fn open(address: SocketAddr) -> Self {
        Self::of(Client::connect(address).await, "/events").await
    }

    pub async fn of(mut client: Client, path: &str) -> Self {
        let head = client.request("GET", path, "Accept: text/event-stream\r\n").await;
        assert_eq!(head.status, 200, "{head:?}");
        Self::opened(client, head)
    }

    /// The stream of a client that has asked for it.
    pub fn opened(client: Client, head: Head) -> Self {
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        Self { client, head, read: String::new() }
    }

    /// The next event as it came, with the empty line that ends it; `None` when
    /// the server ended the stream as HTTP wants it ended.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let rest = self.read.split_off(end + 2);
                return Some(std::mem::replace(&mut self.read, rest));
            }
            self.read += &self.client.chunk().await?;
        }
    }

    /// The number that the next event says.
    pub async fn number(&mut self) -> usize {
        let event = self.event().await.expect("the stream goes on");
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        data.and_then(|data| data.parse().ok()).unwrap_or_else(|| panic!("no number: {event:?}"))
    }

    /// Reads on until an event says `expected`, and answers how many it took.
    pub async fn reach(&mut self, expected: usize) -> usize {
        let mut events = 0;
        let reached = async {
            loop {
                events += 1;
                if self.number().await == expected {
                    break;
                }
            }
        };
        soon(&format!("an event that says {expected}"), reached).await;
        events
    }

    /// Ends its own half of the connection (FIN), and goes on to listen.
    pub async fn half_close(&mut self) {
        self.client.tcp.shutdown().await.expect("an open socket");
    }

    /// Closes without a farewell: the peer gets a reset.
    pub fn reset(self) {
        let tcp = self.client.tcp.into_inner();
        tcp.set_zero_linger().expect("an open socket");
    }
}
