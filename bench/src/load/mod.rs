//! The load client: one thread that holds all the streams there are, and knows of each
//! the last number it was told.
//!
//! It must be clearly cheaper than what it measures, or it would be itself what is
//! measured: epoll is edge-triggered, an event is one `recv` into one shared buffer,
//! and nothing is allocated for it.

mod event_stream;
mod http2;
mod source;
mod tls;
mod told;
mod websocket;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use socket2::{Domain, Socket, Type};

pub use tls::Handshake;
pub use told::Told;

/// How many events are taken from epoll at once.
const EVENTS: usize = 1024;

/// How much is read at once. An HTTP/2 connection has the events of its hundred
/// streams to say.
const BUFFER: usize = 64 * 1024;

/// After how many connects a storm looks at what has come meanwhile.
const BURST: usize = 32;

/// What a server is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// An event stream over HTTP/1.1, one on each connection.
    EventStream,
    /// Socket.IO over WebSocket.
    SocketIo,
    /// Event streams over HTTP/2, so many on each connection; without TLS with prior
    /// knowledge.
    Http2 {
        /// The streams of a connection.
        streams: u32,
    },
}

/// One of a load's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(usize);

/// What a reader finds in what it reads.
trait Heard {
    /// The connection's stream number `stream` was told `number`.
    fn number(&mut self, stream: u32, number: u32);
    /// The server wants an answer.
    fn reply(&mut self, bytes: &[u8]);
}

/// Many streams to one server, or to the nodes of one counter.
pub struct Load {
    server: SocketAddr,
    protocol: Protocol,
    tls: Option<tls::Settings>,
    resumed: usize,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    told: Told,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    /// What was decrypted of it.
    plain: Vec<u8>,
    reply: Vec<u8>,
}

struct Connection {
    socket: Socket,
    tls: Option<tls::Session>,
    reader: Reader,
    state: State,
    /// When the connection was begun.
    since: Instant,
}

enum State {
    /// On its way; what to ask for once it is there, if at once.
    Connecting(Option<Rc<[u8]>>),
    /// The same, while the two agree on their keys.
    ShakingHands(Option<Rc<[u8]>>),
    Connected,
    Asked,
    Answered,
}

enum Reader {
    EventStream(event_stream::Events),
    SocketIo(websocket::Frames),
    Http2(http2::Frames),
}

impl Load {
    /// A load without any stream yet.
    ///
    /// # Errors
    /// What the system says when it has no epoll to give.
    pub fn new(server: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        Self::with(server, protocol, None)
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// As [`Load::new`].
    pub fn over_tls(
        server: SocketAddr,
        protocol: Protocol,
        handshake: Handshake,
    ) -> anyhow::Result<Self> {
        Self::with(server, protocol, Some(tls::Settings::new(protocol, handshake)?))
    }

    fn with(
        server: SocketAddr,
        protocol: Protocol,
        tls: Option<tls::Settings>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            protocol,
            tls,
            resumed: 0,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            free: Vec::new(),
            told: Told::new(protocol.streams()),
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            plain: Vec::new(),
            reply: Vec::new(),
        })
    }

    /// From now on, connections go to this server. All streams are watched together.
    pub fn turn_to(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// What the streams have been told.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// How many streams a connection has.
    #[must_use]
    pub fn of_a_connection(&self) -> usize {
        self.protocol.streams() as usize
    }

    /// How many tickets connections over TLS have got that no other has used.
    #[must_use]
    pub fn tickets(&self) -> usize {
        self.tls.as_ref().map_or(0, tls::Settings::tickets)
    }

    /// From now on, connections over TLS begin with a ticket each while there are any.
    pub fn use_tickets(&self) {
        if let Some(tls) = &self.tls {
            tls.use_tickets();
        }
    }

    /// How many connections have begun with a ticket of an earlier one.
    #[must_use]
    pub fn resumed(&self) -> usize {
        self.resumed
    }

    /// From now on, looks who is told `number` and when.
    pub fn watch(&mut self, number: usize) {
        self.told.watch(u32::try_from(number).unwrap_or(u32::MAX));
    }

    /// Starts to count events and first events anew.
    pub fn forget_figures(&mut self) {
        self.told.forget_figures();
    }

    /// Opens streams until there are so many, and waits until each was told
    /// something. At most `in_flight` are on their way at once.
    ///
    /// # Errors
    /// If a connection fails or is ended, or not all are there within `limit`.
    pub fn fill(
        &mut self,
        path: &str,
        streams: usize,
        in_flight: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let request = self.request(path);
        while self.told.open() < streams || self.told.silent() > 0 {
            for _ in 0..BURST {
                if self.told.open() < streams && self.told.silent() < in_flight {
                    self.open(request.clone())?;
                }
            }
            let opening = self.told.open() < streams && self.told.silent() < in_flight;
            self.turn(if opening { Instant::now() } else { deadline })?;
            ensure!(
                Instant::now() < deadline,
                "after {limit:?} {} of {streams} streams were open, {} of them without an event",
                self.told.open(),
                self.told.silent(),
            );
        }
        Ok(())
    }

    /// What [`Load::open`] and [`Load::ask`] send to ask for `path`.
    #[must_use]
    pub fn request(&self, path: &str) -> Rc<[u8]> {
        self.protocol.request(path, self.tls.is_some())
    }

    /// Opens one connection, which asks for its streams as soon as it is there.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn open(&mut self, request: Rc<[u8]>) -> anyhow::Result<Key> {
        self.begin(Some(request))
    }

    /// Opens one connection that waits with its request for [`Load::ask`].
    ///
    /// # Errors
    /// If it does not come about within `limit`.
    pub fn connect(&mut self, limit: Duration) -> anyhow::Result<Key> {
        let key = self.begin(None)?;
        self.until("connected", limit, |load| {
            let connection = load.connections[key.0].as_ref();
            connection.is_some_and(|connection| !connection.state.is_on_its_way())
        })?;
        Ok(key)
    }

    /// Sends the request of a connection that waited with it.
    ///
    /// # Errors
    /// If the system does not take it.
    pub fn ask(&mut self, key: Key, request: &[u8]) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connections[key.0] else { bail!("no such connection") };
        connection.send(request)?;
        connection.state = State::Asked;
        Ok(())
    }

    /// Closes one connection, and with it its streams.
    pub fn close(&mut self, key: Key) {
        if self.connections[key.0].take().is_some() {
            self.told.close(key.0);
            self.free.push(key.0);
        }
    }

    /// Closes every connection but the first.
    pub fn close_all_but_the_first(&mut self) {
        for at in 1..self.connections.len() {
            self.close(Key(at));
        }
    }

    /// Waits for what is to come true, and goes on reading meanwhile.
    ///
    /// # Errors
    /// If a connection fails or is ended, or if it did not come true within `limit`.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !done(self) {
            ensure!(Instant::now() < deadline, "not {what} within {limit:?}: {}", self.told);
            self.turn(deadline)?;
        }
        Ok(())
    }

    /// Waits until every stream was told the watched number last.
    ///
    /// # Errors
    /// As [`Load::until`].
    pub fn until_all_know(&mut self, limit: Duration) -> anyhow::Result<()> {
        self.until("known to all", limit, |load| load.told.all_know())
    }

    /// Lets time pass, and goes on reading meanwhile.
    ///
    /// # Errors
    /// If a connection fails or is ended.
    pub fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.turn(deadline)?;
        }
        Ok(())
    }

    fn begin(&mut self, request: Option<Rc<[u8]>>) -> anyhow::Result<Key> {
        let since = Instant::now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)
            .context("cannot open one more socket")?;
        socket.bind(&source::next().into()).context("cannot bind one more socket")?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).context("cannot connect"),
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), flags)?;
        let tls = self.tls.as_ref().map(tls::Settings::session).transpose()?;
        let (reader, state) = (self.protocol.reader(), State::Connecting(request));
        self.connections[at] = Some(Connection { socket, tls, reader, state, since });
        self.told.open_connection(at);
        Ok(Key(at))
    }

    /// Waits for events, at most until `until`, and handles them.
    fn turn(&mut self, until: Instant) -> anyhow::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let waited =
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
        match waited {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let at = event.data.u64() as usize;
            self.handle(at, event.flags).with_context(|| format!("connection {at}"))?;
        }
        self.events = events;
        Ok(())
    }

    fn handle(&mut self, at: usize, flags: EventFlags) -> anyhow::Result<()> {
        // A connection that was closed on our side may have had one more event.
        let Some(connection) = &mut self.connections[at] else { return Ok(()) };
        if let State::Connecting(request) = &mut connection.state {
            sockopt::socket_error(&connection.socket)?.context("cannot connect")?;
            let request = request.take();
            if connection.tls.is_some() {
                connection.state = State::ShakingHands(request);
                connection.send(&[])?;
            } else {
                connection.begin(self.protocol, request.as_deref())?;
            }
        }
        let closing = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if !flags.contains(EventFlags::IN) && !closing {
            return Ok(());
        }
        loop {
            let read = match recv(&connection.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => bail!("the server closed it"),
                Ok((_, read)) => read,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("the connection failed"),
            };
            let received = &self.buffer[..read];
            let bytes = if let Some(tls) = &mut connection.tls {
                tls.receive(received, &mut self.plain)?;
                connection.shake_hands(self.protocol, &mut self.resumed)?;
                &self.plain
            } else {
                received
            };
            let mut mouth =
                Mouth { told: &mut self.told, reply: &mut self.reply, at, since: connection.since };
            connection.read(bytes, &mut mouth)?;
            if !self.reply.is_empty() {
                connection.send(&self.reply)?;
                self.reply.clear();
            }
            // What comes later is another event, unless that was the last.
            if read < self.buffer.len() && !closing {
                return Ok(());
            }
        }
    }
}

impl Drop for Load {
    /// Resets what is still open: no port shall wait for a peer that is gone too.
    fn drop(&mut self) {
        for connection in self.connections.iter().flatten() {
            let _then_it_waits = connection.socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl State {
    /// Whether nothing can be asked yet.
    fn is_on_its_way(&self) -> bool {
        matches!(self, Self::Connecting(_) | Self::ShakingHands(_))
    }
}

impl Connection {
    /// The connection is there: greets the server, and asks at once if that is wanted.
    fn begin(&mut self, protocol: Protocol, request: Option<&[u8]>) -> anyhow::Result<()> {
        self.state = if request.is_some() { State::Asked } else { State::Connected };
        let words = [protocol.greeting(), request.unwrap_or_default().into()].concat();
        self.send(&words)
    }

    /// Goes on with the handshake if it isn't over; counts it in `resumed` if it was
    /// short.
    fn shake_hands(&mut self, protocol: Protocol, resumed: &mut usize) -> anyhow::Result<()> {
        let (State::ShakingHands(request), Some(tls)) = (&mut self.state, &mut self.tls) else {
            return Ok(());
        };
        match tls.shook_hands(protocol)? {
            None => self.send(&[]),
            Some(handshake) => {
                *resumed += usize::from(handshake == Handshake::Resumed);
                let request = request.take();
                self.begin(protocol, request.as_deref())
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.send(bytes, &self.socket);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        ensure!(sent == bytes.len(), "a request did not fit into a socket");
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<()> {
        if bytes.is_empty() {
            // A record of TLS need not say anything.
            return Ok(());
        }
        if !matches!(self.state, State::Answered) {
            self.state = State::Answered;
            let expected: &[u8] = match self.reader {
                Reader::EventStream(_) => b"HTTP/1.1 200",
                Reader::SocketIo(_) => b"HTTP/1.1 101",
                Reader::Http2(_) => b"",
            };
            if !bytes.starts_with(expected) {
                let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
                bail!("the server answered {:?}", String::from_utf8_lossy(line));
            }
        }
        match &mut self.reader {
            Reader::EventStream(events) => events.read(bytes, heard),
            Reader::SocketIo(frames) => frames.read(bytes, heard)?,
            Reader::Http2(frames) => frames.read(bytes, heard)?,
        }
        Ok(())
    }
}

impl Protocol {
    fn streams(self) -> u32 {
        match self {
            Self::EventStream | Self::SocketIo => 1,
            Self::Http2 { streams } => streams,
        }
    }

    /// What is said at the beginning of a connection.
    fn greeting(self) -> Vec<u8> {
        match self {
            Self::EventStream | Self::SocketIo => Vec::new(),
            Self::Http2 { .. } => http2::greeting(),
        }
    }

    fn request(self, path: &str, tls: bool) -> Rc<[u8]> {
        match self {
            Self::EventStream => {
                let head = "host: bench\r\naccept: text/event-stream\r\n\r\n";
                format!("GET {path} HTTP/1.1\r\n{head}").into_bytes().into()
            }
            Self::SocketIo => websocket::REQUEST.as_bytes().into(),
            Self::Http2 { streams } => http2::request(path, streams, tls).into(),
        }
    }

    fn reader(self) -> Reader {
        match self {
            Self::EventStream => Reader::EventStream(event_stream::Events::default()),
            Self::SocketIo => Reader::SocketIo(websocket::Frames::default()),
            Self::Http2 { streams } => Reader::Http2(http2::Frames::new(streams)),
        }
    }
}

/// Passes on what one connection hears.
struct Mouth<'a> {
    told: &'a mut Told,
    reply: &'a mut Vec<u8>,
    at: usize,
    since: Instant,
}

impl Heard for Mouth<'_> {
    fn number(&mut self, stream: u32, number: u32) {
        self.told.hear(self.at, stream, number, self.since);
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.reply.extend_from_slice(bytes);
    }
}

/// Where the line after the first blank line begins.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::TcpListener;

    /// What a reader found, kept for a test to look at.
    #[derive(Default)]
    pub(super) struct Numbers {
        numbers: BTreeMap<u32, Vec<u32>>,
        pub(super) replies: Vec<u8>,
    }

    impl Numbers {
        pub(super) fn of(&self, stream: u32) -> &[u32] {
            self.numbers.get(&stream).map_or(&[], Vec::as_slice)
        }
    }

    impl Heard for Numbers {
        fn number(&mut self, stream: u32, number: u32) {
            self.numbers.entry(stream).or_default().push(number);
        }

        fn reply(&mut self, bytes: &[u8]) {
            self.replies.extend_from_slice(bytes);
        }
    }

    fn load(server: SocketAddr) -> Load {
        Load::new(server, Protocol::EventStream).expect("a load")
    }

    #[test]
    fn a_server_that_says_nothing_ends_the_wait_at_its_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut load = load(listener.local_addr().expect("an address"));
        let failure = load.fill("/events", 2, 10, Duration::from_millis(20)).expect_err("no event");
        assert!(failure.to_string().contains("2 of them without an event"), "{failure}");
        let failure = load.until_all_know(Duration::from_millis(1)).expect_err("no number");
        assert!(failure.to_string().contains("not known to all within 1ms"), "{failure}");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let nobody = listener.local_addr().expect("an address");
        drop(listener);
        let failure = load(nobody).fill("/events", 1, 1, Duration::from_secs(10));
        assert!(format!("{:#}", failure.expect_err("nobody")).contains("refused"));
    }

    #[test]
    fn over_http2_a_client_greets_before_it_answers_or_asks() {
        use std::io::{Read, Write};
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
            // Settings, which are to be answered.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).expect("written");
            let mut greeting = [0; 24];
            stream.read_exact(&mut greeting).expect("a greeting, though nothing is asked");
            assert_eq!(&greeting, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        });
        let mut load = Load::new(address, Protocol::Http2 { streams: 1 }).expect("a load");
        load.connect(Duration::from_secs(10)).expect("a connection");
        server.join().expect("no panic");
    }

    #[test]
    fn a_server_that_refuses_or_closes_is_an_error() {
        for (answer, failure) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503 Service Unavailable"),
            ("HTTP/1.1 200 OK\r\n\r\n", "the server closed it"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut load = load(listener.local_addr().expect("an address"));
            let server = std::thread::spawn(move || {
                use std::io::{Read, Write};
                let (mut stream, _) = listener.accept().expect("a client");
                let _ = stream.read(&mut [0; 1024]).expect("a request");
                stream.write_all(answer.as_bytes()).expect("written");
            });
            let filled = load.fill("/events", 1, 1, Duration::from_secs(10));
            let said = format!("{:#}", filled.expect_err("refused"));
            assert!(said.contains(failure), "{said}");
            server.join().expect("no panic");
        }
    }
}
