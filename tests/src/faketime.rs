//! Clocks of a program that a test sets: libfaketime, from Debian's package.

use std::path::{Path, PathBuf};

use crate::process::root;
use crate::real::set_up;

/// Shifts a program's clocks by whatever was last told.
pub struct Faketime {
    shift: tempfile::NamedTempFile,
    library: PathBuf,
    monotonic: bool,
}

impl Faketime {
    /// The wall clock alone is shifted; by nothing yet.
    pub fn of_wall() -> Self {
        Self::new(false)
    }

    /// The wall clock and the monotonic one are shifted together; by nothing yet.
    pub fn of_all() -> Self {
        Self::new(true)
    }

    fn new(monotonic: bool) -> Self {
        set_up();
        let faketime =
            Self { shift: tempfile::NamedTempFile::new().expect("a file"), library: library(), monotonic };
        faketime.shift_by(0);
        faketime
    }

    /// What the program must find in its environment.
    pub fn environment(&self) -> [(&str, &str); 4] {
        fn text(path: &Path) -> &str {
            path.to_str().expect("UTF-8")
        }
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(self.shift.path())),
            // The file is read anew each time.
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", if self.monotonic { "0" } else { "1" }),
        ]
    }

    /// From now on the clocks are ahead by so many seconds.
    pub fn shift_by(&self, seconds: i64) {
        // The program reads it at any time, and must never find half of it.
        let next = self.shift.path().with_extension("next");
        std::fs::write(&next, format!("{seconds:+}\n")).expect("a file");
        std::fs::rename(&next, self.shift.path()).expect("the same directory");
    }
}

/// Where libfaketime is: on this machine, or where `tests/real/setup` unpacked it.
fn library() -> PathBuf {
    let in_root = |root: PathBuf| {
        let dirs = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
        dirs.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
    };
    in_root("/".into()).or_else(|| in_root(root().join("target/real-faketime"))).expect(
        "there is no libfaketime and tests/real/setup could not get it; install libfaketime (Debian: package libfaketime)",
    )
}
