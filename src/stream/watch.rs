//! The watch: whether the client of a stream is still there, and takes what it is sent.
//!
//! A client that vanished without a word answers nothing. One that has stopped reading
//! takes nothing once its buffers are full, and its system says so again and again. Linux
//! has one limit for both, `TCP_USER_TIMEOUT`. Here there are two limits, so the system is
//! only asked what it knows.

use std::time::Duration;

use tokio::time::Instant;

/// What is known about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Whether something waits for it, which was not acknowledged or can't even be sent.
    pub(crate) waits: bool,
    /// How much it has taken so far.
    pub(crate) taken: u64,
    /// How long ago its system was last heard. If the client's buffer is full, its system
    /// says so again and again, and takes nothing.
    pub(crate) heard: Duration,
}

/// How long after something was sent the watch first looks whether it was acknowledged, and
/// how often it looks again until it was.
const LOOK: Duration = Duration::from_millis(250);

/// How often the system tries again (`TCP_RTO_MAX_MS`, where it has that).
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// How far the system's own clock may be off: a tick of it, generously.
const TICK: Duration = Duration::from_millis(20);

/// How long a client may leave what it was sent unacknowledged, and how long it may take
/// nothing of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// In milliseconds, the unit that the system uses.
    silent: u32,
    stalled: u32,
}

/// The watch over one client.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When to look next: from the first thing sent until it is acknowledged.
    look: Option<Instant>,
    /// Boxed, because every stream has a watch, and hardly any has something waiting.
    waiting: Option<Box<Waiting>>,
}

/// Since when something has waited for a client.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Since when its system was not heard at all.
    silent: Instant,
    /// Since when it has taken no more than `taken`.
    stalled: Instant,
    taken: u64,
}

impl Patience {
    /// A little longer than the user timeout: a client whose network is back just in time
    /// must be heard when the system tries again.
    pub(crate) fn new(user_timeout: Duration, stall_timeout: Duration) -> Self {
        let grace = (user_timeout / 4).min(RETRY);
        let milliseconds = |time: Duration| time.as_millis().try_into().unwrap_or(u32::MAX);
        Self { silent: milliseconds(user_timeout + grace), stalled: milliseconds(stall_timeout) }
    }

    /// A time that is longer than any client is waited for.
    pub(crate) fn too_long(self) -> Duration {
        self.silent().max(self.stalled()) + RETRY * 10
    }

    /// How long a client may be silent.
    pub(crate) fn silent(self) -> Duration {
        Duration::from_millis(self.silent.into())
    }

    fn stalled(self) -> Duration {
        Duration::from_millis(self.stalled.into())
    }

    /// How long to wait in total for an answer to something that was just sent.
    pub(crate) fn for_answer(self) -> Duration {
        self.silent() + LOOK
    }
}

impl Watch {
    /// Notes that something was sent. `from` is when an answer first matters: now, or
    /// later if a heartbeat would have asked for one anyway.
    pub(crate) fn sent(&mut self, from: Instant) {
        self.look.get_or_insert(from + LOOK);
    }

    /// When to look next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.look
    }

    /// Looks at the client, and returns whether it is gone.
    pub(crate) fn look(&mut self, now: Instant, link: Link, patience: Patience) -> bool {
        if !link.waits {
            *self = Self::default();
            return false;
        }
        let taken = link.taken;
        let new = || Box::new(Waiting { silent: now, stalled: now, taken });
        let waiting = self.waiting.get_or_insert_with(new);
        if link.heard <= now - waiting.silent + TICK {
            waiting.silent = now;
        }
        if taken != waiting.taken {
            (waiting.stalled, waiting.taken) = (now, taken);
        }
        let until = (waiting.silent + patience.silent()).min(waiting.stalled + patience.stalled());
        self.look = Some((now + LOOK).min(until));
        until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_TIMEOUT: Duration = Duration::from_secs(8);
    const STALL_TIMEOUT: Duration = Duration::from_secs(60);
    const ACKNOWLEDGED: Duration = Duration::from_millis(30);

    /// A client, when it was last heard, and how much it has taken.
    struct Client {
        now: Instant,
        watch: Watch,
        heard: Instant,
        taken: u64,
    }

    /// What it does with what waits for it.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Does {
        Nothing,
        Acknowledge,
        TakeSome,
        TakeAll,
    }

    impl Client {
        fn new() -> Self {
            let now = Instant::now() + Duration::from_secs(1000);
            Self { now, watch: Watch::default(), heard: now, taken: 0 }
        }

        /// Looks whenever it is due during `time`, and returns after how long it was gone.
        fn passes(&mut self, time: Duration, does: Does) -> Option<Duration> {
            let start = self.now;
            while let Some(due) = self.watch.due().filter(|due| *due <= start + time) {
                self.now = due;
                if does != Does::Nothing {
                    self.heard = due - ACKNOWLEDGED;
                }
                self.taken += u64::from(does == Does::TakeSome);
                let (waits, heard) = (does != Does::TakeAll, self.now - self.heard);
                let link = Link { waits, taken: self.taken, heard };
                if self.watch.look(self.now, link, Patience::new(USER_TIMEOUT, STALL_TIMEOUT)) {
                    return Some(self.now - start);
                }
            }
            self.now = start + time;
            None
        }
    }

    #[test]
    fn who_answers_nothing_is_gone_soon_after_the_user_timeout() {
        let mut client = Client::new();
        client.now += Duration::from_secs(60);
        client.watch.sent(client.now);
        let gone = client.passes(Duration::from_secs(60), Does::Nothing).expect("it is gone");
        assert!((USER_TIMEOUT..=USER_TIMEOUT + RETRY + 2 * LOOK).contains(&gone), "{gone:?}");
    }

    #[test]
    fn who_was_heard_within_the_user_timeout_stays() {
        let mut client = Client::new();
        for _ in 0..10 {
            client.watch.sent(client.now);
            assert_eq!(client.passes(USER_TIMEOUT, Does::Nothing), None);
            assert_eq!(client.passes(LOOK * 2, Does::TakeSome), None);
        }
        assert_eq!(client.passes(LOOK, Does::TakeAll), None);
        assert!(client.watch.due().is_none(), "nothing is outstanding");
    }

    #[test]
    fn who_takes_nothing_is_gone_soon_after_the_stall_timeout_though_it_answers() {
        let mut client = Client::new();
        client.watch.sent(client.now);
        let gone = client.passes(100 * USER_TIMEOUT, Does::Acknowledge).expect("it is gone");
        assert!((STALL_TIMEOUT..=STALL_TIMEOUT + 2 * LOOK).contains(&gone), "{gone:?}");
    }

    #[test]
    fn who_takes_a_little_now_and_then_stays() {
        let mut client = Client::new();
        client.watch.sent(client.now);
        for _ in 0..10 {
            assert_eq!(client.passes(STALL_TIMEOUT - LOOK, Does::Acknowledge), None);
            assert_eq!(client.passes(LOOK, Does::TakeSome), None);
        }
    }

    #[test]
    fn a_long_quiet_time_before_something_is_sent_is_nobodys_fault() {
        let mut client = Client::new();
        client.now += 10 * USER_TIMEOUT;
        client.watch.sent(client.now);
        assert_eq!(client.passes(USER_TIMEOUT, Does::Nothing), None);
    }
}
