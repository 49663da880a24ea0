//! The agent's NVML collector over a library with NVML's C ABI, loaded as NVIDIA's would be.

mod faults;
mod host;
mod values;
