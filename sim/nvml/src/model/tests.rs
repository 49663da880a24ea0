use super::*;
use crate::script::{Architecture, Energy, Fault, FaultKind, Power, Process, ProcessKind, Utilization};

const EPOCH_NS: u64 = 50_000_000_000;
const UNIX_US: i64 = 1_700_000_000_000_000;

/// An instant so many seconds after the epoch.
fn at(second: f64) -> Now {
    let elapsed = nanoseconds(second);
    Now { monotonic_ns: EPOCH_NS + elapsed.cast_unsigned(), unix_ns: UNIX_US * 1_000 + elapsed }
}

fn steps(text: &str) -> Curve {
    serde_json::from_str(text).unwrap()
}

fn script(change: impl FnOnce(&mut Gpu)) -> Script {
    let mut gpu = Gpu::new("GPU-a", "A", Architecture::Hopper);
    gpu.power = Some(Power { watts: steps("[[0, 100], [10, 300]]"), limit_watts: Some(350.0) });
    change(&mut gpu);
    Script::new(EPOCH_NS, vec![gpu])
}

fn read<T>(script: &Script, second: f64, ask: impl Fn(Device<'_>) -> T) -> T {
    ask(script.device("GPU-a", at(second)).unwrap())
}

#[test]
fn energy_is_the_exact_integral_as_of_the_last_update() {
    let script = script(|gpu| {
        gpu.energy = Some(Energy { base_mj: 5_000.0, update_s: 0.5, ..Energy::default() });
    });
    let energy = |second| read(&script, second, |gpu| gpu.energy_mj()).unwrap();
    assert_eq!(energy(0.0), 5_000);
    assert_eq!(energy(0.499), 5_000);
    assert_eq!(energy(0.5), 55_000);
    assert_eq!(energy(10.0), 1_005_000);
    assert_eq!(energy(12.25), 1_005_000 + 600_000);
}

#[test]
fn every_update_of_the_counter_is_whole_whatever_the_period() {
    let script = script(|_| {});
    for update in 0..2_000_u64 {
        let second = update as f64 * 0.02;
        let expected = if second <= 10.0 { update * 2_000 } else { 1_000_000 + (update - 500) * 6_000 };
        assert_eq!(read(&script, second, |gpu| gpu.energy_mj()), Ok(expected), "update {update}");
    }
}

#[test]
fn a_counter_of_new_bases_with_a_lower_bound_between_them_never_falls() {
    // 55 W at least; written anew at uneven times, with what was really used by then.
    let real = steps("[[0, 55], [1, 400], [1.037, 55], [1.5, 399], [3, 55]]");
    let mut last = 0;
    let mut written_s = 0.0;
    let mut file = script(|_| {});
    for read_at in 0..4_000 {
        let second = f64::from(read_at) * 0.001;
        if second - written_s > 0.017 {
            written_s = second;
            file = script(|gpu| {
                gpu.energy = Some(Energy {
                    base_mj: real.integral(0.0, second) * 1e3,
                    at_s: second,
                    watts: Some(Curve::constant(55.0)),
                    ..Energy::default()
                });
            });
        } else if read_at == 0 {
            file.devices[0].power = Some(Power { watts: Curve::constant(55.0), limit_watts: None });
        }
        let energy = read(&file, second, |gpu| gpu.energy_mj()).unwrap();
        assert!(energy >= last, "it fell from {last} to {energy} at {second} s");
        last = energy;
    }
    assert!((last as f64 - real.integral(0.0, 4.0) * 1e3).abs() < 400.0 * 37.0);
}

#[test]
fn power_is_an_average_on_new_devices_and_the_instants_on_old_ones() {
    for (architecture, averages) in [
        (Architecture::Pascal, false),
        (Architecture::Volta, false),
        (Architecture::Turing, false),
        (Architecture::Ga100, false),
        (Architecture::Ga10x, true),
        (Architecture::Ada, true),
        (Architecture::Hopper, true),
        (Architecture::Blackwell, true),
    ] {
        let script = script(|gpu| gpu.architecture = architecture);
        let [usage, average, instant] = read(&script, 10.25, |gpu| {
            let field = |id| match gpu.field(Field { id, scope: 0 }) {
                Ok(FieldValue::U32(mw)) => Ok(mw),
                Ok(other) => panic!("{other:?}"),
                Err(code) => Err(code),
            };
            [gpu.power_mw(), field(185), field(186)]
        });
        assert_eq!(instant, Ok(300_000));
        if averages {
            assert_eq!((usage, average), (Ok(150_000), Ok(150_000)), "{architecture:?}");
        } else {
            assert_eq!((usage, average), (Ok(300_000), Err(Code::NOT_SUPPORTED)), "{architecture:?}");
        }
    }
}

#[test]
fn there_is_no_energy_counter_before_volta() {
    let pascal = script(|gpu| gpu.architecture = Architecture::Pascal);
    assert_eq!(read(&pascal, 1.0, |gpu| gpu.energy_mj()), Err(Code::NOT_SUPPORTED));
    let volta = script(|gpu| gpu.architecture = Architecture::Volta);
    assert_eq!(read(&volta, 1.0, |gpu| gpu.energy_mj()), Ok(100_000));
}

#[test]
fn utilization_is_the_mean_of_the_last_period_and_stands_still_within_the_next() {
    let script = script(|gpu| {
        gpu.utilization = Some(Utilization {
            gpu: steps("[[0, 0], [0.3, 100]]"),
            memory: Curve::constant(12.4),
            encoder: None,
            decoder: Some(Curve::constant(7.0)),
            period_s: 0.5,
        });
    });
    let gpu = |second| read(&script, second, |gpu| gpu.utilization()).unwrap();
    assert_eq!(gpu(0.49), (0, 12));
    assert_eq!(gpu(0.5), (40, 12));
    assert_eq!(gpu(0.99), (40, 12));
    assert_eq!(gpu(1.0), (100, 12));
    assert_eq!(read(&script, 1.0, |gpu| gpu.encoder()), Err(Code::NOT_SUPPORTED));
    assert_eq!(read(&script, 1.0, |gpu| gpu.decoder()), Ok((7, 500_000)));
}

#[test]
fn samples_lie_on_multiples_of_their_period_and_follow_the_stamp_seen_last() {
    let script = script(|gpu| gpu.samples.length = 4);
    let all = read(&script, 10.03, |gpu| gpu.samples(Sampling::TotalPower, 0)).unwrap();
    let stamp = |ms: u64| UNIX_US.cast_unsigned() + ms * 1_000;
    let expected = [(9_960, 100_000), (9_980, 100_000), (10_000, 300_000), (10_020, 300_000)];
    assert_eq!(all, expected.map(|(ms, value)| Sample { stamp_us: stamp(ms), value }));
    let new = read(&script, 10.03, |gpu| gpu.samples(Sampling::TotalPower, stamp(9_980))).unwrap();
    assert_eq!(new, all[2..]);
    let none = read(&script, 10.03, |gpu| gpu.samples(Sampling::TotalPower, stamp(10_020)));
    assert_eq!(none, Err(Code::NOT_FOUND));
}

#[test]
fn samples_of_utilization_run_dry_on_an_idle_device() {
    let script = script(|gpu| {
        gpu.samples.length = 10;
        gpu.utilization = Some(Utilization {
            gpu: steps("[[0, 50], [2, 0]]"),
            memory: Curve::constant(0.0),
            encoder: None,
            decoder: None,
            period_s: 0.1,
        });
    });
    let count =
        |second| read(&script, second, |gpu| gpu.samples(Sampling::GpuUtilization, 0).map(|s| s.len()));
    assert_eq!(count(2.5), Ok(10));
    assert_eq!(count(3.5), Err(Code::NOT_FOUND));
}

#[test]
fn stamps_are_those_of_the_clock_that_the_script_names() {
    let mut script = script(|_| {});
    script.sample_clock = SampleClock::Monotonic;
    let samples = read(&script, 1.0, |gpu| gpu.samples(Sampling::TotalPower, 0)).unwrap();
    assert_eq!(samples.last().map(|sample| sample.stamp_us), Some(51_000_000));
}

#[test]
fn a_process_has_the_mean_share_since_the_stamp_seen_last() {
    let text = r#"{"pid": 7, "name": "p", "sm": [[0, 0], [1, 80]], "from": 0.5, "to": 9}"#;
    let process: Process = serde_json::from_str(text).unwrap();
    let script = script(|gpu| {
        gpu.processes = vec![process];
        gpu.utilization = Some(Utilization {
            gpu: Curve::constant(0.0),
            memory: Curve::constant(0.0),
            encoder: None,
            decoder: None,
            period_s: 0.25,
        });
    });
    let shares = |second, seen| read(&script, second, |gpu| gpu.process_shares(seen));
    let stamp = |ms: u64| UNIX_US.cast_unsigned() + ms * 1_000;
    assert_eq!(shares(0.75, 0), Err(Code::NOT_FOUND), "idle");
    assert_eq!(shares(2.1, stamp(1_000)).unwrap()[0].sm, 80);
    assert_eq!(shares(2.1, stamp(0)).unwrap()[0].sm, 40);
    assert_eq!(shares(2.1, stamp(2_000)), Err(Code::NOT_FOUND), "nothing new");
    let running = |second| read(&script, second, |gpu| gpu.processes(ProcessKind::Compute).len());
    assert_eq!([0.4, 0.5, 8.9, 9.0].map(running), [0, 1, 1, 0]);
}

#[test]
fn with_mig_the_device_has_no_utilization_and_its_instances_have_memory_alone() {
    let script = Script::parse(include_str!("../../example.json")).unwrap();
    let now = Now { monotonic_ns: script.epoch_ns + 1, unix_ns: UNIX_US * 1_000 };
    let instance = script.device("MIG-8f2c9d1e-0000-4000-8000-000000000003", now).unwrap();
    assert_eq!(instance.memory().unwrap(), [42_000_000_000, 0, 41_999_000_000, 1_000_000]);
    assert_eq!(instance.power_mw(), Err(Code::NOT_SUPPORTED));
    let device = script.device(instance.gpu_uuid(), now).unwrap();
    assert_eq!(device.utilization(), Err(Code::NOT_SUPPORTED));
    assert_eq!(device.power_mw(), Ok(62_000));
    assert_eq!(device.mig_device(0), Ok("MIG-8f2c9d1e-0000-4000-8000-000000000003"));
    assert_eq!(device.mig_device(1), Err(Code::NOT_FOUND));
    assert_eq!(device.mig_device(7), Err(Code::INVALID_ARGUMENT));
}

#[test]
fn after_the_driver_went_nvml_must_be_started_again() {
    let mut script = script(|_| {});
    script.faults = vec![Fault { from: Some(5.0), to: Some(6.0), ..Fault::new(FaultKind::DriverUnloaded) }];
    let went = |started, now| script.driver_went_since(at(started).monotonic_ns, at(now).monotonic_ns);
    assert!(!went(1.0, 4.9));
    assert!(went(1.0, 5.5) && went(1.0, 100.0));
    assert!(!went(6.5, 100.0));
}

#[test]
fn xid_errors_are_told_in_their_order_and_once() {
    let script = script(|gpu| gpu.xid = vec![(1.0, 48), (2.0, 79)]);
    let ns = |second| at(second).monotonic_ns.cast_signed();
    let first = script.xid_between("GPU-a", ns(0.5), ns(3.0)).unwrap();
    assert_eq!(first.code, 48);
    assert_eq!(script.xid_between("GPU-a", first.at_ns, ns(3.0)).unwrap().code, 79);
    assert_eq!(script.xid_between("GPU-a", ns(2.0), ns(3.0)), None);
    assert_eq!(script.xid_between("GPU-a", ns(0.0), ns(0.9)), None);
}

#[test]
fn a_sample_keeps_its_stamp_whenever_it_is_asked_for() {
    let script = script(|gpu| {
        gpu.utilization = Some(Utilization {
            gpu: Curve::constant(50.0),
            memory: Curve::constant(0.0),
            encoder: None,
            decoder: None,
            period_s: 1.0,
        });
    });
    // Within one period, on a whole microsecond and off it.
    let stamps = [7.0, 7.123_456_789, 7.999_999_9].map(|second| {
        read(&script, second, |gpu| gpu.samples(Sampling::GpuUtilization, 0).unwrap().pop().unwrap().stamp_us)
    });
    assert_eq!(stamps[1..], [stamps[0]; 2]);
}
