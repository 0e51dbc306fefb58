//! What the code under test logs.

use std::fmt::Debug;
use std::mem;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// A log that keeps each line of one target, as `message field=value …`.
#[derive(Clone)]
pub(crate) struct Logged {
    lines: Arc<Mutex<Vec<String>>>,
    target: &'static str,
    level: Level,
}

impl Logged {
    /// Keeps what this thread logs while the guard lives.
    pub(crate) fn of(target: &'static str, level: Level) -> (Self, DefaultGuard) {
        let log = Self { lines: Arc::default(), target, level };
        (log.clone(), set_default(log))
    }

    /// The lines since the last call.
    pub(crate) fn lines(&self) -> Vec<String> {
        mem::take(&mut self.lines.lock().expect("the lines"))
    }
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target() == self.target
    }

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                match field.name() {
                    "message" => self.0.insert_str(0, &format!("{value:?}")),
                    name => self.0 += &format!(" {name}={value:?}"),
                }
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().expect("the lines").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
