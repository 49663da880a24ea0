//! From an error of NVML to the class of absence.

use fluxfleet_proto::reading::{Absence, AbsenceReason};
use nvml_wrapper::error::NvmlError;

// Return codes of nvml.h that the wrapper does not know and passes on as numbers.
const FREQ_NOT_SUPPORTED: u32 = 24;
const ARGUMENT_VERSION_MISMATCH: u32 = 25;
const DEPRECATED: u32 = 26;
const NOT_READY: u32 = 27;
const GPU_NOT_FOUND: u32 = 28;

/// What a failed call means for the reading that asked for it, with NVML's text.
pub fn absence(error: &NvmlError) -> Absence {
    let text = match error {
        NvmlError::UnexpectedVariant(code) => match meaning(*code) {
            Some(meaning) => format!("{meaning} (NVML error {code})"),
            None => format!("NVML error {code}"),
        },
        known => known.to_string(),
    };
    Absence::new(reason(error), text)
}

/// How much is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The driver.
    Driver,
    /// One GPU.
    Gpu,
}

/// What is gone when a call fails so, until NVML is started anew; `None`: nothing is.
pub(super) fn extent(error: &NvmlError) -> Option<Extent> {
    use NvmlError as E;
    match error {
        E::Uninitialized | E::DriverNotLoaded | E::LibRmVersionMismatch => Some(Extent::Driver),
        E::GpuLost | E::UnexpectedVariant(GPU_NOT_FOUND) => Some(Extent::Gpu),
        _ => None,
    }
}

/// The class. Every variant is named, so that a new one of the wrapper is a decision and not an accident.
#[expect(deprecated, reason = "NVML still may answer with it")]
fn reason(error: &NvmlError) -> AbsenceReason {
    use NvmlError as E;
    match error {
        // For good: the device or the library does not offer it. `LibloadingError` is how a library that is
        // not there arrives, a missing symbol arrives at the call.
        E::NotSupported
        | E::VgpuEccNotSupported
        | E::FunctionNotFound
        | E::FailedToLoadSymbol(_)
        | E::LibraryNotFound
        | E::LibloadingError(_)
        | E::UnexpectedVariant(FREQ_NOT_SUPPORTED | ARGUMENT_VERSION_MISMATCH | DEPRECATED) => {
            AbsenceReason::Unsupported
        }
        E::NoPermission | E::OperatingSystem => AbsenceReason::Denied,
        // The device or the driver is gone; it may come back after starting NVML anew.
        E::Uninitialized
        | E::DriverNotLoaded
        | E::GpuLost
        | E::LibRmVersionMismatch
        | E::UnexpectedVariant(GPU_NOT_FOUND) => AbsenceReason::Lost,
        E::Timeout => AbsenceReason::Stale,
        // Nothing to read now.
        E::NotFound | E::NoData | E::UnexpectedVariant(NOT_READY) => AbsenceReason::NotYet,
        // The device or the library answered, and with an error. `ResetRequired` is one of these: the
        // device is there and permitted, and does not work until somebody resets it.
        E::ResetRequired
        | E::InvalidArg
        | E::AlreadyInitialized
        | E::InsufficientSize(_)
        | E::InsufficientPower
        | E::IrqIssue
        | E::CorruptedInfoROM
        | E::InUse
        | E::InsufficientMemory
        | E::Unknown
        | E::UnexpectedVariant(_)
        | E::Utf8Error(_)
        | E::NulError(_)
        | E::StringTooLong { .. }
        | E::IncorrectBits(_)
        | E::SetReleaseFailed
        | E::GetPciInfoFailed
        | E::PciInfoToCFailed => AbsenceReason::Error,
    }
}

/// What nvml.h says about a code the wrapper does not know.
fn meaning(code: u32) -> Option<&'static str> {
    Some(match code {
        23 => "ran out of critical resources, other than memory",
        FREQ_NOT_SUPPORTED => "the requested frequency is not supported",
        ARGUMENT_VERSION_MISMATCH => "the driver does not know this version of the argument",
        DEPRECATED => "the requested functionality has been deprecated",
        NOT_READY => "the system is not ready for the request",
        GPU_NOT_FOUND => "no GPUs were found",
        29 => "the resource is not in the correct state for the request",
        30 => "the requested type of reset is not supported",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use AbsenceReason::{Denied, Error, Lost, NotYet, Stale, Unsupported};
    use nvml_wrapper::error::Bits;

    /// Every variant of nvml-wrapper 0.13 with its class.
    #[expect(deprecated, reason = "NVML still may answer with it")]
    #[expect(invalid_from_utf8, reason = "an invalid text is what is wanted")]
    fn every_variant() -> Vec<(NvmlError, AbsenceReason)> {
        let bad_utf8 = std::str::from_utf8(&[0xff]).unwrap_err();
        let nul = std::ffi::CString::new("a\0b").unwrap_err();
        let Err(not_loadable) = nvml_wrapper::Nvml::builder().lib_path("/nonexistent".as_ref()).init() else {
            panic!("loaded a library that is not there");
        };
        assert!(matches!(not_loadable, NvmlError::LibloadingError(_)));
        vec![
            (not_loadable, Unsupported),
            (NvmlError::Utf8Error(bad_utf8), Error),
            (NvmlError::NulError(nul), Error),
            (NvmlError::FailedToLoadSymbol("undefined symbol: nvmlX".to_owned()), Unsupported),
            (NvmlError::StringTooLong { max_len: 1, actual_len: 2 }, Error),
            (NvmlError::IncorrectBits(Bits::U32(1)), Error),
            (NvmlError::UnexpectedVariant(23), Error),
            (NvmlError::UnexpectedVariant(24), Unsupported),
            (NvmlError::UnexpectedVariant(25), Unsupported),
            (NvmlError::UnexpectedVariant(26), Unsupported),
            (NvmlError::UnexpectedVariant(27), NotYet),
            (NvmlError::UnexpectedVariant(28), Lost),
            (NvmlError::UnexpectedVariant(29), Error),
            (NvmlError::UnexpectedVariant(30), Error),
            (NvmlError::UnexpectedVariant(77), Error),
            (NvmlError::SetReleaseFailed, Error),
            (NvmlError::GetPciInfoFailed, Error),
            (NvmlError::PciInfoToCFailed, Error),
            (NvmlError::Uninitialized, Lost),
            (NvmlError::InvalidArg, Error),
            (NvmlError::NotSupported, Unsupported),
            (NvmlError::NoPermission, Denied),
            (NvmlError::AlreadyInitialized, Error),
            (NvmlError::NotFound, NotYet),
            (NvmlError::InsufficientSize(Some(3)), Error),
            (NvmlError::InsufficientPower, Error),
            (NvmlError::DriverNotLoaded, Lost),
            (NvmlError::Timeout, Stale),
            (NvmlError::IrqIssue, Error),
            (NvmlError::LibraryNotFound, Unsupported),
            (NvmlError::FunctionNotFound, Unsupported),
            (NvmlError::CorruptedInfoROM, Error),
            (NvmlError::GpuLost, Lost),
            (NvmlError::ResetRequired, Error),
            (NvmlError::OperatingSystem, Denied),
            (NvmlError::LibRmVersionMismatch, Lost),
            (NvmlError::InUse, Error),
            (NvmlError::InsufficientMemory, Error),
            (NvmlError::NoData, NotYet),
            (NvmlError::VgpuEccNotSupported, Unsupported),
            (NvmlError::Unknown, Error),
        ]
    }

    #[test]
    fn every_error_has_its_class_and_keeps_the_text() {
        for (error, class) in every_variant() {
            let absence = absence(&error);
            assert_eq!(absence.reason, class, "{error:?}");
            match error {
                NvmlError::UnexpectedVariant(code) => {
                    assert!(absence.detail.contains(&code.to_string()), "{absence}");
                }
                error => assert_eq!(absence.detail, error.to_string()),
            }
        }
    }

    #[test]
    fn a_call_that_the_next_driver_dropped_is_unsupported_and_says_deprecated() {
        let gone = absence(&NvmlError::UnexpectedVariant(26));
        assert_eq!(
            gone,
            Absence::new(Unsupported, "the requested functionality has been deprecated (NVML error 26)")
        );
    }
}
