//! A collector that answers what a test wrote down.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Absence, Device, GpuReading, GpuUuid, Occasion, Readings};

use crate::collect::{GpuCollector, metrics_of};

/// A collector that answers what a test wrote down.
#[derive(Debug)]
pub struct ScriptedCollector {
    devices: Result<Vec<Device>, Absence>,
    steps: Mutex<VecDeque<Step>>,
}

/// What a scripted collector does when one of its GPUs is read on the normal lane.
#[derive(Debug)]
pub enum Step {
    /// Answers with this.
    Read(Box<GpuReading>),
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
        Self { devices, steps: Mutex::default() }
    }

    /// Adds a step, which is done with one reading of one GPU. When all are done it answers as without any.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.get_mut().unwrap_or_else(PoisonError::into_inner).push_back(step);
        self
    }
}

impl GpuCollector for ScriptedCollector {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        self.devices.clone()
    }

    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading {
        let step = || match occasion {
            // Unlocked when a step hangs: other threads go on.
            Occasion::Normal => self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
            _ => None,
        };
        loop {
            match step() {
                Some(Step::Read(reading)) => return *reading,
                Some(Step::Hang(gate)) => while gate.recv().is_ok() {},
                Some(Step::Crash) => panic!("the script says so"),
                None => return reading_on(&uuid.0, occasion),
            }
        }
    }
}

/// A GPU for a script.
pub fn device(uuid: &str) -> Device {
    Device::new(uuid, "Scripted GPU")
}

/// A reading of the normal lane for a script; every number is there and none is zero.
pub fn reading(uuid: &str) -> GpuReading {
    reading_on(uuid, Occasion::Normal)
}

fn reading_on(uuid: &str, occasion: Occasion) -> GpuReading {
    let number = |metric: &GpuMetric| {
        let value = match metric {
            GpuMetric::UtilizationPercent => 75.0,
            GpuMetric::MemoryUsedBytes => 6e9,
            GpuMetric::MemoryTotalBytes => 8e9,
            GpuMetric::PowerW => 250.5,
            GpuMetric::EnergyJ => 1e6,
            GpuMetric::TemperatureC => 61.0,
            GpuMetric::SmClockMhz => 1410.0,
            _ => 1.0,
        };
        (*metric, Ok(value))
    };
    GpuReading {
        values: metrics_of(occasion).iter().map(number).collect::<Readings<_>>(),
        throttle: (occasion == Occasion::Normal).then(|| Ok(vec!["sw_power_cap".to_owned()])),
        ..GpuReading::new(GpuUuid(uuid.to_owned()))
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
            less.values.set(GpuMetric::EnergyJ, Ok(1.0));
            let steps = [reading("a"), less].map(|reading| Step::Read(Box::new(reading)));
            let scripted = ScriptedCollector::new(Ok(vec![device("a")]));
            Box::new(steps.into_iter().fold(scripted, ScriptedCollector::then))
        });
    }

    #[test]
    #[should_panic(expected = "another GPU")]
    fn the_contract_finds_a_reading_of_another_gpu() {
        check_gpu_collector(|| {
            let scripted = ScriptedCollector::new(Ok(vec![device("a"), device("b")]));
            Box::new(scripted.then(Step::Read(Box::new(reading("b")))))
        });
    }
}
