//! Doubt: whether the numbers are complete, or some people may be missing from them.

use std::sync::Arc;

use tokio::sync::watch;

/// The reasons to doubt the numbers of a registry.
#[derive(Debug)]
pub(crate) struct Doubts(watch::Sender<usize>);

/// A reason to doubt the numbers. As long as it lives, they are partial.
#[derive(Debug)]
pub struct Doubt(Arc<Doubts>);

/// Whether there is doubt, as seen by a watcher.
pub(crate) fn is_partial(doubts: &watch::Receiver<usize>) -> bool {
    *doubts.borrow() > 0
}

impl Doubts {
    pub(crate) fn is_partial(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// A watcher that changes when doubt begins and when it ends; [`is_partial`] says which.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    pub(crate) fn raise(self: &Arc<Self>) -> Doubt {
        self.change(|doubts| doubts + 1);
        Doubt(self.clone())
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        self.0.send_if_modified(|doubts| {
            let before = *doubts;
            *doubts = change(before);
            (before == 0) != (*doubts == 0)
        });
    }
}

impl Default for Doubts {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.change(|doubts| doubts - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_begins_with_the_first_reason_and_ends_with_the_last() {
        let doubts = Arc::new(Doubts::default());
        let mut watch = doubts.watch();
        let mut changes = || {
            let changed = watch.has_changed().expect("the doubts are there");
            watch.mark_unchanged();
            changed
        };
        assert!(!doubts.is_partial());
        let first = doubts.raise();
        assert!(doubts.is_partial() && changes());
        let second = doubts.raise();
        drop(first);
        assert!(doubts.is_partial() && !changes());
        drop(second);
        assert!(!doubts.is_partial() && changes());
    }
}
