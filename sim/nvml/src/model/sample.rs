//! Buffers of past values.

use super::usage::by_domain;
use super::{Device, percent, seconds, whole_u32};
use crate::code::{Answer, Code};
use crate::curve::Curve;

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "NVML's names of them")]
pub enum Sampling {
    TotalPower,
    GpuUtilization,
    MemoryUtilization,
    EncoderUtilization,
    DecoderUtilization,
    ProcessorClock,
    MemoryClock,
}

/// A past value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, by the script's clock of samples.
    pub stamp_us: u64,
    /// mW, percent or MHz.
    pub value: u32,
}

impl TryFrom<u32> for Sampling {
    type Error = Code;

    /// From `nvmlSamplingType_t`.
    fn try_from(number: u32) -> Answer<Self> {
        Ok(match number {
            0 => Self::TotalPower,
            1 => Self::GpuUtilization,
            2 => Self::MemoryUtilization,
            3 => Self::EncoderUtilization,
            4 => Self::DecoderUtilization,
            5 => Self::ProcessorClock,
            6 => Self::MemoryClock,
            7..=9 => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_ARGUMENT),
        })
    }
}

impl<'a> Device<'a> {
    /// The samples kept that are newer than a stamp, oldest first; 0 asks for all.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`]; [`Code::NOT_FOUND`] when there are none, and for utilization also when the device has
    /// been idle for the whole buffer.
    pub fn samples(&self, sampling: Sampling, last_seen_us: u64) -> Answer<Vec<Sample>> {
        let (curve, period_s) = self.sampled(sampling)?;
        let share =
            !matches!(sampling, Sampling::TotalPower | Sampling::ProcessorClock | Sampling::MemoryClock);
        let (ended, period) = self.grid(period_s);
        let value = |end: i64| {
            let at = seconds(end * period);
            match sampling {
                _ if share => percent(curve.mean(seconds((end - 1) * period), at)),
                Sampling::TotalPower => whole_u32(curve.at(at) * 1e3),
                _ => whole_u32(curve.at(at)),
            }
        };
        let oldest = ended - i64::from(self.gpu.samples.length) + 1;
        let kept: Vec<_> = (oldest..=ended)
            .map(|end| Sample { stamp_us: self.stamp_us(end * period), value: value(end) })
            .collect();
        let dry = share && kept.iter().all(|sample| sample.value == 0);
        let new: Vec<_> = kept.into_iter().filter(|sample| sample.stamp_us > last_seen_us).collect();
        if dry || new.is_empty() { Err(Code::NOT_FOUND) } else { Ok(new) }
    }

    fn sampled(&self, sampling: Sampling) -> Answer<(&'a Curve, f64)> {
        self.whole()?;
        let period_s = self.gpu.samples.period_s;
        let regular = |curve: Option<&'a Curve>| Ok((curve.ok_or(Code::NOT_SUPPORTED)?, period_s));
        match sampling {
            Sampling::TotalPower => regular(self.gpu.power.as_ref().map(|power| &power.watts)),
            Sampling::ProcessorClock => regular(by_domain(&self.gpu.clocks_mhz, 1)?),
            Sampling::MemoryClock => regular(by_domain(&self.gpu.clocks_mhz, 2)?),
            _ => {
                let utilization = self.measured()?;
                let curve = match sampling {
                    Sampling::MemoryUtilization => Some(&utilization.memory),
                    Sampling::EncoderUtilization => utilization.encoder.as_ref(),
                    Sampling::DecoderUtilization => utilization.decoder.as_ref(),
                    _ => Some(&utilization.gpu),
                };
                Ok((curve.ok_or(Code::NOT_SUPPORTED)?, utilization.period_s))
            }
        }
    }
}
