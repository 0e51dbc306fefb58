//! The thread that writes: a disk that is slow, full or broken keeps nobody else waiting.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::database::{self, StoreError};
use super::minute::Batch;
use super::queue::Queue;
use super::recent::Recent;
use super::store::Store;
use super::tally::HistoryTally;
use super::{file, now, recent};

/// After this time without another minute, one that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Writes minutes as they come.
pub(super) struct Writer {
    path: PathBuf,
    max_rooms: usize,
    /// `None` while the file can't be opened.
    store: Option<Store>,
    /// The lock that makes the file this process's own. It stays while the store is opened
    /// again.
    lock: Option<File>,
    queue: Arc<Queue>,
    recent: Arc<Mutex<Recent>>,
    tally: Arc<HistoryTally>,
    /// Whether the last attempt failed, which is logged once.
    fails: bool,
}

impl Writer {
    /// Takes the file, unless somebody else has it. Any other problem is found, and tried
    /// again, once the writer runs, so that the server's start waits for none of this.
    pub(super) fn new(
        path: PathBuf,
        max_rooms: usize,
        queue: Arc<Queue>,
        recent: Arc<Mutex<Recent>>,
        tally: Arc<HistoryTally>,
    ) -> Result<Self, StoreError> {
        use StoreError::{Foreign, InUse, NotAFile, Version};
        let (store, lock, fails) = (None, None, false);
        let mut writer = Self { path, max_rooms, store, lock, queue, recent, tally, fails };
        match writer.lock().and_then(|()| database::check(&writer.path)) {
            Err(error @ (InUse | Foreign | NotAFile | Version(_))) => Err(error),
            _ => Ok(writer),
        }
    }

    /// Writes until nothing more will come.
    pub(super) fn run(mut self) {
        match self.open() {
            Ok(()) => self.learn(),
            Err(error) => self.note_failure(&error),
        }
        let mut seen = Some(0);
        while let Some(before) = seen {
            seen = self.queue.wait(before, RETRY);
            while let Some(batch) = self.queue.first() {
                if let Err(error) = self.write(&batch) {
                    self.note_failure(&error);
                    break;
                }
                self.queue.written(&batch);
                self.tally.written.count();
                self.note_success();
            }
            self.tally.waiting.set(self.queue.len());
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let opened = match self.lock().and_then(|()| Store::open(&self.path)) {
            Err(why @ StoreError::Damaged(_)) => {
                self.set_aside(&why)?;
                self.lock()?;
                Store::open(&self.path)
            }
            opened => opened,
        };
        self.store = Some(opened?);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), StoreError> {
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => file::lock(&self.path)?,
        };
        let checked = file::check(&lock, &self.path);
        self.lock = Some(lock);
        checked
    }

    fn set_aside(&mut self, why: &StoreError) -> Result<(), StoreError> {
        self.store = None;
        // Somebody may have written something else there.
        match self.lock() {
            Ok(()) | Err(StoreError::Damaged(_)) => {}
            error => return error,
        }
        let aside = file::set_aside(&self.path)?;
        self.lock = None;
        self.tally.set_aside.count();
        error!(
            file = %self.path.display(),
            "the history begins anew: {why}, and is now {}",
            aside.display()
        );
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match self.try_write(batch) {
            Err(why @ StoreError::Damaged(_)) => {
                self.set_aside(&why)?;
                self.try_write(batch)
            }
            written => written,
        }
    }

    fn try_write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let started = Instant::now();
        // Somebody may have moved the file away.
        if self.lock.as_ref().is_some_and(|lock| !file::is_at(lock, &self.path)) {
            (self.store, self.lock) = (None, None);
        }
        let store = match &mut self.store {
            Some(store) => store,
            None => {
                self.open()?;
                self.learn();
                let Some(store) = &mut self.store else { return Ok(()) };
                store
            }
        };
        let evicted = store.write(batch, self.max_rooms)?;
        self.tally.evicted.add(evicted as u64);
        self.tally.rooms.set(store.rooms());
        self.tally.bytes.set(file::size(&self.path));
        let micros = started.elapsed().as_micros();
        self.tally.write_micros.set(usize::try_from(micros).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Takes the highest numbers from the file into memory.
    fn learn(&mut self) {
        let Some(store) = &self.store else { return };
        let today = recent::day(now());
        match store.peaks(today) {
            Ok(peaks) => {
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                for (room, peak) in peaks {
                    recent.learn(room.as_ref(), peak, today);
                }
            }
            Err(error) => warn!(%error, "the highest numbers of the history can't be read"),
        }
        self.tally.rooms.set(store.rooms());
        self.tally.bytes.set(file::size(&self.path));
    }

    fn note_failure(&mut self, error: &StoreError) {
        // The file is opened again: the problem may be with the open one.
        self.store = None;
        self.tally.failures.count();
        self.tally.failing.set(1);
        if self.fails {
            debug!("the history still can't be written: {error}");
        } else {
            self.fails = true;
            warn!(
                file = %self.path.display(),
                "the history can't be written: {error}; it is tried again every minute"
            );
        }
    }

    fn note_success(&mut self) {
        self.tally.failing.set(0);
        if self.fails {
            self.fails = false;
            let lost = self.tally.lost.get();
            info!(file = %self.path.display(), lost, "the history is written again");
        }
    }
}
