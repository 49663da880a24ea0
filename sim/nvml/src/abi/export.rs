//! How a function is exported.

/// Exports functions about the host: `name(arguments) |host| { body }`.
macro_rules! export_host {
    ($($name:ident($($arg:ident: $type:ty),*) |$host:ident| $body:block)*) => { $(
        /// As in nvml.h.
        ///
        /// # Safety
        /// Every pointer is null or valid for what nvml.h says it is for.
        // SAFETY: no other code in the process defines nvml.h's names when this library is loaded as NVML.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            crate::call::on_host(stringify!($name), |$host| $body)
        }
    )* };
}

/// Exports functions about a device: `name(arguments after the handle) |device, host| { body }`.
macro_rules! export_device {
    ($($name:ident($($arg:ident: $type:ty),*) |$device:ident, $host:ident| $body:block)*) => { $(
        /// As in nvml.h.
        ///
        /// # Safety
        /// Every pointer is null or valid for what nvml.h says it is for. The handle may be anything.
        // SAFETY: no other code in the process defines nvml.h's names when this library is loaded as NVML.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            device: nvml_wrapper_sys::bindings::nvmlDevice_t, $($arg: $type),*
        ) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            crate::call::on_device(stringify!($name), device.addr(), |$device, $host| $body)
        }
    )* };
}

/// Exports functions that write one value of a device: `name(selectors): type = |device| value;`.
macro_rules! export_value {
    ($($name:ident($($arg:ident: $by:ty),*): $type:ty = |$device:ident| $value:expr;)*) => { $(
        export_device! {
            $name($($arg: $by,)* out: *mut $type) |$device, _host| {
                let value: $type = $value;
                // SAFETY: `out` is the caller's, null or valid for its type.
                unsafe { crate::abi::put::value(out, value) }
            }
        }
    )* };
}
