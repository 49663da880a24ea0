//! Readings of an inference host, and typed absence.

use std::fmt;
use std::str::FromStr;

use crate::clock::Mono;
use crate::id::TrialId;
use crate::metric::{GpuMetric, HostMetric};
use crate::units::Micros;

/// A number, or why there is none. Zero is a measurement.
pub type Reading<T = f64> = Result<T, Absence>;

/// Why a reading could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The class.
    pub reason: AbsenceReason,
    /// What the source said, for people. May be empty.
    pub detail: String,
}

impl Absence {
    /// An absence with its detail.
    pub fn new(reason: AbsenceReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// The classes of absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbsenceReason {
    /// The device or host can never tell.
    Unsupported,
    /// Permission is missing.
    Denied,
    /// The device was lost or the driver went away.
    Lost,
    /// The source did not answer in time; the last value is too old.
    Stale,
    /// The source answered with an error.
    Error,
    /// No value yet, as with a rate that needs two readings.
    NotYet,
}

impl fmt::Display for AbsenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Lost => "lost",
            Self::Stale => "stale",
            Self::Error => "error",
            Self::NotYet => "not_yet",
        })
    }
}

/// A GPU, or an instance of one that is partitioned (MIG).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Stable across reboots, unlike its index.
    pub uuid: GpuUuid,
    /// Marketing name.
    pub name: String,
    /// Its place in the driver's order now.
    pub index: u32,
    /// Where it sits, as `00000000:3B:00.0`; empty when that is not known.
    pub pci_bus: String,
    /// Architecture, as `ampere`; empty when that is not known.
    pub architecture: String,
    /// The GPU that it is an instance of.
    pub parent: Option<GpuUuid>,
}

impl Device {
    /// A whole GPU of which no more is known.
    pub fn new(uuid: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            uuid: GpuUuid(uuid.into()),
            name: name.into(),
            index: 0,
            pci_bus: String::new(),
            architecture: String::new(),
            parent: None,
        }
    }
}

/// A GPU's UUID as the driver prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpuUuid(pub String);

impl fmt::Display for GpuUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GpuUuid {
    type Err = std::convert::Infallible;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(Self(s.to_owned()))
    }
}

/// Numbers of one subject, each read or absent. A metric that is not among them was not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings<M>(Vec<(M, Reading)>);

impl<M> Default for Readings<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Copy + PartialEq> Readings<M> {
    /// Sets a metric's reading.
    pub fn set(&mut self, metric: M, reading: Reading) {
        match self.0.iter_mut().find(|(m, _)| *m == metric) {
            Some((_, old)) => *old = reading,
            None => self.0.push((metric, reading)),
        }
    }

    /// With a metric's reading set.
    #[must_use]
    pub fn with(mut self, metric: M, reading: Reading) -> Self {
        self.set(metric, reading);
        self
    }

    /// A metric's reading; `None`: it was not asked for.
    pub fn get(&self, metric: M) -> Option<&Reading> {
        self.0.iter().find(|(m, _)| *m == metric).map(|(_, reading)| reading)
    }

    /// A metric's reading.
    ///
    /// # Errors
    /// Why it is absent; one that was not asked for is so as [`NotYet`](AbsenceReason::NotYet).
    pub fn value(&self, metric: M) -> Reading {
        let not_asked = || Err(Absence::new(AbsenceReason::NotYet, "not part of this sample"));
        self.get(metric).cloned().unwrap_or_else(not_asked)
    }

    /// All, in the order they were set in.
    pub fn iter(&self) -> impl Iterator<Item = (M, &Reading)> {
        self.0.iter().map(|(metric, reading)| (*metric, reading))
    }

    /// All, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (M, &mut Reading)> {
        self.0.iter_mut().map(|(metric, reading)| (*metric, reading))
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Metrics that were asked for.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<M: Copy + PartialEq> FromIterator<(M, Reading)> for Readings<M> {
    fn from_iter<I: IntoIterator<Item = (M, Reading)>>(readings: I) -> Self {
        let mut all = Self::default();
        readings.into_iter().for_each(|(metric, reading)| all.set(metric, reading));
        all
    }
}

/// Why a sample was taken, which says what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// The fast lane, 20 to 100 ms: power and energy.
    Fast,
    /// The normal lane, 500 ms unless told otherwise: everything that costs little.
    Normal,
    /// The slow lane: what blocks or costs, such as PCIe throughput and processes; one GPU at a time.
    Slow,
    /// An edge of a trial, here its start: energy and memory.
    Start(TrialId),
    /// The other edge, its end.
    End(TrialId),
    /// Something happened to a GPU.
    Event,
}

/// One sample of a host: what was read of it at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSample {
    /// Counts the agent's samples from 0 without holes.
    pub seq: u64,
    /// Why it was taken.
    pub occasion: Occasion,
    /// When the reading began, on the agent's clock.
    pub taken: Mono,
    /// Wall clock then, in nanoseconds since the Unix epoch; for people, never for placing.
    pub wall_ns: u64,
    /// How long the reading took.
    pub took: Micros,
    /// Readings of the host itself.
    pub system: SystemReading,
    /// Readings of the GPUs that were read, one each.
    pub gpus: Vec<GpuReading>,
    /// What happened to GPUs.
    pub events: Vec<GpuEvent>,
}

impl HostSample {
    /// A sample with nothing in it yet.
    pub fn new(seq: u64, occasion: Occasion, taken: Mono) -> Self {
        Self {
            seq,
            occasion,
            taken,
            wall_ns: 0,
            took: Micros(0),
            system: SystemReading::default(),
            gpus: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// Readings of the host itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemReading {
    /// Numbers.
    pub values: Readings<HostMetric>,
    /// Busy share of each core since the previous reading, 0 to 100. `None`: not asked for.
    pub core_percent: Option<Reading<Vec<f64>>>,
}

/// Readings of one GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReading {
    /// Which one.
    pub uuid: GpuUuid,
    /// Numbers.
    pub values: Readings<GpuMetric>,
    /// Those whose value the driver has not renewed since the sample before: told again, not measured again.
    pub repeated: Vec<GpuMetric>,
    /// The driver's own stamp of power and energy, in nanoseconds since the Unix epoch, where it gives one.
    pub driver_wall_ns: Option<u64>,
    /// Why the clock is held down; empty when it is not. `None`: not asked for.
    pub throttle: Option<Reading<Vec<String>>>,
    /// Processes that compute on it. `None`: not asked for.
    pub processes: Option<Reading<Vec<GpuProcess>>>,
}

impl GpuReading {
    /// A reading with nothing in it yet.
    pub fn new(uuid: GpuUuid) -> Self {
        Self {
            uuid,
            values: Readings::default(),
            repeated: Vec::new(),
            driver_wall_ns: None,
            throttle: None,
            processes: None,
        }
    }
}

/// A process on a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuProcess {
    /// Its number on the host.
    pub pid: u32,
    /// Its program; empty when that is not known.
    pub name: String,
    /// GPU memory it uses, bytes.
    pub memory_bytes: Reading,
    /// Its share of the streaming multiprocessors over the last second or so, 0 to 100.
    pub utilization_percent: Reading,
}

/// Something that happened to a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuEvent {
    /// To which one; `None`: to all.
    pub uuid: Option<GpuUuid>,
    /// What.
    pub kind: GpuEventKind,
}

/// What can happen to a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuEventKind {
    /// The driver reported an error of this number (Xid).
    Xid(u64),
    /// Its readings are absent from now on.
    Gone(Absence),
    /// It answers again.
    Back,
    /// It was not there when the agent greeted, and is now.
    Found(Device),
}
