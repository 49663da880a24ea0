//! The thread that reads the GPUs, and the watch over it.
//!
//! NVML's calls serialise on a lock of the driver, so one thread makes them all, GPU after GPU. A call may hang for as
//! long as the driver likes. Then the GPU that it was about is left alone until the call has come back, and another
//! thread reads the others, as far as the driver lets it. No one ever waits for a thread that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuEvent, GpuReading, GpuUuid, Occasion};
use fluxfleet_proto::units::Micros;
use tokio::time::{Instant, timeout_at};

use super::gpus::fit;
use super::reader::{Reader, Silence};
use super::{Calls, GpuCollector, all_absent};

/// A call that has not come back after this long counts as hung. A driver that wakes up a GPU may take a second.
const HUNG_AFTER: Duration = Duration::from_secs(2);

type Collector = Arc<dyn GpuCollector>;

/// Asks the GPU thread, and replaces it when it hangs.
#[derive(Debug)]
pub(super) struct Poller {
    reader: Reader<Collector>,
    /// Which GPU the thread is at.
    place: Arc<Place>,
    collector: Option<Shared>,
    hung: Vec<Hung>,
}

/// The collector, for a thread that takes over.
struct Shared(Collector);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Which GPU a thread is at, and since when.
#[derive(Debug, Default)]
struct Place {
    at: Mutex<Option<(GpuUuid, Mono)>>,
    /// The thread was given up, and its call has come back since.
    back: AtomicBool,
    given_up: AtomicBool,
}

impl Place {
    fn enter(&self, uuid: &GpuUuid) {
        *self.lock() = Some((uuid.clone(), Clock::now()));
    }

    fn leave(&self) {
        *self.lock() = None;
        if self.given_up.load(Ordering::Acquire) {
            self.back.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(GpuUuid, Mono)>> {
        // What is in it is replaced as a whole.
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A GPU whose call hangs.
#[derive(Debug)]
struct Hung {
    uuid: GpuUuid,
    since: Mono,
    place: Arc<Place>,
}

impl Poller {
    /// Starts the thread; `open` runs on it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        open: impl FnOnce() -> Box<dyn GpuCollector> + Send + 'static,
    ) -> std::io::Result<Self> {
        let reader = Reader::start("gpu", move || Collector::from(open()))?;
        Ok(Self { reader, place: Arc::default(), collector: None, hung: Vec::new() })
    }

    /// The GPUs, or why they cannot be seen.
    pub(super) async fn devices(
        &mut self,
        within: Duration,
    ) -> Result<Result<Vec<Device>, Absence>, Silence> {
        let asked = self.reader.ask(within, |collector| (Arc::clone(collector), collector.devices()));
        let (collector, devices) = asked.await?;
        self.collector = Some(Shared(collector));
        Ok(devices)
    }

    /// How long the collector's calls took so far, by their names; nothing before it is there.
    pub(super) fn calls(&self) -> Calls {
        self.collector.as_ref().map(|Shared(collector)| collector.calls()).unwrap_or_default()
    }

    /// What the share `q` of the collector's calls so far did not exceed; `None` before there are any.
    pub(super) fn call_quantile(&self, q: f64) -> Option<Micros> {
        self.collector.as_ref().and_then(|Shared(collector)| collector.call_quantile(q))
    }

    /// What the driver reported since this was last asked.
    pub(super) fn events(&self) -> Vec<GpuEvent> {
        self.collector.as_ref().map(|Shared(collector)| collector.events()).unwrap_or_default()
    }

    /// One reading for each of `devices`. What does not answer within the time is stale.
    pub(super) async fn read(
        &mut self,
        devices: &[Device],
        occasion: Occasion,
        within: Duration,
    ) -> Vec<GpuReading> {
        let until = Instant::now() + within;
        self.hung.retain(|hung| !hung.place.back.load(Ordering::Acquire));
        let asked: Vec<GpuUuid> = {
            let free = devices.iter().filter(|d| self.hung.iter().all(|h| h.uuid != d.uuid));
            free.map(|d| d.uuid.clone()).collect()
        };
        let idle = asked.is_empty() && occasion != Occasion::Normal;
        let answer = if idle { Ok(Vec::new()) } else { self.ask(asked, occasion, until).await };
        let (found, silence) = match answer {
            Ok(found) => (found, None),
            Err((found, silence)) => (found, Some(silence)),
        };
        let missing = |device: &Device| {
            let hung = self.hung.iter().find(|h| h.uuid == device.uuid);
            match (hung, silence) {
                (Some(hung), _) => Absence::new(
                    AbsenceReason::Stale,
                    format!(
                        "a call about it hangs in the driver since {} s",
                        Clock::now().since(hung.since).as_secs()
                    ),
                ),
                (None, Some(silence)) => silence.absence("GPU", within),
                (None, None) => {
                    Absence::new(AbsenceReason::Lost, "the GPU is no longer among those that answer")
                }
            }
        };
        fit(devices, found, |device| all_absent(device.uuid.clone(), occasion, &missing(device)))
    }

    /// Asks the thread; what it found by then comes with the reason why the rest is not there.
    async fn ask(
        &mut self,
        asked: Vec<GpuUuid>,
        occasion: Occasion,
        until: Instant,
    ) -> Result<Vec<GpuReading>, (Vec<GpuReading>, Silence)> {
        let place = Arc::clone(&self.place);
        let count = asked.len();
        let found = Arc::new(Mutex::new(Vec::with_capacity(count)));
        let into = Arc::clone(&found);
        // Told once, at the end: a message for each GPU would cost as much as reading it.
        let question = move |collector: &mut Collector| {
            if occasion == Occasion::Normal {
                collector.look();
            }
            for uuid in asked {
                place.enter(&uuid);
                let reading = collector.read(&uuid, occasion);
                place.leave();
                into.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
                // Nobody waits any more.
                if Arc::strong_count(&into) == 1 {
                    return;
                }
            }
        };
        let done = match self.reader.begin(question) {
            Ok(done) => done,
            Err(silence) => {
                if silence == Silence::Busy {
                    self.watch();
                }
                return Err((Vec::new(), silence));
            }
        };
        let silence = match timeout_at(until, done).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(Silence::Gone),
            Err(_) => Some(Silence::Late),
        };
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        match silence {
            Some(silence) if found.len() < count => Err((found, silence)),
            _ => Ok(found),
        }
    }

    /// Gives up a thread that hangs, and has another one take over.
    fn watch(&mut self) {
        let Some((uuid, since)) = self.place.lock().clone() else { return };
        if Clock::now().since(since) < HUNG_AFTER {
            return;
        }
        let Some(Shared(collector)) = &self.collector else { return };
        let collector = Arc::clone(collector);
        // Without a thread the others stay stale, and the next reading tries again.
        let Ok(reader) = Reader::start("gpu", move || collector) else { return };
        tracing::warn!("a call about {uuid} hangs in the driver: it is left alone until the call comes back");
        self.reader = reader;
        let place = std::mem::take(&mut self.place);
        place.given_up.store(true, Ordering::Release);
        if place.lock().is_none() {
            // It came back just now.
            place.back.store(true, Ordering::Release);
        }
        self.hung.push(Hung { uuid, since, place });
    }
}
