//! Why NVML cannot be used at all, said in one line.

use std::fmt;
use std::path::PathBuf;

use fluxfleet_proto::reading::Absence;
use nvml_wrapper::error::NvmlError;

use super::absence;

const SYSTEM_LIBRARY: &str = "libnvidia-ml.so.1";

/// Why NVML cannot be used: the library tried, and what went wrong. Its text is the one line for the user:
/// what it means and what to do.
#[derive(Debug)]
pub struct NvmlUnavailable {
    /// The library asked for; `None` is the system's.
    lib: Option<PathBuf>,
    error: NvmlError,
}

impl NvmlUnavailable {
    pub(super) fn new(lib: Option<PathBuf>, error: NvmlError) -> Self {
        Self { lib, error }
    }

    /// The class and what went wrong, without the advice.
    pub(super) fn absence(&self) -> Absence {
        Absence::new(absence(&self.error).reason, self.what())
    }

    fn what(&self) -> String {
        let lib = self.lib.as_ref().map(|path| path.display().to_string());
        match (&self.error, lib) {
            (NvmlError::LibloadingError(_), None) => format!("no NVML library found ({SYSTEM_LIBRARY})"),
            (NvmlError::LibloadingError(error), Some(lib)) => {
                if self.lib.as_ref().is_some_and(|path| path.exists()) {
                    format!("{lib} cannot be loaded as a library ({error})")
                } else {
                    format!("no NVML library at {lib}")
                }
            }
            (NvmlError::FailedToLoadSymbol(_), lib) => {
                let lib = lib.unwrap_or_else(|| SYSTEM_LIBRARY.to_owned());
                format!("{lib} is a library, but not NVML (it has no nvmlInit_v2)")
            }
            (NvmlError::DriverNotLoaded, _) => "the NVIDIA driver is not loaded".to_owned(),
            (NvmlError::NoPermission, _) => "this user may not talk to the NVIDIA driver".to_owned(),
            (NvmlError::LibRmVersionMismatch, _) => {
                "NVML and the loaded NVIDIA driver are of different versions".to_owned()
            }
            (error, _) => format!("NVML does not work here ({})", absence(error).detail),
        }
    }

    fn advice(&self) -> &'static str {
        match (&self.error, &self.lib) {
            (NvmlError::LibloadingError(_), None) => {
                "on a GPU host install the NVIDIA driver or give --nvml-lib"
            }
            (NvmlError::LibloadingError(_) | NvmlError::FailedToLoadSymbol(_), Some(_)) => {
                "check --nvml-lib, or leave it out for the system's library"
            }
            (NvmlError::DriverNotLoaded, _) => {
                "load it (modprobe nvidia) or, in a container, start it with the host's GPUs"
            }
            (NvmlError::NoPermission, _) => "run the agent as a user that may open /dev/nvidiactl",
            (NvmlError::LibRmVersionMismatch, _) => {
                "the driver was updated under it: reload its modules or reboot"
            }
            _ => "see what nvidia-smi says on this host",
        }
    }
}

impl fmt::Display for NvmlUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: GPU readings are absent, system metrics go on; {}", self.what(), self.advice())
    }
}

impl std::error::Error for NvmlUnavailable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(lib: &str) -> NvmlError {
        match nvml_wrapper::Nvml::builder().lib_path(lib.as_ref()).init() {
            Err(error) => error,
            Ok(_) => panic!("{lib} is no NVML"),
        }
    }

    #[test]
    fn a_missing_system_library_says_what_it_means_and_what_to_do() {
        let unavailable = NvmlUnavailable::new(None, load("/nonexistent"));
        assert_eq!(
            unavailable.to_string(),
            "no NVML library found (libnvidia-ml.so.1): GPU readings are absent, system metrics go on; on a \
             GPU host install the NVIDIA driver or give --nvml-lib"
        );
    }

    #[test]
    fn a_path_to_nothing_is_told_from_a_file_that_is_no_library() {
        let nothing = NvmlUnavailable::new(Some("/nonexistent".into()), load("/nonexistent")).to_string();
        assert!(nothing.starts_with("no NVML library at /nonexistent: GPU readings"), "{nothing}");

        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let text = NvmlUnavailable::new(Some(path.into()), load(path)).to_string();
        assert!(text.starts_with(&format!("{path} cannot be loaded as a library (")), "{text}");
        assert!(text.contains("check --nvml-lib"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn each_way_to_fail_is_one_line_with_advice_of_its_own() {
        let lines = [
            NvmlError::DriverNotLoaded,
            NvmlError::NoPermission,
            NvmlError::LibRmVersionMismatch,
            NvmlError::Unknown,
        ]
        .map(|error| NvmlUnavailable::new(None, error).to_string());
        for (at, line) in lines.iter().enumerate() {
            assert!(line.contains(": GPU readings are absent, system metrics go on; "), "{line}");
            assert!(!lines[..at].contains(line), "{line}");
        }
        assert!(lines[0].starts_with("the NVIDIA driver is not loaded"));
    }
}
