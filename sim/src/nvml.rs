//! The virtual GPUs for an agent of another process: a control file of the NVML stand-in, kept up to date.
//!
//! The file tells the state now, and a reader sees it until the next one, [`EVERY`] later at the soonest. Only energy
//! goes on between two files, at the least that a GPU draws: so it is exact whenever a file is written and never above
//! the truth in between, hence never falls.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use fluxfleet_nvml::script::{Architecture, Clocks, Energy, Gpu, Memory, Power, Script, Utilization};
use fluxfleet_nvml::{Curve, monotonic_ns};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::gpu::VirtualGpus;
use crate::meter::{FULL_W, IDLE_W};
use crate::reading::GpuReading;

/// How often the file is written while anything changes.
const EVERY: Duration = Duration::from_millis(20);

/// `nvmlClocksThrottleReasonGpuIdle`.
const GPU_IDLE: f64 = 1.0;

/// A control file that exists as long as this does.
#[derive(Debug)]
pub(crate) struct NvmlScript {
    path: PathBuf,
    gpus: VirtualGpus,
    epoch_ns: u64,
    /// What the file shows, as far as a change of it is worth a new one.
    shown: Vec<GpuReading>,
}

impl NvmlScript {
    /// Writes the first one.
    pub(crate) fn create(path: PathBuf, gpus: VirtualGpus) -> io::Result<Self> {
        let mut script = Self { path, gpus, epoch_ns: monotonic_ns(), shown: Vec::new() };
        script.refresh()?;
        Ok(script)
    }

    /// Writes a new one whenever it is due, until `stop`.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let written = tokio::task::spawn_blocking(move || {
                let result = self.refresh();
                (self, result)
            });
            let Ok((script, result)) = written.await else { return };
            self = script;
            if let Err(error) = result {
                if !complained {
                    let path = self.path.display();
                    tracing::warn!("cannot write {path} ({error}): readings through NVML stand still");
                }
                complained = true;
            }
        }
    }

    fn refresh(&mut self) -> io::Result<()> {
        let readings = self.gpus.read();
        // After the readings: energy may begin late, but never before what was counted.
        let at_s = Duration::from_nanos(monotonic_ns() - self.epoch_ns).as_secs_f64();
        let showing: Vec<_> = readings.iter().map(worth_showing).collect();
        let asleep = readings.iter().all(|reading| reading.power_w <= IDLE_W);
        if asleep && showing == self.shown {
            return Ok(());
        }
        let gpus = readings.into_iter().map(|reading| gpu(reading, at_s)).collect();
        let text = serde_json::to_string(&Script::new(self.epoch_ns, gpus))?;
        let new = beside(&self.path);
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)?;
        self.shown = showing;
        Ok(())
    }
}

impl Drop for NvmlScript {
    /// The host is gone, and its driver with it.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

/// What NVML shows of a reading, without the energy, which goes on by itself while the GPU sleeps.
fn worth_showing(reading: &GpuReading) -> GpuReading {
    let temperature_c = reading.temperature_c.round();
    GpuReading { energy_j: 0.0, temperature_c, ..reading.clone() }
}

/// A reading as a device of the stand-in. As on GA100, power is the instant's, which is what the reading has.
fn gpu(reading: GpuReading, at_s: f64) -> Gpu {
    let idle = reading.throttle.iter().any(|reason| reason == "gpu_idle");
    let mut gpu = Gpu::new(reading.uuid, reading.name, Architecture::Ga100);
    gpu.memory = Some(Memory {
        total_bytes: reading.memory_total_bytes,
        reserved_bytes: 0,
        used_bytes: Curve::constant(reading.memory_used_bytes as f64),
    });
    gpu.utilization = Some(Utilization::constant(reading.utilization_percent));
    gpu.power = Some(Power { watts: Curve::constant(reading.power_w), limit_watts: Some(FULL_W) });
    gpu.energy = Some(Energy {
        base_mj: reading.energy_j * 1e3,
        at_s,
        watts: Some(Curve::constant(IDLE_W)),
        ..Energy::default()
    });
    gpu.temperature_c = Some(Curve::constant(reading.temperature_c));
    gpu.clocks_mhz = Clocks { sm: Some(Curve::constant(reading.sm_clock_mhz.into())), ..Clocks::default() };
    gpu.performance_state = Some(Curve::constant(if idle { 8.0 } else { 0.0 }));
    gpu.throttle = Some(Curve::constant(if idle { GPU_IDLE } else { 0.0 }));
    gpu
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use fluxfleet_nvml::Now;
    use tokio::time::Instant;

    use super::*;
    use crate::SimConfig;
    use crate::engine::{JobNumber, Task};
    use crate::model::Shape;

    fn host(dir: &Path) -> (NvmlScript, VirtualGpus) {
        let gpus = VirtualGpus::new(&SimConfig::default(), Instant::now());
        let script = NvmlScript::create(dir.join("script.json"), gpus.clone()).unwrap();
        (script, gpus)
    }

    fn read(script: &NvmlScript) -> Script {
        Script::parse(&fs::read_to_string(&script.path).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_file_shows_what_the_gpus_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, gpus) = host(dir.path());
        let script = read(&file);
        for reading in gpus.read() {
            let device = script.device(&reading.uuid, Now::read()).unwrap();
            assert_eq!(device.name(), reading.name);
            assert_eq!(device.power_mw(), Ok(55_000));
            assert_eq!(device.memory().unwrap()[3], reading.memory_used_bytes);
            assert_eq!(device.clock_mhz(1), Ok(reading.sm_clock_mhz));
            assert_eq!(device.throttle(), Ok(1));
        }
    }

    #[tokio::test]
    async fn a_host_that_sleeps_writes_nothing_and_one_that_works_does() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, gpus) = host(dir.path());
        let inode = |file: &NvmlScript| fs::metadata(&file.path).unwrap().ino();
        let first = inode(&file);
        file.refresh().unwrap();
        assert_eq!(inode(&file), first);
        let shape = Shape { steps: 25, pixels: 512 * 512, images: 1 };
        let task = Task { shape, jitter: 1.0, saves: true };
        gpus.each()[0].submit(Instant::now(), JobNumber(0), task).unwrap();
        file.refresh().unwrap();
        assert_ne!(inode(&file), first);
        assert_eq!(read(&file).device(gpus.each()[0].uuid(), Now::read()).unwrap().power_mw(), Ok(150_000));
    }

    #[tokio::test]
    async fn energy_never_falls_from_one_file_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, gpus) = host(dir.path());
        let shape = Shape { steps: 1, pixels: 64 * 64, images: 1 };
        let mut last = 0;
        for number in 0..200 {
            let task = Task { shape, jitter: 0.02, saves: true };
            let _ = gpus.each()[0].submit(Instant::now(), JobNumber(number), task);
            file.refresh().unwrap();
            let script = read(&file);
            for _ in 0..3 {
                let energy = script.device(gpus.each()[0].uuid(), Now::read()).unwrap().energy_mj().unwrap();
                assert!(energy >= last, "it fell from {last} to {energy}");
                last = energy;
            }
        }
        let counted = gpus.read()[0].energy_j * 1e3;
        assert!(last as f64 <= counted + 1.0, "{last} is above {counted}");
    }

    #[tokio::test]
    async fn the_file_goes_with_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = host(dir.path());
        let path = file.path.clone();
        assert!(path.exists());
        let stop = CancellationToken::new();
        let kept = tokio::spawn(file.keep(stop.clone()));
        stop.cancel();
        kept.await.unwrap();
        assert!(!path.exists());
    }
}
