//! What this host can and cannot tell.

mod text;

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuReading, Occasion, Readings, SystemReading,
};

use crate::collect::Collectors;
use crate::config::GpuSource;
use crate::error::AgentError;
use crate::run::DEVICES_WITHIN;

/// How long one reading of one GPU may take.
const READING_WITHIN: Duration = Duration::from_secs(5);

/// How long all readings may take; what hangs in a driver is then absent as stale.
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks at the host, for what needs two: the agent's own cost is not told anew within a second.
const BETWEEN: Duration = Duration::from_millis(1100);

/// Every lane: together they read all that an agent reads.
const LANES: [Occasion; 3] = [Occasion::Normal, Occasion::Fast, Occasion::Slow];

/// One look at a host. Its text says field by field what there is, and what not and why.
#[derive(Debug)]
pub struct Probe {
    host: String,
    system: SystemReading,
    gpus: Result<Vec<(Device, GpuReading)>, Absence>,
}

impl Probe {
    /// Looks at this host, for 36 s at most; without a GPU or when it answers at once, for a second.
    ///
    /// # Errors
    /// When the system gives no threads to read with.
    pub async fn take(host: String, gpus: GpuSource) -> Result<Self, AgentError> {
        let mut collectors = Collectors::start(gpus, Vec::new())?;
        let devices = collectors.devices(DEVICES_WITHIN).await;
        read_system(&mut collectors).await;
        let gpus = match devices {
            Ok(devices) => Ok(read_gpus(&mut collectors, devices).await),
            Err(absence) => Err(absence),
        };
        // Readings of GPUs were readings of the host too.
        tokio::time::sleep(BETWEEN).await;
        let system = read_system(&mut collectors).await;
        Ok(Self { host, system, gpus })
    }
}

async fn read_system(collectors: &mut Collectors) -> SystemReading {
    let mut all = SystemReading::default();
    for lane in LANES {
        let (SystemReading { values, core_percent }, _) = collectors.read(&[], lane, READING_WITHIN).await;
        merge(&mut all.values, &values);
        all.core_percent = all.core_percent.or(core_percent);
    }
    for metric in HostMetric::ALL {
        if all.values.get(*metric).is_none() {
            all.values.set(*metric, Err(unread(*metric)));
        }
    }
    all
}

fn unread(metric: HostMetric) -> Absence {
    use HostMetric::{ProcessCpuPercent, ProcessMemoryBytes, Processes};
    let detail = match metric {
        ProcessCpuPercent | ProcessMemoryBytes | Processes => {
            "an agent reads it of the processes that --process names"
        }
        _ => "this agent does not read it",
    };
    Absence::new(AbsenceReason::Unsupported, detail)
}

async fn read_gpus(collectors: &mut Collectors, devices: Vec<Device>) -> Vec<(Device, GpuReading)> {
    let until = Clock::now() + ALL_WITHIN;
    let mut all = Vec::with_capacity(devices.len());
    for device in devices {
        let mut reading = GpuReading::new(device.uuid.clone());
        for lane in LANES {
            let GpuReading { values, repeated, driver_wall_ns, throttle, processes, .. } =
                read_gpu(collectors, &device, lane, until).await;
            merge(&mut reading.values, &values);
            reading.repeated.extend(repeated);
            reading.driver_wall_ns = reading.driver_wall_ns.or(driver_wall_ns);
            reading.throttle = reading.throttle.or(throttle);
            reading.processes = reading.processes.or(processes);
        }
        all.push((device, reading));
    }
    all
}

/// Reads once more what came while another GPU's call was found to hang: the thread that takes over answers then.
async fn read_gpu(collectors: &mut Collectors, device: &Device, lane: Occasion, until: Mono) -> GpuReading {
    let mut once = async || {
        let within = READING_WITHIN.min(until.since(Clock::now()));
        let (_, mut gpus) = collectors.read(std::slice::from_ref(device), lane, within).await;
        gpus.pop().unwrap_or_else(|| GpuReading::new(device.uuid.clone()))
    };
    let first = once().await;
    if first.values.iter().all(|(_, value)| value.as_ref().is_err_and(|a| a.reason == AbsenceReason::Stale)) {
        return once().await;
    }
    first
}

/// Numbers win over absence, and the first over later ones.
fn merge<M: Copy + PartialEq>(all: &mut Readings<M>, more: &Readings<M>) {
    for (metric, reading) in more.iter() {
        if !matches!(all.get(metric), Some(Ok(_))) {
            all.set(metric, reading.clone());
        }
    }
}
