//! The task of one stream of HTTP/1 after its first event. It sleeps until the
//! client says something or leaves, the server has a reason to end the stream,
//! or something could not be written at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep};

use super::connections::{FAREWELL, Io};
use super::fanout::{Fanouts, Membership};
use super::gate::Pass;
use super::subscriber::Line;
use crate::http::{Life, Stay};

/// Carries a stream on until it is over or its client has left. Its fields are
/// dropped in this order: who left is not told of it.
pub(super) struct Carrier<T> {
    /// Until the stream is over.
    life: Option<Life>,
    line: Arc<Line<T>>,
    /// Since the stream is over.
    patience: Option<Pin<Box<Sleep>>>,
    membership: Membership,
    _pass: Box<Pass>,
}

impl<T: Io> Carrier<T> {
    pub(super) fn new(io: T, stay: Stay, mut pass: Box<Pass>, fanouts: &Arc<Fanouts>) -> Self {
        pass.stays();
        let Stay { life, subscription, chunked } = stay;
        let line = Arc::new(Line::new(io, chunked, subscription.told().change()));
        let membership = fanouts.join(&line, subscription, life.heartbeat(), life.drain());
        Self { life: Some(life), line, patience: None, membership, _pass: pass }
    }
}

impl<T: Io> Future for Carrier<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.membership.is_cut() {
            return Poll::Ready(());
        }
        if let Some(Poll::Ready(reason)) = self.life.as_mut().map(|life| life.poll_over(cx)) {
            let farewell = self.life.take().and_then(|life| life.end(reason));
            self.line.close(farewell);
            self.patience = Some(Box::pin(sleep(FAREWELL)));
        }
        if self.line.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match &mut self.patience {
            Some(patience) => patience.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
