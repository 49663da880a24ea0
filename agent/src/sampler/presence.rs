//! Which GPUs answer, and what to tell when that changes.

use std::collections::BTreeMap;

use fluxfleet_proto::reading::{Absence, AbsenceReason, GpuEvent, GpuEventKind, GpuReading, GpuUuid};

/// The GPUs that do not answer.
#[derive(Debug, Default)]
pub(super) struct Presence {
    gone: BTreeMap<GpuUuid, AbsenceReason>,
}

impl Presence {
    /// Takes in readings of the normal lane; what changed with them.
    pub(super) fn see(&mut self, gpus: &[GpuReading]) -> Vec<GpuEvent> {
        let changed = |gpu: &GpuReading| {
            let uuid = Some(gpu.uuid.clone());
            if let Some(absence) = absence(gpu) {
                let before = self.gone.insert(gpu.uuid.clone(), absence.reason);
                let news = before != Some(absence.reason);
                news.then_some(GpuEvent { uuid, kind: GpuEventKind::Gone(absence) })
            } else {
                let was_gone = self.gone.remove(&gpu.uuid).is_some();
                was_gone.then_some(GpuEvent { uuid, kind: GpuEventKind::Back })
            }
        };
        gpus.iter().filter_map(changed).collect()
    }
}

/// Why nothing at all is known of a GPU; `None` when something is.
fn absence(gpu: &GpuReading) -> Option<Absence> {
    let mut all = gpu.values.iter().map(|(_, reading)| reading);
    let first = all.next()?.as_ref().err()?;
    all.all(Result::is_err).then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::all_absent;
    use crate::testing::reading;
    use fluxfleet_proto::metric::GpuMetric;
    use fluxfleet_proto::reading::Occasion;

    fn gone(uuid: &str, reason: AbsenceReason) -> GpuReading {
        all_absent(GpuUuid(uuid.to_owned()), Occasion::Normal, &Absence::new(reason, "x"))
    }

    fn told(events: Vec<GpuEvent>) -> Vec<(String, GpuEventKind)> {
        events.into_iter().map(|event| (event.uuid.unwrap().0, event.kind)).collect()
    }

    #[test]
    fn a_gpu_that_goes_and_comes_back_is_told_once_each() {
        let mut presence = Presence::default();
        let lost = || GpuEventKind::Gone(Absence::new(AbsenceReason::Lost, "x"));
        let stale = || GpuEventKind::Gone(Absence::new(AbsenceReason::Stale, "x"));
        assert_eq!(presence.see(&[reading("a"), reading("b")]), []);
        let away = [gone("a", AbsenceReason::Lost), reading("b")];
        assert_eq!(told(presence.see(&away)), [("a".to_owned(), lost())]);
        assert_eq!(presence.see(&away), []);
        let otherwise = [gone("a", AbsenceReason::Stale), reading("b")];
        assert_eq!(told(presence.see(&otherwise)), [("a".to_owned(), stale())]);
        let back = presence.see(&[reading("a"), reading("b")]);
        assert_eq!(told(back), [("a".to_owned(), GpuEventKind::Back)]);
    }

    #[test]
    fn a_gpu_that_tells_anything_is_there() {
        let mut some = gone("a", AbsenceReason::Lost);
        some.values.set(GpuMetric::TemperatureC, Ok(0.0));
        assert_eq!(Presence::default().see(&[some]), []);
    }
}
