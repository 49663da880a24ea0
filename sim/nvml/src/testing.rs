//! For tests: the built library, and copies of it.

use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = "libfluxfleet_nvml.so";

/// The library, built beside the test that runs. `cargo test` builds it with this package; where it is not there, it is
/// built here.
///
/// # Panics
/// When it cannot be built.
pub fn library() -> PathBuf {
    let mut dir = std::env::current_exe().expect("this test's path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    // Tests leave it in `deps`; a build puts it beside the programs too. The newer is the one of this source.
    let places = [dir.join("deps").join(LIBRARY), dir.join(LIBRARY)];
    let newest = || {
        let built = |path: &&PathBuf| path.metadata().and_then(|file| file.modified()).ok();
        places.iter().filter(|path| path.exists()).max_by_key(built).cloned()
    };
    newest().unwrap_or_else(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "fluxfleet-nvml"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if dir.ends_with("release") {
            build.arg("--release");
        }
        if let Some(target) = dir.parent() {
            build.arg("--target-dir").arg(target);
        }
        assert!(build.status().expect("cargo runs").success(), "the library cannot be built");
        newest().unwrap_or_else(|| panic!("cargo built no {}", Path::new(LIBRARY).display()))
    })
}

/// A copy of the library, given as the bytes of its file, that lacks these symbols: as an older or a newer driver
/// would. Their names are spoilt in the table that the dynamic linker looks in, so a program that loads the copy does
/// not find them; everything else works.
#[must_use]
pub fn without_symbols(library: &[u8], missing: &[&str]) -> Vec<u8> {
    let mut copy = library.to_vec();
    for symbol in missing {
        let name = [b"\0", symbol.as_bytes(), b"\0"].concat();
        for at in 0..copy.len().saturating_sub(name.len()) {
            if copy[at..].starts_with(&name) {
                copy[at + 1] = b'x';
            }
        }
    }
    copy
}
