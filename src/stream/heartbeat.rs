//! When a stream that has heard nothing is told the number again.

use std::time::Duration;

/// A heartbeat may come so much before the keep-alive is over, and is then on time
/// whatever delays it …
const MARGIN: Duration = Duration::from_millis(1500);

/// … or by this part of the keep-alive, if that is less. And the heartbeats of those who
/// heard the same event are spread over as much: thousands at once fill the queues on
/// their way, and what doesn't fit is lost.
const PART: u32 = 8;

/// A crowd is looked over at most so often for those who have heard nothing, or (a
/// short keep-alive) this part of the keep-alive.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 128;

/// The heartbeat of streams that are never silent for longer than the keep-alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    keep_alive: Duration,
}

impl Heartbeat {
    pub(crate) fn new(keep_alive: Duration) -> Self {
        Self { keep_alive }
    }

    /// After how long a silence a stream is told the number again; `share`, from 0 to 1,
    /// is its place among all.
    pub(crate) fn silence(self, share: f64) -> Duration {
        self.longest() - (self.keep_alive / PART).mul_f64(share)
    }

    /// The longest silence that any stream has.
    pub(crate) fn longest(self) -> Duration {
        self.keep_alive - (self.keep_alive / PART).min(MARGIN)
    }

    /// The shortest after which any stream is told the number again.
    pub(crate) fn shortest(self) -> Duration {
        self.silence(1.0)
    }

    /// How long to wait at least between two looks at a crowd.
    pub(crate) fn look(self) -> Duration {
        (self.keep_alive / LOOKS).min(LOOK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heartbeat_comes_before_the_keep_alive_is_over() {
        for (keep_alive, shortest, longest) in
            [(1_000, 750, 875), (15_000, 11_625, 13_500), (60_000, 51_000, 58_500)]
        {
            let heartbeat = Heartbeat::new(Duration::from_millis(keep_alive));
            assert_eq!(heartbeat.longest(), Duration::from_millis(longest));
            assert_eq!(heartbeat.shortest(), Duration::from_millis(shortest));
            assert_eq!(heartbeat.silence(0.0), heartbeat.longest());
        }
    }
}
