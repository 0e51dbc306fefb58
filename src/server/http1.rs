//! An HTTP/1 connection: hyper answers its requests, until one of them is for a
//! stream; then the connection is taken back from hyper, and the stream goes on alone.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::Version;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::gate::{Pass, Standing};
use super::linger::linger;
use super::protocol::Rewound;
use super::serving::{ANSWER_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, MAX_HEAD, Peer, Serving};
use super::transport::Io;
use crate::ending::Reason;
use crate::http::Opened;
use crate::stream::Stream;

/// What the driver of a connection wants to know about what passes through it.
#[derive(Default)]
struct Traffic {
    /// Whether everything that was to be sent has been flushed.
    flushed: AtomicBool,
    /// Whether something was read since the last request began.
    heard: AtomicBool,
    /// Whether a request began since the driver last looked.
    asked: AtomicBool,
    /// How many answers hyper is waiting for, or has not taken completely.
    unanswered: AtomicUsize,
    /// Whether the answer is a stream, and hyper has asked for what follows its first event.
    first_is_taken: AtomicBool,
    /// Whether the last request can be answered with chunks.
    chunked: AtomicBool,
}

/// The part of a stream's answer that hyper sends: the first event.
///
/// hyper keeps some 17 kB for a connection as long as its answer lasts, and no longer
/// notices that the client leaves once it has read a byte too many. So the connection is
/// taken back from hyper as soon as the head and the first event are sent. If it ends
/// sooner, the stream is dropped with it.
struct First {
    /// The stream, until hyper has asked for its first event.
    stream: Option<Stream>,
    taken: Arc<Mutex<Option<Stream>>>,
    traffic: Arc<Traffic>,
}

impl First {
    fn new(stream: Stream, taken: Arc<Mutex<Option<Stream>>>, traffic: Arc<Traffic>) -> Self {
        Self { stream: Some(stream), taken, traffic }
    }
}

impl HttpBody for First {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut stream) = self.stream.take() else {
            self.traffic.first_is_taken.store(true, Ordering::Relaxed);
            return Poll::Pending;
        };
        // The first event has waited there since the stream was opened.
        let first = stream.poll_next(cx);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        first.map(|frame| frame.map(|frame| Ok(Frame::data(frame.text()))))
    }
}

/// An answer, from its request until all of it was given to hyper.
struct Unanswered(Arc<Traffic>);

impl Unanswered {
    fn new(traffic: &Arc<Traffic>) -> Self {
        traffic.unanswered.fetch_add(1, Ordering::Relaxed);
        Self(traffic.clone())
    }
}

/// The body of an answer. The answer counts as unanswered until this is dropped.
struct AnswerBody {
    body: Body,
    _unanswered: Unanswered,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How hyper's part of a connection ends.
enum Outcome {
    /// hyper is done, and so is the connection.
    Over(hyper::Result<()>),
    /// What is left is a stream.
    Stream,
    /// The client took too long, or the server stops and nothing had been asked.
    Dropped,
}

/// Answers the requests of one client until it leaves, or asks for a stream.
pub(super) async fn serve<T: Io>(
    serving: Arc<Serving>,
    io: Rewound<T>,
    peer: Peer,
    mut pass: Box<Pass>,
) -> hyper::Result<()> {
    let traffic = Arc::new(Traffic::default());
    let taken = Arc::new(Mutex::new(None));
    let service = service_fn({
        let (traffic, taken, peer) = (traffic.clone(), taken.clone(), peer.clone());
        let app = serving.app.clone();
        move |mut request| {
            traffic.heard.store(false, Ordering::Relaxed);
            traffic.asked.store(true, Ordering::Relaxed);
            let chunked = request.version() == Version::HTTP_11;
            traffic.chunked.store(chunked, Ordering::Relaxed);
            peer.sign(&mut request, peer.ending.clone());
            let (answering, unanswered) = (app.clone().call(request), Unanswered::new(&traffic));
            let (traffic, taken) = (traffic.clone(), taken.clone());
            Box::pin(async move {
                let mut response = answering.await?;
                let opened = response.extensions_mut().remove::<Opened>();
                if let Some(stream) = opened.and_then(|opened| opened.take()) {
                    response = response.map(|_| Body::new(First::new(stream, taken, traffic)));
                }
                Ok::<_, Infallible>(
                    response.map(|body| AnswerBody { body, _unanswered: unanswered }),
                )
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder.max_header_size(MAX_HEAD).keep_alive(serving.keep);
    // A client that has closed its sending side still gets its answer.
    builder.half_close(true);
    let io = TokioIo::new(Watched { io, traffic: traffic.clone() });
    let mut hyper = builder.serve_connection(io, service);

    let mut timer = Timer::new(peer.head_by);
    let mut drained = pin!(serving.terms.drain.cancelled());
    let mut last_call = pin!(serving.last_call());
    let (mut draining, mut has_asked, mut is_last) = (false, false, false);
    let outcome = poll_fn(|cx| {
        if !draining && drained.as_mut().poll(cx).is_ready() {
            draining = true;
            // Noted here for a stream that isn't read, which can't say so itself.
            peer.ending.note(Reason::Shutdown);
        }
        loop {
            if let Poll::Ready(over) = hyper.poll_without_shutdown(cx) {
                return Poll::Ready(Outcome::Over(over));
            }
            has_asked |= traffic.asked.load(Ordering::Relaxed);
            if is_last || !draining || !has_asked {
                break;
            }
            // The current request is answered, and none after it.
            is_last = true;
            Pin::new(&mut hyper).graceful_shutdown();
        }
        let flushed = traffic.flushed.load(Ordering::Relaxed);
        if flushed && traffic.first_is_taken.load(Ordering::Relaxed) {
            return Poll::Ready(Outcome::Stream);
        }
        let answered = traffic.unanswered.load(Ordering::Relaxed) == 0 && flushed;
        let idle = answered || !has_asked;
        let standing = if idle { Standing::Idle } else { Standing::Busy };
        if traffic.asked.load(Ordering::Relaxed) {
            // The request may have been answered already; then it is idle only since now.
            pass.stand_anew(standing);
        } else {
            pass.stand(standing);
        }
        if !has_asked && last_call.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Outcome::Dropped);
        }
        timer.poll(cx, &traffic).map(|()| Outcome::Dropped)
    })
    .await;

    match outcome {
        Outcome::Dropped => {}
        Outcome::Over(over) => {
            let io = hyper.into_parts().io.into_inner().io;
            if !draining {
                linger(io).await;
            }
            return over;
        }
        Outcome::Stream => {
            let io = hyper.into_parts().io.into_inner().io.into_inner();
            let stream = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(stream) = stream {
                // In a task of its own, which is small; this one held hyper.
                let chunked = traffic.chunked.load(Ordering::Relaxed);
                serving.carry(stream, io, chunked, *pass);
            }
        }
    }
    Ok(())
}

/// The limits on a client's time: to send a request's head, from its first byte or
/// from the start of the connection; and then to take the answer.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Whether it limits the time for the head.
    of_head: bool,
}

impl Timer {
    fn new(head_by: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(head_by)), of_head: true }
    }

    /// Ready when the time is up.
    fn poll(&mut self, cx: &mut Context<'_>, traffic: &Traffic) -> Poll<()> {
        if traffic.asked.swap(false, Ordering::Relaxed) {
            self.sleep.as_mut().reset(Instant::now() + ANSWER_TIMEOUT);
            self.of_head = false;
        }
        if !self.of_head && traffic.heard.load(Ordering::Relaxed) {
            self.sleep.as_mut().reset(Instant::now() + HEAD_TIMEOUT);
            self.of_head = true;
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// A connection that notes what passes through it.
struct Watched<T> {
    io: T,
    traffic: Arc<Traffic>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.traffic.heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.traffic.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.traffic.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes once it has written everything that it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.traffic.flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
