//! A program that closes the library may still have a thread in it (a call that hangs), and the number of times that
//! NVML was started must outlive closing and loading it again: once loaded, the library stays.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
