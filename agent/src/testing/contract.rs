//! What a [`GpuCollector`] has to hold to.

use std::collections::HashSet;

use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Device, GpuReading, Occasion, Readings};

use crate::collect::{GpuCollector, metrics_of};

/// Runs the contract over a collector that `make` makes anew for each part of it.
///
/// - Devices stay the same and in the same order; their UUIDs are unique and not empty.
/// - A reading is of the GPU that was asked for and has exactly the metrics of its occasion.
/// - Numbers are finite and not negative, shares at most 100, memory in use at most the total.
/// - Energy does not fall from one reading to the next.
/// - Throttle reasons are read on the normal lane, and are lower snake case, each once.
///
/// # Panics
/// With what is broken.
pub fn check_gpu_collector(make: impl Fn() -> Box<dyn GpuCollector>) {
    devices_stay_the_same(&*make());
    readings_have_exactly_what_was_asked_for(&*make());
    numbers_are_possible(&*make());
    energy_does_not_fall(&*make());
}

fn known(collector: &dyn GpuCollector) -> Vec<Device> {
    collector.devices().unwrap_or_default()
}

fn occasions() -> [Occasion; 6] {
    let trial = TrialId(0);
    [
        Occasion::Normal,
        Occasion::Fast,
        Occasion::Slow,
        Occasion::Start(trial),
        Occasion::End(trial),
        Occasion::Event,
    ]
}

fn devices_stay_the_same(collector: &dyn GpuCollector) {
    let first = collector.devices();
    for device in known(collector) {
        collector.read(&device.uuid, Occasion::Normal);
    }
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

fn readings_have_exactly_what_was_asked_for(collector: &dyn GpuCollector) {
    for device in known(collector) {
        for occasion in occasions() {
            let reading = collector.read(&device.uuid, occasion);
            assert_eq!(reading.uuid, device.uuid, "a reading of another GPU");
            let read: HashSet<GpuMetric> = reading.values.iter().map(|(metric, _)| metric).collect();
            let asked: HashSet<GpuMetric> = metrics_of(occasion).iter().copied().collect();
            assert_eq!(read, asked, "the numbers of {occasion:?}");
            assert_eq!(reading.throttle.is_some(), occasion == Occasion::Normal, "throttle on {occasion:?}");
        }
    }
}

fn numbers_are_possible(collector: &dyn GpuCollector) {
    for device in known(collector) {
        let uuid = &device.uuid;
        for occasion in occasions() {
            let GpuReading { values, throttle, .. } = collector.read(uuid, occasion);
            for (metric, value) in values.iter() {
                let name = metric.name();
                let Ok(value) = value else { continue };
                assert!(value.is_finite() && *value >= 0.0, "{name} of {uuid} is {value}");
                assert!(!name.ends_with("_percent") || *value <= 100.0, "{name} of {uuid} is above 100");
            }
            if let Ok(total) = values.value(GpuMetric::MemoryTotalBytes) {
                let used = values.value(GpuMetric::MemoryUsedBytes).unwrap_or(0.0);
                assert!(used <= total, "{uuid} uses more memory than it has");
            }
            let reasons = throttle.and_then(Result::ok).unwrap_or_default();
            let snake = |reason: &String| {
                let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                !reason.is_empty() && reason.chars().all(allowed)
            };
            assert!(reasons.iter().all(snake), "not lower snake case: {reasons:?}");
            let unique: HashSet<_> = reasons.iter().collect();
            assert_eq!(unique.len(), reasons.len(), "a throttle reason occurs twice: {reasons:?}");
        }
    }
}

fn energy_does_not_fall(collector: &dyn GpuCollector) {
    let energy = |values: &Readings<GpuMetric>| values.value(GpuMetric::EnergyJ);
    for device in known(collector) {
        let before = energy(&collector.read(&device.uuid, Occasion::Normal).values);
        let after = energy(&collector.read(&device.uuid, Occasion::Normal).values);
        if let (Ok(before), Ok(after)) = (before, after) {
            assert!(after >= before, "energy of {} fell from {before} to {after} J", device.uuid);
        }
    }
}
