//! The floor: what the task costs with nothing around it. One thread, epoll, and one
//! `send` for each subscriber and change; of HTTP there is no more than the blank line
//! that ends a request. Everything else is measured against this.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use anyhow::Context as _;
use clap::Parser;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};
use socket2::{Domain, Socket, Type};

/// The same answer as Headcount's, with a seat and a `retry` that never change.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream\r\n\
    cache-control: no-cache, no-transform\r\n\
    x-accel-buffering: no\r\n\
    connection: close\r\n\
    transfer-encoding: chunked\r\n\r\n";
const PREAMBLE: &str = "retry: 3172\nid: 5c9ef0a2d7c14e6b8a90f3d2b1c4e5a6\n";

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How many events are taken from epoll at once. What changes in one such round is
/// told as one number: that is all the merging there is.
const EVENTS: usize = 1024;

#[derive(Parser)]
#[command(about = "The floor: epoll and send, with nothing around them")]
struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value_t = (Ipv4Addr::LOCALHOST, 3000).into())]
    listen: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    let Arguments { listen } = Arguments::parse();
    headcount_bench::descriptors::raise()?;
    let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.set_nonblocking(true)?;
    listener.bind(&listen.into()).with_context(|| format!("cannot listen on {listen}"))?;
    listener.listen(BACKLOG)?;
    Floor::new(listener)?.serve()
}

struct Floor {
    listener: Socket,
    epoll: OwnedFd,
    /// Everybody who is connected, by file descriptor.
    clients: Vec<Option<Client>>,
    /// What did not fit into a socket of a chunk, by file descriptor.
    begun: HashMap<RawFd, Vec<u8>>,
    count: u32,
    chunk: Vec<u8>,
}

struct Client {
    socket: OwnedFd,
    state: State,
    /// The number that was sent to it last; 0 for none.
    told: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Has not asked yet; so much of the blank line was seen.
    Asking { matched: u8 },
    /// Counted, and told of every change.
    Subscribed,
    /// The same, but its socket is full: the newest number follows when it is not.
    Behind,
}

impl Floor {
    fn new(listener: Socket) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let this = Self {
            listener,
            epoll,
            clients: Vec::new(),
            begun: HashMap::new(),
            count: 0,
            chunk: Vec::new(),
        };
        epoll::add(&this.epoll, &this.listener, data(&this.listener), EventFlags::IN)?;
        Ok(this)
    }

    fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut told = 0;
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (fd, flags) = (event.data.u64() as RawFd, event.flags);
                if fd == self.listener.as_raw_fd() {
                    self.accept();
                    continue;
                }
                if flags.contains(EventFlags::OUT) {
                    self.catch_up(fd);
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.read(fd);
                }
            }
            if self.count != told {
                told = self.count;
                self.publish();
            }
        }
    }

    fn accept(&mut self) {
        // Any error but EAGAIN is of one connection, or passes: the listener is
        // level-triggered, and asks again.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK) {
            let _worse_latency = sockopt::set_tcp_nodelay(&socket, true);
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            if epoll::add(&self.epoll, &socket, data(&socket), flags).is_err() {
                continue;
            }
            let at = socket.as_raw_fd() as usize;
            if self.clients.len() <= at {
                self.clients.resize_with(at + 1, || None);
            }
            self.clients[at] =
                Some(Client { socket, state: State::Asking { matched: 0 }, told: 0 });
        }
    }

    /// Reads until there is nothing more, as an edge-triggered socket wants it.
    fn read(&mut self, fd: RawFd) {
        let mut buffer = [0; 4096];
        while let Some(client) = &mut self.clients[fd as usize] {
            match recv(&client.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => self.remove(fd),
                Ok((_, read)) => {
                    if client.has_asked(&buffer[..read]) {
                        self.subscribe(fd);
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.remove(fd),
            }
        }
    }

    fn subscribe(&mut self, fd: RawFd) {
        let Some(client) = &mut self.clients[fd as usize] else { return };
        self.count += 1;
        client.state = State::Subscribed;
        client.told = self.count;
        let event = format!("{PREAMBLE}event: user count\ndata: {}\n\n", self.count);
        let first = format!("{HEAD}{:x}\r\n{event}\r\n", event.len());
        self.send(fd, first.as_bytes());
    }

    fn publish(&mut self) {
        let event = format!("event: user count\ndata: {}\n\n", self.count);
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.clear();
        // A Vec takes all that is written to it.
        let _ = write!(chunk, "{:x}\r\n{event}\r\n", event.len());
        for fd in 0..self.clients.len() {
            let Some(client) = &mut self.clients[fd] else { continue };
            if client.state == State::Subscribed && client.told != self.count {
                client.told = self.count;
                self.send(fd as RawFd, &chunk);
            }
        }
        self.chunk = chunk;
    }

    fn send(&mut self, fd: RawFd, bytes: &[u8]) {
        let Some(client) = &mut self.clients[fd as usize] else { return };
        let sent = match send(&client.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // Its end is on its way as an event of its own, and is handled there:
            // nobody is removed while everybody is told.
            Err(_) => return,
        };
        if sent < bytes.len() {
            self.begun.insert(fd, bytes[sent..].to_vec());
            self.fall_behind(fd);
        }
    }

    /// Asks to hear when there is room again.
    fn fall_behind(&mut self, fd: RawFd) {
        let Some(client) = &mut self.clients[fd as usize] else { return };
        client.state = State::Behind;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let _ = epoll::modify(&self.epoll, &client.socket, data(&client.socket), flags);
    }

    /// There is room again: sends what is left of a chunk, then the newest number.
    fn catch_up(&mut self, fd: RawFd) {
        let Some(client) = &mut self.clients[fd as usize] else { return };
        if client.state != State::Behind {
            return;
        }
        client.state = State::Subscribed;
        if let Some(rest) = self.begun.remove(&fd) {
            self.send(fd, &rest);
        }
        let Some(client) = &mut self.clients[fd as usize] else { return };
        if client.state == State::Behind || client.told == self.count {
            return;
        }
        client.told = self.count;
        let event = format!("event: user count\ndata: {}\n\n", self.count);
        self.send(fd, format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
    }

    /// Forgets a client, which closes its socket and takes it off epoll.
    fn remove(&mut self, fd: RawFd) {
        self.begun.remove(&fd);
        let client = self.clients[fd as usize].take();
        if client.is_some_and(|client| !matches!(client.state, State::Asking { .. })) {
            self.count -= 1;
        }
    }
}

impl Client {
    /// Whether the blank line that ends the request has come, just now.
    fn has_asked(&mut self, bytes: &[u8]) -> bool {
        let State::Asking { matched } = &mut self.state else { return false };
        for byte in bytes {
            *matched = match (*byte, *matched) {
                (b'\n', 3) => return true,
                (b'\r', 0 | 2) | (b'\n', 1) => *matched + 1,
                (b'\r', _) => 1,
                _ => 0,
            };
        }
        false
    }
}

fn data(fd: impl AsFd) -> EventData {
    EventData::new_u64(fd.as_fd().as_raw_fd() as u64)
}
