//! When NVML is to be started anew.

use std::collections::BTreeSet;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::GpuUuid;

use super::absence::Extent;

/// First pause before NVML is started anew, when the driver is gone: nothing can be read meanwhile anyway.
const DRIVER_PAUSE: Duration = Duration::from_millis(500);
/// As above, when a GPU is gone: the others are not read while NVML starts.
const GPU_PAUSE: Duration = Duration::from_secs(2);
/// Pauses double with each start that did not help, up to these.
const LONGEST_DRIVER_PAUSE: Duration = Duration::from_secs(10);
/// See [`LONGEST_DRIVER_PAUSE`].
const LONGEST_GPU_PAUSE: Duration = Duration::from_mins(1);

/// How a start of NVML went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// All that there is can be read.
    Well,
    /// Some GPUs are gone.
    LeftOut,
    /// It failed.
    Failed,
}

/// Decides when to start NVML anew. Pure.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// When it is due, and because of what.
    due: Option<(Mono, Extent)>,
    /// Starts that did not help so far.
    tries: u32,
    gone: BTreeSet<GpuUuid>,
    /// The last start left GPUs out, whose names nobody knows.
    left_out: bool,
}

impl Restart {
    /// Whether to do it now.
    pub(super) fn is_due(&self, now: Mono) -> bool {
        self.due.is_some_and(|(due, _)| now >= due)
    }

    /// A call about a GPU failed as one does when the driver, or the GPU, is gone.
    pub(super) fn failed(&mut self, uuid: &GpuUuid, extent: Extent, now: Mono) {
        self.gone.insert(uuid.clone());
        let sooner = |known: Extent| known == Extent::Gpu && extent == Extent::Driver;
        if self.due.is_none_or(|(_, known)| sooner(known)) {
            self.due = Some((now + pause(extent, self.tries), extent));
        }
    }

    /// A GPU answered.
    pub(super) fn answered(&mut self, uuid: &GpuUuid) {
        if self.gone.remove(uuid) && self.gone.is_empty() && !self.left_out {
            (self.due, self.tries) = (None, 0);
        }
    }

    /// It was started, and that went well or not.
    pub(super) fn tried(&mut self, now: Mono, how: Start) {
        // With nobody missing any more the next failure is a first one.
        let whole = how == Start::Well && self.gone.is_empty();
        self.tries = if whole { 0 } else { self.tries.saturating_add(1) };
        self.left_out = how == Start::LeftOut;
        let again = |extent| Some((now + pause(extent, self.tries), extent));
        self.due = match how {
            // Readings show whether it helped.
            Start::Well => None,
            Start::LeftOut => again(Extent::Gpu),
            Start::Failed => again(Extent::Driver),
        };
    }
}

fn pause(extent: Extent, tries: u32) -> Duration {
    let (first, longest) = match extent {
        Extent::Driver => (DRIVER_PAUSE, LONGEST_DRIVER_PAUSE),
        Extent::Gpu => (GPU_PAUSE, LONGEST_GPU_PAUSE),
    };
    first.saturating_mul(2_u32.saturating_pow(tries)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    fn gpu(name: &str) -> GpuUuid {
        GpuUuid(name.to_owned())
    }

    #[test]
    fn a_driver_that_is_gone_is_tried_soon_and_then_less_and_less_often() {
        let mut restart = Restart::default();
        assert!(!restart.is_due(at(0)));
        restart.failed(&gpu("a"), Extent::Driver, at(0));
        restart.failed(&gpu("b"), Extent::Driver, at(100));
        assert!(!restart.is_due(at(499)) && restart.is_due(at(500)));
        restart.tried(at(500), Start::Failed);
        assert!(!restart.is_due(at(1499)) && restart.is_due(at(1500)));
        restart.tried(at(1500), Start::Failed);
        assert!(!restart.is_due(at(3499)) && restart.is_due(at(3500)));
    }

    #[test]
    fn a_single_gpu_that_is_gone_disturbs_the_others_rarely() {
        let mut restart = Restart::default();
        restart.failed(&gpu("a"), Extent::Gpu, at(0));
        assert!(!restart.is_due(at(1999)) && restart.is_due(at(2000)));
        restart.tried(at(2000), Start::Well);
        assert!(!restart.is_due(at(9_999_999)), "a start that went well is followed by readings");
        restart.answered(&gpu("b"));
        restart.failed(&gpu("a"), Extent::Gpu, at(2100));
        assert!(!restart.is_due(at(6099)) && restart.is_due(at(6100)));
    }

    #[test]
    fn a_gpu_that_was_never_seen_is_looked_for_again_while_the_others_answer() {
        let mut restart = Restart::default();
        restart.tried(at(0), Start::LeftOut);
        restart.failed(&gpu("b"), Extent::Gpu, at(100));
        restart.answered(&gpu("b"));
        assert!(!restart.is_due(at(3999)) && restart.is_due(at(4000)));
        restart.tried(at(4000), Start::Well);
        assert!(!restart.is_due(at(9_999_999)));
        restart.failed(&gpu("b"), Extent::Driver, at(10_000_000));
        assert!(restart.is_due(at(10_000_500)), "a failure after that is a first one");
    }

    #[test]
    fn once_all_answer_again_the_next_failure_is_a_first_one() {
        let mut restart = Restart::default();
        for name in ["a", "b"] {
            restart.failed(&gpu(name), Extent::Driver, at(0));
        }
        restart.tried(at(500), Start::Well);
        restart.answered(&gpu("a"));
        restart.answered(&gpu("b"));
        restart.failed(&gpu("a"), Extent::Driver, at(10_000));
        assert!(restart.is_due(at(10_500)));
    }

    #[test]
    fn a_driver_that_goes_while_a_gpu_is_gone_is_tried_as_soon_as_any() {
        let mut restart = Restart::default();
        restart.failed(&gpu("a"), Extent::Gpu, at(0));
        restart.failed(&gpu("b"), Extent::Driver, at(100));
        assert!(restart.is_due(at(600)));
    }
}
