//! The only place of the report that touches the disk. A file appears whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

use crate::aggregate::{RunOutcome, SpoolError};
use crate::analysis::Report;
use crate::plan::Lang;

use super::json::{self, JsonError};
use super::png::{self, PlotError};

/// Name of the file with every number.
pub const RESULTS: &str = "results.json";
/// Name of the figure.
pub const PLOT: &str = "performance_comparison.png";

/// A file of the report could not be written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The directory cannot be made or written.
    #[error("cannot {tried} {path}: {source}; {remedy}")]
    Io {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The request records cannot be read back.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The figure cannot be drawn.
    #[error("cannot draw {path}: {source}; run without --plot, {RESULTS} holds the same numbers")]
    Plot {
        /// The file that was to hold it.
        path: String,
        /// What went wrong.
        source: PlotError,
    },
}

fn failed(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.display().to_string();
    move |source| {
        let remedy = match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "make it writable for this user or choose another directory with --out"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space there or choose another directory with --out"
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "a file is in the way: remove it or choose another directory with --out"
            }
            io::ErrorKind::IsADirectory => {
                "a directory is in the way: remove it or choose another one with --out"
            }
            _ => "choose another directory with --out",
        };
        FileError::Io { tried, path, source, remedy }
    }
}

/// Makes `dir` if need be and proves that `files` can be written there, by writing a file and removing it, and by
/// looking for directories of their names. For the time before the load: a run of an hour whose results have no
/// place to go is a lost hour.
///
/// # Errors
/// [`FileError::Io`] when the directory cannot be made or written, or a directory stands where a file is to go.
pub fn check_writable(dir: &Path, files: &[&str]) -> Result<(), FileError> {
    let mut file = begin(dir)?;
    file.write_all(b"can this be written?").map_err(failed("write to the directory", dir))?;
    file.close().map_err(failed("remove a file from the directory", dir))?;
    match files.iter().map(|name| dir.join(name)).find(|path| path.is_dir()) {
        Some(path) => Err(failed("write", &path)(io::ErrorKind::IsADirectory.into())),
        None => Ok(()),
    }
}

/// Writes `results.json` into `dir`, which is made if need be, and gives its path. Reads the outcome's samples
/// and its request records.
///
/// # Errors
/// [`FileError`] when the file cannot be written or the records cannot be read back; then no new
/// `results.json` appears, and one from before stays as it was.
pub fn write_results(dir: &Path, report: &Report, outcome: &mut RunOutcome) -> Result<PathBuf, FileError> {
    let path = dir.join(RESULTS);
    let mut file = begin(dir)?;
    json::write(BufWriter::new(&mut file), report, outcome).map_err(|error| match error {
        JsonError::Write(source) => failed("write", &path)(source),
        JsonError::Spool(source) => FileError::Spool(source),
    })?;
    finish(file, path)
}

/// Writes `performance_comparison.png` into `dir`, which is made if need be, and gives its path.
///
/// # Errors
/// [`FileError`] when the figure cannot be drawn or written; then no new one appears.
pub fn write_plot(dir: &Path, report: &Report, lang: Lang) -> Result<PathBuf, FileError> {
    let path = dir.join(PLOT);
    let bytes = png::render(report, lang)
        .map_err(|source| FileError::Plot { path: path.display().to_string(), source })?;
    let mut file = begin(dir)?;
    file.write_all(&bytes).map_err(failed("write", &path))?;
    finish(file, path)
}

/// A file in `dir` that goes away unless it is finished.
fn begin(dir: &Path) -> Result<NamedTempFile, FileError> {
    fs::create_dir_all(dir).map_err(failed("make the directory", dir))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fluxfleet-").suffix(".part");
    // Temporary files are private by default; results are to be as readable as any other new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir).map_err(failed("write to the directory", dir))
}

/// Gives the file its name once every byte is on the disk.
fn finish(file: NamedTempFile, path: PathBuf) -> Result<PathBuf, FileError> {
    file.as_file().sync_all().map_err(failed("write", &path))?;
    file.persist(&path).map_err(|e| failed("write", &path)(e.error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::seed_run;
    use crate::analysis::{ScoreSettings, analyse};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_made_and_left_empty_by_the_check() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("a/b");
        check_writable(&dir, &[RESULTS, PLOT]).expect("writable");
        assert_eq!(names(&dir), Vec::<String>::new());
    }

    #[test]
    fn a_directory_in_the_way_of_a_file_is_found_by_the_check() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join(PLOT)).expect("space");
        check_writable(root.path(), &[RESULTS]).expect("nothing is in its way");
        let error = check_writable(root.path(), &[RESULTS, PLOT]).expect_err("a directory").to_string();
        assert!(error.contains(PLOT) && error.contains("a directory is in the way"), "{error}");
    }

    #[test]
    fn a_file_in_the_way_is_named_with_a_remedy() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("taken");
        fs::write(&file, "").expect("space");
        for dir in [file.clone(), file.join("below")] {
            let error = check_writable(&dir, &[]).expect_err("a file").to_string();
            assert!(error.starts_with("cannot make the directory "), "{error}");
            assert!(error.contains("taken") && error.contains("--out"), "{error}");
        }
    }

    #[test]
    fn both_files_appear_whole_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let mut outcome = seed_run().done();
        let report = analyse(&outcome, &ScoreSettings::default());
        for _ in 0..2 {
            let results = write_results(root.path(), &report, &mut outcome).expect("written");
            let text = fs::read_to_string(results).expect("readable");
            serde_json::from_str::<serde_json::Value>(&text).expect("a document");
            let plot = write_plot(root.path(), &report, Lang::En).expect("written");
            assert!(fs::read(plot).expect("readable").starts_with(b"\x89PNG"));
        }
        assert_eq!(names(root.path()), [PLOT, RESULTS]);
    }

    #[cfg(unix)]
    #[test]
    fn results_are_as_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("a directory");
        let mut outcome = seed_run().done();
        let report = analyse(&outcome, &ScoreSettings::default());
        let results = write_results(root.path(), &report, &mut outcome).expect("written");
        let other = root.path().join("other");
        fs::write(&other, "").expect("space");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&results), mode(&other));
    }
}
