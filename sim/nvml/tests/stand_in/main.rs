//! The built library, loaded as a program loads NVML.

#![expect(unsafe_code, reason = "what the wrapper does not let one do wrong is asked of the ABI itself")]

mod events;
mod faults;
mod lists;
mod starts;
mod support;
mod values;
