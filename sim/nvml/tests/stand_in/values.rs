//! Every call's value.

use fluxfleet_nvml::{SYMBOLS, script::Energy};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, PerformancePolicy, PerformanceState, TemperatureSensor,
};
use nvml_wrapper::enums::device::DeviceArchitecture;
use nvml_wrapper::error::NvmlError;

use crate::support::{Stand, curve, example, gpu, host, uuid};

const H100: &str = "GPU-8f2c9d1e-0000-4000-8000-000000000001";
const A100: &str = "GPU-8f2c9d1e-0000-4000-8000-000000000002";
const MIG: &str = "MIG-8f2c9d1e-0000-4000-8000-000000000003";

#[test]
fn the_library_exports_every_symbol() {
    // SAFETY: the library's constructors are those of Rust's runtime.
    let library = unsafe { libloading::Library::new(Stand::bare().library()) }.unwrap();
    for symbol in SYMBOLS {
        // SAFETY: the symbol is only looked up.
        let found = unsafe { library.get::<unsafe extern "C" fn()>(symbol.as_bytes()) };
        assert!(found.is_ok(), "{symbol}");
    }
}

#[test]
fn the_host_says_what_the_script_says() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    assert_eq!(nvml.sys_driver_version().unwrap(), "570.86.15");
    assert_eq!(nvml.sys_nvml_version().unwrap(), "12.570.86.15");
    assert_eq!(nvml.sys_cuda_driver_version().unwrap(), 12_080);
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(nvml.sys_process_name(4242, 64).unwrap(), "python3");
    assert_eq!(nvml.sys_process_name(4242, 4).unwrap(), "pyt");
    assert!(matches!(nvml.sys_process_name(1, 64), Err(NvmlError::NotFound)));
}

#[test]
fn a_device_is_found_by_index_uuid_and_address() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    for found in [
        nvml.device_by_index(0),
        nvml.device_by_uuid(H100),
        nvml.device_by_pci_bus_id("00000000:3B:00.0"),
        nvml.device_by_pci_bus_id("3b:00.0"),
    ] {
        let device = found.unwrap();
        assert_eq!(device.uuid().unwrap(), H100);
        assert_eq!(device.index().unwrap(), 0);
    }
    assert!(matches!(nvml.device_by_index(2), Err(NvmlError::InvalidArg)));
    assert!(matches!(nvml.device_by_uuid("GPU-nobody"), Err(NvmlError::NotFound)));
    assert!(matches!(nvml.device_by_pci_bus_id("00000000:99:00.0"), Err(NvmlError::NotFound)));
    assert!(matches!(nvml.device_by_pci_bus_id("nowhere"), Err(NvmlError::InvalidArg)));
}

#[test]
fn a_device_says_who_it_is() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(H100).unwrap();
    assert_eq!(device.name().unwrap(), "NVIDIA H100 80GB HBM3");
    assert_eq!(device.serial().unwrap(), "1652922010001");
    assert_eq!(device.minor_number().unwrap(), 0);
    assert_eq!(device.architecture().unwrap(), DeviceArchitecture::Hopper);
    let pci = device.pci_info().unwrap();
    assert_eq!((pci.domain, pci.bus, pci.device), (0, 0x3b, 0));
    assert_eq!(pci.bus_id, "00000000:3B:00.0");
    let other = nvml.device_by_uuid(A100).unwrap();
    assert_eq!(other.minor_number().unwrap(), 1);
    assert_eq!(other.architecture().unwrap(), DeviceArchitecture::Ampere);
    assert!(matches!(other.serial(), Err(NvmlError::NotSupported)));
}

#[test]
fn a_device_says_each_of_its_values() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(H100).unwrap();
    assert_eq!(device.utilization_rates().unwrap().memory, 35);
    let memory = device.memory_info().unwrap();
    assert_eq!((memory.total, memory.reserved), (85_520_809_984, 612_368_384));
    assert_eq!(memory.used + memory.free + memory.reserved, memory.total);
    assert_eq!(device.enforced_power_limit().unwrap(), 700_000);
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 61);
    assert_eq!(device.clock_info(Clock::SM).unwrap(), 1980);
    assert_eq!(device.clock_info(Clock::Memory).unwrap(), 2619);
    assert_eq!(device.max_clock_info(Clock::Video).unwrap(), 1545);
    assert_eq!(device.performance_state().unwrap(), PerformanceState::Zero);
    assert_eq!(device.violation_status(PerformancePolicy::Power).unwrap().violation_time, 1_500_000);
    assert!(matches!(device.violation_status(PerformancePolicy::Reliability), Err(NvmlError::NotSupported)));
    assert_eq!(device.current_pcie_link_gen().unwrap(), 5);
    assert_eq!(device.current_pcie_link_width().unwrap(), 16);
    assert_eq!(device.pcie_replay_counter().unwrap(), 3);
    assert_eq!(device.encoder_utilization().unwrap().utilization, 0);
    assert_eq!(device.decoder_utilization().unwrap().utilization, 10);
    assert_eq!(device.decoder_utilization().unwrap().sampling_period, 166_667);
    let ecc = device.is_ecc_enabled().unwrap();
    assert!(ecc.currently_enabled && ecc.pending_enabled);
    assert_eq!(device.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile).unwrap(), 2);
    assert_eq!(device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile).unwrap(), 0);
    assert!(device.link_wrapper_for(0).is_active().unwrap());
    assert!(!device.link_wrapper_for(2).is_active().unwrap());
    assert!(matches!(device.link_wrapper_for(3).is_active(), Err(NvmlError::InvalidArg)));
    assert_eq!(device.supported_event_types().unwrap(), EventTypes::CRITICAL_XID_ERROR);
    assert!(matches!(device.mig_mode(), Err(NvmlError::NotSupported)));
    assert_eq!(device.mig_device_count().unwrap(), 0);
}

#[test]
fn what_the_script_leaves_out_is_not_supported() {
    let stand = Stand::new(&host("a"));
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    let refused = [
        device.utilization_rates().err(),
        device.memory_info().err(),
        device.power_usage().err(),
        device.enforced_power_limit().err(),
        device.total_energy_consumption().err(),
        device.clock_info(Clock::SM).err(),
        device.performance_state().err(),
        device.current_throttle_reasons().err(),
        device.pcie_throughput(PcieUtilCounter::Send).err(),
        device.is_ecc_enabled().err(),
        device.link_wrapper_for(0).is_active().err(),
        device.encoder_utilization().err(),
    ];
    for (at, error) in refused.into_iter().enumerate() {
        assert!(matches!(error, Some(NvmlError::NotSupported)), "{at}: {error:?}");
    }
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 50);
}

#[test]
fn an_energy_counter_and_power_that_rise_are_at_each_instant_where_the_model_has_them() {
    let mut script = example();
    script.devices[0].power.as_mut().unwrap().watts =
        curve(r#"{"points": [[-100, 0], [1000, 5500]], "shape": "linear"}"#);
    script.devices[0].energy = Some(Energy { at_s: -50.0, ..Energy::default() });
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(H100).unwrap();
    for _ in 0..50 {
        let [low, said, high] =
            stand.bracket(&script, H100, |d| d.energy_mj(), || device.total_energy_consumption());
        assert!(low <= said && said <= high, "{low} {said} {high}");
        let [low, said, high] = stand.bracket(&script, H100, |d| d.power_mw(), || device.power_usage());
        assert!(low <= said && said <= high, "{low} {said} {high}");
    }
    assert!(device.total_energy_consumption().unwrap() >= 18_750_000);
}

#[test]
fn a_script_that_is_replaced_is_in_force_at_the_next_call() {
    let mut script = host("a");
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_index(0).unwrap();
    for degrees in 30..60 {
        script.devices[0].temperature_c = Some(f64::from(degrees).into());
        stand.write(&script);
        assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), degrees);
    }
    stand.write_text("{");
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 59, "a broken one changes nothing");
}

#[test]
fn throttle_reasons_follow_their_curve() {
    let mut script = host("a");
    script.devices[0].throttle = Some(curve("[[-10, 4], [1e6, 0]]"));
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let reasons = nvml.device_by_index(0).unwrap().current_throttle_reasons_strict().unwrap();
    assert_eq!(reasons, ThrottleReasons::SW_POWER_CAP);
}

#[test]
fn the_question_after_the_throughput_blocks_as_long_as_the_script_says() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(H100).unwrap();
    let began = stand.second();
    assert_eq!(device.pcie_throughput(PcieUtilCounter::Send).unwrap(), 1_200_000);
    assert_eq!(device.pcie_throughput(PcieUtilCounter::Receive).unwrap(), 800_000);
    assert!(stand.second() - began >= 0.04);
}

#[test]
fn an_instance_has_a_name_and_memory_of_its_own() {
    let stand = Stand::new(&example());
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(A100).unwrap();
    let mode = device.mig_mode().unwrap();
    assert_eq!((mode.current, mode.pending), (1, 1));
    assert_eq!(device.mig_device_count().unwrap(), 7);
    assert!(!device.mig_is_mig_device_handle().unwrap());
    assert!(matches!(device.utilization_rates(), Err(NvmlError::NotSupported)));
    assert!(matches!(device.mig_device_by_index(1), Err(NvmlError::NotFound)));
    let instance = device.mig_device_by_index(0).unwrap();
    assert!(instance.mig_is_mig_device_handle().unwrap());
    assert_eq!(instance.uuid().unwrap(), MIG);
    assert_eq!(instance.name().unwrap(), "NVIDIA A100-SXM4-80GB MIG 3g.40gb");
    assert_eq!(instance.memory_info().unwrap().total, 42_000_000_000);
    assert!(matches!(instance.power_usage(), Err(NvmlError::NotSupported)));
    assert_eq!(nvml.device_by_uuid(MIG).unwrap().uuid().unwrap(), MIG);
}

#[test]
fn an_argument_that_points_nowhere_or_is_too_small_is_refused() {
    let mut script = host("a");
    script.devices[0] = gpu('a');
    script.devices[0].memory = example().devices[0].memory.clone();
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let device = nvml.device_by_uuid(uuid('a')).unwrap();
    let mut text = [0; 8];
    let mut memory =
        nvml_wrapper_sys::bindings::nvmlMemory_v2_t { version: 1, total: 0, reserved: 0, free: 0, used: 0 };
    // SAFETY: pointers are null where that is what is tested, and to variables of their types elsewhere.
    let codes = unsafe {
        let (lib, handle) = (nvml.lib(), device.handle());
        [
            lib.nvmlDeviceGetTemperature(handle, 0, std::ptr::null_mut()),
            lib.nvmlDeviceGetTemperature(std::ptr::null_mut(), 0, std::ptr::null_mut()),
            lib.nvmlDeviceGetHandleByUUID(std::ptr::null(), std::ptr::null_mut()),
            lib.nvmlDeviceGetUUID(handle, text.as_mut_ptr(), 8),
            lib.nvmlDeviceGetMemoryInfo_v2(handle, &raw mut memory),
            lib.nvmlDeviceGetFieldValues(handle, 1, std::ptr::null_mut()),
            lib.nvmlEventSetCreate(std::ptr::null_mut()),
        ]
    };
    assert_eq!(codes, [2, 2, 2, 7, 25, 2, 2]);
}

#[test]
fn every_return_code_has_its_text() {
    let stand = Stand::new(&host("a"));
    let nvml = stand.nvml();
    let text = |code| {
        // SAFETY: the library answers with a text that stays and ends in a zero.
        unsafe { std::ffi::CStr::from_ptr(nvml.lib().nvmlErrorString(code)) }.to_str().unwrap()
    };
    assert_eq!(text(0), "Success");
    assert_eq!(text(15), "GPU is lost");
    assert_eq!(text(12_345), "Unknown Error");
}
