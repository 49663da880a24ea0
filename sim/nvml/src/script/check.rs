//! Everything in a script that cannot be. Pure.

use std::collections::BTreeSet;

use super::{Energy, Fault, FaultKind, Gpu, Script};
use crate::symbols::SYMBOLS;

const MAX_DEVICES: usize = 16;
/// `NVML_DEVICE_NAME_V2_BUFFER_SIZE` and `NVML_DEVICE_UUID_V2_BUFFER_SIZE`, less the end of the text.
const MAX_TEXT: usize = 95;
/// `NVML_NVLINK_MAX_LINKS`.
const MAX_LINKS: usize = 18;

pub(super) fn problems(script: &Script) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |problem: String| found.push(problem);
    if !(1..=MAX_DEVICES).contains(&script.devices.len()) {
        add(format!("devices: there are {}, but must be 1 to {MAX_DEVICES}", script.devices.len()));
    }
    let mut uuids = BTreeSet::new();
    for gpu in &script.devices {
        let instances = gpu.mig.iter().flat_map(|mig| &mig.instances).map(|instance| &instance.uuid);
        for uuid in std::iter::once(&gpu.uuid).chain(instances) {
            if !uuids.insert(uuid.as_str()) {
                add(format!("devices: the UUID {uuid} is there twice"));
            }
        }
        device(gpu, &mut add);
    }
    for uuid in script.order.iter().flatten() {
        if script.gpu(uuid).is_none() {
            add(format!("order: no device has the UUID {uuid}"));
        }
    }
    for list in &script.order {
        if list.iter().collect::<BTreeSet<_>>().len() < list.len() {
            add(format!("order: {list:?} names a device twice"));
        }
    }
    for fault in &script.faults {
        check_fault(fault, &uuids, &mut add);
    }
    found
}

fn device(gpu: &Gpu, add: &mut impl FnMut(String)) {
    let uuid = &gpu.uuid;
    for (what, text) in [("uuid", uuid), ("name", &gpu.name)] {
        if text.is_empty() || text.len() > MAX_TEXT || text.contains('\0') {
            add(format!("{uuid}: its {what} must have 1 to {MAX_TEXT} bytes, none of them 0"));
        }
    }
    if let Some(id) = &gpu.pci_bus_id
        && crate::model::pci_address(id).is_none()
    {
        add(format!("{uuid}: pci_bus_id is {id:?}, but must be as 00000000:3B:00.0"));
    }
    let energy = gpu.energy.as_ref().map(|Energy { update_s, .. }| ("energy.update_s", *update_s));
    let utilization = gpu.utilization.as_ref().map(|u| ("utilization.period_s", u.period_s));
    let samples = Some(("samples.period_s", gpu.samples.period_s));
    for (what, period) in [energy, utilization, samples].into_iter().flatten() {
        if !(1e-6..=3600.0).contains(&period) {
            add(format!("{uuid}: {what} is {period}, but must be 0.000001 to 3600"));
        }
    }
    if !(1..=100_000).contains(&gpu.samples.length) {
        add(format!("{uuid}: samples.length is {}, but must be 1 to 100000", gpu.samples.length));
    }
    if let Some(nvlink) = &gpu.nvlink
        && nvlink.links.len() > MAX_LINKS
    {
        add(format!("{uuid}: nvlink.links are {}, but at most {MAX_LINKS}", nvlink.links.len()));
    }
    if !gpu.xid.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        add(format!("{uuid}: xid must be in the order of its seconds, each at a second of its own"));
    }
}

fn check_fault(fault: &Fault, uuids: &BTreeSet<&str>, add: &mut impl FnMut(String)) {
    let kind = fault.kind;
    if let Some(uuid) = &fault.device
        && !uuids.contains(uuid.as_str())
    {
        add(format!("faults: {kind:?} names the device {uuid}, which is not there"));
    }
    if let Some(call) = &fault.call
        && !SYMBOLS.contains(&call.as_str())
    {
        add(format!("faults: {kind:?} names the call {call}, which is not one of this library's"));
    }
    if let (Some(from), Some(to)) = (fault.from, fault.to)
        && from >= to
    {
        add(format!("faults: {kind:?} lasts from {from} to {to}"));
    }
    if (kind == FaultKind::Slow) != fault.ms.is_some() {
        add(format!("faults: {kind:?} and `ms` do not go together; `slow` needs it, nothing else takes it"));
    }
    if (kind == FaultKind::Code) != fault.code.is_some() {
        add(format!(
            "faults: {kind:?} and `code` do not go together; `code` needs it, nothing else takes it"
        ));
    }
    if fault.code == Some(0) {
        add("faults: code 0 is success".to_owned());
    }
    if kind == FaultKind::DriverUnloaded && (fault.device.is_some() || fault.call.is_some()) {
        add("faults: DriverUnloaded strikes everything; it takes neither `device` nor `call`".to_owned());
    }
    if fault.field.is_some() && (fault.call.is_some() || fault.answer().is_none()) {
        add(format!("faults: {kind:?} of a `field` takes no `call` and must be an answer"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Architecture;

    #[test]
    fn every_problem_is_found_at_once() {
        let mut gpu = Gpu::new("GPU-a", "A", Architecture::Ada);
        gpu.samples.period_s = 0.0;
        gpu.xid = vec![(2.0, 79), (1.0, 48)];
        gpu.pci_bus_id = Some("3B:00".to_owned());
        let mut script = Script::new(0, vec![gpu.clone(), Gpu { uuid: "GPU-a".to_owned(), ..gpu }]);
        script.order = vec![vec!["GPU-b".to_owned()]];
        script.faults = vec![
            Fault { call: Some("nvmlDeviceGetPowerUse".to_owned()), ..Fault::new(FaultKind::Slow) },
            Fault { device: Some("GPU-z".to_owned()), ..Fault::new(FaultKind::Code) },
        ];
        let problems = script.problems().join("\n");
        for problem in [
            "the UUID GPU-a is there twice",
            "samples.period_s is 0",
            "xid must be in the order",
            "pci_bus_id is \"3B:00\"",
            "no device has the UUID GPU-b",
            "names the call nvmlDeviceGetPowerUse",
            "names the device GPU-z",
            "Slow and `ms`",
            "Code and `code`",
        ] {
            assert!(problems.contains(problem), "{problem:?} is not in:\n{problems}");
        }
    }
}
