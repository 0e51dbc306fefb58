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

/// A file of the page as the binary sends it: the script goes without its comments.
pub fn as_served(file: &str) -> String {
    let text = std::fs::read_to_string(format!("public/{file}")).expect("it is in public/");
    if file != "client.js" {
        return text;
    }
    let mut blocks = text.split("/*");
    let mut code = blocks.next().unwrap_or_default().to_owned();
    for block in blocks {
        let (comment, after) = block.split_once("*/").expect("its end");
        if comment.starts_with('!') {
            code += &format!("/*{comment}*/");
        }
        code += after;
    }
    let lines = code.lines().map(|line| match line.trim().split_once("// ") {
        Some((before, _)) if before.is_empty() || before.ends_with(' ') => before.trim(),
        _ => line.trim(),
    });
    lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}
