//! A copy of the library with a script of its own, so that tests in one process do not share a host.

use std::fs;
use std::path::{Path, PathBuf};

use fluxfleet_nvml::code::Answer;
use fluxfleet_nvml::script::{Architecture, Gpu, Script};
use fluxfleet_nvml::{Curve, Now, SCRIPT_VARIABLE, model, monotonic_ns, testing};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// A host on which a test runs; second 0 of its script is its beginning.
pub(crate) struct Stand {
    dir: tempfile::TempDir,
    epoch_ns: u64,
}

impl Stand {
    pub(crate) fn new(script: &Script) -> Self {
        let stand = Self::bare();
        stand.write(script);
        stand
    }

    /// One whose library lacks some symbols.
    pub(crate) fn without(script: &Script, missing: &[&str]) -> Self {
        let stand = Self::new(script);
        let library = fs::read(stand.library()).expect("the copy");
        // A new file: the old one may be loaded.
        fs::remove_file(stand.library()).expect("the copy");
        fs::write(stand.library(), testing::without_symbols(&library, missing)).expect("the copy");
        stand
    }

    /// One without a script.
    pub(crate) fn bare() -> Self {
        assert!(std::env::var_os(SCRIPT_VARIABLE).is_none(), "{SCRIPT_VARIABLE} would be everybody's script");
        let dir = tempfile::tempdir().expect("a directory");
        let stand = Self { dir, epoch_ns: monotonic_ns() };
        fs::copy(testing::library(), stand.library()).expect("the library is copied");
        stand
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.dir.path().join("libnvidia-ml.so")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces the script.
    pub(crate) fn write(&self, script: &Script) {
        let script = Script { epoch_ns: self.epoch_ns, ..script.clone() };
        assert_eq!(script.problems(), Vec::<String>::new());
        self.write_text(&serde_json::to_string(&script).expect("JSON"));
    }

    pub(crate) fn write_text(&self, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("the script");
        fs::rename(&new, self.path("libnvidia-ml.so.json")).expect("the script");
    }

    pub(crate) fn remove_script(&self) {
        fs::remove_file(self.path("libnvidia-ml.so.json")).expect("the script");
    }

    /// Loads the library and starts it.
    pub(crate) fn try_nvml(&self) -> Result<Nvml, NvmlError> {
        load(&self.library())
    }

    pub(crate) fn nvml(&self) -> Nvml {
        self.try_nvml().expect("it starts")
    }

    /// Seconds since the script's epoch.
    pub(crate) fn second(&self) -> f64 {
        (monotonic_ns() - self.epoch_ns) as f64 / 1e9
    }

    /// Asks the library, and the model before and after that; answers all three.
    pub(crate) fn bracket<T>(
        &self,
        script: &Script,
        uuid: &str,
        model: impl Fn(model::Device<'_>) -> Answer<T>,
        ask: impl FnOnce() -> Result<T, NvmlError>,
    ) -> [T; 3] {
        let script = Script { epoch_ns: self.epoch_ns, ..script.clone() };
        let now = || model(script.device(uuid, Now::read()).expect("the device")).expect("a value");
        let before = now();
        let said = ask().expect("a value");
        [before, said, now()]
    }
}

fn load(library: &Path) -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(library.as_os_str()).init()
}

pub(crate) fn gpu(letter: char) -> Gpu {
    let mut gpu = Gpu::new(uuid(letter), format!("GPU {letter}"), Architecture::Hopper);
    gpu.temperature_c = Some(Curve::constant(50.0));
    gpu
}

pub(crate) fn uuid(letter: char) -> String {
    format!("GPU-{letter}0000000-0000-4000-8000-000000000000")
}

pub(crate) fn host(letters: &str) -> Script {
    Script::new(0, letters.chars().map(gpu).collect())
}

/// The documented example, with the faults taken out.
pub(crate) fn example() -> Script {
    let mut script = Script::parse(include_str!("../../example.json")).expect("a script");
    script.faults.clear();
    script.order.clear();
    script.calls = None;
    script
}

pub(crate) fn curve(text: &str) -> Curve {
    serde_json::from_str(text).expect("a curve")
}
