//! The past, in the form in which it is shown to others.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// How many people there were over one step of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When the step began, in seconds since 1970 (UTC).
    pub at: u64,
    /// The fewest.
    pub least: usize,
    /// The mean over the time.
    pub mean: f64,
    /// The most.
    pub most: usize,
}

/// The length of time that one [`Point`] covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Five seconds, kept for the last five minutes.
    Seconds,
    /// A minute, kept for the last 48 hours.
    Minute,
    /// An hour, kept for the last 400 days.
    Hour,
}

impl Step {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Seconds => 5,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// How many steps of this length are kept.
    #[must_use]
    pub const fn kept(self) -> u64 {
        match self {
            Self::Seconds => 60,
            Self::Minute => 48 * 60,
            Self::Hour => 400 * 24,
        }
    }

    /// The finest step that is kept for this many seconds.
    #[must_use]
    pub fn finest_for(seconds: u64) -> Self {
        let keeps = |step: &Self| seconds <= step.seconds() * step.kept();
        [Self::Seconds, Self::Minute].into_iter().find(keeps).unwrap_or(Self::Hour)
    }
}

/// The highest numbers of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// The highest of this day (UTC).
    pub today: usize,
    /// The highest that is known, since the history's file was begun or, without one, since the
    /// process started.
    pub ever: usize,
    /// When that was, in seconds since 1970.
    pub ever_at: u64,
}

/// Why the past is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPast {
    /// Only the last five minutes are kept, because there is no file.
    NoFile,
    /// More questions wait than can be answered soon.
    Busy,
    /// The file can't be read; the log says why.
    Unreadable,
}

impl fmt::Display for NoPast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFile => "only the last five minutes are kept",
            Self::Busy => "too many questions about the past wait for their answers",
            Self::Unreadable => "the history can't be read",
        })
    }
}

impl Error for NoPast {}
