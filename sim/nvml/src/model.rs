//! What a device answers at an instant: script and time in, value or error out. Pure.
//!
//! | file | what |
//! |---|---|
//! | `identity` | names, numbers, addresses, MIG |
//! | `usage` | utilization, memory, temperature, clocks |
//! | `power` | power and the energy counter |
//! | `link` | PCIe, NVLink, ECC |
//! | `process` | who uses a device |
//! | `sample` | buffers of past values |
//! | `field` | all of it by number |
//! | `event` | Xid errors as events |

mod event;
mod field;
mod identity;
mod link;
mod power;
mod process;
mod sample;
mod usage;

pub use event::XidEvent;
pub use field::{Field, FieldValue};
pub use identity::{PciAddress, pci_address};
pub use process::{ProcessInUse, ProcessShare};
pub use sample::{Sample, Sampling};

use crate::clock::Now;
use crate::code::{Answer, Code};
use crate::curve::Curve;
use crate::script::{Gpu, MigInstance, SampleClock, Script};

/// A device, or an instance of one, at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    script: &'a Script,
    gpu: &'a Gpu,
    instance: Option<&'a MigInstance>,
    now: Now,
}

impl Script {
    /// The device or MIG instance of a UUID, at an instant.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn device(&self, uuid: &str, now: Now) -> Answer<Device<'_>> {
        let instances = |gpu: &'_ Gpu| gpu.mig.as_ref().is_some_and(|mig| mig.enabled);
        self.devices
            .iter()
            .find_map(|gpu| {
                let within = gpu.mig.iter().filter(|_| instances(gpu)).flat_map(|mig| &mig.instances);
                let instance = within.into_iter().find(|instance| instance.uuid == uuid);
                (gpu.uuid == uuid || instance.is_some()).then_some(Device {
                    script: self,
                    gpu,
                    instance,
                    now,
                })
            })
            .ok_or(Code::NOT_FOUND)
    }

    /// Seconds since the script's epoch.
    pub fn second(&self, now: Now) -> f64 {
        seconds(self.elapsed_ns(now))
    }

    fn elapsed_ns(&self, now: Now) -> i64 {
        now.monotonic_ns.cast_signed().wrapping_sub(self.epoch_ns.cast_signed())
    }
}

impl<'a> Device<'a> {
    /// Its GPU's UUID.
    pub fn gpu_uuid(&self) -> &'a str {
        &self.gpu.uuid
    }

    /// The UUID of the MIG instance that it is.
    pub fn instance_uuid(&self) -> Option<&'a str> {
        self.instance.map(|instance| instance.uuid.as_str())
    }

    /// Nanoseconds since the script's epoch.
    fn elapsed_ns(&self) -> i64 {
        self.script.elapsed_ns(self.now)
    }

    /// Seconds since the script's epoch.
    fn second(&self) -> f64 {
        seconds(self.elapsed_ns())
    }

    /// The last end of a period, in periods since the epoch, and the period in nanoseconds.
    fn grid(&self, period_s: f64) -> (i64, i64) {
        let period = nanoseconds(period_s).max(1);
        (self.elapsed_ns().div_euclid(period), period)
    }

    /// The mean over the last complete period.
    fn over_period(&self, curve: &Curve, period_s: f64) -> f64 {
        let (ended, period) = self.grid(period_s);
        curve.mean(seconds((ended - 1) * period), seconds(ended * period))
    }

    /// A stamp of a sample buffer, for an instant in nanoseconds since the epoch.
    fn stamp_us(&self, elapsed_ns: i64) -> u64 {
        let now_ns = match self.script.sample_clock {
            SampleClock::Unix => self.now.unix_ns,
            SampleClock::Monotonic => self.now.monotonic_ns.cast_signed(),
        };
        // Rounded at last: the same instant has the same stamp whenever it is asked for.
        (now_ns - self.elapsed_ns() + elapsed_ns).div_euclid(1_000).max(0).cast_unsigned()
    }

    /// Only whole devices have it.
    fn whole(&self) -> Answer<()> {
        if self.instance.is_some() { Err(Code::NOT_SUPPORTED) } else { Ok(()) }
    }

    fn mig_enabled(&self) -> bool {
        self.gpu.mig.as_ref().is_some_and(|mig| mig.enabled)
    }

    /// Neither instances nor devices that are divided into them have it.
    fn undivided(&self) -> Answer<()> {
        if self.mig_enabled() { Err(Code::NOT_SUPPORTED) } else { Ok(()) }
    }

    /// A curve's value now, on a whole device that has it.
    fn value(&self, curve: Option<&Curve>) -> Answer<f64> {
        self.whole()?;
        Ok(curve.ok_or(Code::NOT_SUPPORTED)?.at(self.second()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and an hour is far from it")]
fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// To the nearest whole number; what is below none is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole_u32(value: f64) -> u32 {
    value.round() as u32
}

/// To the nearest whole number; what is below none is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole_u64(value: f64) -> u64 {
    value.round() as u64
}

fn percent(value: f64) -> u32 {
    whole_u32(value.clamp(0.0, 100.0))
}

#[cfg(test)]
#[path = "model/tests.rs"]
mod tests;
