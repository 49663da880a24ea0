//! The files that the kernel answers through, and what it means when they do not.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use fluxfleet_proto::reading::{Absence, AbsenceReason};
use rustix::io::Errno;

/// The directory that is `/proc`.
#[derive(Clone, Debug)]
pub(super) struct Proc(PathBuf);

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// One that lies elsewhere.
    pub(super) fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// A file's place.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// What `reading` makes of a file's text. It says what is wrong with the text where it can make nothing of it.
    pub(super) fn parse<T>(
        &self,
        file: &str,
        reading: impl FnOnce(&str) -> Result<T, Odd>,
    ) -> Result<T, Absence> {
        let path = self.path(file);
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        // Names in it may be any bytes; numbers are not.
        reading(&String::from_utf8_lossy(&bytes)).map_err(|odd| odd.of(&path))
    }
}

/// Why a text holds no reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// It is not as it should be.
    Garbled(String),
    /// It is, and there is nothing in it to read.
    Nothing(String),
}

impl Odd {
    pub(super) fn garbled(what: impl Into<String>) -> Self {
        Self::Garbled(what.into())
    }

    /// As the absence of what stands in that file.
    pub(super) fn of(self, file: &Path) -> Absence {
        let file = file.display();
        match self {
            Self::Garbled(what) => Absence::new(AbsenceReason::Error, format!("{file}: {what}")),
            Self::Nothing(what) => Absence::new(AbsenceReason::Unsupported, format!("{file}: {what}")),
        }
    }
}

/// The absence of what stands in a file that cannot be read.
pub(in crate::collect) fn unreadable(path: &Path, error: &io::Error) -> Absence {
    // A kernel may have pressure built in and switched off: the file is there and answers so.
    let switched_off = error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error());
    let reason = match error.kind() {
        ErrorKind::PermissionDenied => AbsenceReason::Denied,
        ErrorKind::NotFound => AbsenceReason::Unsupported,
        _ if switched_off => AbsenceReason::Unsupported,
        _ => AbsenceReason::Error,
    };
    Absence::new(reason, format!("could not read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(proc: &Proc) -> Absence {
        proc.parse("it", |text| Err::<(), _>(Odd::garbled(format!("has {text}")))).unwrap_err()
    }

    #[test]
    fn what_cannot_be_read_is_absent_with_the_file_and_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let proc = Proc::at(dir.path());
        let place = dir.path().join("it").display().to_string();
        let missing = parsed(&proc);
        assert_eq!(missing.reason, AbsenceReason::Unsupported);
        assert!(missing.detail.starts_with(&format!("could not read {place}: ")), "{missing}");

        fs::create_dir(dir.path().join("it")).unwrap();
        assert_eq!(parsed(&proc).reason, AbsenceReason::Error, "a directory is no file");

        for (errno, reason) in [
            (Errno::ACCESS, AbsenceReason::Denied),
            (Errno::PERM, AbsenceReason::Denied),
            (Errno::OPNOTSUPP, AbsenceReason::Unsupported),
            (Errno::MFILE, AbsenceReason::Error),
        ] {
            assert_eq!(unreadable(Path::new("/x"), &io::Error::from(errno)).reason, reason, "{errno}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("it"), [b'a', 0xff]).unwrap();
        let absence = parsed(&Proc::at(dir.path()));
        assert_eq!(absence.reason, AbsenceReason::Error);
        assert!(absence.detail.ends_with("/it: has a\u{fffd}"), "{absence}");
    }
}
