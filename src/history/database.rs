//! The database that the history is kept in: how it is opened, and what is wrong with one that
//! can't be used.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The application id that marks a database as ours: `HCNT`.
pub(super) const APPLICATION: u32 = 0x4843_4e54;
/// The version of the schema.
const VERSION: i64 = 1;

/// How long to wait for another program that writes to the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The size to which the write-ahead log is cut back after a checkpoint, in bytes.
const LOG_SIZE: u64 = 4 << 20;

/// Why the file can't be used.
#[derive(Debug)]
pub(super) enum StoreError {
    /// Another process uses the file.
    InUse,
    /// The file is another program's.
    Foreign,
    /// The file is a directory, a pipe or a device.
    NotAFile,
    /// The file is damaged.
    Damaged(String),
    /// The file is of another version of this program.
    Version(i64),
    /// The system's error.
    Io(io::Error),
    /// SQLite's error.
    Sql(rusqlite::Error),
}

/// Connects to a database that exists.
pub(super) fn connect(path: &Path, how: OpenFlags) -> Result<Connection, StoreError> {
    let flags = how | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Absolute, because SQLite takes no such path for one of its special names, like
    // `:memory:`.
    let db = Connection::open_with_flags(std::path::absolute(path)?, flags)?;
    db.busy_timeout(PATIENCE)?;
    // There may be no directory for temporary files.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// Checks that the file is ours, as far as can be seen at once and without writing to it.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(Duration::ZERO)?;
    // The log that the last process left beside the file is put into it later.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    is_new(&db).map(drop)
}

/// Opens the database for writing, and creates the tables if it is new.
pub(super) fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    let is_new = is_new(db)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // What is written survives the process. A power cut damages nothing, but may take the last
    // minutes with it.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "journal_size_limit", LOG_SIZE)?;
    if is_new {
        let write = db.transaction()?;
        write.pragma_update(None, "application_id", APPLICATION)?;
        write.pragma_update(None, "user_version", VERSION)?;
        write.execute_batch(include_str!("schema.sql"))?;
        write.commit()?;
    }
    Ok(())
}

/// Whether a database is new. If it is not, it must be ours.
fn is_new(db: &Connection) -> Result<bool, StoreError> {
    let number = |db: &Connection, name| db.pragma_query_value(None, name, |row| row.get(0));
    let application = number(db, "application_id")?;
    let version = number(db, "user_version")?;
    let tables = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let is_new = match tables.map_err(StoreError::from) {
        // Another program's database is left alone even if it is damaged.
        Err(StoreError::Damaged(_)) if application != i64::from(APPLICATION) => false,
        tables => tables? == 0,
    };
    if !is_new && application != i64::from(APPLICATION) {
        return Err(StoreError::Foreign);
    }
    if !is_new && version != VERSION {
        return Err(StoreError::Version(version));
    }
    Ok(is_new)
}

/// Whether rooms were ever given up: no id is given twice, so there are more ids than rooms
/// then.
pub(super) fn gave_up_rooms(db: &Connection) -> rusqlite::Result<bool> {
    let gave_up = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'room')
                       > (SELECT count(*) FROM room WHERE id > 0)";
    db.query_row(gave_up, [], |row| row.get(0))
}

/// Notes that a room was given up which the file never had: an id is left out for it.
pub(super) fn note_given_up(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'room'", []).map(drop)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ if contradicts_schema(&error) => Self::Damaged(error.to_string()),
            _ => Self::Sql(error),
        }
    }
}

/// Whether the file has content that this program never writes. Trying again would not help
/// then.
fn contradicts_schema(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{IntegralValueOutOfRange, InvalidColumnType};
    matches!(error, IntegralValueOutOfRange(..) | InvalidColumnType(..))
        || error.to_string().contains("no such table")
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse => f.write_str("another process is using it"),
            Self::Foreign => f.write_str("it is another program's file"),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::Damaged(why) => write!(f, "it is damaged ({why})"),
            Self::Version(version) => write!(f, "it is of another version ({version})"),
            Self::Io(error) => error.fmt(f),
            Self::Sql(error) => error.fmt(f),
        }
    }
}
