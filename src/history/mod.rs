//! The history: how many people were in each room. The last five minutes are in memory, and
//! minutes and hours are in a file.
//!
//! One thread asks the rooms every five seconds, another writes each minute to the file, and a
//! third reads the file when somebody asks. None of them holds a lock of the rooms for longer
//! than it takes to read a few numbers, and none waits for another: a disk that is slow, full
//! or broken delays only those who ask for the past.

mod collector;
mod database;
mod file;
mod hours;
mod minute;
mod past;
mod queue;
mod reader;
mod recent;
mod store;
mod tally;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::name::Name;
use crate::rooms::Rooms;
use collector::Collector;
use database::StoreError;
pub use past::{NoPast, Peak, Point, Step};
use queue::Queue;
use reader::Question;
use recent::Recent;
pub use tally::HistoryTally;
use writer::Writer;

/// How many rooms are kept unless another limit is set.
pub(crate) const MAX_ROOMS: usize = 10_000;

/// The latest time that is asked for, in seconds since 1970: in 34,000 years, and far from
/// overflowing.
const LATEST: u64 = 1 << 40;

/// How long a stop waits for minutes that are yet to be written.
const STOP: Duration = Duration::from_secs(5);

/// The history of the rooms: a handle that is cheap to clone. When the last one is dropped,
/// minutes that are yet to be written are written.
#[derive(Clone, Debug)]
pub struct History(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    recent: Arc<Mutex<Recent>>,
    questions: Option<SyncSender<Question>>,
    /// One permit for each visitor's question that may wait.
    for_visitors: Arc<Semaphore>,
    tally: Arc<HistoryTally>,
    stopping: Mutex<Stopping>,
}

#[derive(Debug)]
struct Stopping {
    /// The collector goes on until this is dropped.
    collects: Option<mpsc::Sender<()>>,
    /// The threads that have something to finish.
    threads: Vec<JoinHandle<()>>,
}

/// Why there is no history.
#[derive(Debug)]
pub enum HistoryError {
    /// Another process writes to the file.
    InUse,
    /// The file is another program's, and is left as it is.
    Foreign,
    /// The file is of another version of this program, and is left as it is.
    Version(i64),
    /// The file is a directory, a pipe or a device.
    NotAFile,
    /// The system has no thread for the history.
    Thread(io::Error),
}

impl History {
    /// Begins to remember the last five minutes of these `rooms`, which must be
    /// [`Rooms::measured`], and to write minutes and hours to a `file`, if there is one. Memory
    /// and file keep at most `max_rooms` each; the rooms whose highest number is the smallest
    /// go first.
    ///
    /// A damaged file is set aside, and a new one is begun. If the file can't be written for
    /// another reason, such as a full disk, this is tried again every minute.
    ///
    /// # Errors
    /// [`HistoryError`], if the file is not ours to use.
    pub fn start(
        rooms: &Rooms,
        file: Option<PathBuf>,
        max_rooms: usize,
    ) -> Result<Self, HistoryError> {
        let recent = Arc::new(Mutex::new(Recent::new(max_rooms)));
        let tally = Arc::<HistoryTally>::default();
        let (mut queue, mut questions, mut threads) = (None, None, Vec::new());
        if let Some(path) = file {
            let of_writer = Arc::<Queue>::default();
            queue = Some(of_writer.clone());
            let of_reader = tally.clone();
            let (recent, tally) = (recent.clone(), tally.clone());
            let writer = Writer::new(path.clone(), max_rooms, of_writer, recent, tally)?;
            threads.push(spawn("history-write", move || writer.run())?);
            let (ask, asked) = mpsc::sync_channel(reader::MAX_WAITING);
            questions = Some(ask);
            // The reader has nothing to finish, so nobody waits for it.
            drop(spawn("history-read", move || reader::run(&path, &asked, &of_reader))?);
        }
        let (collects, stop) = mpsc::channel();
        let now = Instant::now();
        let collector = Collector::new(recent.clone(), queue, tally.clone(), now);
        let rooms = rooms.clone();
        threads.push(spawn("history", move || collector.run(&rooms, &stop))?);
        let stopping = Mutex::new(Stopping { collects: Some(collects), threads });
        let for_visitors = Arc::new(Semaphore::new(reader::MAX_OF_VISITORS));
        Ok(Self(Arc::new(Handle { recent, questions, for_visitors, tally, stopping })))
    }

    /// How many people were in a room in each step of 5 s of the last five minutes, oldest
    /// first. Steps of which nothing is known, such as those before the start, are left out.
    /// `None` is all rooms together.
    #[must_use]
    pub fn last_minutes(&self, room: Option<&Name>) -> Vec<Point> {
        self.memory().points(room)
    }

    /// The highest number of each of these steps, as a sparkline shows them.
    #[must_use]
    pub fn recent(&self, room: Option<&Name>) -> Vec<usize> {
        self.last_minutes(room).into_iter().map(|point| point.most).collect()
    }

    /// The highest numbers of a room; `None` is all rooms together.
    #[must_use]
    pub fn peak(&self, room: Option<&Name>) -> Peak {
        self.memory().peak(room, recent::day(now()))
    }

    /// The highest numbers of every room that is kept, in no particular order.
    #[must_use]
    pub fn peaks(&self) -> Vec<(Name, Peak)> {
        self.memory().peaks(recent::day(now()))
    }

    /// How many people were in a room in each step of a range of time, in seconds since 1970,
    /// oldest first. Steps of which nothing is known are left out. `None` is all rooms
    /// together.
    ///
    /// The first step is the one in which the range begins. At most as many steps as are
    /// [kept](Step::kept) are returned: the newest.
    ///
    /// # Errors
    /// [`NoPast`].
    pub async fn past(
        &self,
        room: Option<&Name>,
        time: Range<u64>,
        step: Step,
    ) -> Result<Vec<Point>, NoPast> {
        self.ask(room, time, step, || Ok(None)).await
    }

    /// Like [`past`](Self::past), but for visitors. At most half of the questions that wait are
    /// theirs, so that the operator is answered however much they ask.
    ///
    /// # Errors
    /// [`NoPast`].
    pub async fn past_for_visitors(
        &self,
        room: Option<&Name>,
        time: Range<u64>,
        step: Step,
    ) -> Result<Vec<Point>, NoPast> {
        let permit = || self.0.for_visitors.clone().try_acquire_owned();
        self.ask(room, time, step, || permit().map(Some).map_err(|_| self.0.busy())).await
    }

    async fn ask(
        &self,
        room: Option<&Name>,
        time: Range<u64>,
        step: Step,
        permit: impl FnOnce() -> Result<Option<OwnedSemaphorePermit>, NoPast>,
    ) -> Result<Vec<Point>, NoPast> {
        let length = step.seconds();
        let time = time.start.min(LATEST)..time.end.min(LATEST);
        let first = time.end.saturating_sub(step.kept() * length);
        let start = time.start.max(first);
        // Rounded to whole steps, so that all who ask within one step ask the same question.
        let time = start - start % length..time.end.next_multiple_of(length);
        if step == Step::Seconds {
            let mut points = self.last_minutes(room);
            points.retain(|point| time.contains(&point.at));
            return Ok(points);
        }
        let questions = self.0.questions.as_ref().ok_or(NoPast::NoFile)?;
        let (answer, answered) = oneshot::channel();
        let question = Question { room: room.cloned(), time, step, answer, _permit: permit()? };
        questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => self.0.busy(),
            TrySendError::Disconnected(_) => NoPast::Unreadable,
        })?;
        answered.await.unwrap_or(Err(NoPast::Unreadable))
    }

    /// Whether more than the last five minutes is kept.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.0.questions.is_some()
    }

    /// Counts of what was written and what failed.
    #[must_use]
    pub fn tally(&self) -> &HistoryTally {
        &self.0.tally
    }

    /// Stops asking the rooms. Call this when the server begins to stop: the rooms empty then,
    /// but nobody has left.
    pub fn end(&self) {
        self.0.stopping().collects = None;
    }

    /// Ends the history, and waits a few seconds at most until everything is written.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn memory(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    fn busy(&self) -> NoPast {
        self.tally.busy.count();
        NoPast::Busy
    }

    fn stopping(&self) -> MutexGuard<'_, Stopping> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut stopping = self.stopping();
        stopping.collects = None;
        let deadline = Instant::now() + STOP;
        while stopping.threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        for thread in stopping.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, HistoryError> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(HistoryError::Thread)
}

/// The wall clock, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Foreign => Self::Foreign,
            StoreError::Version(version) => Self::Version(version),
            StoreError::NotAFile => Self::NotAFile,
            _ => Self::InUse,
        }
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another process is using it"),
            Self::Foreign => f.write_str("it is another program's file, and is left as it is"),
            Self::Version(version) => write!(
                f,
                "it was written by another version of headcount (its format is {version}), and is \
                 left as it is"
            ),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::Thread(error) => write!(f, "cannot start its thread: {error}"),
        }
    }
}

impl std::error::Error for HistoryError {}

#[cfg(test)]
mod tests;
