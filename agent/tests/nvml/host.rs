//! A host with two scripted GPUs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fluxfleet_agent::GpuCollector;
use fluxfleet_agent::collect::nvml::NvmlCollector;
use fluxfleet_nvml::{monotonic_ns, testing};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{GpuReading, GpuUuid, Occasion, Reading};
use serde_json::{Value, json};

pub(crate) const A: &str = "GPU-a0000000-0000-4000-8000-000000000000";
pub(crate) const B: &str = "GPU-b0000000-0000-4000-8000-000000000000";

/// Far more than anything here takes; a bound, not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A copy of the library with a script of its own.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    epoch_ns: u64,
    gpus: Vec<Value>,
}

impl Host {
    /// Two GPUs of which every number is known, without faults.
    pub(crate) fn new() -> Self {
        Self::of(vec![gpu(A, 100.0), gpu(B, 200.0)])
    }

    /// A host of these GPUs.
    pub(crate) fn of(gpus: Vec<Value>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::copy(testing::library(), dir.path().join("libnvidia-ml.so.1")).expect("the library is copied");
        let host = Self { dir, epoch_ns: monotonic_ns(), gpus };
        host.strike(&json!([]));
        host
    }

    /// As [`new`](Self::new), with a library that lacks some symbols.
    pub(crate) fn without(missing: &[&str]) -> Self {
        let host = Self::new();
        let library = fs::read(host.library()).expect("the copy");
        fs::remove_file(host.library()).expect("the copy");
        fs::write(host.library(), testing::without_symbols(&library, missing)).expect("the copy");
        host
    }

    /// From now on these faults last, and no others.
    pub(crate) fn strike(&self, faults: &Value) {
        self.write(&json!({ "epoch_ns": self.epoch_ns, "devices": self.gpus, "faults": faults }));
    }

    /// Replaces the script.
    pub(crate) fn write(&self, script: &Value) {
        let new = self.dir.path().join("new");
        fs::write(&new, script.to_string()).expect("the script");
        fs::rename(&new, self.dir.path().join("libnvidia-ml.so.1.json")).expect("the script");
    }

    /// Seconds since the script's beginning, in which faults' times are given.
    pub(crate) fn second(&self) -> f64 {
        (monotonic_ns() - self.epoch_ns) as f64 / 1e9
    }

    /// The script's beginning on the monotonic clock.
    pub(crate) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// The GPUs as they are scripted.
    pub(crate) fn gpus(&self) -> &[Value] {
        &self.gpus
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.dir.path().join("libnvidia-ml.so.1")
    }

    pub(crate) fn open(&self) -> NvmlCollector {
        NvmlCollector::open(Some(self.library()))
    }
}

/// A GPU that draws so many watts and is still otherwise.
pub(crate) fn gpu(uuid: &str, watts: f64) -> Value {
    json!({
        "uuid": uuid,
        "name": "NVIDIA H100 80GB HBM3",
        "architecture": "hopper",
        "pci_bus_id": if uuid == A { "00000000:3B:00.0" } else { "00000000:5E:00.0" },
        "memory": { "total_bytes": 80_000_000_000_u64, "reserved_bytes": 600_000_000, "used_bytes": 12_000_000_000_u64 },
        "utilization": { "gpu": 85, "memory": 35, "encoder": 5, "decoder": 10 },
        "power": { "watts": watts, "limit_watts": 700 },
        "temperature_c": 61,
        "clocks_mhz": { "sm": 1980, "memory": 2619 },
        "performance_state": 2,
        "throttle": 4,
        "pcie": { "generation": 5, "width": 16, "tx_kb_s": 1_200_000, "rx_kb_s": 800_000, "replays": 3 },
        "nvlink": { "links": [1, 1, 0] },
        "ecc": { "enabled": true, "corrected_volatile": 2, "uncorrected_volatile": 1 },
        "processes": [
            { "pid": std::process::id(), "name": "serve", "kind": "compute", "memory_bytes": 11_000_000_000_u64, "sm": 80 },
        ],
    })
}

pub(crate) fn read(collector: &NvmlCollector, uuid: &str, occasion: Occasion) -> GpuReading {
    collector.read(&GpuUuid(uuid.to_owned()), occasion)
}

pub(crate) fn value(collector: &NvmlCollector, uuid: &str, metric: GpuMetric) -> Reading {
    read(collector, uuid, Occasion::Normal).values.value(metric)
}

/// Looks again and again until `found` has something.
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Clock::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Clock::now().since(begun) < PATIENCE, "{what} did not come about within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
