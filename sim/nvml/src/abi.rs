//! The exported functions: nvml.h's signatures, each a few words around [`call`](crate::call) and the model.
//!
//! All of the crate's unsafe code is here, and all of it does one of two things: it writes an answer where the caller
//! pointed, or reads what the caller points to. A caller promises what nvml.h asks of it: a pointer is null or points to
//! its type, a buffer has room for the length beside it, a text ends in a zero.

#[macro_use]
mod export;
mod device;
mod event;
mod host;
mod list;
mod put;
mod reading;

use nvml_wrapper_sys::bindings as nvml;

// The sizes that nvml.h's types have on 64-bit machines, whatever the bindings say.
const _: () = {
    assert!(size_of::<nvml::nvmlMemory_v2_t>() == 40);
    assert!(size_of::<nvml::nvmlProcessInfo_t>() == 24);
    assert!(size_of::<nvml::nvmlProcessUtilizationSample_t>() == 32);
    assert!(size_of::<nvml::nvmlSample_t>() == 16);
    assert!(size_of::<nvml::nvmlFieldValue_t>() == 40);
    assert!(size_of::<nvml::nvmlPciInfo_t>() == 68);
    assert!(size_of::<nvml::nvmlEventData_t>() == 32);
    assert!(reading::MEMORY_V2 == 0x0200_0028);
};
