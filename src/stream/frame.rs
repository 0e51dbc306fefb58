//! A frame: a piece of an event stream as it goes over the wire.

use bytes::Bytes;

/// The length of a chunk's end, in bytes.
const CRLF: usize = 2;

/// A piece of an event stream, already wrapped in a chunk of HTTP/1.1 (RFC 9112, section
/// 7.1). It is made once, and shared by reference with every stream that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    chunk: Bytes,
    text_at: usize,
}

impl Frame {
    /// The chunk that ends a chunked body.
    pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

    pub(crate) fn new(text: &[u8]) -> Self {
        let size = format!("{:x}\r\n", text.len());
        let chunk = [size.as_bytes(), text, b"\r\n"].concat();
        Self { chunk: chunk.into(), text_at: size.len() }
    }

    /// The text of the stream, without the chunk.
    pub(crate) fn text(&self) -> Bytes {
        self.chunk.slice(self.text_at..self.chunk.len() - CRLF)
    }

    /// The bytes for a body that is or is not chunked.
    pub(crate) fn bytes(&self, chunked: bool) -> &[u8] {
        if chunked { &self.chunk } else { &self.chunk[self.text_at..self.chunk.len() - CRLF] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_chunk_is_the_text_with_its_size_in_hexadecimal() {
        for (count, chunk) in [
            (3, &b"1b\r\nevent: user count\ndata: 3\n\n\r\n"[..]),
            (1_000_000_000, b"24\r\nevent: user count\ndata: 1000000000\n\n\r\n"),
        ] {
            let event = Event::new(count);
            let frame = Frame::new(event.text());
            assert_eq!(frame.bytes(true), chunk);
            assert_eq!(frame.bytes(false), &event.text()[..]);
            assert_eq!(frame.text(), event.text());
        }
    }

    #[test]
    fn every_copy_shares_its_bytes() {
        let frame = Frame::new(b"data: 3\n\n");
        assert_eq!(frame.bytes(true).as_ptr(), frame.clone().bytes(true).as_ptr());
    }
}
