//! The control file: found once, read again whenever it is another one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::code::{Answer, Code};
use crate::script::Script;

/// Names the control file.
pub const SCRIPT_VARIABLE: &str = "FLUXFLEET_NVML_SCRIPT";

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self { inode: file.ino(), size: file.size(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

/// The control file and what it last said.
#[derive(Debug)]
pub(crate) struct Source {
    path: Option<PathBuf>,
    seen: Option<Stamp>,
    script: Option<Arc<Script>>,
    /// Said on standard error last, so that it is not said again.
    complaint: String,
}

impl Source {
    /// The file named by the environment, or else the library's own path with `.json` at its end.
    pub(crate) fn find() -> Self {
        let beside = || {
            let mut path = own_path()?.into_os_string();
            path.push(".json");
            Some(PathBuf::from(path))
        };
        Self::at(std::env::var_os(SCRIPT_VARIABLE).map(PathBuf::from).or_else(beside))
    }

    fn at(path: Option<PathBuf>) -> Self {
        Self { path, seen: None, script: None, complaint: String::new() }
    }

    /// The script as it stood when the file was last looked at.
    pub(crate) fn known(&mut self) -> Answer<Arc<Script>> {
        match &self.script {
            Some(script) => Ok(Arc::clone(script)),
            None => self.current(),
        }
    }

    /// The script as it stands now. A version that cannot be read leaves the one before it in force; without a file
    /// there is no driver.
    pub(crate) fn current(&mut self) -> Answer<Arc<Script>> {
        let Some(path) = self.path.clone() else {
            return Err(self.complain(Code::DRIVER_NOT_LOADED, format!("{SCRIPT_VARIABLE} is not set")));
        };
        let there = fs::metadata(&path).map(|file| Stamp::of(&file));
        match there {
            Ok(stamp) if self.seen == Some(stamp) => {}
            Ok(_) => self.read(&path),
            Err(error) => {
                self.seen = None;
                self.script = None;
                return Err(self.complain(Code::DRIVER_NOT_LOADED, format!("{}: {error}", path.display())));
            }
        }
        self.script.clone().ok_or(Code::UNKNOWN)
    }

    fn read(&mut self, path: &Path) {
        let text = File::open(path).and_then(|mut file| {
            self.seen = Some(Stamp::of(&file.metadata()?));
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        });
        let script =
            text.map_err(|e| e.to_string()).and_then(|t| Script::parse(&t).map_err(|e| e.to_string()));
        match script {
            Ok(script) => {
                self.script = Some(Arc::new(script));
                self.complaint.clear();
            }
            Err(error) => {
                self.complain(Code::UNKNOWN, format!("{}: {error}", path.display()));
            }
        }
    }

    fn complain(&mut self, code: Code, complaint: String) -> Code {
        if complaint != self.complaint {
            let _ = writeln!(io::stderr(), "fluxfleet-nvml: {complaint}");
            self.complaint = complaint;
        }
        code
    }
}

/// Where the code that runs was loaded from.
fn own_path() -> Option<PathBuf> {
    let here = own_path as fn() -> Option<PathBuf> as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (number(from)? <= here && here < number(to)?).then(|| rest.find('/').map(|at| rest[at..].into()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    const SCRIPT: &str = r#"{"devices": [{"uuid": "GPU-a", "name": "A", "architecture": "ada"}]}"#;

    #[test]
    fn a_new_version_is_read_and_a_broken_one_leaves_the_last_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.json");
        let mut source = Source::at(Some(path.clone()));
        assert_eq!(source.current().unwrap_err(), Code::DRIVER_NOT_LOADED);

        replace(&path, SCRIPT);
        let first = source.current().unwrap();
        assert_eq!(first.devices[0].name, "A");
        assert!(Arc::ptr_eq(&first, &source.current().unwrap()), "the same version is not read again");

        replace(&path, &SCRIPT.replace("\"A\"", "\"B\""));
        assert_eq!(source.current().unwrap().devices[0].name, "B");
        replace(&path, "{");
        assert_eq!(source.current().unwrap().devices[0].name, "B");
        fs::remove_file(&path).unwrap();
        assert_eq!(source.current().unwrap_err(), Code::DRIVER_NOT_LOADED);
    }

    #[test]
    fn a_file_that_never_made_sense_is_an_unknown_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.json");
        replace(&path, r#"{"devices": []}"#);
        assert_eq!(Source::at(Some(path)).current().unwrap_err(), Code::UNKNOWN);
    }

    #[test]
    fn the_code_knows_the_file_it_was_loaded_from() {
        assert_eq!(own_path().unwrap(), std::env::current_exe().unwrap());
    }
}
