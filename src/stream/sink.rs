//! Where a stream's frames go, if they are written rather than asked for.

use std::io;
use std::task::{Context, Poll};

use super::frame::Frame;
use super::watch::Link;

/// A connection that belongs to a stream alone. It decides nothing: the stream decides what
/// is sent, and when it is over.
pub(crate) trait Sink: Send {
    /// Sends as much of a frame as the client takes now, and keeps the rest. Returns
    /// whether all of it was sent.
    fn send(&mut self, frame: &Frame) -> bool;

    /// Whether nothing of the last frame is left to send.
    fn is_ready(&self) -> bool;

    /// Sends what is left. Ready when all of it was sent.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when the client has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the connection in the way that HTTP prescribes.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What the system knows about the client; `None` if it doesn't say.
    fn link(&self) -> Option<Link>;
}
