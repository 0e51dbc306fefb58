//! The stream as the body of an answer, for hyper to carry, or for the server to take back
//! and carry without hyper.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use http_body::Frame;

use crate::stream::Stream;

/// The stream that an answer carries, as an extension of the answer.
#[derive(Clone)]
pub(crate) struct Opened(Arc<Mutex<Option<Stream>>>);

/// The body of such an answer. If it is dropped, the client has left, unless the stream was
/// taken out before.
pub(super) struct EventBody(Opened);

impl Opened {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    pub(super) fn body(&self) -> EventBody {
        EventBody(self.clone())
    }

    /// Takes the stream out of the answer's body.
    pub(crate) fn take(&self) -> Option<Stream> {
        self.stream().take()
    }

    /// Ready when the stream is over.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream().as_ref().map_or(Poll::Ready(()), |stream| stream.poll_over(cx))
    }

    fn stream(&self) -> MutexGuard<'_, Option<Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self.0.stream() {
            Some(stream) => ready!(stream.poll_next(cx)),
            None => None,
        };
        Poll::Ready(next.map(|frame| Ok(Frame::data(frame.text()))))
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        // Dropped without the lock: nobody should wait for what follows from a leave.
        let stream = self.0.take();
        drop(stream);
    }
}
