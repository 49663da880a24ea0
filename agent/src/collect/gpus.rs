//! Makes what a collector answered fit what was promised in the greeting.

use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, Reading};

/// One reading for each device, in their order. What the collector left out is as `missing` says, a device nobody
/// announced is left out, and what is no number is absent: a coordinator refuses such a message and with it the whole
/// stream.
pub(super) fn fit(
    devices: &[Device],
    mut readings: Vec<GpuReading>,
    missing: impl Fn(&Device) -> GpuReading,
) -> Vec<GpuReading> {
    let one = |device: &Device| match readings.iter().position(|reading| reading.uuid == device.uuid) {
        Some(at) => finite(readings.swap_remove(at)),
        None => missing(device),
    };
    devices.iter().map(one).collect()
}

fn finite(mut reading: GpuReading) -> GpuReading {
    reading.values.iter_mut().for_each(|(_, number)| refuse_non_numbers(number));
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
    use fluxfleet_proto::metric::GpuMetric;
    use fluxfleet_proto::reading::Occasion;

    use super::*;
    use crate::collect::all_absent;
    use crate::testing::{device, reading};

    fn lost(device: &Device) -> GpuReading {
        all_absent(device.uuid.clone(), Occasion::Normal, &Absence::new(AbsenceReason::Lost, ""))
    }

    #[test]
    fn readings_follow_the_order_of_the_devices() {
        let devices = [device("a"), device("b"), device("c")];
        let readings = vec![reading("c"), reading("a"), reading("b")];
        let fitted = fit(&devices, readings, lost);
        assert_eq!(fitted, [reading("a"), reading("b"), reading("c")]);
    }

    #[test]
    fn a_device_that_is_missing_is_so_and_one_nobody_announced_is_left_out() {
        let fitted = fit(&[device("a"), device("b")], vec![reading("new"), reading("b")], lost);
        assert_eq!(fitted, [lost(&device("a")), reading("b")]);
    }

    #[test]
    fn what_is_no_number_is_absent_and_says_so() {
        let mut broken = reading("a");
        broken.values.set(GpuMetric::PowerW, Ok(f64::NAN));
        broken.values.set(GpuMetric::EnergyJ, Ok(f64::INFINITY));
        let fitted = fit(&[device("a")], vec![broken], lost);
        let values = &fitted[0].values;
        let absence = values.value(GpuMetric::PowerW).unwrap_err();
        assert_eq!(absence, Absence::new(AbsenceReason::Error, "the source answered with NaN"));
        assert!(values.value(GpuMetric::EnergyJ).is_err());
        assert_eq!(values.value(GpuMetric::TemperatureC), Ok(61.0));
    }
}
