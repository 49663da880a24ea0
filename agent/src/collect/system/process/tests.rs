//! Watched processes in a directory that stands for `/proc`.

use std::fs;
use std::path::PathBuf;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{AbsenceReason, Reading, Readings};

use super::Processes;
use crate::collect::system::files::Proc;
use crate::config::Watched;

/// A host whose processes are what a test says.
struct Host {
    dir: tempfile::TempDir,
    processes: Processes,
    seconds: i64,
}

impl Host {
    fn watching(watched: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("loadavg"), "no process").unwrap();
        let watched = watched.iter().map(|watched| watched.parse::<Watched>().unwrap()).collect();
        let processes = Processes::at(Proc::at(dir.path()), watched);
        Self { dir, processes, seconds: 0 }
    }

    fn place(&self, pid: u32) -> PathBuf {
        self.dir.path().join(pid.to_string())
    }

    /// A process that started when its number says, with so many seconds of processor time and one page.
    fn runs(&self, pid: u32, parent: u32, name: &str, command: &str, cpu_s: u64) {
        let ticks = cpu_s * rustix::param::clock_ticks_per_second();
        let stat = format!(
            "{pid} ({name}) S {parent} 1 1 0 -1 4194304 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {pid} 4096 1 0\n"
        );
        fs::create_dir_all(self.place(pid)).unwrap();
        fs::write(self.place(pid).join("stat"), stat).unwrap();
        fs::write(self.place(pid).join("cmdline"), command.replace(' ', "\0")).unwrap();
    }

    fn ends(&self, pid: u32) {
        fs::remove_dir_all(self.place(pid)).unwrap();
    }

    /// The readings two seconds later.
    fn read(&mut self) -> Readings<HostMetric> {
        self.seconds += 2;
        self.processes.read(Mono::from_nanos(self.seconds * 1_000_000_000))
    }

    /// How many.
    fn number(&mut self) -> Reading {
        self.read().value(HostMetric::Processes)
    }

    /// How many, and the percent of one core.
    fn counts(&mut self) -> (f64, Option<f64>) {
        let readings = self.read();
        let cpu = readings.value(HostMetric::ProcessCpuPercent);
        if let Err(absence) = &cpu {
            assert_eq!(absence.reason, AbsenceReason::NotYet, "{absence}");
        }
        (readings.value(HostMetric::Processes).unwrap(), cpu.ok())
    }

    fn absent(&mut self) -> (AbsenceReason, String) {
        let readings = self.read();
        let absence = readings.value(HostMetric::Processes).unwrap_err();
        for metric in super::METRICS {
            assert_eq!(readings.get(metric), Some(&Err(absence.clone())));
        }
        (absence.reason, absence.detail)
    }
}

#[test]
fn a_name_is_the_kernels_or_the_programs_and_children_count_too() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(1, 0, "init", "/sbin/init", 9);
    host.runs(10, 1, "vllm", "/usr/bin/python3 /usr/bin/vllm serve", 1);
    host.runs(11, 10, "worker", "python3", 1);
    host.runs(12, 11, "helper", "helper", 1);
    host.runs(20, 1, "python3", "/opt/bin/vllm", 1);
    host.runs(30, 1, "other", "cat vllm", 1);
    assert_eq!(host.counts(), (4.0, None));
    let pages = Ok(4.0 * rustix::param::page_size() as f64);
    assert_eq!(host.read().value(HostMetric::ProcessMemoryBytes), pages);
    host.runs(12, 11, "helper", "helper", 2);
    host.runs(30, 1, "other", "cat vllm", 9);
    assert_eq!(host.counts(), (4.0, Some(50.0)));
}

#[test]
fn a_number_is_the_process_that_had_it_first() {
    let mut host = Host::watching(&["10"]);
    host.runs(10, 1, "vllm", "vllm", 1);
    host.runs(11, 1, "vllm", "vllm", 1);
    assert_eq!(host.number(), Ok(1.0));
    let text = fs::read_to_string(host.place(10).join("stat")).unwrap();
    fs::write(host.place(10).join("stat"), text.replace(" 10 4096 ", " 77 4096 ")).unwrap();
    assert_eq!(host.absent(), (AbsenceReason::Lost, "no process 10 is there".to_owned()));
}

#[test]
fn who_is_gone_counts_no_more_and_with_the_last_one_they_are_lost() {
    let mut host = Host::watching(&["vllm", "77"]);
    host.runs(10, 1, "vllm", "vllm", 1);
    host.runs(11, 1, "vllm", "vllm", 1);
    assert_eq!(host.counts(), (2.0, None));
    host.ends(11);
    assert_eq!(host.counts(), (1.0, Some(0.0)));
    host.ends(10);
    let nobody = "no process named `vllm` and no process 77 is there";
    assert_eq!(host.absent(), (AbsenceReason::Lost, nobody.to_owned()));
    host.runs(12, 1, "vllm", "vllm", 1);
    assert_eq!(host.counts(), (1.0, Some(50.0)), "all that it used was used since");
}

#[test]
fn an_ended_process_that_nobody_asked_for_is_not_there() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(10, 1, "vllm", "vllm", 1);
    assert_eq!(host.number(), Ok(1.0));
    let text = fs::read_to_string(host.place(10).join("stat")).unwrap();
    fs::write(host.place(10).join("stat"), text.replace(") S", ") Z")).unwrap();
    assert_eq!(host.absent().0, AbsenceReason::Lost);
}

#[test]
fn a_new_process_that_becomes_another_program_is_found_at_once() {
    let mut host = Host::watching(&["vllm"]);
    assert_eq!(host.absent().0, AbsenceReason::Lost);
    host.runs(10, 1, "sh", "sh", 0);
    host.runs(11, 10, "sh", "sh", 0);
    for _ in 0..20 {
        assert_eq!(host.absent().0, AbsenceReason::Lost);
    }
    host.runs(10, 1, "vllm", "vllm", 0);
    assert_eq!(host.counts(), (2.0, None), "older than the reading before");
    assert_eq!(host.counts(), (2.0, Some(0.0)));
    host.runs(10, 1, "sh", "sh", 0);
    assert_eq!(host.absent().0, AbsenceReason::Lost);
}

#[test]
fn one_that_was_there_for_long_and_becomes_another_program_is_found_within_a_minute() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(10, 1, "sh", "sh", 0);
    assert_eq!(host.absent().0, AbsenceReason::Lost);
    assert_eq!(host.absent().0, AbsenceReason::Lost);
    host.runs(10, 1, "vllm", "vllm", 0);
    assert_eq!(host.absent().0, AbsenceReason::Lost);
    host.seconds += 60;
    assert_eq!(host.number(), Ok(1.0));
}

#[test]
fn what_a_process_used_before_it_was_watched_does_not_count() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(10, 1, "sh", "sh", 0);
    host.runs(11, 10, "child", "child", 0);
    host.absent();
    host.absent();
    host.runs(10, 1, "vllm", "vllm", 0);
    host.runs(11, 10, "child", "child", 5);
    host.seconds += 60;
    assert_eq!(host.counts(), (2.0, None));
    assert_eq!(host.counts(), (2.0, Some(0.0)), "the five seconds were before it was watched");
}

#[test]
fn what_cannot_be_read_is_told_when_it_may_be_what_was_asked_for() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(9, 1, "odd", "odd", 1);
    fs::write(host.place(9).join("stat"), "9 (odd) S 1 1").unwrap();
    let (reason, detail) = host.absent();
    assert_eq!(reason, AbsenceReason::Error);
    assert!(detail.starts_with("no process named `vllm` among those that can be read; /"), "{detail}");
    assert!(detail.contains("/9/stat: "), "{detail}");

    host.runs(10, 1, "vllm", "vllm", 1);
    assert_eq!(host.number(), Ok(1.0), "another one does no harm");
    fs::write(host.place(10).join("stat"), "").unwrap();
    let (reason, detail) = host.absent();
    assert_eq!(reason, AbsenceReason::Error);
    assert!(detail.contains("/10/stat: "), "{detail}");
}

#[test]
fn without_a_list_of_processes_they_are_unsupported() {
    let mut processes = Processes::at(Proc::at("/nonexistent"), vec![Watched::Pid(1)]);
    let absence = processes.read(Mono::from_nanos(0)).value(HostMetric::Processes).unwrap_err();
    assert_eq!(absence.reason, AbsenceReason::Unsupported);
    assert!(absence.detail.starts_with("could not read /nonexistent"), "{absence}");
}

#[test]
fn a_reading_that_comes_too_soon_is_left_out() {
    let mut host = Host::watching(&["vllm"]);
    host.runs(10, 1, "vllm", "vllm", 1);
    assert_eq!(host.read().len(), 3);
    let soon = Mono::from_nanos(host.seconds * 1_000_000_000 + 500_000_000);
    assert!(host.processes.read(soon).is_empty());
}
