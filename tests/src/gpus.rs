//! A host with scripted GPUs behind a library with NVML's C ABI.

use std::fs;
use std::path::PathBuf;

use fluxfleet_nvml::{monotonic_ns, testing};
use serde_json::{Value, json};

/// Draws 100 W.
pub const A: &str = "GPU-a0000000-0000-4000-8000-000000000000";
/// Draws 200 W.
pub const B: &str = "GPU-b0000000-0000-4000-8000-000000000000";

/// Two GPUs whose numbers never change, and what goes wrong with them.
pub struct Gpus {
    dir: tempfile::TempDir,
    epoch_ns: u64,
}

impl Default for Gpus {
    fn default() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let gpus = Self { dir, epoch_ns: monotonic_ns() };
        gpus.strike(&json!([]));
        gpus
    }
}

impl Gpus {
    /// The library's path, for `--nvml-lib`.
    pub fn library(&self) -> PathBuf {
        testing::library()
    }

    /// A copy of the library that has its control file beside it, for where no environment is passed on.
    pub fn copied_library(&self) -> PathBuf {
        let (copy, script) = (self.dir.path().join("library.so"), self.dir.path().join("library.so.json"));
        fs::copy(self.library(), &copy).expect("the library is copied");
        fs::copy(self.script(), script).expect("the script is copied");
        copy
    }

    /// The control file's path.
    pub fn script(&self) -> PathBuf {
        self.dir.path().join("script.json")
    }

    /// Seconds since the control file's beginning, in which faults' times are given.
    pub fn second(&self) -> f64 {
        (monotonic_ns() - self.epoch_ns) as f64 / 1e9
    }

    /// From now on these faults last, and no others.
    pub fn strike(&self, faults: &Value) {
        let gpu = |uuid: &str, watts: u32| {
            json!({
                "uuid": uuid,
                "name": "Scripted H100",
                "architecture": "hopper",
                "memory": { "total_bytes": 80_000_000_000_u64, "used_bytes": 20_000_000_000_u64 },
                "utilization": { "gpu": 60, "memory": 30 },
                "power": { "watts": watts },
                "temperature_c": 61,
                "clocks_mhz": { "sm": 1980, "memory": 2619 },
                "performance_state": 0,
                "throttle": 0,
            })
        };
        let script =
            json!({ "epoch_ns": self.epoch_ns, "devices": [gpu(A, 100), gpu(B, 200)], "faults": faults });
        let new = self.dir.path().join("new");
        fs::write(&new, script.to_string()).expect("the script");
        fs::rename(&new, self.script()).expect("the script");
    }
}
