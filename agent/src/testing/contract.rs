//! What a [`GpuCollector`] has to hold to.

use std::collections::HashSet;

use fluxfleet_proto::reading::{Device, GpuReading, GpuUuid, Reading};

use crate::collect::GpuCollector;

/// Runs the contract over a collector that `make` makes anew for each part of it.
///
/// - Devices stay the same and in the same order; their UUIDs are unique and not empty.
/// - A reading has exactly the devices, also when it is asked for before them; without devices it is empty.
/// - Numbers are finite and not negative, shares at most 100, memory in use at most the total.
/// - Energy does not fall from one reading to the next.
/// - Throttle reasons are lower snake case, each once.
///
/// # Panics
/// With what is broken.
pub fn check_gpu_collector(make: impl Fn() -> Box<dyn GpuCollector>) {
    devices_stay_the_same(&mut *make());
    readings_have_exactly_the_devices(&mut *make());
    numbers_are_possible(&mut *make());
    energy_does_not_fall(&mut *make());
}

fn known(collector: &mut dyn GpuCollector) -> Vec<Device> {
    collector.devices().unwrap_or_default()
}

fn devices_stay_the_same(collector: &mut dyn GpuCollector) {
    let first = collector.devices();
    let _ = collector.read();
    let second = collector.devices();
    match (&first, &second) {
        (Ok(first), Ok(second)) => assert_eq!(first, second, "the devices changed"),
        (Err(first), Err(second)) => assert_eq!(first.reason, second.reason, "the reason changed"),
        _ => panic!("devices came or went: {first:?}, then {second:?}"),
    }
    let devices = first.unwrap_or_default();
    let unique: HashSet<_> = devices.iter().map(|device| &device.uuid).collect();
    assert_eq!(unique.len(), devices.len(), "a UUID occurs twice: {devices:?}");
    assert!(devices.iter().all(|device| !device.uuid.0.is_empty()), "a UUID is empty: {devices:?}");
}

fn readings_have_exactly_the_devices(collector: &mut dyn GpuCollector) {
    // Before the devices were asked for, and after.
    let before = collector.read();
    let devices = known(collector);
    let after = collector.read();
    for readings in [before, after] {
        let read: HashSet<&GpuUuid> = readings.iter().map(|reading| &reading.uuid).collect();
        let expected: HashSet<&GpuUuid> = devices.iter().map(|device| &device.uuid).collect();
        assert_eq!(read, expected, "a reading must have exactly the devices");
        assert_eq!(readings.len(), devices.len(), "a device is read twice");
    }
}

fn numbers_are_possible(collector: &mut dyn GpuCollector) {
    for reading in collector.read() {
        let GpuReading {
            uuid,
            utilization_percent,
            memory_used_bytes,
            memory_total_bytes,
            power_w,
            energy_j,
            temperature_c,
            sm_clock_mhz,
            throttle,
        } = reading;
        for (what, value) in [
            ("utilization", &utilization_percent),
            ("memory used", &memory_used_bytes),
            ("memory total", &memory_total_bytes),
            ("power", &power_w),
            ("energy", &energy_j),
            ("temperature", &temperature_c),
            ("SM clock", &sm_clock_mhz),
        ] {
            if let Ok(value) = value {
                assert!(value.is_finite() && *value >= 0.0, "{what} of {uuid} is {value}");
            }
        }
        assert!(at_most(&utilization_percent, 100.0), "utilization of {uuid} is above 100");
        if let Ok(total) = memory_total_bytes {
            assert!(at_most(&memory_used_bytes, total), "{uuid} uses more memory than it has");
        }
        let reasons = throttle.unwrap_or_default();
        let snake = |reason: &String| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            !reason.is_empty() && reason.chars().all(allowed)
        };
        assert!(reasons.iter().all(snake), "not lower snake case: {reasons:?}");
        let unique: HashSet<_> = reasons.iter().collect();
        assert_eq!(unique.len(), reasons.len(), "a throttle reason occurs twice: {reasons:?}");
    }
}

fn at_most(value: &Reading, most: f64) -> bool {
    value.as_ref().is_ok_and(|value| *value <= most) || value.is_err()
}

fn energy_does_not_fall(collector: &mut dyn GpuCollector) {
    let first = collector.read();
    let second = collector.read();
    for before in first {
        let after = second.iter().find(|after| after.uuid == before.uuid);
        if let (Ok(before_j), Some(Ok(after_j))) = (&before.energy_j, after.map(|after| &after.energy_j)) {
            assert!(after_j >= before_j, "energy of {} fell from {before_j} to {after_j} J", before.uuid);
        }
    }
}
