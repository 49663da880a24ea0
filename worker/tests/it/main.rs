//! The worker against real sockets: whole trials on the engine, and sessions with a coordinator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod engine;
mod faults;
mod fleet;
mod open;
mod polling;
#[cfg(target_os = "linux")]
mod precedence;
mod program;
mod session;
mod stopping;
mod support;
