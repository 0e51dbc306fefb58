//! tokio's broadcast channel behind a lock that shuttle can see.
//!
//! The real channel takes a lock of its own in each of these operations. Hidden
//! from shuttle, they would seem to follow at once on whatever came before, and
//! a publish moved out of the room's lock would pass every check.

use std::sync::{Arc, PoisonError};

use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::broadcast::error;
use tokio::sync::broadcast::{self, error::RecvError, error::SendError, error::TryRecvError};

type Tail = Arc<Mutex<()>>;

fn meet(tail: &Tail) -> MutexGuard<'_, ()> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
pub(crate) struct Sender<T> {
    real: broadcast::Sender<T>,
    tail: Tail,
}

#[derive(Debug)]
pub(crate) struct Receiver<T> {
    real: broadcast::Receiver<T>,
    tail: Tail,
}

impl<T: Clone> Sender<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { real: broadcast::Sender::new(capacity), tail: Tail::default() }
    }

    pub(crate) fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let _tail = meet(&self.tail);
        self.real.send(value)
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        let _tail = meet(&self.tail);
        Receiver { real: self.real.subscribe(), tail: self.tail.clone() }
    }
}

impl<T: Clone> Receiver<T> {
    pub(crate) async fn recv(&mut self) -> Result<T, RecvError> {
        drop(meet(&self.tail));
        self.real.recv().await
    }

    pub(crate) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        drop(meet(&self.tail));
        self.real.try_recv()
    }
}
