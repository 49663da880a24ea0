//! Power and the energy counter.

use super::{Device, seconds, whole_u32};
use crate::code::{Answer, Code};
use crate::script::{Architecture, Energy, Power};

/// The span over which newer devices average their power.
const AVERAGE_S: f64 = 1.0;

impl<'a> Device<'a> {
    /// Milliwatts as `nvmlDeviceGetPowerUsage` has them: a 1 s average on Ampere and newer, the instant's on GA100
    /// and older.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn power_mw(&self) -> Answer<u32> {
        if self.averages() { self.average_mw() } else { self.instant_mw() }
    }

    /// Milliwatts over the last second.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`], also on GA100 and older.
    pub fn average_mw(&self) -> Answer<u32> {
        let power = self.draws()?;
        if !self.averages() {
            return Err(Code::NOT_SUPPORTED);
        }
        let now = self.second();
        Ok(whole_u32(power.watts.mean(now - AVERAGE_S, now) * 1e3))
    }

    /// Milliwatts now.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn instant_mw(&self) -> Answer<u32> {
        Ok(whole_u32(self.draws()?.watts.at(self.second()) * 1e3))
    }

    /// Milliwatts that it may draw.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn power_limit_mw(&self) -> Answer<u32> {
        self.draws()?.limit_watts.map(|watts| whole_u32(watts * 1e3)).ok_or(Code::NOT_SUPPORTED)
    }

    /// Millijoules on the counter: the base, and the integral of the power since, as of the counter's last update.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`], also before Volta.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    pub fn energy_mj(&self) -> Answer<u64> {
        let power = self.draws()?;
        if self.gpu.architecture < Architecture::Volta {
            return Err(Code::NOT_SUPPORTED);
        }
        let energy = self.gpu.energy.clone().unwrap_or_default();
        let Energy { base_mj, at_s, watts, update_s } = &energy;
        let (updates, period) = self.grid(*update_s);
        let updated = seconds(updates * period).max(*at_s);
        let joules = watts.as_ref().unwrap_or(&power.watts).integral(*at_s, updated);
        // A thousandth of a millijoule, lest an integral that is whole falls below itself.
        Ok((base_mj + joules * 1e3 + 1e-3).floor() as u64)
    }

    fn draws(&self) -> Answer<&'a Power> {
        self.whole()?;
        self.gpu.power.as_ref().ok_or(Code::NOT_SUPPORTED)
    }

    fn averages(&self) -> bool {
        self.gpu.architecture >= Architecture::Ga10x
    }
}
