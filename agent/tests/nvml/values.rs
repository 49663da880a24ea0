//! What is read is what the driver says.

use fluxfleet_agent::GpuCollector as _;
use fluxfleet_agent::collect::metrics_of;
use fluxfleet_agent::testing::check_gpu_collector;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{AbsenceReason, Device, GpuUuid, Occasion, Reading};
use serde_json::json;

use super::host::{A, B, Host, gpu, read, until, value};

#[test]
fn every_number_is_the_drivers_in_the_units_that_its_name_says() {
    let host = Host::new();
    let collector = host.open();
    for (metric, expected) in [
        (GpuMetric::UtilizationPercent, 85.0),
        (GpuMetric::MemoryUtilizationPercent, 35.0),
        (GpuMetric::MemoryUsedBytes, 12e9),
        (GpuMetric::MemoryReservedBytes, 6e8),
        (GpuMetric::MemoryTotalBytes, 80e9),
        (GpuMetric::PowerW, 200.0),
        (GpuMetric::TemperatureC, 61.0),
        (GpuMetric::SmClockMhz, 1980.0),
        (GpuMetric::MemoryClockMhz, 2619.0),
        (GpuMetric::PerformanceState, 2.0),
    ] {
        assert_eq!(value(&collector, B, metric), Ok(expected), "{}", metric.name());
    }
    let slow = read(&collector, A, Occasion::Slow);
    for (metric, expected) in [
        (GpuMetric::PowerLimitW, 700.0),
        (GpuMetric::EncoderPercent, 5.0),
        (GpuMetric::DecoderPercent, 10.0),
        (GpuMetric::PcieGeneration, 5.0),
        (GpuMetric::PcieWidth, 16.0),
        (GpuMetric::PcieReceivedBytesPerS, 8e8),
        (GpuMetric::PcieSentBytesPerS, 1.2e9),
        (GpuMetric::PcieReplays, 3.0),
        (GpuMetric::NvlinksUp, 2.0),
        (GpuMetric::EccCorrected, 2.0),
        (GpuMetric::EccUncorrected, 1.0),
        (GpuMetric::ComputeProcesses, 1.0),
    ] {
        assert_eq!(slow.values.value(metric), Ok(expected), "{}", metric.name());
    }
    let normal = read(&collector, A, Occasion::Normal);
    assert_eq!(normal.throttle, Some(Ok(vec!["sw_power_cap".to_owned()])));
    let fast = read(&collector, A, Occasion::Fast);
    assert_eq!(fast.values.value(GpuMetric::PowerInstantW), Ok(100.0));
    assert!(fast.driver_wall_ns.is_some(), "the driver's own stamp comes with the field");
    let edge = read(&collector, A, Occasion::Start(fluxfleet_proto::id::TrialId(1)));
    assert!(edge.values.value(GpuMetric::EnergyJ).is_ok());
}

#[test]
fn energy_is_the_drivers_counter_in_joules() {
    let host = Host::new();
    let collector = host.open();
    let before = host.second();
    let energy = value(&collector, A, GpuMetric::EnergyJ).unwrap();
    let after = host.second();
    // 100 W; the counter stands still for up to 20 ms.
    assert!(
        energy >= 100.0 * (before - 0.02) - 0.001 && energy <= 100.0 * after,
        "{before} {energy} {after}"
    );
}

#[test]
fn processes_are_told_with_their_names_and_what_they_use() {
    let host = Host::new();
    let collector = host.open();
    let share = || {
        let processes =
            read(&collector, A, Occasion::Slow).processes.expect("the slow lane reads them").unwrap();
        let [process] = &processes[..] else { panic!("one process: {processes:?}") };
        assert_eq!(process.pid, std::process::id());
        assert!(!process.name.is_empty(), "the system knows this test's name");
        assert_eq!(process.memory_bytes, Ok(11e9));
        process.utilization_percent.clone().ok().map(Ok)
    };
    assert_eq!(until("a share", share), Reading::Ok(80.0));
}

#[test]
fn utilization_that_the_driver_has_not_renewed_is_marked_as_repeated() {
    let mut slow = gpu(A, 100.0);
    // A sample each 1000 s, counted from now: the first is there, and no other comes.
    slow["utilization"]["period_s"] = json!(1000);
    slow["samples"] = json!({ "period_s": 1000, "length": 4 });
    let host = Host::of(vec![slow]);
    let collector = host.open();
    read(&collector, A, Occasion::Normal);
    let again = read(&collector, A, Occasion::Normal);
    assert!(again.repeated.contains(&GpuMetric::UtilizationPercent), "{again:?}");
}

#[test]
fn devices_carry_what_identifies_them_and_instances_their_parent() {
    let mut divided = gpu(B, 200.0);
    divided["mig"] = json!({ "enabled": true, "max": 7, "instances": [{
        "uuid": "MIG-c0000000-0000-4000-8000-000000000000",
        "name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "gpu_instance": 1,
        "memory": { "total_bytes": 40_000_000_000_u64, "used_bytes": 1_000_000 },
    }] });
    let host = Host::of(vec![gpu(A, 100.0), divided]);
    let collector = host.open();
    let devices = collector.devices().unwrap();
    let whole = |uuid: &str, index, bus: &str| Device {
        index,
        pci_bus: bus.to_owned(),
        architecture: "hopper".to_owned(),
        ..Device::new(uuid, "NVIDIA H100 80GB HBM3")
    };
    assert_eq!(devices[..2], [whole(A, 0, "00000000:3B:00.0"), whole(B, 1, "00000000:5E:00.0")]);
    let [.., instance] = &devices[..] else { panic!("devices") };
    assert_eq!((devices.len(), instance.parent.clone()), (3, Some(GpuUuid(B.to_owned()))));
    let uuid = instance.uuid.0.as_str();
    assert_eq!(value(&collector, uuid, GpuMetric::MemoryUsedBytes), Ok(1e6));
    let busy = value(&collector, uuid, GpuMetric::UtilizationPercent).unwrap_err();
    assert_eq!(busy.reason, AbsenceReason::Unsupported);
    assert_eq!(
        value(&collector, B, GpuMetric::UtilizationPercent).unwrap_err().reason,
        AbsenceReason::Unsupported
    );
}

#[test]
fn the_collector_keeps_to_the_contract() {
    let host = Host::new();
    check_gpu_collector(|| Box::new(host.open()));
    host.strike(&json!([{ "kind": "not_supported" }]));
    check_gpu_collector(|| Box::new(host.open()));
}

#[test]
fn every_call_is_timed() {
    let host = Host::new();
    let collector = host.open();
    read(&collector, A, Occasion::Fast);
    let calls = collector.calls();
    assert_eq!(calls["power"].count(), 1);
    assert_eq!(calls["energy"].count(), 1);
    assert!(metrics_of(Occasion::Fast).len() <= calls.len());
}
