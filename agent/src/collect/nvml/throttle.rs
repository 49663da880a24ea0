//! The reasons that hold a GPU's clock down, by name.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::error::{Bits, NvmlError};

/// NVML's `nvmlClocksThrottleReason..` (newer: `nvmlClocksEventReason..`) by bit, in lower snake case.
const NAMES: [(ThrottleReasons, &str); 9] = [
    (ThrottleReasons::GPU_IDLE, "gpu_idle"),
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting"),
];

/// Names what NVML answered. A bit of a newer driver has no name yet and is reported as `bit_N` rather than
/// left out: the clock *is* held down.
///
/// # Errors
/// NVML's, other than about bits without a name.
pub fn throttle_names(answer: Result<ThrottleReasons, NvmlError>) -> Result<Vec<String>, NvmlError> {
    let bits = match answer {
        Ok(known) => known.bits(),
        Err(NvmlError::IncorrectBits(Bits::U64(bits))) => bits,
        Err(error) => return Err(error),
    };
    let set = (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1);
    Ok(set.map(name).collect())
}

fn name(bit: u32) -> String {
    let known = NAMES.iter().find(|(flag, _)| flag.bits() == 1 << bit);
    known.map_or_else(|| format!("bit_{bit}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_clock_has_no_reasons() {
        assert_eq!(throttle_names(Ok(ThrottleReasons::NONE)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_flag_has_its_name_once() {
        let all = throttle_names(Ok(ThrottleReasons::all())).unwrap();
        assert_eq!(all, NAMES.map(|(_, name)| name));
    }

    #[test]
    fn a_reason_of_a_newer_driver_is_kept_by_its_bit() {
        let answer = Err(NvmlError::IncorrectBits(Bits::U64(0b100 | 1 << 11)));
        assert_eq!(throttle_names(answer).unwrap(), ["sw_power_cap", "bit_11"]);
    }

    #[test]
    fn any_other_error_stays_one() {
        assert!(matches!(throttle_names(Err(NvmlError::GpuLost)), Err(NvmlError::GpuLost)));
    }
}
