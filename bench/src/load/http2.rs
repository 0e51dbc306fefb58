//! HTTP/2, as much of it as a reader of event streams speaks (RFC 9113): a connection,
//! or a hundred streams on one, costs the client next to nothing.
//!
//! It asks as Chromium does, with the same header fields and in the same encoding
//! (HPACK, RFC 7541): a server keeps them for as long as the connection is open, so
//! they are part of what a visitor costs. Of the answer's head it reads the status alone.

use anyhow::{Context as _, bail, ensure};

use super::Heard;
use super::event_stream::Events;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// As large as a window may be (section 6.9.1). No connection of ours reads as much,
/// so that no window needs to be opened again.
const WINDOW: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = 65_535;

/// The header table that Chromium has for answers.
const HEADER_TABLE: u32 = 65_536;

/// `:status 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;

/// The same for `:method GET`, `:scheme http` and `:scheme https`.
const METHOD_GET: u8 = 0x82;
const SCHEME_HTTP: u8 = 0x86;
const SCHEME_HTTPS: u8 = 0x87;

/// Names in the static table.
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;

/// The first index after the static table: the field that was added last.
const NEWEST: u8 = 62;

/// What a name is, for [`indexed`].
enum Name {
    Static(u8),
    Literal(&'static str),
}

/// What Chromium says of an `EventSource` besides the pseudo-header fields.
const FIELDS: [(Name, &str); 12] = [
    (Name::Literal("sec-ch-ua-platform"), "\"Linux\""),
    (
        Name::Static(58), // user-agent
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/156.0.0.0 Safari/537.36",
    ),
    (Name::Static(19), "text/event-stream"), // accept
    (
        Name::Literal("sec-ch-ua"),
        "\"Chromium\";v=\"156\", \"Google Chrome\";v=\"156\", \"Not_A Brand\";v=\"99\"",
    ),
    (Name::Static(24), "no-cache"), // cache-control
    (Name::Literal("sec-ch-ua-mobile"), "?0"),
    (Name::Literal("sec-fetch-site"), "same-origin"),
    (Name::Literal("sec-fetch-mode"), "cors"),
    (Name::Literal("sec-fetch-dest"), "empty"),
    (Name::Static(51), "https://bench/"),          // referer
    (Name::Static(16), "gzip, deflate, br, zstd"), // accept-encoding
    (Name::Static(17), "en-US,en;q=0.9"),          // accept-language
];

/// What a client says first: the preface and its settings.
pub(super) fn greeting() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    let mut settings = Vec::new();
    for (name, value) in
        [(HEADER_TABLE_SIZE, HEADER_TABLE), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW)]
    {
        settings.extend_from_slice(&name.to_be_bytes());
        settings.extend_from_slice(&value.to_be_bytes());
    }
    frame(&mut bytes, SETTINGS, 0, 0, &settings);
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes());
    bytes
}

/// What it says then: a GET for each stream.
pub(super) fn request(path: &str, streams: u32, tls: bool) -> Vec<u8> {
    let mut pseudo = vec![METHOD_GET, if tls { SCHEME_HTTPS } else { SCHEME_HTTP }];
    literal(&mut pseudo, PATH, path);
    let mut head = pseudo.clone();
    indexed(&mut head, &Name::Static(AUTHORITY), "bench");
    for (name, value) in &FIELDS {
        indexed(&mut head, name, value);
    }
    let mut bytes = Vec::new();
    for stream in 0..streams {
        frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, &head);
        if stream == 0 {
            // From now on the server knows the fields by their number (section 6.1 of
            // RFC 7541).
            let fields = 1 + FIELDS.len() as u8;
            head = pseudo.clone();
            head.extend((NEWEST..NEWEST + fields).rev().map(|index| 0x80 | index));
        }
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// A literal field without indexing whose name is in the static table (section 6.2.2 of
/// RFC 7541).
fn literal(head: &mut Vec<u8>, name: u8, value: &str) {
    head.push(name);
    string(head, value);
}

/// A literal field that the server is to remember (section 6.2.1).
fn indexed(head: &mut Vec<u8>, name: &Name, value: &str) {
    match name {
        Name::Static(index) => head.push(0x40 | index),
        Name::Literal(name) => {
            head.push(0x40);
            string(head, name);
        }
    }
    string(head, value);
}

fn string(head: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "a longer string takes another encoding");
    head.push(text.len() as u8);
    head.extend_from_slice(text.as_bytes());
}

/// Finds the numbers in the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
    /// Each stream's text: a server may make several frames of an event.
    streams: Vec<Events>,
}

impl Frames {
    pub(super) fn new(streams: u32) -> Self {
        Self { rest: Vec::new(), streams: vec![Events::default(); streams as usize] }
    }

    pub(super) fn read(&mut self, bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<()> {
        if self.rest.is_empty() {
            let read = whole_frames(bytes, &mut self.streams, heard)?;
            self.rest.extend_from_slice(&bytes[read..]);
        } else {
            self.rest.extend_from_slice(bytes);
            let read = whole_frames(&self.rest, &mut self.streams, heard)?;
            self.rest.drain(..read);
        }
        if self.rest.is_empty() {
            // 10,000 connections would keep what each once needed.
            self.rest = Vec::new();
        }
        Ok(())
    }
}

/// Reads all frames that are there as a whole; answers how many bytes they are.
fn whole_frames(
    bytes: &[u8],
    streams: &mut [Events],
    heard: &mut impl Heard,
) -> anyhow::Result<usize> {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + FRAME_HEAD) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let Some(payload) = bytes.get(at + FRAME_HEAD..at + FRAME_HEAD + length) else { break };
        at += FRAME_HEAD + length;
        match kind {
            DATA => {
                ensure!(
                    flags & (PADDED | END_STREAM) == 0,
                    "the server ended HTTP/2 stream {stream}"
                );
                let events = streams.get_mut(stream as usize / 2);
                let events = events.with_context(|| format!("nobody asked for {stream}"))?;
                events.read(payload, &mut OfStream { heard, at: stream / 2 });
            }
            HEADERS => {
                let status = after_table_sizes(payload).first();
                ensure!(status == Some(&STATUS_200), "HTTP/2 stream {stream} was refused");
            }
            SETTINGS if flags & ACK == 0 => heard.reply(&head_of(SETTINGS, ACK, 0)),
            PING if flags & ACK == 0 => {
                heard.reply(&[&head_of(PING, ACK, payload.len())[..], payload].concat());
            }
            RST_STREAM => bail!("the server reset HTTP/2 stream {stream}"),
            GOAWAY => bail!("the server closed an HTTP/2 connection (GOAWAY)"),
            _ => {}
        }
    }
    Ok(at)
}

/// A head without the changes of the table's size that it may begin with (section 6.3 of
/// RFC 7541).
fn after_table_sizes(mut head: &[u8]) -> &[u8] {
    while let [0x20..=0x3f, rest @ ..] = head {
        // A number that fills its five bits goes on until a byte without the highest bit
        // (section 5.1).
        let more = if head[0] == 0x3f { rest.iter().position(|byte| *byte < 0x80) } else { None };
        head = more.map_or(rest, |last| &rest[last + 1..]);
    }
    head
}

fn head_of(kind: u8, flags: u8, length: usize) -> [u8; FRAME_HEAD] {
    [0, 0, length as u8, kind, flags, 0, 0, 0, 0]
}

/// What is heard on one stream of the connection.
struct OfStream<'a, H> {
    heard: &'a mut H,
    at: u32,
}

impl<H: Heard> Heard for OfStream<'_, H> {
    fn number(&mut self, _: u32, number: u32) {
        self.heard.number(self.at, number);
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.heard.reply(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::Numbers;

    fn data(bytes: &mut Vec<u8>, stream: u32, count: u32) {
        let event = format!("event: user count\ndata: {count}\n\n");
        frame(bytes, DATA, 0, stream, event.as_bytes());
    }

    fn session() -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 128]);
        frame(&mut bytes, SETTINGS, ACK, 0, &[]);
        frame(&mut bytes, HEADERS, END_HEADERS, 1, &[STATUS_200]);
        frame(&mut bytes, DATA, 0, 1, b"retry: 3172\nid: 5c\nevent: user count\ndata: 1\n\n");
        frame(&mut bytes, HEADERS, END_HEADERS, 3, &[0x20, 0x3f, 0xe1, 0x1f, STATUS_200]);
        data(&mut bytes, 3, 2);
        data(&mut bytes, 1, 2);
        frame(&mut bytes, PING, 0, 0, b"01234567");
        frame(&mut bytes, DATA, 0, 3, b"event: user count\n");
        frame(&mut bytes, DATA, 0, 3, b"data: 18");
        frame(&mut bytes, DATA, 0, 3, b"000\n\n");
        bytes
    }

    #[test]
    fn each_streams_numbers_are_found_wherever_the_frames_are_cut() {
        let session = session();
        for cut in 0..session.len() {
            let (mut frames, mut numbers) = (Frames::new(2), Numbers::default());
            frames.read(&session[..cut], &mut numbers).expect("frames");
            frames.read(&session[cut..], &mut numbers).expect("frames");
            assert_eq!(numbers.of(0), [1, 2], "cut at {cut}");
            assert_eq!(numbers.of(1), [2, 18_000], "cut at {cut}");
            let pong = [&[0, 0, 8, PING, ACK, 0, 0, 0, 0][..], b"01234567"].concat();
            assert_eq!(numbers.replies, [&head_of(SETTINGS, ACK, 0)[..], &pong].concat());
        }
    }

    #[test]
    fn what_a_server_refuses_or_ends_is_an_error() {
        for (kind, flags, payload) in [
            (HEADERS, END_HEADERS, &[0x8d][..]),
            (RST_STREAM, 0, &[0, 0, 0, 7]),
            (GOAWAY, 0, &[0; 8]),
            (DATA, END_STREAM, &[]),
            // Of a stream that nobody asked for.
            (DATA, 0, &[]),
        ] {
            let mut bytes = Vec::new();
            frame(&mut bytes, kind, flags, if flags == 0 { 3 } else { 1 }, payload);
            let read = Frames::new(1).read(&bytes, &mut Numbers::default());
            assert!(read.is_err(), "frame {kind:#x}");
        }
    }

    #[test]
    fn a_client_says_the_preface_its_settings_and_a_get_for_each_stream() {
        let bytes = [greeting(), request("/events", 2, false)].concat();
        let rest = bytes.strip_prefix(PREFACE).expect("the preface");
        let mut kinds = Vec::new();
        let mut at = 0;
        while at < rest.len() {
            kinds.push((rest[at + 3], rest[at + 8]));
            at += FRAME_HEAD + usize::from(u16::from_be_bytes([rest[at + 1], rest[at + 2]]));
        }
        assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (HEADERS, 1), (HEADERS, 3)]);
        // What the first stream said, the second says by numbers.
        assert!(bytes.ends_with(
            b"\x82\x86\x04\x07/events\xca\xc9\xc8\xc7\xc6\xc5\xc4\xc3\xc2\xc1\xc0\xbf\xbe"
        ));
    }
}
