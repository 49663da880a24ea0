//! What the process's one NVML knows: whether it was started, which handles it gave out, how often it was called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::clock::Now;
use crate::code::{Answer, Code};
use crate::script::Script;
use crate::source::Source;

/// Handles look like addresses and are none, so nobody gets far who follows one.
const FIRST_DEVICE: usize = 0x4656_0000_0000;
const FIRST_EVENT_SET: usize = 0x4656_8000_0000;
const STRIDE: usize = 16;

/// The process's NVML.
#[derive(Debug)]
pub(crate) struct State {
    source: Source,
    /// How many times it was started, and is to be stopped.
    open: usize,
    /// How many times it was started while it was stopped.
    starts: usize,
    started_ns: u64,
    /// UUIDs by handle.
    devices: Vec<String>,
    event_sets: BTreeMap<usize, EventSet>,
    calls: BTreeMap<&'static str, u64>,
}

/// The devices whose events a set collects, and up to when it has told them, on `CLOCK_MONOTONIC`.
pub(crate) type EventSet = Vec<(String, i64)>;

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| {
    Mutex::new(State {
        source: Source::find(),
        open: 0,
        starts: 0,
        started_ns: 0,
        devices: Vec::new(),
        event_sets: BTreeMap::new(),
        calls: BTreeMap::new(),
    })
});

/// The state, for a moment: nothing waits while it holds this.
pub(crate) fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host at an instant.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) script: Arc<Script>,
    pub(crate) now: Now,
    pub(crate) starts: usize,
    pub(crate) started_ns: u64,
    pub(crate) open: bool,
}

impl Host {
    /// Seconds since the script's epoch.
    pub(crate) fn second(&self) -> f64 {
        self.script.second(self.now)
    }
}

impl State {
    /// The host as the call that is under way, or has just waited, found it.
    pub(crate) fn host(&mut self) -> Answer<Host> {
        let script = self.source.known()?;
        let Self { starts, started_ns, open, .. } = *self;
        Ok(Host { script, now: Now::read(), starts, started_ns, open: open > 0 })
    }

    /// Looks whether the script has changed: once for each call, and whenever one has waited.
    pub(crate) fn look(&mut self) {
        // What is wrong with it the call itself finds out.
        let _ = self.source.current();
    }

    /// A call begins.
    pub(crate) fn count(&mut self, symbol: &'static str) {
        self.look();
        *self.calls.entry(symbol).or_default() += 1;
        if let Ok(Some(path)) = self.source.known().map(|script| script.calls.clone()) {
            self.write_calls(&path);
        }
    }

    fn write_calls(&self, path: &Path) {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        let text = serde_json::to_string(&self.calls).unwrap_or_default();
        // Who asked for the file misses it if it cannot be written; the calls go on.
        let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    }

    pub(crate) fn start(&mut self, now: Now) {
        if self.open == 0 {
            self.starts += 1;
            // As with NVIDIA's: another start of what runs changes nothing.
            self.started_ns = now.monotonic_ns;
        }
        self.open += 1;
    }

    pub(crate) fn stop(&mut self) -> Answer<()> {
        self.open = self.open.checked_sub(1).ok_or(Code::UNINITIALIZED)?;
        Ok(())
    }

    /// The handle of a UUID, the same one each time.
    pub(crate) fn handle(&mut self, uuid: &str) -> usize {
        let known = self.devices.iter().position(|device| device == uuid);
        let place = known.unwrap_or_else(|| {
            self.devices.push(uuid.to_owned());
            self.devices.len() - 1
        });
        FIRST_DEVICE + place * STRIDE
    }

    pub(crate) fn uuid(&self, handle: usize) -> Answer<String> {
        let offset = handle.checked_sub(FIRST_DEVICE).filter(|offset| offset % STRIDE == 0);
        let uuid = offset.and_then(|offset| self.devices.get(offset / STRIDE));
        uuid.cloned().ok_or(Code::INVALID_ARGUMENT)
    }

    pub(crate) fn new_event_set(&mut self) -> usize {
        let last = self.event_sets.last_key_value().map_or(FIRST_EVENT_SET, |(set, _)| *set);
        self.event_sets.insert(last + STRIDE, EventSet::new());
        last + STRIDE
    }

    pub(crate) fn event_set(&mut self, set: usize) -> Answer<&mut EventSet> {
        self.event_sets.get_mut(&set).ok_or(Code::INVALID_ARGUMENT)
    }

    pub(crate) fn free_event_set(&mut self, set: usize) -> Answer<()> {
        self.event_sets.remove(&set).map(|_| ()).ok_or(Code::INVALID_ARGUMENT)
    }
}
