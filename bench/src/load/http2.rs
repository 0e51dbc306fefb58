//! HTTP/2 with prior knowledge, as much of it as a reader of event streams speaks
//! (RFC 9113; HPACK, RFC 7541, without its tables): so many streams on a connection
//! cost the client next to nothing.

use anyhow::{bail, ensure};

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

/// `:status 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;

/// What a client says first: the preface, its settings, and a GET for each stream.
pub(super) fn request(path: &str, streams: u32) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    let mut settings = Vec::new();
    for (name, value) in [(HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW)] {
        settings.extend_from_slice(&name.to_be_bytes());
        settings.extend_from_slice(&value.to_be_bytes());
    }
    frame(&mut bytes, SETTINGS, 0, 0, &settings);
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes());

    // :method GET and :scheme http are whole fields of the static table.
    let mut head = vec![0x82, 0x86];
    literal(&mut head, 4, path);
    literal(&mut head, 1, "bench");
    for stream in 0..streams {
        frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, &head);
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

/// A literal field without indexing whose name is in the static table (section 6.2.2).
fn literal(head: &mut Vec<u8>, name: u8, value: &str) {
    assert!(value.len() < 127, "a longer value takes another encoding");
    head.extend_from_slice(&[name, value.len() as u8]);
    head.extend_from_slice(value.as_bytes());
}

/// Finds the numbers in the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
}

impl Frames {
    pub(super) fn read(&mut self, bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<()> {
        if self.rest.is_empty() {
            let read = whole_frames(bytes, heard)?;
            self.rest.extend_from_slice(&bytes[read..]);
        } else {
            self.rest.extend_from_slice(bytes);
            let read = whole_frames(&self.rest, heard)?;
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
fn whole_frames(bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<usize> {
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
                // An event is one frame: a body's piece is split only where a window
                // is full, and ours are not.
                Events::default().read(payload, &mut OfStream { heard, at: stream / 2 });
            }
            HEADERS => {
                // Before it there may be a change of the table's size (section 6.3 of
                // RFC 7541).
                let status = payload.iter().find(|byte| *byte & 0xe0 != 0x20);
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
        frame(&mut bytes, HEADERS, END_HEADERS, 3, &[0x20, STATUS_200]);
        data(&mut bytes, 3, 2);
        data(&mut bytes, 1, 2);
        frame(&mut bytes, PING, 0, 0, b"01234567");
        data(&mut bytes, 3, 18_000);
        bytes
    }

    #[test]
    fn each_streams_numbers_are_found_wherever_the_frames_are_cut() {
        let session = session();
        for cut in 0..session.len() {
            let (mut frames, mut numbers) = (Frames::default(), Numbers::default());
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
        ] {
            let mut bytes = Vec::new();
            frame(&mut bytes, kind, flags, 1, payload);
            let read = Frames::default().read(&bytes, &mut Numbers::default());
            assert!(read.is_err(), "frame {kind:#x}");
        }
    }

    #[test]
    fn a_request_is_the_preface_the_settings_and_a_get_for_each_stream() {
        let bytes = request("/events", 2);
        let rest = bytes.strip_prefix(PREFACE).expect("the preface");
        let mut kinds = Vec::new();
        let mut at = 0;
        while at < rest.len() {
            kinds.push((rest[at + 3], rest[at + 8]));
            at += FRAME_HEAD + usize::from(rest[at + 2]);
        }
        assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (HEADERS, 1), (HEADERS, 3)]);
        assert!(bytes.ends_with(b"\x82\x86\x04\x07/events\x01\x05bench"));
    }
}
