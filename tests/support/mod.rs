//! What the tests share.

mod client;
mod process;
mod server;

pub use client::{Answer, Client, Stream};
pub use process::Headcount;
pub use server::Server;

use std::future::Future;
use std::time::Duration;

/// Long enough for a busy machine; reached only by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `future`, and fails the test when it takes longer than any would.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not happen within {DEADLINE:?}"),
    }
}

/// Asks again and again until the answer is the one that the test knows to be right.
pub async fn until<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: T,
    mut ask: impl AsyncFnMut() -> T,
) {
    let started = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{what}: {answer:?} in place of {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
