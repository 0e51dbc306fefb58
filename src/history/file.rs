//! The history's file on the disk: it belongs to one process, and is set aside if it can't be
//! used.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::database::{APPLICATION, StoreError};
use crate::regular_file;

/// Opens or creates the file for this process alone, until the returned `File` is dropped.
/// (SQLite's own locks are of another kind: other programs can still read the file and back it
/// up. But closing this `File` releases all of SQLite's locks that this process has on the
/// file, so it must come last.)
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    if fs::metadata(path).is_ok_and(|is| !is.is_file()) {
        return Err(StoreError::NotAFile);
    }
    let file = regular_file::open_with(&mut options, path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Whether the file is still where it was.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let same = |(a, b): (Metadata, Metadata)| (a.dev(), a.ino()) == (b.dev(), b.ino());
    fs::metadata(path).and_then(|is| Ok((is, file.metadata()?))).is_ok_and(same)
}

/// Checks that the file is a database, or empty and may become one.
///
/// # Errors
/// If it is damaged, or another program's.
pub(super) fn check(file: &File, path: &Path) -> Result<(), StoreError> {
    const BEGIN: &[u8] = b"SQLite format 3\0";
    let mut begin = vec![0; 65_536];
    let length = file.read_at(&mut begin, 0)?;
    begin.truncate(length);
    if begin.is_empty() || begin.starts_with(BEGIN) {
        Ok(())
    } else if was_database(&begin, path) {
        Err(StoreError::Damaged("its beginning is not that of a database".into()))
    } else {
        Err(StoreError::Foreign)
    }
}

/// Whether a file that is no database was one, probably ours: something of ours is still near
/// its beginning, or its name says so.
fn was_database(begin: &[u8], path: &Path) -> bool {
    let mark = APPLICATION.to_be_bytes();
    let column = b"person_seconds";
    begin.get(68..72).is_some_and(|application| application == mark)
        || begin.windows(column.len()).any(|bytes| bytes == column)
        || path
            .extension()
            .is_some_and(|name| name == "db" || name == "sqlite" || name == "sqlite3")
}

/// Renames the file to a name that no other file has, and returns that name.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let is_free = |aside: &PathBuf| !fs::exists(aside).unwrap_or(true);
    let aside = (1..1000).map(|nth| with(path, &format!(".damaged-{nth}"))).find(is_free);
    let aside = aside.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    // The files that SQLite keeps beside it belong to it, and would damage the next one.
    for beside in ["-wal", "-shm"] {
        match fs::rename(with(path, beside), with(&aside, beside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// How many bytes the file takes on the disk, with those that SQLite keeps beside it.
pub(super) fn size(path: &Path) -> usize {
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let size: u64 = ["", "-wal", "-shm"].into_iter().map(|beside| size(with(path, beside))).sum();
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
