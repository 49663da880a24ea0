//! NVML's C ABI without a GPU: a library that a program loads instead of NVIDIA's, and that answers from a script.
//!
//! ```text
//!  program --- nvmlDeviceGetPowerUsage(handle, &mw) --->  abi  (the only unsafe code)
//!                                                          |
//!        source (the control file, read again on change)   v
//!           |                                             call: counted, delayed, struck by faults
//!           +---> script ---------------------------+      |
//!                                                   v      v
//!        clock: CLOCK_MONOTONIC ------ now -----> model: the value at that instant
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`script`] | the control file's form, and everything in it that cannot be |
//! | [`Curve`] | a value over time, with exact means and integrals; pure |
//! | [`model`] | what a device answers at an instant; pure, takes `now` |
//! | [`code`] | NVML's return codes |
//! | `call` | what every call goes through: counted, held up, struck by faults |
//! | `state` | starts, handles, event sets, counts of calls |
//! | `source` | finds the control file and reads it again |
//! | `abi` | the exported functions |
//! | [`testing`] | where the built library is; a copy of it without some symbols |
//!
//! # Use
//! The agent takes the library by path: `FLUXFLEET_NVML_SCRIPT=script.json fluxfleet-agent --nvml-lib
//! libfluxfleet_nvml.so ..`. Without the variable the control file is the one beside the library with `.json` at the
//! end of its name (`libfluxfleet_nvml.so.json`), so that copies of the library in one process have scripts of their
//! own. A file that is missing is a driver that is not loaded (return code 9); one that is no script is code 999, and
//! the reason is on standard error. Before each call the file's inode, size and modification time are looked at; when
//! they differ it is read again. Write a new version beside it and rename it over the old one. A version that is
//! broken leaves the one before in force.
//!
//! # The control file
//! JSON. Seconds count on `CLOCK_MONOTONIC` from `epoch_ns`, so whoever wrote the file knows each value at each instant
//! ([`Script::device`](script::Script::device) computes it). A value that may change is a number, a list of
//! `[second, value]` points between which it stands still, or an object with `points`, a `shape` (`step` or `linear`)
//! and `repeat_s`. What a device leaves out it answers with "not supported". All fields are described in [`script`];
//! one complete example:
//!
//! ```json
#![doc = include_str!("../example.json")]
//! ```
//!
//! # How values behave
//! - **Architecture** decides first: no energy counter before Volta; power is a 1 s average on Ampere (not GA100) and
//!   newer and the instant's on others; field 185 (average) is not supported where power is the instant's, field 186
//!   (instant) is everywhere.
//! - **Energy** is the exact integral of the power, as of the last multiple of `update_s`.
//! - **Utilization** is the mean of the last complete `period_s`, and stands still within the next. With MIG it is not
//!   supported.
//! - **Samples** lie on multiples of their period. Utilization's run dry (not found) once the device was idle for the
//!   whole buffer.
//! - **Process lists** answer the probing call with "insufficient size" and the count.
//! - **Processes' shares** are means since the stamp that the caller saw last, and not found when nothing ran.
//! - **Handles** stay those of their UUID through stops and starts; the order of indices is `order`'s.
//! - **Events** are Xid errors after a device was registered, each with its own number.
//!
//! # Faults
//! See [`script::Fault`] and [`script::FaultKind`]. A symbol cannot come and go while a library is loaded: for one
//! that is missing load a copy that [`testing::without_symbols`] made.

#[expect(unsafe_code, reason = "a C ABI is made of pointers")]
mod abi;
mod call;
mod clock;
pub mod code;
mod curve;
pub mod model;
pub mod script;
mod source;
mod state;
mod symbols;
pub mod testing;

pub use clock::{Now, monotonic_ns};
pub use curve::{Curve, InvalidCurve, Shape};
pub use source::SCRIPT_VARIABLE;
pub use symbols::SYMBOLS;

#[cfg(test)]
mod tests {
    use crate::script::Script;

    #[test]
    fn the_documented_example_is_a_script() {
        let script = Script::parse(include_str!("../example.json")).unwrap();
        let written = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&written).unwrap(), script);
    }

    #[test]
    fn a_word_that_the_form_does_not_have_is_refused() {
        let text = include_str!("../example.json").replace("\"watts\"", "\"wats\"");
        assert!(Script::parse(&text).unwrap_err().to_string().contains("wats"));
    }
}
