//! The heartbeat: when a stream that has heard nothing is told the number again.

use std::time::Duration;

/// How long before the end of the keep-alive a heartbeat comes, so that it is on time even
/// if something delays it …
const MARGIN: Duration = Duration::from_millis(1500);

/// … or this part of the keep-alive, if that is shorter. The heartbeats of streams that
/// heard the same event are also spread over this part: thousands at once would fill the
/// queues on their way, and what doesn't fit is lost.
const PART: u32 = 8;

/// The shortest time between two searches of a crowd for streams that have heard nothing;
/// or this part of the keep-alive, if that is shorter.
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

    /// How long a stream is silent before it is told the number again. `share`, from 0 to 1,
    /// is its place among all streams.
    pub(crate) fn silence(self, share: f64) -> Duration {
        self.longest() - (self.keep_alive / PART).mul_f64(share)
    }

    /// The longest such silence of any stream.
    pub(crate) fn longest(self) -> Duration {
        self.keep_alive - (self.keep_alive / PART).min(MARGIN)
    }

    /// The shortest such silence of any stream.
    pub(crate) fn shortest(self) -> Duration {
        self.silence(1.0)
    }

    /// The shortest time between two looks at a crowd.
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
