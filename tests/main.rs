//! Headcount over real sockets. One binary; this is its table of contents.
//!
//! The oracle is always the test's own list of who is there, never the server.
//! Nothing waits for a time to pass: every wait is for an event, with a deadline.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

/// What the tests share: servers, clients, deadlines.
mod support;

/// Who comes and goes is counted, and everyone is told.
mod counting;
/// Pages of other sites: who may count, and what their browsers are told.
mod origins;
/// What else can be asked of the server, and what it refuses.
mod requests;
/// Hundreds of clients at random; readers that are slow.
mod storm;

/// The binary: its options, its log.
mod command;
/// The binary: how it stops.
mod stop;

/// A panic is one connection's end, and nobody else's.
mod panics;

/// What an app compiles with it.
mod library;
/// The router inside another app.
mod nested;
