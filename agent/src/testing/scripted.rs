//! A collector that answers what a test wrote down.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use fluxfleet_proto::reading::{Absence, Device, GpuReading, GpuUuid};

use crate::collect::GpuCollector;

/// A collector that answers what a test wrote down.
#[derive(Debug)]
pub struct ScriptedCollector {
    devices: Result<Vec<Device>, Absence>,
    steps: VecDeque<Step>,
}

/// What a scripted collector does when it is read.
#[derive(Debug)]
pub enum Step {
    /// Answers with these.
    Read(Vec<GpuReading>),
    /// Hangs, as in a driver, until the other end of the [`gate`] is dropped; then it goes to the next step.
    Hang(Receiver<()>),
    /// Panics.
    Crash,
}

/// A gate for [`Step::Hang`]: dropping the sender opens it.
pub fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}

impl ScriptedCollector {
    /// A collector of these devices (or the reason for none) that answers with [`reading`] of each.
    pub fn new(devices: Result<Vec<Device>, Absence>) -> Self {
        Self { devices, steps: VecDeque::new() }
    }

    /// Adds a step. When all are done it answers as without any.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

impl GpuCollector for ScriptedCollector {
    fn devices(&mut self) -> Result<Vec<Device>, Absence> {
        self.devices.clone()
    }

    fn read(&mut self) -> Vec<GpuReading> {
        loop {
            match self.steps.pop_front() {
                Some(Step::Read(readings)) => return readings,
                Some(Step::Hang(gate)) => while gate.recv().is_ok() {},
                Some(Step::Crash) => panic!("the script says so"),
                None => {
                    let devices = self.devices.as_deref().unwrap_or_default();
                    return devices.iter().map(|device| reading(&device.uuid.0)).collect();
                }
            }
        }
    }
}

/// A GPU for a script.
pub fn device(uuid: &str) -> Device {
    Device { uuid: GpuUuid(uuid.to_owned()), name: "Scripted GPU".to_owned() }
}

/// A reading for a script; every number is there and none is zero.
pub fn reading(uuid: &str) -> GpuReading {
    GpuReading {
        uuid: GpuUuid(uuid.to_owned()),
        utilization_percent: Ok(75.0),
        memory_used_bytes: Ok(6e9),
        memory_total_bytes: Ok(8e9),
        power_w: Ok(250.5),
        energy_j: Ok(1e6),
        temperature_c: Ok(61.0),
        sm_clock_mhz: Ok(1410.0),
        throttle: Ok(vec!["sw_power_cap".to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_gpu_collector;
    use fluxfleet_proto::reading::AbsenceReason;

    #[test]
    fn the_scripted_collector_keeps_to_the_contract() {
        for devices in [
            Ok(vec![device("a"), device("b")]),
            Ok(Vec::new()),
            Err(Absence::new(AbsenceReason::Unsupported, "as scripted")),
        ] {
            check_gpu_collector(|| Box::new(ScriptedCollector::new(devices.clone())));
        }
    }

    #[test]
    #[should_panic(expected = "energy of a fell")]
    fn the_contract_finds_energy_that_falls() {
        check_gpu_collector(|| {
            let mut less = reading("a");
            less.energy_j = Ok(1.0);
            let steps = [vec![reading("a")], vec![less]].map(Step::Read);
            let scripted = ScriptedCollector::new(Ok(vec![device("a")]));
            Box::new(steps.into_iter().fold(scripted, ScriptedCollector::then))
        });
    }

    #[test]
    #[should_panic(expected = "exactly the devices")]
    fn the_contract_finds_a_device_that_is_not_read() {
        check_gpu_collector(|| {
            let scripted = ScriptedCollector::new(Ok(vec![device("a"), device("b")]));
            Box::new(scripted.then(Step::Read(vec![reading("a")])))
        });
    }
}
