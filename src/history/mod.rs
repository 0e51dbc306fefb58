//! What was: how many people were in each room, over the last five minutes in memory, and in
//! a file by minutes and hours.
//!
//! One thread asks the rooms every five seconds, another writes each minute to the file, and
//! a third reads there what somebody asks for. None of them holds a lock of the rooms for
//! longer than it takes to read a few numbers, and none waits for another: a disk that is
//! slow, full or broken delays nobody but who asks for the past.

mod collector;
mod file;
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
pub use past::{NoPast, Peak, Point, Step};
use queue::Queue;
use reader::Question;
use recent::Recent;
use store::StoreError;
pub use tally::HistoryTally;
use writer::Writer;

/// How many rooms are kept unless another limit is set.
pub(crate) const MAX_ROOMS: usize = 10_000;

/// No time later than this is asked for: 34,000 years on, and far from what overflows.
const LATEST: u64 = 1 << 40;

/// How long a stop waits for what is yet to be written.
const STOP: Duration = Duration::from_secs(5);

/// How many people were where: a handle that is cheap to clone. Once the last one is dropped,
/// what is yet to be written is written.
#[derive(Clone, Debug)]
pub struct History(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    recent: Arc<Mutex<Recent>>,
    questions: Option<SyncSender<Question>>,
    /// A permit for each question of visitors that may wait.
    for_visitors: Arc<Semaphore>,
    tally: Arc<HistoryTally>,
    stopping: Mutex<Stopping>,
}

#[derive(Debug)]
struct Stopping {
    /// The collector goes on until this is dropped.
    collects: Option<mpsc::Sender<()>>,
    /// Those who have something to write.
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
    /// It is a directory, a pipe or a device.
    NotAFile,
    /// The system has no thread for it.
    Thread(io::Error),
}

impl History {
    /// Begins to remember the last five minutes of these `rooms`, which have to be
    /// [`Rooms::measured`], and to write what was to a `file`, if there is to be one. At most
    /// `max_rooms` are kept in either; those whose highest number is the smallest go first.
    ///
    /// A file that is damaged is set aside, and another is begun. One that can't be written
    /// for another reason, such as a full disk, is tried again every minute.
    ///
    /// # Errors
    /// [`HistoryError`], if the file is somebody else's.
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
            // It has nothing to finish, so nobody waits for it.
            drop(spawn("history-read", move || reader::run(&path, &asked, &of_reader))?);
        }
        let (collects, stop) = mpsc::channel();
        let now = Instant::now();
        let collector = Collector::new(recent.clone(), queue, max_rooms, tally.clone(), now);
        let rooms = rooms.clone();
        threads.push(spawn("history", move || collector.run(&rooms, &stop))?);
        let stopping = Mutex::new(Stopping { collects: Some(collects), threads });
        let for_visitors = Arc::new(Semaphore::new(reader::MAX_OF_VISITORS));
        Ok(Self(Arc::new(Handle { recent, questions, for_visitors, tally, stopping })))
    }

    /// How many people were in a room over each step of 5 s of the last five minutes, the
    /// oldest first. A step of which nothing is known, such as one before the start, is left
    /// out. `None` is all rooms together.
    #[must_use]
    pub fn last_minutes(&self, room: Option<&Name>) -> Vec<Point> {
        self.memory().points(room)
    }

    /// The most of each of these steps: what a sparkline draws.
    #[must_use]
    pub fn recent(&self, room: Option<&Name>) -> Vec<usize> {
        self.last_minutes(room).into_iter().map(|point| point.most).collect()
    }

    /// The highest numbers of a room; `None` is all rooms together.
    #[must_use]
    pub fn peak(&self, room: Option<&Name>) -> Peak {
        self.memory().peak(room, recent::day(now()))
    }

    /// The highest numbers of every room that is kept, in no order.
    #[must_use]
    pub fn peaks(&self) -> Vec<(Name, Peak)> {
        self.memory().peaks(recent::day(now()))
    }

    /// How many people were in a room over each step of a time, which is given in seconds
    /// since 1970, the oldest first. A step of which nothing is known is left out. `None` is
    /// all rooms together.
    ///
    /// The first step is the one in which the time begins. At most as many are answered as are
    /// [kept](Step::kept): the newest.
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

    /// The same for visitors, whose questions are at most half of those that wait: however many
    /// they ask, the operator is answered.
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
        // Who asks within the same step asks the same.
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

    /// How it fares.
    #[must_use]
    pub fn tally(&self) -> &HistoryTally {
        &self.0.tally
    }

    /// Asks the rooms no more. To be called when the server begins to stop: how they empty
    /// then is nobody's leave.
    pub fn end(&self) {
        self.0.stopping().collects = None;
    }

    /// Ends it, and waits until all is written, but not for long.
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

/// The clock on the wall, in seconds since 1970.
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
            Self::InUse => f.write_str("another process writes to it"),
            Self::Foreign => f.write_str("it is another program's file, and is left as it is"),
            Self::Version(version) => write!(
                f,
                "it was written by another version of headcount (its format is {version}), and is \
                 left as it is"
            ),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::Thread(error) => write!(f, "there is no thread for it: {error}"),
        }
    }
}

impl std::error::Error for HistoryError {}

#[cfg(test)]
mod tests;
