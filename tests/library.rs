//! The library by itself, as an axum app has it.

use std::collections::BTreeSet;
use std::process::Command;

/// What is for the binary alone; and `cc`, by which a crate would compile C.
const NOT_ITS_OWN: [&str; 8] = [
    "cc",
    "clap",
    "h2",
    "ring",
    "rustls",
    "tikv-jemallocator",
    "tracing-appender",
    "tracing-subscriber",
];

/// The crates that this one is compiled with.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--package", env!("CARGO_PKG_NAME")])
        .args(features)
        .output()
        .expect("cargo runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    assert!(tree.status.success(), "{}", text(tree.stderr));
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    text(tree.stdout).lines().filter_map(name).collect()
}

#[test]
fn without_the_server_nothing_of_the_binary_is_compiled_and_no_c() {
    let (all, own) = (crates(&[]), crates(&["--no-default-features"]));
    for name in NOT_ITS_OWN {
        assert!(all.contains(name), "{name} is not what the binary has");
        assert!(!own.contains(name), "{name} is compiled");
    }
    assert!(own.contains("axum") && own.is_subset(&all), "{own:?}");
}
