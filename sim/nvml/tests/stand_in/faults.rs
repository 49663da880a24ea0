//! Everything that can go wrong.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fluxfleet_nvml::Curve;
use fluxfleet_nvml::script::{Clocks, Fault, FaultKind, Script};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;

use crate::support::{Stand, example, host, uuid};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn temperature(nvml: &Nvml, letter: char) -> Result<u32, NvmlError> {
    nvml.device_by_uuid(uuid(letter))?.temperature(TemperatureSensor::Gpu)
}

fn clock(nvml: &Nvml, letter: char) -> Result<u32, NvmlError> {
    nvml.device_by_uuid(uuid(letter))?.clock_info(Clock::SM)
}

fn with_clocks(letters: &str, faults: Vec<Fault>) -> Script {
    let mut script = host(letters);
    for gpu in &mut script.devices {
        gpu.clocks_mhz = Clocks { sm: Some(Curve::constant(1980.0)), ..Clocks::default() };
    }
    script.faults = faults;
    script
}

#[test]
fn every_kind_of_answer_reaches_the_caller_as_its_error() {
    let stand = Stand::new(&with_clocks("a", Vec::new()));
    let nvml = stand.nvml();
    let answer = |fault: Fault| {
        stand.write(&with_clocks("a", vec![fault]));
        temperature(&nvml, 'a').unwrap_err()
    };
    assert!(matches!(answer(Fault::new(FaultKind::NotSupported)), NvmlError::NotSupported));
    assert!(matches!(answer(Fault::new(FaultKind::NoPermission)), NvmlError::NoPermission));
    assert!(matches!(answer(Fault::new(FaultKind::GpuLost)), NvmlError::GpuLost));
    assert!(matches!(answer(Fault::new(FaultKind::ResetRequired)), NvmlError::ResetRequired));
    assert!(matches!(answer(Fault::new(FaultKind::InsufficientSize)), NvmlError::InsufficientSize(_)));
    for code in 23..=30 {
        let error = answer(Fault { code: Some(code), ..Fault::new(FaultKind::Code) });
        assert!(matches!(error, NvmlError::UnexpectedVariant(said) if said == code), "{error:?}");
    }
    stand.write(&with_clocks("a", Vec::new()));
    assert_eq!(temperature(&nvml, 'a').unwrap(), 50, "it is over with the fault");
}

#[test]
fn a_fault_of_one_device_leaves_the_others_alone() {
    let fault = Fault { device: Some(uuid('b')), ..Fault::new(FaultKind::GpuLost) };
    let stand = Stand::new(&with_clocks("ab", vec![fault]));
    let nvml = stand.nvml();
    assert_eq!(temperature(&nvml, 'a').unwrap(), 50);
    assert!(matches!(nvml.device_by_index(1), Err(NvmlError::GpuLost)), "nor can it be opened");
    assert_eq!(nvml.device_count().unwrap(), 2);
}

#[test]
fn a_fault_of_one_call_leaves_the_others_alone() {
    let call = Some("nvmlDeviceGetTemperature".to_owned());
    let stand = Stand::new(&with_clocks("a", vec![Fault { call, ..Fault::new(FaultKind::NoPermission) }]));
    let nvml = stand.nvml();
    assert!(matches!(temperature(&nvml, 'a'), Err(NvmlError::NoPermission)));
    assert_eq!(clock(&nvml, 'a').unwrap(), 1980);
}

#[test]
fn a_fault_of_one_field_leaves_the_others_alone() {
    let mut script = example();
    script.faults = vec![Fault { field: Some(186), ..Fault::new(FaultKind::NoPermission) }];
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let fields = nvml.device_by_index(0).unwrap().field_values_for(&[FieldId(185), FieldId(186)]).unwrap();
    assert!(fields[0].as_ref().unwrap().value.is_ok());
    assert!(matches!(fields[1].as_ref().unwrap().value, Err(NvmlError::NoPermission)));
    assert!(nvml.device_by_index(0).unwrap().power_usage().is_ok());
}

#[test]
fn a_fault_lasts_from_one_second_to_another() {
    let stand = Stand::new(&with_clocks("a", Vec::new()));
    let nvml = stand.nvml();
    let now = stand.second();
    for (from, to, struck) in [
        (now - 20.0, now - 10.0, false),
        (now - 10.0, now + 3600.0, true),
        (now + 3600.0, now + 3700.0, false),
    ] {
        let fault = Fault { from: Some(from), to: Some(to), ..Fault::new(FaultKind::NotSupported) };
        stand.write(&with_clocks("a", vec![fault]));
        assert_eq!(temperature(&nvml, 'a').is_err(), struck, "from {from} to {to}");
    }
}

#[test]
fn starting_can_fail() {
    let call = Some("nvmlInit_v2".to_owned());
    let stand = Stand::new(&with_clocks("a", vec![Fault { call, ..Fault::new(FaultKind::NoPermission) }]));
    assert!(matches!(stand.try_nvml(), Err(NvmlError::NoPermission)));
}

#[test]
fn a_slow_call_takes_longer_and_answers() {
    let call = Some("nvmlDeviceGetTemperature".to_owned());
    let fault = Fault { call, ms: Some(80), ..Fault::new(FaultKind::Slow) };
    let stand = Stand::new(&with_clocks("a", vec![fault]));
    let nvml = stand.nvml();
    let began = stand.second();
    assert_eq!(temperature(&nvml, 'a').unwrap(), 50);
    assert!(stand.second() - began >= 0.08);
}

/// Asks for the temperature on a thread of its own.
fn ask<'scope>(scope: &'scope thread::Scope<'scope, '_>, nvml: &'scope Nvml) -> mpsc::Receiver<u32> {
    let (sender, receiver) = mpsc::channel();
    scope.spawn(move || sender.send(temperature(nvml, 'a').expect("a value")));
    receiver
}

fn hung(to: Option<f64>) -> Fault {
    Fault { call: Some("nvmlDeviceGetTemperature".to_owned()), to, ..Fault::new(FaultKind::Hung) }
}

/// Waits until the library has seen a call begin.
fn begun(stand: &Stand, call: &str) {
    let calls = stand.path("calls.json");
    let count = || {
        let text = std::fs::read_to_string(&calls).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()?[call].as_u64()
    };
    let deadline = stand.second() + PATIENCE.as_secs_f64();
    while count().is_none() {
        assert!(stand.second() < deadline, "{call} did not begin");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_call_that_hangs_holds_up_its_own_thread_until_the_script_lets_it_go() {
    let stand = Stand::bare();
    let script = |faults| Script { calls: Some(stand.path("calls.json")), ..with_clocks("a", faults) };
    stand.write(&script(vec![hung(None)]));
    let nvml = stand.nvml();
    thread::scope(|scope| {
        let answer = ask(scope, &nvml);
        begun(&stand, "nvmlDeviceGetTemperature");
        assert_eq!(clock(&nvml, 'a').unwrap(), 1980, "others go on");
        assert_eq!(answer.recv_timeout(Duration::from_millis(30)), Err(mpsc::RecvTimeoutError::Timeout));
        stand.write(&script(Vec::new()));
        assert_eq!(answer.recv_timeout(PATIENCE), Ok(50));
    });
}

#[test]
fn a_call_that_hangs_returns_when_its_time_is_over() {
    let stand = Stand::new(&with_clocks("a", Vec::new()));
    let nvml = stand.nvml();
    let end = stand.second() + 0.1;
    stand.write(&with_clocks("a", vec![hung(Some(end))]));
    assert_eq!(temperature(&nvml, 'a').unwrap(), 50);
    assert!(stand.second() >= end);
}

#[test]
fn under_a_serial_driver_a_call_that_hangs_holds_up_all_others() {
    let stand = Stand::bare();
    let calls = || Some(stand.path("calls.json"));
    let script = |faults| Script { serial: true, calls: calls(), ..with_clocks("a", faults) };
    stand.write(&script(vec![hung(None)]));
    let nvml = stand.nvml();
    thread::scope(|scope| {
        let first = ask(scope, &nvml);
        begun(&stand, "nvmlDeviceGetTemperature");
        let nvml = &nvml;
        let other = || {
            let (sender, receiver) = mpsc::channel();
            scope.spawn(move || sender.send(clock(nvml, 'a').expect("a value")));
            receiver
        };
        // The first may have begun and not come to the lock yet; once it has, no other is answered.
        let deadline = stand.second() + PATIENCE.as_secs_f64();
        let mut second = other();
        while second.recv_timeout(Duration::from_millis(30)).is_ok() && stand.second() < deadline {
            second = other();
        }
        let held_up = stand.second() < deadline && first.try_recv().is_err();
        stand.write(&script(Vec::new()));
        assert!(held_up);
        assert_eq!(first.recv_timeout(PATIENCE), Ok(50));
        assert_eq!(second.recv_timeout(PATIENCE), Ok(1980));
    });
}

#[test]
fn a_driver_that_went_and_came_back_must_be_started_again() {
    let stand = Stand::new(&with_clocks("a", Vec::new()));
    let nvml = stand.nvml();
    let gone = |to| Fault { from: Some(stand.second()), to, ..Fault::new(FaultKind::DriverUnloaded) };
    let mut fault = gone(None);
    stand.write(&with_clocks("a", vec![fault.clone()]));
    assert!(matches!(temperature(&nvml, 'a'), Err(NvmlError::DriverNotLoaded)));
    assert!(matches!(nvml.device_count(), Err(NvmlError::DriverNotLoaded)));
    assert!(matches!(stand.try_nvml(), Err(NvmlError::DriverNotLoaded)));
    fault.to = Some(stand.second());
    stand.write(&with_clocks("a", vec![fault]));
    assert!(matches!(temperature(&nvml, 'a'), Err(NvmlError::Uninitialized)));
    drop(nvml);
    assert_eq!(temperature(&stand.nvml(), 'a').unwrap(), 50);
}

#[test]
fn a_symbol_that_is_missing_is_missing_at_the_call() {
    let missing = ["nvmlDeviceGetTemperature", "nvmlDeviceGetFieldValues"];
    let stand = Stand::without(&with_clocks("a", Vec::new()), &missing);
    let nvml = stand.nvml();
    assert!(matches!(temperature(&nvml, 'a'), Err(NvmlError::FailedToLoadSymbol(_))));
    let device = nvml.device_by_index(0).unwrap();
    assert!(matches!(device.field_values_for(&[FieldId(186)]), Err(NvmlError::FailedToLoadSymbol(_))));
    assert_eq!(clock(&nvml, 'a').unwrap(), 1980, "the others are there");
}

#[test]
fn a_library_without_its_start_is_no_nvml() {
    let stand = Stand::without(&host("a"), &["nvmlInit_v2"]);
    assert!(matches!(stand.try_nvml(), Err(NvmlError::FailedToLoadSymbol(_))));
}

#[test]
fn calls_from_many_threads_are_all_answered_while_the_script_changes() {
    let mut script = with_clocks("ab", Vec::new());
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let degrees = temperature(&nvml, 'b').expect("a value");
                        assert!((30..=50).contains(&degrees), "{degrees}");
                    }
                })
            })
            .collect();
        let mut degrees = 30;
        while !readers.iter().all(thread::ScopedJoinHandle::is_finished) {
            degrees = if degrees == 50 { 30 } else { degrees + 1 };
            script.devices[1].temperature_c = Some(f64::from(degrees).into());
            stand.write(&script);
        }
    });
}
