//! Processor time of a group of processes that come and go.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Reading};

use super::stat::Stat;

/// A process of the group, as read just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) stat: Stat,
    /// It was not there when processes were looked at before: all of its time is of since then.
    pub(super) born: bool,
}

/// The group by its processes' numbers.
pub(super) type Group = BTreeMap<u32, Member>;

/// What the group used from one reading to the next.
#[derive(Debug)]
pub(super) struct Usage {
    ticks_per_s: u64,
    last: Option<(Mono, Group)>,
}

impl Usage {
    pub(super) fn new(ticks_per_s: u64) -> Self {
        Self { ticks_per_s, last: None }
    }

    /// Processor time since the previous reading in percent of one core. `lives`: whether a process that has left the
    /// group is still there.
    ///
    /// A process counts its ended children's time from when it asks for them, so the group's sum does not change when
    /// one of it ends. What leaves with a process whose parent is not of the group is unknown and not counted.
    pub(super) fn percent(&mut self, now: Mono, group: &Group, lives: impl Fn(u32) -> bool) -> Reading {
        let not_yet = |detail: &str| Err(Absence::new(AbsenceReason::NotYet, detail));
        let Some((then, before)) = &self.last else {
            self.last = Some((now, group.clone()));
            return not_yet("a share of time needs two readings");
        };
        let seconds = now.since(*then).as_secs_f64();
        if seconds == 0.0 {
            return not_yet("no time has passed since the last reading");
        }
        let ticks = grown(before, group, lives);
        self.last = Some((now, group.clone()));
        let spent = ticks.or_else(|why| not_yet(&why).map(|_: f64| 0))?;
        Ok(100.0 * spent as f64 / self.ticks_per_s as f64 / seconds)
    }
}

fn grown(before: &Group, now: &Group, lives: impl Fn(u32) -> bool) -> Result<u64, String> {
    let earlier = |pid: u32, member: &Member| before.get(&pid).filter(|old| same(old, member));
    if let Some((pid, _)) = now.iter().find(|(pid, member)| !member.born && earlier(**pid, member).is_none())
    {
        return Err(format!("process {pid} is watched only since the last reading"));
    }
    let stays = |pid: u32, member: &Member| now.get(&pid).is_some_and(|now| same(member, now));
    // Whether its time is part of the sum now, in a parent's or in one further up.
    let handed_on = |pid: u32, member: &Member| {
        let (mut pid, mut member) = (pid, member);
        // No chain of parents is longer than the group.
        for _ in 0..=before.len() {
            if stays(pid, member) {
                return true;
            }
            if lives(pid) {
                return false;
            }
            pid = member.stat.parent;
            let Some(parent) = before.get(&pid) else { return false };
            member = parent;
        }
        false
    };
    let after: u64 = now.values().map(|member| member.stat.ticks).sum();
    let until: u64 =
        before.iter().filter(|(pid, member)| handed_on(**pid, member)).map(|(_, old)| old.stat.ticks).sum();
    after.checked_sub(until).ok_or_else(|| {
        "the watched processes' time fell: one has ended whose parent does not ask for it".to_owned()
    })
}

fn same(a: &Member, b: &Member) -> bool {
    a.stat.started == b.stat.started
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(0) + Duration::from_secs(seconds)
    }

    /// A process by its number, its parent and its ticks; it started when its number says.
    fn member(pid: u32, parent: u32, ticks: u64) -> (u32, Member) {
        let stat =
            Stat { parent, ended: false, kernel: false, ticks, started: u64::from(pid) * 100, pages: 1 };
        (pid, Member { stat, born: false })
    }

    fn born(pid: u32, parent: u32, ticks: u64) -> (u32, Member) {
        let (pid, member) = member(pid, parent, ticks);
        (pid, Member { born: true, ..member })
    }

    /// Of two readings a second apart at 100 ticks a second, so that a tick is a percent.
    fn between(before: &[(u32, Member)], now: &[(u32, Member)], lives: impl Fn(u32) -> bool) -> Reading {
        let mut usage = Usage::new(100);
        let first = usage.percent(at(1), &before.iter().copied().collect(), &lives);
        assert_eq!(first.unwrap_err().reason, AbsenceReason::NotYet);
        usage.percent(at(2), &now.iter().copied().collect(), lives)
    }

    fn none(_: u32) -> bool {
        false
    }

    #[test]
    fn time_of_all_is_in_percent_of_one_core() {
        let now = [member(1, 0, 150), member(2, 1, 130)];
        assert_eq!(between(&[member(1, 0, 100), member(2, 1, 30)], &now, none), Ok(150.0));
        assert_eq!(between(&now, &now, none), Ok(0.0));
    }

    #[test]
    fn all_time_of_a_process_that_started_since_counts_and_an_older_one_needs_a_second_reading() {
        assert_eq!(between(&[member(1, 0, 5)], &[member(1, 0, 5), born(2, 1, 40)], none), Ok(40.0));
        let older = between(&[member(1, 0, 5)], &[member(1, 0, 5), member(2, 1, 4000)], none).unwrap_err();
        assert_eq!(older.reason, AbsenceReason::NotYet);
        assert!(older.detail.contains("process 2"), "{older}");
    }

    #[test]
    fn a_child_that_ended_hands_its_time_to_its_parent() {
        let before = [member(1, 0, 10), member(2, 1, 500), member(3, 2, 70)];
        assert_eq!(between(&before, &[member(1, 0, 600)], none), Ok(20.0));
    }

    #[test]
    fn what_leaves_for_a_parent_outside_is_not_counted() {
        let before = [member(1, 0, 900), member(2, 0, 10)];
        assert_eq!(between(&before, &[member(2, 0, 30)], none), Ok(20.0));
        // The parent ended, and another one took the child over.
        let before = [member(1, 0, 10), member(2, 1, 5), member(3, 2, 900)];
        assert_eq!(between(&before, &[member(1, 0, 17)], |pid| pid == 3), Ok(2.0));
    }

    #[test]
    fn time_that_fell_is_no_reading() {
        let fell = between(&[member(1, 0, 10), member(2, 1, 500)], &[member(1, 0, 11)], none).unwrap_err();
        assert_eq!(fell.reason, AbsenceReason::NotYet);
        assert!(fell.detail.contains("fell"), "{fell}");
    }

    #[test]
    fn a_number_that_is_given_anew_is_another_process() {
        let (_, other) = born(9, 0, 3);
        assert_eq!(between(&[member(1, 0, 900)], &[(1, other)], none), Ok(3.0));
    }

    #[test]
    fn a_parent_of_itself_does_not_hold_up() {
        let before = [member(1, 2, 10), member(2, 1, 10), member(3, 0, 1)];
        assert_eq!(between(&before, &[member(3, 0, 2)], none), Ok(1.0));
    }
}
