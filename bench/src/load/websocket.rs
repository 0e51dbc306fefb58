//! Socket.IO over WebSocket, as much of it as a counter's client speaks (RFC 6455;
//! Engine.IO 4, Socket.IO 5).

use anyhow::{bail, ensure};

use super::{Heard, blank_line};

/// The request that asks for a WebSocket. Its key is always the same: nobody caches
/// here.
pub(super) const REQUEST: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n\
    host: bench\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `40`, join the default namespace, and `3`, the answer to a ping, as masked text
/// frames. The mask is zero, which leaves the text as it is.
const CONNECT: &[u8] = b"\x81\x82\x00\x00\x00\x0040";
const PONG: &[u8] = b"\x81\x81\x00\x00\x00\x003";

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

/// Finds the numbers in the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    upgraded: bool,
    /// The beginning of a frame, or of the answer's head, whose end has not come yet.
    rest: Vec<u8>,
}

impl Frames {
    pub(super) fn read(&mut self, bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<()> {
        if self.rest.is_empty() {
            let read = self.whole_frames(bytes, heard)?;
            self.rest.extend_from_slice(&bytes[read..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let read = self.whole_frames(&all, heard)?;
            all.drain(..read);
            self.rest = all;
        }
        Ok(())
    }

    /// Reads all frames that are there as a whole; answers how many bytes they are.
    fn whole_frames(&mut self, bytes: &[u8], heard: &mut impl Heard) -> anyhow::Result<usize> {
        let mut at = 0;
        if !self.upgraded {
            let Some(end) = blank_line(bytes) else { return Ok(0) };
            self.upgraded = true;
            at = end;
        }
        while let Some((opcode, length, payload)) = frame(&bytes[at..])? {
            at += length;
            match opcode {
                TEXT => packet(payload, heard),
                CLOSE => bail!("the server closed a WebSocket"),
                _ => {}
            }
        }
        Ok(at)
    }
}

/// The first frame: what it is, its length in all, and its payload. `None` if its end
/// is not there yet.
fn frame(bytes: &[u8]) -> anyhow::Result<Option<(u8, usize, &[u8])>> {
    let &[first, second, ref after @ ..] = bytes else { return Ok(None) };
    ensure!(second < 127, "a WebSocket frame that is masked, or larger than any of a counter");
    let (head, length) = match (second, after) {
        (126, &[high, low, ..]) => (4, usize::from(u16::from_be_bytes([high, low]))),
        (126, _) => return Ok(None),
        (length, _) => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head + length);
    Ok(payload.map(|payload| (first & 0xf, head + length, payload)))
}

/// One packet of Engine.IO: `0{…}` open, `2` ping, `42["user count",3]` our event.
fn packet(payload: &[u8], heard: &mut impl Heard) {
    match payload {
        [b'0', ..] => heard.reply(CONNECT),
        [b'2'] => heard.reply(PONG),
        [b'4', b'2', event @ ..] => {
            let digits = event.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let digits = digits.strip_suffix(b"]").unwrap_or_default();
            if let Some(number) = str::from_utf8(digits).ok().and_then(|d| d.trim().parse().ok()) {
                heard.number(0, number);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::Numbers;

    fn text(payload: &str) -> Vec<u8> {
        let length = payload.len();
        let mut frame = vec![0x81];
        if length < 126 {
            frame.push(length as u8);
        } else {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        frame.extend_from_slice(payload.as_bytes());
        frame
    }

    fn session() -> Vec<u8> {
        let mut session =
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n".to_vec();
        let open = format!("0{{\"sid\":\"{}\",\"pingInterval\":25000}}", "x".repeat(120));
        for payload in [&open, "40{\"sid\":\"y\"}", "42[\"user count\",3]", "2"] {
            session.extend(text(payload));
        }
        session.extend(text("42[\"user count\",18000]"));
        session
    }

    #[test]
    fn a_session_is_answered_and_its_numbers_are_found_wherever_it_is_cut() {
        let session = session();
        for cut in 0..session.len() {
            let (mut frames, mut numbers) = (Frames::default(), Numbers::default());
            frames.read(&session[..cut], &mut numbers).expect("frames");
            frames.read(&session[cut..], &mut numbers).expect("frames");
            assert_eq!(numbers.of(0), [3, 18_000], "cut at {cut}");
            assert_eq!(numbers.replies, [CONNECT, PONG].concat());
            assert!(frames.rest.is_empty());
        }
    }

    #[test]
    fn a_server_that_closes_is_an_error() {
        let (mut frames, mut numbers) = (Frames::default(), Numbers::default());
        frames.read(&session(), &mut numbers).expect("frames");
        assert!(frames.read(b"\x88\0", &mut numbers).is_err());
    }
}
