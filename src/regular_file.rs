//! Regular files, which can be read without waiting for anybody. Anything else (a pipe, a
//! socket, a device) may have nothing to read for ever, and is not even opened.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a regular file with these options, which may create it.
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if let Ok(metadata) = fs::metadata(path) {
        check(&metadata)?;
    }
    // If a pipe has taken its place meanwhile, opening that doesn't wait for anybody either.
    // (Systems without this flag have no pipes among their files.)
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, nix::libc::O_NONBLOCK);
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let (pipe, socket) = (dir.path().join("pipe"), dir.path().join("socket"));
        mkfifo(&pipe, Mode::S_IRWXU).expect("it is made");
        let _listening = UnixListener::bind(&socket).expect("it is made");
        for path in [&*pipe, &*socket, dir.path(), Path::new("/dev/zero")] {
            let refused = open(path).expect_err("it is no regular file").to_string();
            assert_eq!(refused, "it is not a regular file", "{}", path.display());
        }
        let missing = open(&dir.path().join("missing")).expect_err("it is not there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_regular_file_is_read_also_by_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "text").expect("it is written");
        std::os::unix::fs::symlink(&file, &link).expect("it is made");
        for path in [file, link] {
            let mut text = String::new();
            open(&path).expect("it opens").read_to_string(&mut text).expect("text");
            assert_eq!(text, "text");
        }
    }
}
