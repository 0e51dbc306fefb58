//! A directory whose regular files are served, and nothing else: no hidden file, and nothing
//! outside of it, even if a link leads there.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::task::spawn_blocking;
use tower_http::services::fs as served;

use crate::regular_file;

/// The directory, as the source of a [`ServeDir`](tower_http::services::ServeDir)'s files.
#[derive(Clone, Debug)]
pub(super) struct Directory(Arc<Path>);

type Answer<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.into())
    }

    /// The real path of a file, if it may be seen.
    fn find(&self, path: &Path) -> io::Result<PathBuf> {
        // Resolved each time: the directory may itself be a link, which a new release changes.
        let (root, path) = (fs::canonicalize(&self.0)?, self.shown(path)?);
        let found = fs::canonicalize(root.join(path))?;
        if found.strip_prefix(&root).is_ok_and(is_shown) { Ok(found) } else { Err(not_found()) }
    }

    /// The path that was asked for, within the directory.
    fn shown<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        path.strip_prefix(&self.0).ok().filter(|path| is_shown(path)).ok_or_else(not_found)
    }

    /// Looks at a path outside of the worker, because a disk can be slow. If anything is wrong
    /// with the path itself, nothing is found there.
    fn look<T: Send + 'static>(
        &self,
        path: PathBuf,
        look: fn(&Path) -> io::Result<T>,
    ) -> Answer<T> {
        let directory = self.clone();
        Box::pin(async move {
            let looked = spawn_blocking(move || look(&directory.find(&path)?)).await?;
            looked.map_err(|error| if is_of_the_server(&error) { error } else { not_found() })
        })
    }
}

/// Whether no part of a path is hidden.
fn is_shown(path: &Path) -> bool {
    path.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    })
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Whether the server is at fault and not the path, which may be too long, go through a
/// file, or lead in a circle.
#[cfg(unix)]
fn is_of_the_server(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let server = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EIO];
    error.raw_os_error().is_some_and(|number| server.contains(&Errno::from_raw(number)))
}

#[cfg(not(unix))]
fn is_of_the_server(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

impl served::Backend for Directory {
    type File = File;
    type Metadata = Metadata;
    type OpenFuture = Answer<File>;
    type MetadataFuture = Answer<Metadata>;

    fn open(&self, path: PathBuf) -> Answer<File> {
        let opened = self.look(path, regular_file::open);
        Box::pin(async move { Ok(File(tokio::fs::File::from_std(opened.await?))) })
    }

    fn metadata(&self, path: PathBuf) -> Answer<Metadata> {
        self.look(path, |path| {
            let metadata = fs::metadata(path)?;
            if metadata.is_file() || metadata.is_dir() { Ok(metadata) } else { Err(not_found()) }
        })
    }
}

/// A file that is served.
#[derive(Debug)]
pub(super) struct File(tokio::fs::File);

impl served::File for File {
    type Metadata = Metadata;
    type MetadataFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Metadata>> + Send + 'a>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}
