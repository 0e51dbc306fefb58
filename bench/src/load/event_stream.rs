//! The numbers in an event stream, however it is cut into pieces.

use super::Heard;

/// What starts the line that matters. The chunks of HTTP/1.1 are not taken off: a
/// server writes whole lines, and no line of theirs looks like this.
const FIELD: &[u8] = b"\ndata:";

/// Finds every `data: N` in what is read. Where it is in the text it remembers from
/// one piece to the next, so it keeps no text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Events {
    matched: u8,
    number: Option<u32>,
}

impl Events {
    pub(super) fn read(&mut self, bytes: &[u8], heard: &mut impl Heard) {
        for &byte in bytes {
            if usize::from(self.matched) < FIELD.len() {
                self.matched = match byte {
                    byte if byte == FIELD[usize::from(self.matched)] => self.matched + 1,
                    b'\n' => 1,
                    _ => 0,
                };
                continue;
            }
            match (byte, self.number) {
                (b'0'..=b'9', number) => {
                    let digit = u32::from(byte - b'0');
                    self.number = Some(number.unwrap_or(0).wrapping_mul(10).wrapping_add(digit));
                }
                (b' ', None) | (b'\r', Some(_)) => {}
                (b'\n', Some(number)) => {
                    heard.number(0, number);
                    *self = Self { matched: 1, number: None };
                }
                // Data that is no number: none of ours.
                _ => *self = Self { matched: u8::from(byte == b'\n'), number: None },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::Numbers;

    const TEXT: &str = "HTTP/1.1 200 OK\r\nDate: 1\r\ntransfer-encoding: chunked\r\n\r\n\
        4c\r\nretry: 3172\nid: 5c\nevent: user count\ndata: 3\n\n\r\n\
        1c\r\nevent: user count\ndata: 18000\n\n\r\n: a comment\n\n\
        event: user count\r\ndata:7\r\n\r\ndata: {\"no\":1}\n\ndata: 12\n\n";

    #[test]
    fn every_number_of_a_stream_is_found() {
        let mut numbers = Numbers::default();
        Events::default().read(TEXT.as_bytes(), &mut numbers);
        assert_eq!(numbers.of(0), [3, 18_000, 7, 12]);
    }

    #[test]
    fn wherever_the_text_is_cut() {
        for first in 0..TEXT.len() {
            for second in first..TEXT.len() {
                let (mut events, mut numbers) = (Events::default(), Numbers::default());
                for piece in [&TEXT[..first], &TEXT[first..second], &TEXT[second..]] {
                    events.read(piece.as_bytes(), &mut numbers);
                }
                assert_eq!(numbers.of(0), [3, 18_000, 7, 12], "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_number_counts_once_its_line_has_ended() {
        let (mut events, mut numbers) = (Events::default(), Numbers::default());
        events.read(b"event: user count\ndata: 18", &mut numbers);
        assert!(numbers.of(0).is_empty());
        events.read(b"000\n", &mut numbers);
        assert_eq!(numbers.of(0), [18_000]);
    }
}
