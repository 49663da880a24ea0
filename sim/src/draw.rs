//! Seeded draws that depend on what they are for, never on the order in which threads ask.

use std::f64::consts::TAU;

/// What a draw decides; each purpose has its own stream, so that turning one knob leaves the others' draws alone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Jitter = 1,
    Failure = 2,
    ImageSeed = 3,
    RequestId = 4,
    GpuId = 5,
}

/// The draws that belong to one numbered thing.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let state = mix(mix(mix(seed) ^ (purpose as u64)) ^ number);
        Self { state }
    }

    /// The next 64 bits of SplitMix64 (Steele, Lea and Flood 2014), written out so that a seed keeps its meaning
    /// whatever version of a random-number library is at hand.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Uniform in the open interval (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// 128 bits in the form of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// The factor on the service time of job `number`: log-normal with mean 1 and standard deviation `relative_sd`, hence
/// never negative and without effect on mean capacity.
pub(crate) fn jitter_factor(seed: u64, number: u64, relative_sd: f64) -> f64 {
    let variance = relative_sd.mul_add(relative_sd, 1.0).ln();
    let normal = Draws::new(seed, Purpose::Jitter, number).normal();
    variance.sqrt().mul_add(normal, -variance / 2.0).exp()
}

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_has_mean_one_and_the_asked_deviation() {
        let factors: Vec<f64> = (0..20_000).map(|n| jitter_factor(7, n, 0.2)).collect();
        let count = factors.len() as f64;
        let mean = factors.iter().sum::<f64>() / count;
        let sd = (factors.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - 1.0).abs() < 0.01, "mean {mean}");
        assert!((sd - 0.2).abs() < 0.01, "sd {sd}");
        assert!(factors.iter().all(|f| *f > 0.0));
    }

    #[test]
    fn jitter_depends_on_seed_and_number_alone() {
        let forward: Vec<f64> = (0..50).map(|n| jitter_factor(1, n, 0.1)).collect();
        let mut backward: Vec<f64> = (0..50).rev().map(|n| jitter_factor(1, n, 0.1)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert!((jitter_factor(2, 0, 0.1) - forward[0]).abs() > 1e-9);
        assert!((jitter_factor(1, 5, 0.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_uuid_has_the_usual_form() {
        let uuid = Draws::new(0, Purpose::GpuId, 0).uuid();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
