//! The newest reading of everything that is read, and for how long it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEventKind, GpuReading, GpuUuid, HostSample, Occasion, Reading,
};

/// Periods of its lane for which a reading counts: one may be missed, and the next be late.
const PERIODS: u32 = 3;

/// For how long a reading counts at least. A fast lane of 20 ms must not lose its readings to one hiccup.
const LEAST: Duration = Duration::from_secs(2);

/// The newest reading of everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest {
    samples: u64,
    host: BTreeMap<HostMetric, Kept<f64>>,
    gpus: BTreeMap<GpuUuid, Gpu>,
    /// GPUs that were not there at first.
    found: Vec<Device>,
    /// Errors that the driver reported, by GPU (`None`: it did not say which) and number.
    xids: BTreeMap<(Option<GpuUuid>, u64), u64>,
}

#[derive(Clone, Debug, Default)]
struct Gpu {
    values: BTreeMap<GpuMetric, Kept<f64>>,
    throttle: Option<Kept<Vec<String>>>,
    last_xid: Option<u64>,
}

/// A reading and when it stops to count.
#[derive(Clone, Debug)]
struct Kept<T> {
    reading: Reading<T>,
    taken: Mono,
    until: Mono,
}

impl<T: Clone> Kept<T> {
    fn at(&self, now: Mono) -> Reading<T> {
        if now > self.until {
            let seconds = now.since(self.taken).as_secs();
            return Err(Absence::new(AbsenceReason::Stale, format!("last read {seconds} s ago")));
        }
        self.reading.clone()
    }
}

impl Latest {
    /// Takes in a sample that was taken at this pace.
    pub(crate) fn see(&mut self, sample: &HostSample, pace: Cadence) {
        self.samples += 1;
        let taken = sample.taken;
        let period = match sample.occasion {
            Occasion::Fast => pace.fast,
            Occasion::Slow => pace.slow,
            _ => pace.normal,
        };
        let until = taken + period.saturating_mul(PERIODS).max(LEAST);
        for (metric, reading) in sample.system.values.iter() {
            self.host.insert(metric, Kept { reading: reading.clone(), taken, until });
        }
        for GpuReading { uuid, values, throttle, .. } in &sample.gpus {
            let gpu = self.gpus.entry(uuid.clone()).or_default();
            for (metric, reading) in values.iter() {
                gpu.values.insert(metric, Kept { reading: reading.clone(), taken, until });
            }
            if let Some(reading) = throttle.clone() {
                gpu.throttle = Some(Kept { reading, taken, until });
            }
        }
        for event in &sample.events {
            match &event.kind {
                GpuEventKind::Xid(number) => {
                    *self.xids.entry((event.uuid.clone(), *number)).or_default() += 1;
                    if let Some(uuid) = &event.uuid {
                        self.gpus.entry(uuid.clone()).or_default().last_xid = Some(*number);
                    }
                }
                GpuEventKind::Found(device) => self.found.push(device.clone()),
                GpuEventKind::Gone(_) | GpuEventKind::Back => {}
            }
        }
    }

    /// The GPUs by now, given those that were there at first.
    ///
    /// # Errors
    /// Why there are none, as it was at first.
    pub(crate) fn devices(&self, at_first: &Result<Vec<Device>, Absence>) -> Result<Vec<Device>, Absence> {
        match at_first {
            Err(absence) if self.found.is_empty() => Err(absence.clone()),
            first => Ok(first.iter().flatten().chain(&self.found).cloned().collect()),
        }
    }

    /// Samples seen.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// A number of a GPU; `None`: it was never asked for.
    pub(crate) fn gpu(&self, uuid: &GpuUuid, metric: GpuMetric, now: Mono) -> Option<Reading> {
        self.gpus.get(uuid)?.values.get(&metric).map(|kept| kept.at(now))
    }

    /// Why a GPU's clock is held down; `None`: it was never asked for.
    pub(crate) fn throttle(&self, uuid: &GpuUuid, now: Mono) -> Option<Reading<Vec<String>>> {
        self.gpus.get(uuid)?.throttle.as_ref().map(|kept| kept.at(now))
    }

    /// A number of the host; `None`: it was never asked for.
    pub(crate) fn host(&self, metric: HostMetric, now: Mono) -> Option<Reading> {
        self.host.get(&metric).map(|kept| kept.at(now))
    }

    /// The last error that the driver reported of a GPU, which does not age.
    pub(crate) fn last_xid(&self, uuid: &GpuUuid) -> Option<u64> {
        self.gpus.get(uuid)?.last_xid
    }

    /// Errors that the driver reported, by GPU and number, and how often.
    pub(crate) fn xids(&self) -> impl Iterator<Item = (Option<&GpuUuid>, u64, u64)> {
        self.xids.iter().map(|((uuid, number), count)| (uuid.as_ref(), *number, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::reading;
    use fluxfleet_proto::reading::GpuEvent;

    fn at(seconds: i64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn pace(normal: u64) -> Cadence {
        let far = Duration::from_hours(1);
        Cadence { fast: Duration::from_millis(100), normal: Duration::from_secs(normal), slow: far }
    }

    fn sample(occasion: Occasion, taken: Mono) -> HostSample {
        HostSample { gpus: vec![reading("a")], ..HostSample::new(0, occasion, taken) }
    }

    fn power(latest: &Latest, now: Mono) -> Option<Reading> {
        latest.gpu(&GpuUuid("a".to_owned()), GpuMetric::PowerW, now)
    }

    #[test]
    fn a_reading_counts_for_three_periods_of_its_lane_and_is_stale_after_that() {
        let mut latest = Latest::default();
        latest.see(&sample(Occasion::Normal, at(10)), pace(5));
        assert_eq!(power(&latest, at(25)), Some(Ok(250.5)));
        let stale = power(&latest, at(26)).unwrap().unwrap_err();
        assert_eq!(stale, Absence::new(AbsenceReason::Stale, "last read 16 s ago"));
        latest.see(&sample(Occasion::Fast, at(30)), pace(5));
        assert_eq!(power(&latest, at(32)), Some(Ok(250.5)), "not less than two seconds");
        assert!(power(&latest, at(33)).unwrap().is_err());
        assert_eq!(latest.samples(), 2);
    }

    #[test]
    fn the_newest_reading_counts_be_it_absent() {
        let mut latest = Latest::default();
        latest.see(&sample(Occasion::Normal, at(1)), pace(1));
        let mut lost = sample(Occasion::Normal, at(2));
        lost.gpus[0].values.set(GpuMetric::PowerW, Err(Absence::new(AbsenceReason::Lost, "gone")));
        latest.see(&lost, pace(1));
        assert_eq!(power(&latest, at(2)).unwrap().unwrap_err().reason, AbsenceReason::Lost);
        assert_eq!(latest.gpu(&GpuUuid("b".to_owned()), GpuMetric::PowerW, at(2)), None);
    }

    #[test]
    fn errors_of_the_driver_are_counted_by_number_and_the_last_one_is_kept() {
        let mut latest = Latest::default();
        let uuid = GpuUuid("a".to_owned());
        let xid = |number| GpuEvent { uuid: Some(uuid.clone()), kind: GpuEventKind::Xid(number) };
        let events = vec![xid(31), xid(79), xid(31), GpuEvent { uuid: None, kind: GpuEventKind::Xid(79) }];
        latest.see(&HostSample { events, ..HostSample::new(0, Occasion::Event, at(1)) }, pace(1));
        let counted: Vec<_> =
            latest.xids().map(|(uuid, number, count)| (uuid.is_some(), number, count)).collect();
        assert_eq!(counted, [(false, 79, 1), (true, 31, 2), (true, 79, 1)]);
        assert_eq!(latest.last_xid(&uuid), Some(31));
    }
}
