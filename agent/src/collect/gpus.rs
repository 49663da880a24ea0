//! Makes what a collector answered fit what was promised in the greeting.

use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, Reading};

use super::all_absent;

/// One reading for each device of the greeting, in its order. A device the collector left out is lost, a
/// device nobody announced is left out, and what is no number is absent: a coordinator refuses such a message
/// and with it the whole stream.
pub(crate) fn fit(devices: &[Device], mut readings: Vec<GpuReading>) -> Vec<GpuReading> {
    let one = |device: &Device| match readings.iter().position(|reading| reading.uuid == device.uuid) {
        Some(at) => finite(readings.swap_remove(at)),
        None => all_absent(
            device.uuid.clone(),
            &Absence::new(AbsenceReason::Lost, "the GPU is no longer among those that answer"),
        ),
    };
    devices.iter().map(one).collect()
}

fn finite(mut reading: GpuReading) -> GpuReading {
    let GpuReading {
        uuid: _,
        utilization_percent,
        memory_used_bytes,
        memory_total_bytes,
        power_w,
        energy_j,
        temperature_c,
        sm_clock_mhz,
        throttle: _,
    } = &mut reading;
    for number in [
        utilization_percent,
        memory_used_bytes,
        memory_total_bytes,
        power_w,
        energy_j,
        temperature_c,
        sm_clock_mhz,
    ] {
        refuse_non_numbers(number);
    }
    reading
}

fn refuse_non_numbers(number: &mut Reading) {
    if let Ok(value) = *number
        && !value.is_finite()
    {
        *number = Err(Absence::new(AbsenceReason::Error, format!("the source answered with {value}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{device, reading};

    #[test]
    fn readings_follow_the_order_of_the_greeting() {
        let devices = [device("a"), device("b"), device("c")];
        let readings = vec![reading("c"), reading("a"), reading("b")];
        let fitted = fit(&devices, readings);
        assert_eq!(fitted, [reading("a"), reading("b"), reading("c")]);
    }

    #[test]
    fn a_device_that_vanished_is_lost_and_one_nobody_announced_is_left_out() {
        let fitted = fit(&[device("a"), device("b")], vec![reading("new"), reading("b")]);
        assert_eq!(fitted.len(), 2);
        assert_eq!(fitted[0].uuid, device("a").uuid);
        assert_eq!(fitted[0].power_w.as_ref().unwrap_err().reason, AbsenceReason::Lost);
        assert_eq!(fitted[1], reading("b"));
    }

    #[test]
    fn what_is_no_number_is_absent_and_says_so() {
        let mut broken = reading("a");
        broken.power_w = Ok(f64::NAN);
        broken.energy_j = Ok(f64::INFINITY);
        let fitted = fit(&[device("a")], vec![broken]);
        let absence = fitted[0].power_w.clone().unwrap_err();
        assert_eq!(absence, Absence::new(AbsenceReason::Error, "the source answered with NaN"));
        assert!(fitted[0].energy_j.is_err());
        assert_eq!(fitted[0].temperature_c, reading("a").temperature_c);
    }
}
