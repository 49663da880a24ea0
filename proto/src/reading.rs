//! Readings of an inference host, and typed absence.

use std::fmt;
use std::str::FromStr;

use crate::clock::Mono;
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

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Stable across reboots, unlike its index.
    pub uuid: GpuUuid,
    /// Marketing name.
    pub name: String,
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

/// One reading of a whole host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSample {
    /// Counts the agent's samples from 0 without holes.
    pub seq: u64,
    /// When the reading began, on the agent's clock.
    pub taken: Mono,
    /// Wall clock then, in nanoseconds since the Unix epoch; for people, never for placing.
    pub wall_ns: u64,
    /// How long the reading took.
    pub took: Micros,
    /// Host readings.
    pub system: SystemReading,
    /// One per device.
    pub gpus: Vec<GpuReading>,
}

/// Readings of the host itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemReading {
    /// Busy share of all cores since the previous sample, 0 to 100.
    pub cpu_percent: Reading,
    /// Memory in use, bytes.
    pub memory_used_bytes: Reading,
    /// Memory in total, bytes.
    pub memory_total_bytes: Reading,
}

/// Readings of one GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReading {
    /// Which one.
    pub uuid: GpuUuid,
    /// Share of the driver's past sample period in which a kernel ran, 0 to 100.
    pub utilization_percent: Reading,
    /// Memory in use without the driver's reserved part, bytes.
    pub memory_used_bytes: Reading,
    /// Memory in total, bytes.
    pub memory_total_bytes: Reading,
    /// Power draw, W.
    pub power_w: Reading,
    /// Energy since the driver was loaded, J.
    pub energy_j: Reading,
    /// Core temperature, degrees Celsius.
    pub temperature_c: Reading,
    /// Clock of the streaming multiprocessors, MHz.
    pub sm_clock_mhz: Reading,
    /// Why the clock is held down; empty when it is not.
    pub throttle: Reading<Vec<String>>,
}
