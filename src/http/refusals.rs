//! The streams that were refused: counts them, and logs why they were and what would help.
//!
//! A refusal costs a client far less than its log line costs a disk. So each reason is logged
//! at most once a minute: the first refusal at once, and how many more there were when the
//! minute is over. What a client wrote is shortened and made legible.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::time::Instant;
use tracing::{Level, enabled, info};

use super::refusal::{COUNT, ROWS, Reason, Refusal};
use crate::name::{Name, legible};
use crate::origin::Origin;
use crate::pace;
use crate::tally::Counter;

const MINUTE: Duration = Duration::from_secs(60);

/// The longest origin in a help text, in bytes: as much as the log shows of one.
const MAX_ORIGIN: usize = 64;

/// How many streams were refused so far, by the rows of the table. Of several rows with the
/// same reason, the first one counts for all.
#[derive(Debug)]
pub(super) struct Refusals {
    counts: [Counter; COUNT],
    log: Arc<Log>,
}

/// What a refusal is about, as the client wrote it, if its reason doesn't say.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// The reason says everything.
    Nothing,
    /// The origin of the page that asked, if it named one.
    Origin(Option<&'a HeaderValue>),
    /// The room that was asked for.
    Room(&'a Name),
}

/// The log lines of all reasons.
#[derive(Debug)]
struct Log {
    /// Locked to count a line, never while one is written.
    minutes: Mutex<[Minute; COUNT]>,
}

/// The minute that began with the last line of a reason.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    until: Option<Instant>,
    /// How many refusals since then are not logged yet.
    unwritten: u64,
}

/// What to log about a refusal now.
enum Line {
    First,
    /// This many were refused, including this one.
    More(u64),
    Nothing,
}

impl Default for Refusals {
    fn default() -> Self {
        let log = Log { minutes: Mutex::new([Minute::default(); COUNT]) };
        Self { counts: Default::default(), log: Arc::new(log) }
    }
}

impl Refusals {
    /// Counts and logs a refusal, if it is about a stream.
    pub(super) fn count(&self, refusal: Refusal, about: About<'_>) {
        let Some(reason) = refusal.row().0.reason else { return };
        if let Some(nth) = ROWS.iter().position(|row| row.reason == Some(reason)) {
            self.counts[nth].count();
            self.log.note(nth, reason, about);
        }
    }

    /// What helps against each reason, by its label.
    #[cfg(feature = "server")]
    pub(super) fn help() -> impl Iterator<Item = (&'static str, &'static str)> {
        let reasons = ROWS.iter().filter_map(|row| row.reason);
        reasons.map(|Reason { label, help }| (label, help))
    }

    /// How many there were, by the label of the reason. Several rows may have the same label.
    pub(super) fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ROWS.iter()
            .zip(&self.counts)
            .filter_map(|(row, count)| Some((row.reason?.label, count.get())))
    }
}

impl Log {
    /// Writes the line of a refusal, or counts it for the next line.
    fn note(self: &Arc<Self>, nth: usize, reason: Reason, about: About<'_>) {
        if !enabled!(Level::INFO) {
            return;
        }
        let now = Instant::now();
        let mut minutes = self.lock();
        let line = minutes[nth].refused(now);
        let Minute { until, unwritten } = minutes[nth];
        drop(minutes);
        match line {
            Line::First => first(reason, about),
            Line::More(number) => more(reason, number),
            Line::Nothing => {
                if let (Some(until), 1) = (until, unwritten) {
                    pace::at(until, Due { log: Arc::downgrade(self), nth, reason });
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Minute; COUNT]> {
        // Critical sections only count, which can't panic.
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        for (minute, row) in self.lock().iter().zip(ROWS) {
            if let (Some(reason), 1..) = (row.reason, minute.unwritten) {
                more(reason, minute.unwritten);
            }
        }
    }
}

impl Minute {
    /// One more was refused.
    fn refused(&mut self, now: Instant) -> Line {
        self.unwritten += 1;
        if self.until.is_some_and(|until| now < until) {
            return Line::Nothing;
        }
        match self.sum_up(now) {
            1 => Line::First,
            number => Line::More(number),
        }
    }

    /// Begins the next minute, and returns how many of the last one are not logged yet.
    fn sum_up(&mut self, now: Instant) -> u64 {
        self.until = Some(now + MINUTE);
        std::mem::take(&mut self.unwritten)
    }
}

/// Sums up a minute when it is over, even if nobody is refused any more. If there is no
/// timer, this is dropped sooner and does nothing; then the next line says it, or the one at
/// the end.
struct Due {
    log: Weak<Log>,
    nth: usize,
    reason: Reason,
}

impl Drop for Due {
    fn drop(&mut self) {
        let Some(log) = self.log.upgrade() else { return };
        let now = Instant::now();
        let mut minutes = log.lock();
        let minute = &mut minutes[self.nth];
        let is_over = minute.until.is_none_or(|until| until <= now);
        let number = if is_over && minute.unwritten > 0 { minute.sum_up(now) } else { 0 };
        drop(minutes);
        if number > 0 {
            more(self.reason, number);
        }
    }
}

fn first(Reason { label: reason, help }: Reason, about: About<'_>) {
    match about {
        About::Nothing => info!(reason, help, "a stream was refused"),
        About::Room(room) => info!(reason, room = &*room.legible(), help, "a stream was refused"),
        About::Origin(origin) => {
            let text = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()));
            let origin = text.as_deref().map(legible);
            let help = text.as_deref().and_then(allowing).map_or(help.into(), |option| {
                Cow::Owned(help.replacen("--allow-origin", &option, 1))
            });
            info!(reason, origin = origin.as_deref(), help = &*help, "a stream was refused");
        }
    }
}

fn more(Reason { label: reason, help }: Reason, number: u64) {
    info!(reason, number, help, "more streams were refused");
}

/// The option that allows an origin, if it can safely be pasted into a shell. For a browser
/// `https://$(reboot).example` is an origin too.
fn allowing(origin: &str) -> Option<String> {
    let origin: Origin = origin.parse().ok()?;
    let origin = origin.to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-[]".contains(&byte);
    let may_be_pasted = origin.len() <= MAX_ORIGIN && origin.bytes().all(is_plain);
    may_be_pasted.then(|| format!("--allow-origin {origin}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Logged;
    use crate::name::BadName;
    use tokio::time::{advance, sleep};
    use tracing::subscriber::DefaultGuard;

    const TARGET: &str = "headcount::http::refusals";
    const FIRST: &str = "a stream was refused reason=\"observe\" \
                         help=\"the client must send observe=0, observe=1, or neither\"";

    fn logged() -> (Logged, DefaultGuard) {
        Logged::of(TARGET, Level::INFO)
    }

    fn more(number: u64) -> String {
        format!(
            "more streams were refused reason=\"observe\" number={number} \
             help=\"the client must send observe=0, observe=1, or neither\""
        )
    }

    fn refuse(refusals: &Refusals, times: u32) {
        for _ in 0..times {
            refusals.count(Refusal::BadObserve, About::Nothing);
        }
    }

    fn line_about(origin: &[u8]) -> String {
        let (log, _logged) = logged();
        let origin = HeaderValue::from_bytes(origin).expect("a header's value");
        Refusals::default().count(Refusal::Origin, About::Origin(Some(&origin)));
        log.lines().pop().expect("a line")
    }

    #[test]
    fn a_refused_stream_is_counted_once_under_its_reason() {
        let refusals = Refusals::default();
        for refusal in [
            Refusal::NotFound,
            Refusal::RoomTwice,
            Refusal::BadRoom(BadName::Empty),
            Refusal::Draining,
        ] {
            refusals.count(refusal, About::Nothing);
        }
        let counted = refusals.by_reason().filter(|(_, number)| *number > 0);
        assert_eq!(counted.collect::<Vec<_>>(), [("room", 2), ("draining", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_reason_is_logged_at_once_and_the_others_of_the_minute_in_one_line() {
        let (log, _logged) = logged();
        let refusals = Refusals::default();
        refuse(&refusals, 5);
        assert_eq!(log.lines(), [FIRST]);
        // Another reason has its own minute.
        refusals.count(Refusal::Draining, About::Nothing);
        assert_eq!(log.lines().len(), 1);
        sleep(MINUTE - Duration::from_millis(2)).await;
        assert!(log.lines().is_empty(), "the minute is not over");
        sleep(Duration::from_millis(4)).await;
        assert_eq!(log.lines(), [more(4)]);

        // That line has begun another minute for its reason.
        refuse(&refusals, 2);
        assert!(log.lines().is_empty());
        sleep(MINUTE).await;
        assert_eq!(log.lines(), [more(2)]);
        sleep(3 * MINUTE).await;
        assert!(log.lines().is_empty(), "there is nothing to sum up");
        refuse(&refusals, 1);
        assert_eq!(log.lines(), [FIRST]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_after_the_minute_sums_it_up_and_the_timer_has_nothing_left() {
        let (log, _logged) = logged();
        let refusals = Refusals::default();
        refuse(&refusals, 3);
        log.lines();
        // Time has passed, but the timer has not had its turn.
        advance(MINUTE).await;
        refuse(&refusals, 4);
        assert_eq!(log.lines(), [more(3)]);
        sleep(MINUTE / 2).await;
        assert!(log.lines().is_empty(), "the first timer leaves the next minute alone");
        sleep(MINUTE).await;
        assert_eq!(log.lines(), [more(3)]);
    }

    #[test]
    fn outside_of_a_runtime_the_last_are_summed_up_in_the_end() {
        let (log, _logged) = logged();
        let refusals = Refusals::default();
        refuse(&refusals, 3);
        drop(refusals);
        assert_eq!(log.lines(), [FIRST.to_owned(), more(2)]);
    }

    #[test]
    fn what_nobody_wants_to_read_is_counted_all_the_same() {
        let (log, _logged) = Logged::of(TARGET, Level::WARN);
        let refusals = Refusals::default();
        refuse(&refusals, 3);
        assert!(refusals.by_reason().any(|counted| counted == ("observe", 3)));
        drop(refusals);
        assert!(log.lines().is_empty());
    }

    #[test]
    fn the_option_that_allows_an_origin_is_there_to_be_pasted() {
        for (origin, option) in [
            ("https://blog.example", "--allow-origin https://blog.example;"),
            ("https://BLOG.example:443", "--allow-origin https://blog.example;"),
            ("http://[::1]:3000", "--allow-origin http://[::1]:3000;"),
        ] {
            let line = line_about(origin.as_bytes());
            assert!(line.contains(&format!("origin=\"{origin}\" ")), "{line}");
            assert!(line.contains(&format!("name it with {option}")), "{line}");
        }
    }

    #[test]
    fn a_hostile_origin_is_cut_and_made_legible_and_never_part_of_a_command() {
        let long = format!("https://{}.example", "a".repeat(9_000));
        let cut = format!("https://{}…", "a".repeat(56));
        for (origin, shown) in [
            ("https://$(reboot).example", "https://$(reboot).example"),
            ("https://a.example;reboot", "https://a.example;reboot"),
            ("https://`reboot`.example", "https://`reboot`.example"),
            (&*long, &*cut),
            ("null", "null"),
            ("", ""),
            ("https://\u{202e}gro.elpmaxe", "https://<U+202E>gro.elpmaxe"),
        ] {
            let line = line_about(origin.as_bytes());
            assert!(line.contains(&format!(" origin=\"{shown}\" ")), "{line}");
            assert!(line.contains("name it with --allow-origin;"), "{line}");
            assert!(line.len() < 512, "{} bytes", line.len());
        }
        assert!(
            line_about(b"https://\xff.example").contains("origin=\"https://\u{fffd}.example\"")
        );
    }
}
