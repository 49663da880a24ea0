//! The newest readings for a terminal.

use std::io;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{Absence, Device, Reading};
use fluxfleet_top::{GpuView, HostState, HostView, Shown};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::collect::Collectors;
use crate::config::GpuSource;
use crate::error::AgentError;
use crate::latest::Latest;
use crate::relay::Relay;
use crate::run::DEVICES_WITHIN;
use crate::sampler::Sampler;

/// Between two frames.
const PERIOD: Duration = Duration::from_secs(1);

/// Reads this host at the agent's own pace and gives `draw` the newest each second, until `cancel` is cancelled or
/// `draw` fails, whose error is then the inner result.
///
/// # Errors
/// When the system gives no threads to read with.
pub async fn top(
    host: String,
    gpus: GpuSource,
    mut draw: impl FnMut(HostView) -> io::Result<()>,
    cancel: CancellationToken,
) -> Result<io::Result<()>, AgentError> {
    let mut collectors = Collectors::start(gpus, Vec::new())?;
    let (latest, mut seen) = watch::channel(Latest::default());
    let (found, devices) = watch::channel(None);
    let sampling = async {
        let devices = collectors.devices(DEVICES_WITHIN).await;
        let (samples_in, samples) = mpsc::channel(1);
        let (pace, pace_seen) = watch::channel(None);
        let (_nobody_asks, asked) = watch::channel(None);
        let (_no_marks, marks) = mpsc::channel(1);
        let (onward, _nobody_listens) = mpsc::channel(1);
        let sampler = Sampler::new(collectors, devices.clone().unwrap_or_default());
        found.send_replace(Some(devices));
        let relay = Relay { samples, pace, asked, onward, latest };
        tokio::join!(sampler.run(pace_seen, marks, samples_in), relay.run());
    };
    let drawing = async {
        // The first frame comes with the first sample, or says after a second that there is none yet.
        let _ = tokio::time::timeout(PERIOD, seen.changed()).await;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let state = match &*devices.borrow() {
                Some(devices) => Ok(state(devices, &seen.borrow(), Clock::now())),
                None => Err("looking for GPUs".to_owned()),
            };
            draw(HostView { name: host.clone(), state })?;
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Ok(Ok(())),
        ended = drawing => Ok(ended),
        () = sampling => Ok(Ok(())),
    }
}

fn state(devices: &Result<Vec<Device>, Absence>, latest: &Latest, now: Mono) -> HostState {
    let host = |metric| shown(latest.host(metric, now));
    let gpu = |device: &Device| {
        let of = |metric| shown(latest.gpu(&device.uuid, metric, now));
        GpuView {
            index: device.index.to_string(),
            name: device.name.clone(),
            utilization_percent: of(GpuMetric::UtilizationPercent),
            memory_used: of(GpuMetric::MemoryUsedBytes),
            memory_total: of(GpuMetric::MemoryTotalBytes),
            power_w: of(GpuMetric::PowerW),
            power_limit_w: of(GpuMetric::PowerLimitW),
            temperature_c: of(GpuMetric::TemperatureC),
            sm_clock_mhz: of(GpuMetric::SmClockMhz),
            throttle: latest.throttle(&device.uuid, now).and_then(Result::ok).unwrap_or_default(),
        }
    };
    HostState {
        cpu_percent: host(HostMetric::CpuPercent),
        memory_used: host(HostMetric::MemoryUsedBytes),
        memory_total: host(HostMetric::MemoryTotalBytes),
        load: host(HostMetric::Load1),
        gpus: match latest.devices(devices) {
            Ok(devices) => Ok(devices.iter().map(gpu).collect()),
            Err(absence) => Err(absence.to_string()),
        },
    }
}

/// A number, or its reason in a word; a dash for what is not read.
fn shown(reading: Option<Reading>) -> Shown {
    match reading {
        Some(reading) => reading.map_err(|absence| absence.reason.to_string()),
        None => Err("-".to_owned()),
    }
}
