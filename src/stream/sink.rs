//! Where a stream's frames go, if they are written rather than asked for.

use std::io;
use std::task::{Context, Poll};

use super::frame::Frame;
use super::watch::Link;

/// A connection that is a stream's alone. It decides nothing: what is sent, and when
/// the stream is over, is the stream's business.
pub(crate) trait Sink: Send {
    /// Sends as much of a frame as the client takes now, and keeps the rest. Answers
    /// whether all of it has left.
    fn send(&mut self, frame: &Frame) -> bool;

    /// Whether it has nothing left of the last frame.
    fn is_ready(&self) -> bool;

    /// Sends what is left. Ready when all of it has left.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when the client has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the connection, as HTTP wants it ended.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What the system knows of the client; `None` where it does not tell.
    fn link(&self) -> Option<Link>;
}
