//! Stands in for the product's `pace.rs`: whether a room pauses, and for how
//! long, is shuttle's choice, so every merge that could happen is tried.

use std::cell::RefCell;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Now,
    At(()),
    Planned,
}

#[derive(Debug, Default)]
pub(crate) struct Pace {
    planned: bool,
}

impl Pace {
    pub(crate) fn change(&mut self) -> Tell {
        if self.planned {
            return Tell::Planned;
        }
        self.planned = thread_rng().gen_bool(0.5);
        if self.planned { Tell::At(()) } else { Tell::Now }
    }

    pub(crate) fn told(&mut self, _subscribers: usize) {
        self.planned = false;
    }

    pub(crate) fn took(&mut self, _time: Duration) {}

    pub(crate) fn is_planned(&self) -> bool {
        self.planned
    }
}

// Shuttle runs all threads of one schedule on one thread of the system, so this
// is where they all meet, while checks that run side by side don't.
thread_local! {
    static PLANS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn at((): (), due: impl Send + 'static) {
    let plan = thread::spawn(move || drop(due));
    PLANS.with_borrow_mut(|plans| plans.push(plan));
}

/// Waits until every pause is over and what was merged has been told.
///
/// # Panics
/// If telling it panicked.
pub fn settle() {
    while let Some(plan) = PLANS.with_borrow_mut(Vec::pop) {
        plan.join().expect("the plan is carried out");
    }
}
