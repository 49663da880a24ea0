//! Starting and stopping.

use std::fs;

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::InitFlags;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;

use crate::support::{Stand, gpu, host, uuid};

fn order(nvml: &Nvml) -> Vec<String> {
    let uuid = |index| nvml.device_by_index(index)?.uuid();
    (0..nvml.device_count().expect("a count")).map(|index| uuid(index).expect("a UUID")).collect()
}

#[test]
fn devices_change_places_with_the_starts_that_the_script_lists() {
    let mut script = host("abc");
    script.order = ["abc", "cab", "ca"].map(|list| list.chars().map(uuid).collect()).to_vec();
    let stand = Stand::new(&script);
    let expected = |letters: &str| letters.chars().map(uuid).collect::<Vec<_>>();
    for letters in ["abc", "cab", "ca", "ca"] {
        let nvml = stand.nvml();
        assert_eq!(order(&nvml), expected(letters));
        assert_eq!(
            nvml.device_by_uuid(uuid('a')).unwrap().index().unwrap() as usize,
            letters.find('a').unwrap()
        );
        let b = nvml.device_by_uuid(uuid('b'));
        assert_eq!(b.is_ok(), letters.contains('b'), "a device that is not listed is not there");
    }
}

#[test]
fn a_start_within_another_is_the_same_start() {
    let mut script = host("ab");
    script.order = ["ab", "ba"].map(|list| list.chars().map(uuid).collect()).to_vec();
    let stand = Stand::new(&script);
    let first = stand.nvml();
    let second = stand.nvml();
    drop(first);
    assert_eq!(order(&second), [uuid('a'), uuid('b')], "the library is still started");
    second.shutdown().unwrap();
    assert_eq!(order(&stand.nvml()), [uuid('b'), uuid('a')]);
}

#[test]
fn a_start_with_flags_is_a_start() {
    let stand = Stand::new(&host("a"));
    let nvml =
        Nvml::builder().lib_path(stand.library().as_os_str()).flags(InitFlags::NO_GPUS).init().unwrap();
    assert_eq!(nvml.device_count().unwrap(), 1);
}

#[test]
fn a_library_that_was_stopped_answers_nothing() {
    let stand = Stand::new(&host("a"));
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    // SAFETY: it takes no arguments.
    assert_eq!(unsafe { nvml.lib().nvmlShutdown() }, 0);
    assert!(matches!(device.temperature(TemperatureSensor::Gpu), Err(NvmlError::Uninitialized)));
    assert!(matches!(nvml.device_count(), Err(NvmlError::Uninitialized)));
    assert!(matches!(nvml.device_by_index(0), Err(NvmlError::Uninitialized)));
}

#[test]
fn without_a_script_there_is_no_driver_and_with_nonsense_an_unknown_error() {
    let stand = Stand::bare();
    assert!(matches!(stand.try_nvml(), Err(NvmlError::DriverNotLoaded)));
    stand.write_text("nonsense");
    assert!(matches!(stand.try_nvml(), Err(NvmlError::Unknown)));
    stand.write(&host("a"));
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    stand.remove_script();
    assert!(matches!(device.temperature(TemperatureSensor::Gpu), Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn a_device_that_the_script_no_longer_has_is_lost() {
    let stand = Stand::new(&host("ab"));
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(uuid('b')).unwrap();
    stand.write(&host("a"));
    assert!(matches!(device.temperature(TemperatureSensor::Gpu), Err(NvmlError::GpuLost)));
    stand.write(&host("ab"));
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 50, "its handle is still its own");
}

#[test]
fn sixteen_devices_are_as_many_as_a_host_has() {
    let all: String = ('a'..='p').collect();
    let stand = Stand::new(&host(&all));
    assert_eq!(order(&stand.nvml()).len(), 16);
    let mut script = host(&all);
    script.devices.push(gpu('q'));
    assert!(script.problems()[0].contains("there are 17, but must be 1 to 16"));
}

#[test]
fn each_call_is_counted_when_it_begins() {
    let mut script = host("a");
    let stand = Stand::bare();
    script.calls = Some(stand.path("calls.json"));
    stand.write(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    for _ in 0..3 {
        device.temperature(TemperatureSensor::Gpu).unwrap();
    }
    assert!(device.power_usage().is_err());
    let text = fs::read_to_string(stand.path("calls.json")).unwrap();
    let calls: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(calls["nvmlInit_v2"], 1);
    assert_eq!(calls["nvmlDeviceGetTemperature"], 3);
    assert_eq!(calls["nvmlDeviceGetPowerUsage"], 1, "a call that fails is one");
    assert!(calls["nvmlShutdown"].is_null());
}
