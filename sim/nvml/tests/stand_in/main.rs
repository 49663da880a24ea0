//! The built library, loaded as a program loads NVML.

mod events;
mod faults;
mod lists;
mod starts;
mod support;
mod values;
