//! The log, on standard error. A separate thread writes its lines, and lines are dropped
//! rather than waited for: a slow reader of standard error must not slow anybody's stream.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};

use headcount::config::LogFormat;
use tracing::field::{Field, Visit};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up the log, filtered by `RUST_LOG`. When the guard is dropped, it writes out what is
/// left.
pub(crate) fn start(format: LogFormat) -> Result<WorkerGuard, String> {
    let directives = std::env::var("RUST_LOG").unwrap_or_default();
    let directives = if directives.is_empty() { "info" } else { &directives };
    let filter =
        EnvFilter::try_new(directives).map_err(|error| format!("RUST_LOG is wrong: {error}"))?;
    let named = named(directives);
    // Clients can provoke what a library logs, as often as they like.
    let ours = filter_fn(move |line| {
        line.target().starts_with("headcount")
            || named.iter().any(|target| line.target().starts_with(target.as_str()))
    });
    let (writer, guard) = tracing_appender::non_blocking(io::stderr());
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => {
            log.fmt_fields(Quoted).with_ansi(colours).with_target(false).finish().with(ours).init();
        }
        LogFormat::Json => {
            log.json().flatten_event(true).with_target(false).finish().with(ours).init();
        }
    }
    Ok(guard)
}

/// The targets that `RUST_LOG` has a directive for (`target=level`, `target[span]`, …).
fn named(directives: &str) -> Vec<String> {
    let targets = directives.split(',').map(|directive| {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        target.trim().to_owned()
    });
    targets.filter(|target| !target.is_empty() && target.parse::<LevelFilter>().is_err()).collect()
}

/// Fields as they are by default, except for texts: `Debug` would escape the combining
/// marks in them, which would make most Hindi words unreadable.
struct Quoted;

impl<'w> FormatFields<'w> for Quoted {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = QuotedVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        tracing_subscriber::field::VisitOutput::finish(visitor.0)
    }
}

struct QuotedVisitor<'w>(DefaultVisitor<'w>);

impl Visit for QuotedVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.record_debug(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // Everything is escaped but `'`, which needs no escape between double quotes.
        let escaped: Vec<_> =
            value.split('\'').map(|part| part.escape_debug().to_string()).collect();
        self.0.record_debug(field, &format_args!("\"{}\"", escaped.join("'")));
    }
}
