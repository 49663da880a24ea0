//! Which GPUs there are, and the instances of those that are partitioned.

use fluxfleet_proto::reading::{Device, GpuUuid};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::absence::extent;

/// The GPUs that can be opened, each followed by its MIG instances, and how many are gone and may come back. One that
/// cannot be opened has no UUID to report it under, so a warning names it.
///
/// # Errors
/// NVML's, when it does not tell how many there are, or when none can be opened.
pub(super) fn list(nvml: &Nvml) -> Result<(Vec<Device>, usize), NvmlError> {
    let mut devices = Vec::new();
    let (mut last_error, mut left_out) = (None, 0);
    for index in 0..nvml.device_count()? {
        let opened = nvml.device_by_index(index).and_then(|gpu| Ok((describe(&gpu, index, None)?, gpu)));
        match opened {
            Ok((device, gpu)) => {
                let parent = device.uuid.clone();
                devices.push(device);
                devices.extend(instances(&gpu, index, &parent));
            }
            Err(error) => {
                tracing::warn!("GPU {index} is left out: NVML cannot open it ({error})");
                left_out += usize::from(extent(&error).is_some());
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if devices.is_empty() => Err(error),
        _ => Ok((devices, left_out)),
    }
}

fn describe(
    gpu: &nvml_wrapper::Device<'_>,
    index: u32,
    parent: Option<GpuUuid>,
) -> Result<Device, NvmlError> {
    let name = gpu.name().unwrap_or_else(|error| format!("GPU without a name ({error})"));
    let architecture = gpu.architecture().map(|a| a.to_string().to_lowercase()).unwrap_or_default();
    Ok(Device {
        index,
        pci_bus: gpu.pci_info().map(|pci| pci.bus_id).unwrap_or_default(),
        architecture,
        parent,
        ..Device::new(gpu.uuid()?, name)
    })
}

/// A GPU's MIG instances; none where it is not partitioned.
fn instances(gpu: &nvml_wrapper::Device<'_>, index: u32, parent: &GpuUuid) -> Vec<Device> {
    if !gpu.mig_mode().is_ok_and(|mode| mode.current == 1) {
        return Vec::new();
    }
    // The count is of places; those without an instance are not found.
    let places = 0..gpu.mig_device_count().unwrap_or(0);
    let instance = |place| {
        let instance = gpu.mig_device_by_index(place).ok()?;
        describe(&instance, index, Some(parent.clone())).ok()
    };
    places.filter_map(instance).collect()
}
