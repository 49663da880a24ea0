//! What goes wrong with a driver, one by one and in pairs.

use fluxfleet_agent::GpuCollector as _;
use fluxfleet_agent::collect::nvml::NvmlCollector;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{AbsenceReason, GpuEvent, GpuEventKind, GpuUuid, Occasion, Reading};
use serde_json::{Value, json};

use super::host::{A, B, Host, read, until, value};

/// Each kind of fault on one GPU, and what its readings are absent as.
fn faults() -> Vec<(Value, AbsenceReason)> {
    let on_a = |kind: &str| json!({ "kind": kind, "device": A });
    let code = |code: u32| json!({ "kind": "code", "device": A, "code": code });
    vec![
        (on_a("not_supported"), AbsenceReason::Unsupported),
        (on_a("no_permission"), AbsenceReason::Denied),
        (on_a("gpu_lost"), AbsenceReason::Lost),
        (on_a("reset_required"), AbsenceReason::Error),
        (on_a("insufficient_size"), AbsenceReason::Error),
        (code(10), AbsenceReason::Stale),
        (code(26), AbsenceReason::Unsupported),
        (code(999), AbsenceReason::Error),
    ]
}

fn power(host: &Host, uuid: &str) -> Reading {
    value(&host.open(), uuid, GpuMetric::PowerW)
}

#[test]
fn each_fault_costs_its_own_gpu_alone_and_is_told_for_what_it_is() {
    let host = Host::new();
    for (fault, reason) in faults() {
        host.strike(&json!([]));
        let collector = host.open();
        assert_eq!(value(&collector, A, GpuMetric::PowerW), Ok(100.0));
        host.strike(&json!([fault]));
        for metric in
            [GpuMetric::PowerW, GpuMetric::MemoryUsedBytes, GpuMetric::EnergyJ, GpuMetric::TemperatureC]
        {
            let absence = value(&collector, A, metric).expect_err("struck");
            assert_eq!(absence.reason, reason, "{} under {fault}: {absence}", metric.name());
        }
        assert_eq!(value(&collector, B, GpuMetric::PowerW), Ok(200.0), "the other under {fault}");
    }
}

#[test]
fn each_pair_of_faults_costs_each_gpu_its_own() {
    let host = Host::new();
    for (first, reason_a) in faults() {
        for (mut second, reason_b) in faults() {
            second["device"] = json!(B);
            host.strike(&json!([]));
            let collector = host.open();
            host.strike(&json!([first, second]));
            let reason = |uuid| value(&collector, uuid, GpuMetric::TemperatureC).expect_err("struck").reason;
            assert_eq!((reason(A), reason(B)), (reason_a, reason_b), "{first} and {second}");
        }
    }
}

#[test]
fn a_single_call_that_fails_costs_its_own_number_alone() {
    let host = Host::new();
    host.strike(&json!([{ "kind": "no_permission", "device": A, "call": "nvmlDeviceGetPowerUsage" }]));
    let collector = host.open();
    assert_eq!(value(&collector, A, GpuMetric::PowerW).unwrap_err().reason, AbsenceReason::Denied);
    assert_eq!(value(&collector, A, GpuMetric::TemperatureC), Ok(61.0));
    assert_eq!(value(&collector, B, GpuMetric::PowerW), Ok(200.0));
}

#[test]
fn a_gpu_that_is_lost_and_comes_back_is_read_again() {
    let host = Host::new();
    let collector = host.open();
    host.strike(&json!([{ "kind": "gpu_lost", "device": A }]));
    assert_eq!(value(&collector, A, GpuMetric::PowerW).unwrap_err().reason, AbsenceReason::Lost);
    assert_eq!(value(&collector, B, GpuMetric::PowerW), Ok(200.0));
    host.strike(&json!([]));
    until("the lost GPU", || value(&collector, A, GpuMetric::PowerW).ok());
    assert_eq!(value(&collector, A, GpuMetric::PowerW), Ok(100.0));
}

#[test]
fn a_driver_that_is_unloaded_and_loaded_again_is_started_anew_by_itself() {
    let host = Host::new();
    let collector = host.open();
    let from = host.second();
    host.strike(&json!([{ "kind": "driver_unloaded", "from": from }]));
    for uuid in [A, B] {
        assert_eq!(value(&collector, uuid, GpuMetric::PowerW).unwrap_err().reason, AbsenceReason::Lost);
    }
    // Loaded again, and NVML must be started anew before it answers.
    host.strike(&json!([{ "kind": "driver_unloaded", "from": from, "to": host.second() }]));
    assert_eq!(value(&collector, A, GpuMetric::PowerW).unwrap_err().reason, AbsenceReason::Lost);
    for (uuid, watts) in [(A, 100.0), (B, 200.0)] {
        until("the driver", || value(&collector, uuid, GpuMetric::PowerW).ok());
        assert_eq!(value(&collector, uuid, GpuMetric::PowerW), Ok(watts));
    }
}

#[test]
fn gpus_that_change_places_keep_their_readings() {
    let host = Host::new();
    let script = |order: Value, faults: Value| json!({ "epoch_ns": host.epoch_ns(), "devices": host.gpus(), "order": order, "faults": faults });
    let orders = json!([[A, B], [B, A], [B, A], [B, A]]);
    host.write(&script(orders.clone(), json!([])));
    let collector = host.open();
    assert_eq!(value(&collector, A, GpuMetric::PowerW), Ok(100.0));
    let from = host.second();
    let unloaded = |to: Option<f64>| json!([{ "kind": "driver_unloaded", "from": from, "to": to }]);
    host.write(&script(orders.clone(), unloaded(None)));
    assert!(value(&collector, A, GpuMetric::PowerW).is_err());
    host.write(&script(orders, unloaded(Some(host.second()))));
    until("the driver", || value(&collector, A, GpuMetric::PowerW).ok());
    let power = [A, B].map(|uuid| value(&collector, uuid, GpuMetric::PowerW));
    assert_eq!(power, [Ok(100.0), Ok(200.0)]);
}

#[test]
fn a_symbol_that_the_library_lacks_is_unsupported_and_the_rest_goes_on() {
    let host = Host::without(&["nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo_v2"]);
    let collector = host.open();
    for metric in [GpuMetric::PowerW, GpuMetric::MemoryUsedBytes] {
        assert_eq!(value(&collector, A, metric).unwrap_err().reason, AbsenceReason::Unsupported);
    }
    assert_eq!(value(&collector, A, GpuMetric::TemperatureC), Ok(61.0));
}

#[test]
fn a_library_that_cannot_be_shut_down_ends_nothing() {
    let host = Host::without(&["nvmlShutdown"]);
    let collector = host.open();
    assert_eq!(value(&collector, A, GpuMetric::PowerW), Ok(100.0));
    drop(collector);
    assert_eq!(power(&host, B), Ok(200.0));
}

#[test]
fn an_error_that_the_driver_reports_comes_with_its_gpu_and_number() {
    let mut host_gpus = Host::new().gpus().to_vec();
    // Far ahead of what follows: the GPU must have been registered before.
    let now = fluxfleet_nvml::monotonic_ns();
    host_gpus[1]["xid"] = json!([[2, 79], [2.5, 48]]);
    let host = Host::of(host_gpus);
    assert!(host.epoch_ns() >= now);
    let collector = host.open();
    let mut seen = Vec::new();
    until("two errors", || {
        seen.extend(collector.events());
        (seen.len() == 2).then_some(())
    });
    let event = |number| GpuEvent { uuid: Some(GpuUuid(B.to_owned())), kind: GpuEventKind::Xid(number) };
    assert_eq!(seen, [event(79), event(48)]);
    assert_eq!(read(&collector, B, Occasion::Normal).values.value(GpuMetric::PowerW), Ok(200.0));
}

/// Looks for GPUs until all of these are told of.
fn until_found(collector: &NvmlCollector, uuids: &[&str]) {
    let mut found = Vec::new();
    until("GPUs that were not there", || {
        collector.look();
        found.extend(collector.events().into_iter().filter_map(|event| match event.kind {
            GpuEventKind::Found(device) => Some(device.uuid.0),
            _ => None,
        }));
        (found.len() >= uuids.len()).then_some(())
    });
    assert_eq!(found, uuids);
}

#[test]
fn a_driver_that_is_loaded_after_the_agent_began_is_found() {
    let host = Host::new();
    let from = host.second();
    host.strike(&json!([{ "kind": "driver_unloaded" }]));
    let collector = host.open();
    assert!(collector.devices().is_err());
    host.strike(&json!([{ "kind": "driver_unloaded", "from": from, "to": host.second() }]));
    until_found(&collector, &[A, B]);
    assert_eq!(collector.devices().expect("devices").len(), 2);
    assert_eq!(value(&collector, B, GpuMetric::PowerW), Ok(200.0));
}

#[test]
fn a_gpu_that_is_gone_when_the_agent_begins_is_found_when_it_comes_back() {
    let host = Host::new();
    host.strike(&json!([{ "kind": "gpu_lost", "device": A }]));
    let collector = host.open();
    let known = || collector.devices().expect("devices").into_iter().map(|d| d.uuid.0).collect::<Vec<_>>();
    assert_eq!(known(), [B]);
    host.strike(&json!([]));
    until_found(&collector, &[A]);
    assert_eq!(known(), [B, A]);
    assert_eq!([A, B].map(|gpu| value(&collector, gpu, GpuMetric::PowerW)), [Ok(100.0), Ok(200.0)]);
}

#[test]
fn without_a_driver_there_is_a_reason_instead_of_gpus() {
    let host = Host::new();
    host.strike(&json!([{ "kind": "driver_unloaded" }]));
    let absence = host.open().devices().unwrap_err();
    assert_eq!(absence.reason, AbsenceReason::Lost);
    assert!(absence.detail.contains("driver is not loaded"), "{absence}");
}
