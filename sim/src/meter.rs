//! The instruments of one virtual GPU: utilization, power, energy and temperature as exact functions of the load.
//!
//! Between two events of the engine the load is constant, so every integral has a closed form:
//! - power `P = 55 W` asleep; awake (a request in any stage) `150 W + 250 W * occupancy`;
//! - energy `E += P dt`;
//! - temperature tends to `30 C + 0.125 C/W * P` with a time constant of 20 s: `T = T' + (T - T') exp(-dt/20)`;
//! - utilization is the share of the last complete sampling period in which a kernel ran.
//!
//! The constants are those of an 80 GB data-centre card: 55 W idle, 400 W and 80 C at full load.

use std::time::Duration;

pub(crate) const IDLE_W: f64 = 55.0;
pub(crate) const AWAKE_W: f64 = 150.0;
pub(crate) const FULL_W: f64 = 400.0;
const AMBIENT_C: f64 = 30.0;
const C_PER_W: f64 = 0.125;
const WARMING_S: f64 = 20.0;
const IDLE_CLOCK_MHZ: u32 = 210;
const AWAKE_CLOCK_MHZ: u32 = 1755;

/// What a GPU does at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// A request holds an instance, in any stage.
    pub(crate) awake: bool,
    /// A kernel runs: a request denoises.
    pub(crate) busy: bool,
    /// Share of the peak speed in use, 0 to 1.
    pub(crate) occupancy: f64,
}

impl Load {
    /// Watts drawn under this load.
    pub(crate) fn power_w(self) -> f64 {
        if self.awake { AWAKE_W + (FULL_W - AWAKE_W) * self.occupancy } else { IDLE_W }
    }

    /// Clock of the multiprocessors under this load, MHz.
    pub(crate) fn sm_clock_mhz(self) -> u32 {
        if self.awake { AWAKE_CLOCK_MHZ } else { IDLE_CLOCK_MHZ }
    }

    /// Why the clock is low, in snake case of NVML's names.
    pub(crate) fn throttle(self) -> Vec<String> {
        if self.awake { Vec::new() } else { vec!["gpu_idle".to_owned()] }
    }
}

/// Integrates the load over time.
#[derive(Debug)]
pub(crate) struct Meter {
    period: f64,
    energy_j: f64,
    temperature_c: f64,
    /// Seconds into the current sampling period, and how many of them were busy.
    elapsed: f64,
    busy: f64,
    last_utilization: Option<f64>,
}

impl Meter {
    /// A meter at rest, with utilization measured over `period`.
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period: period.as_secs_f64(),
            energy_j: 0.0,
            temperature_c: AMBIENT_C + C_PER_W * IDLE_W,
            elapsed: 0.0,
            busy: 0.0,
            last_utilization: None,
        }
    }

    /// Lets `seconds` pass under a constant load.
    pub(crate) fn pass(&mut self, seconds: f64, load: Load) {
        let power_w = load.power_w();
        self.energy_j += power_w * seconds;
        let target = AMBIENT_C + C_PER_W * power_w;
        self.temperature_c = target + (self.temperature_c - target) * (-seconds / WARMING_S).exp();
        self.sample(seconds, load.busy);
    }

    fn sample(&mut self, mut seconds: f64, busy: bool) {
        let busy_share = if busy { 1.0 } else { 0.0 };
        if self.elapsed + seconds >= self.period {
            let rest = self.period - self.elapsed;
            self.last_utilization = Some((self.busy + rest * busy_share) / self.period);
            seconds -= rest;
            if seconds >= self.period {
                self.last_utilization = Some(busy_share);
                seconds %= self.period;
            }
            (self.elapsed, self.busy) = (0.0, 0.0);
        }
        self.elapsed += seconds;
        self.busy += seconds * busy_share;
    }

    /// Joules so far.
    pub(crate) fn energy_j(&self) -> f64 {
        self.energy_j
    }

    /// Degrees Celsius now.
    pub(crate) fn temperature_c(&self) -> f64 {
        self.temperature_c
    }

    /// Busy share of the last complete period in percent; of the time so far while the first one runs.
    pub(crate) fn utilization_percent(&self) -> f64 {
        let so_far = if self.elapsed > 0.0 { self.busy / self.elapsed } else { 0.0 };
        (100.0 * self.last_utilization.unwrap_or(so_far)).clamp(0.0, 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Load = Load { awake: false, busy: false, occupancy: 0.0 };
    const FULL: Load = Load { awake: true, busy: true, occupancy: 1.0 };

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    #[test]
    fn energy_is_the_integral_of_power_however_time_is_cut() {
        let (mut whole, mut cut) = (Meter::new(Duration::from_secs(1)), Meter::new(Duration::from_secs(1)));
        whole.pass(10.0, FULL);
        whole.pass(5.0, IDLE);
        for _ in 0..1000 {
            cut.pass(0.01, FULL);
        }
        for _ in 0..500 {
            cut.pass(0.01, IDLE);
        }
        assert!(close(whole.energy_j(), 10.0 * FULL_W + 5.0 * IDLE_W));
        assert!(close(cut.energy_j(), whole.energy_j()));
        assert!(close(cut.temperature_c(), whole.temperature_c()));
    }

    #[test]
    fn temperature_rests_when_idle_and_settles_when_loaded() {
        let mut meter = Meter::new(Duration::from_secs(1));
        let at_rest = meter.temperature_c();
        meter.pass(1000.0, IDLE);
        assert!(close(meter.temperature_c(), at_rest));
        meter.pass(20.0, FULL);
        let warm = meter.temperature_c();
        assert!(warm > at_rest && warm < 80.0);
        meter.pass(1000.0, FULL);
        assert!(close(meter.temperature_c(), 80.0));
    }

    #[test]
    fn utilization_is_that_of_the_last_complete_period() {
        let mut meter = Meter::new(Duration::from_secs(1));
        assert!(close(meter.utilization_percent(), 0.0));
        meter.pass(0.25, FULL);
        assert!(close(meter.utilization_percent(), 100.0), "the first period so far");
        meter.pass(0.75, IDLE);
        assert!(close(meter.utilization_percent(), 25.0));
        meter.pass(0.9, FULL);
        assert!(close(meter.utilization_percent(), 25.0), "the period still runs");
        meter.pass(0.1, FULL);
        assert!(close(meter.utilization_percent(), 100.0));
        meter.pass(7.5, IDLE);
        assert!(close(meter.utilization_percent(), 0.0));
        meter.pass(0.5, FULL);
        assert!(close(meter.utilization_percent(), 50.0));
    }
}
