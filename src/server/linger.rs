//! How to close a connection whose client may still be sending.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::transport::Io;

/// How long a client has to take the last answer and to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// Ends our side and waits until the client ends its own. If the connection were closed
/// with something unread, the client would get a reset, and might lose the last answer
/// (RFC 9112, section 9.6).
pub(super) async fn linger(mut io: impl Io) {
    let closed = async {
        io.shutdown().await?;
        let mut unread = [0; 1024];
        while io.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _closed_or_not = timeout(LINGER, closed).await;
}
