//! Lists: processes, samples, fields.

use fluxfleet_nvml::script::{Architecture, Process, Script};
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;

use crate::support::{Stand, curve, example, host};

fn process(pid: u32, rest: &str) -> Process {
    serde_json::from_str(&format!(r#"{{"pid": {pid}{rest}}}"#)).expect("a process")
}

fn busy_host() -> Script {
    let mut script = host("a");
    script.devices[0].processes = vec![
        process(1, r#", "memory_bytes": 1000, "sm": 40"#),
        process(2, r#", "sm": 0"#),
        process(3, r#", "kind": "graphics", "memory_bytes": 7"#),
    ];
    script.devices[0].utilization.clone_from(&example().devices[0].utilization);
    script
}

#[test]
fn a_process_list_answers_the_probing_call_with_the_count() {
    let stand = Stand::new(&busy_host());
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let mut count = 0;
    let mut room = [nvml_wrapper_sys::bindings::nvmlProcessInfo_t {
        pid: 0,
        usedGpuMemory: 0,
        gpuInstanceId: 0,
        computeInstanceId: 0,
    }; 2];
    // SAFETY: no list has room for more than `count` says.
    unsafe {
        let ask = nvml.lib().nvmlDeviceGetComputeRunningProcesses_v3.as_ref().unwrap();
        assert_eq!((ask(device.handle(), &raw mut count, std::ptr::null_mut()), count), (7, 2));
        count = 1;
        assert_eq!((ask(device.handle(), &raw mut count, room.as_mut_ptr()), count), (7, 2));
        assert_eq!(room[0].pid, 0, "nothing is written where not all of it has room");
        assert_eq!((ask(device.handle(), &raw mut count, room.as_mut_ptr()), count), (0, 2));
        count = 0;
        let ask = nvml.lib().nvmlDeviceGetMPSComputeRunningProcesses_v3.as_ref().unwrap();
        assert_eq!((ask(device.handle(), &raw mut count, std::ptr::null_mut()), count), (0, 0));
    }
    assert_eq!([room[0].pid, room[1].pid], [1, 2]);
}

#[test]
fn processes_are_listed_by_kind_with_the_memory_they_hold() {
    let stand = Stand::new(&busy_host());
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let compute = device.running_compute_processes().unwrap();
    assert_eq!(compute.len(), 2);
    assert_eq!((compute[0].pid, &compute[0].used_gpu_memory), (1, &UsedGpuMemory::Used(1000)));
    assert_eq!((compute[1].pid, &compute[1].used_gpu_memory), (2, &UsedGpuMemory::Unavailable));
    assert_eq!(compute[0].gpu_instance_id, None);
    assert_eq!(device.running_graphics_processes().unwrap()[0].pid, 3);
    assert!(device.mps_running_compute_processes().unwrap().is_empty());
}

#[test]
fn processes_of_an_instance_are_in_its_list_and_in_the_devices() {
    let mut script = example();
    script.devices[1].processes = vec![
        process(1, r#", "gpu_instance": 1, "compute_instance": 0"#),
        process(2, r#", "gpu_instance": 2, "compute_instance": 0"#),
    ];
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_index(1).unwrap();
    let all = device.running_compute_processes().unwrap();
    assert_eq!(
        all.iter().map(|p| (p.pid, p.gpu_instance_id)).collect::<Vec<_>>(),
        [(1, Some(1)), (2, Some(2))]
    );
    let within = device.mig_device_by_index(0).unwrap().running_compute_processes().unwrap();
    assert_eq!(within.iter().map(|p| p.pid).collect::<Vec<_>>(), [1]);
}

#[test]
fn shares_of_processes_are_those_of_the_ones_that_ran() {
    let stand = Stand::new(&busy_host());
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let shares = device.process_utilization_stats(0).unwrap();
    assert_eq!(shares.iter().map(|s| (s.pid, s.sm_util)).collect::<Vec<_>>(), [(1, 40)]);
    let far = shares[0].timestamp + 3_600_000_000;
    assert!(matches!(device.process_utilization_stats(far), Err(NvmlError::NotFound)));
}

#[test]
fn samples_come_oldest_first_and_only_those_after_the_stamp_given() {
    let mut script = example();
    script.devices[0].power.as_mut().unwrap().watts = curve("[[-100, 400]]");
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let samples = device.samples(Sampling::Power, None).unwrap();
    assert_eq!(samples.len(), 120);
    assert!(
        samples.windows(2).all(|pair| pair[1].timestamp.abs_diff(pair[0].timestamp).abs_diff(20_000) <= 1)
    );
    assert!(samples.iter().all(|sample| sample.value == SampleValue::U32(400_000)));
    // Those of a buffer that moves on between two calls: at least these, none of the older ones.
    let after = samples[100].timestamp;
    let newer = device.samples(Sampling::Power, after).unwrap();
    assert!(newer.len() >= 19 && newer.iter().all(|sample| sample.timestamp > after), "{}", newer.len());
    assert_eq!(device.samples(Sampling::ProcessorClock, None).unwrap()[0].value, SampleValue::U32(1980));
    assert!(matches!(device.samples(Sampling::EncoderUtilization, None), Err(NvmlError::NotFound)));
}

#[test]
fn fields_have_values_types_and_refusals_each_of_its_own() {
    let mut script = example();
    script.devices[0].power.as_mut().unwrap().watts = curve("[[-100, 400]]");
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let ids = [82, 185, 186, 190, 5, 91, 94, 1000].map(FieldId);
    let fields = device.field_values_for(&ids).unwrap();
    let values: Vec<_> = fields.iter().map(|field| field.as_ref().unwrap().value.as_ref()).collect();
    let expected = [
        Some(SampleValue::U32(70)),
        Some(SampleValue::U32(400_000)),
        Some(SampleValue::U32(400_000)),
        Some(SampleValue::U32(700_000)),
        Some(SampleValue::U64(0)),
        Some(SampleValue::U32(3)),
        Some(SampleValue::U32(3)),
        None,
    ];
    for (value, expected) in values.into_iter().zip(expected) {
        match expected {
            Some(expected) => assert_eq!(value.unwrap(), &expected),
            None => assert!(matches!(value, Err(NvmlError::NotSupported))),
        }
    }
    let stamp = fields[0].as_ref().unwrap().timestamp;
    assert!(stamp > 1_600_000_000_000_000, "{stamp} is no microsecond since 1970");
}

#[test]
fn an_average_power_field_is_not_supported_where_power_is_the_instants() {
    let mut script = example();
    script.devices[0].architecture = Architecture::Turing;
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let fields = nvml.device_by_index(0).unwrap().field_values_for(&[FieldId(185), FieldId(186)]).unwrap();
    assert!(matches!(fields[0].as_ref().unwrap().value, Err(NvmlError::NotSupported)));
    assert!(fields[1].as_ref().unwrap().value.is_ok());
}
