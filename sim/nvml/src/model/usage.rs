//! Utilization, memory, temperature, clocks.

use super::{Device, percent, whole_u32, whole_u64};
use crate::code::{Answer, Code};
use crate::curve::Curve;
use crate::script::{Clocks, Utilization};

impl<'a> Device<'a> {
    /// Shares of the last complete period in percent: kernels, memory.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] with MIG.
    pub fn utilization(&self) -> Answer<(u32, u32)> {
        let utilization = self.measured()?;
        let share = |curve| percent(self.over_period(curve, utilization.period_s));
        Ok((share(&utilization.gpu), share(&utilization.memory)))
    }

    /// The encoder's share in percent and the period in microseconds.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn encoder(&self) -> Answer<(u32, u32)> {
        let utilization = self.measured()?;
        self.codec(utilization, utilization.encoder.as_ref())
    }

    /// The decoder's share in percent and the period in microseconds.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn decoder(&self) -> Answer<(u32, u32)> {
        let utilization = self.measured()?;
        self.codec(utilization, utilization.decoder.as_ref())
    }

    fn codec(&self, utilization: &Utilization, curve: Option<&Curve>) -> Answer<(u32, u32)> {
        let share = self.over_period(curve.ok_or(Code::NOT_SUPPORTED)?, utilization.period_s);
        Ok((percent(share), whole_u32(utilization.period_s * 1e6)))
    }

    pub(super) fn measured(&self) -> Answer<&'a Utilization> {
        self.undivided()?;
        self.gpu.utilization.as_ref().ok_or(Code::NOT_SUPPORTED)
    }

    /// Bytes: total, reserved, free, used. What is used ends where the memory does.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn memory(&self) -> Answer<[u64; 4]> {
        let own = self.gpu.memory.as_ref();
        let memory = self.instance.map(|instance| &instance.memory).or(own).ok_or(Code::NOT_SUPPORTED)?;
        let available = memory.total_bytes.saturating_sub(memory.reserved_bytes);
        let used = whole_u64(memory.used_bytes.at(self.second())).min(available);
        Ok([memory.total_bytes, memory.reserved_bytes, available - used, used])
    }

    /// Degrees Celsius of the chip.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn temperature_c(&self) -> Answer<u32> {
        self.value(self.gpu.temperature_c.as_ref()).map(whole_u32)
    }

    /// Degrees Celsius of the memory.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn memory_temperature_c(&self) -> Answer<u32> {
        self.value(self.gpu.memory_temperature_c.as_ref()).map(whole_u32)
    }

    /// MHz of a domain (`nvmlClockType_t`).
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`], [`Code::INVALID_ARGUMENT`] for a domain that NVML does not know.
    pub fn clock_mhz(&self, domain: u32) -> Answer<u32> {
        self.value(by_domain(&self.gpu.clocks_mhz, domain)?).map(whole_u32)
    }

    /// Highest MHz of a domain (`nvmlClockType_t`).
    ///
    /// # Errors
    /// As [`clock_mhz`](Self::clock_mhz).
    pub fn max_clock_mhz(&self, domain: u32) -> Answer<u32> {
        self.value(by_domain(&self.gpu.max_clocks_mhz, domain)?).map(whole_u32)
    }

    /// 0 (fastest) to 15.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn performance_state(&self) -> Answer<u32> {
        self.value(self.gpu.performance_state.as_ref()).map(whole_u32)
    }

    /// Why the clock is held down.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn throttle(&self) -> Answer<u64> {
        self.value(self.gpu.throttle.as_ref()).map(whole_u64)
    }

    /// Nanoseconds for which a policy (`nvmlPerfPolicyType_t`) has held the clock down, and the microsecond at which
    /// that was counted.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`], [`Code::INVALID_ARGUMENT`] for a policy that NVML does not know.
    pub fn violation(&self, policy: u32) -> Answer<(u64, u64)> {
        let violations = &self.gpu.violations_ns;
        let curve = match policy {
            0 => &violations.power,
            1 => &violations.thermal,
            2 => &violations.sync_boost,
            3 => &violations.board_limit,
            4 => &violations.low_utilization,
            5 => &violations.reliability,
            10 => &violations.app_clocks,
            11 => &violations.base_clocks,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        let held = self.value(curve.as_ref()).map(whole_u64)?;
        Ok((held, self.now.unix_us().max(0).cast_unsigned()))
    }
}

pub(super) fn by_domain(clocks: &Clocks, domain: u32) -> Answer<Option<&Curve>> {
    let curve = match domain {
        0 => &clocks.graphics,
        1 => &clocks.sm,
        2 => &clocks.memory,
        3 => &clocks.video,
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    Ok(curve.as_ref())
}
