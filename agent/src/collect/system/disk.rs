//! What is read from and written to disks.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Reading, Readings};

use super::files::{Odd, Proc};
use super::growth::{Counters, Growth};

/// Bytes of a sector in the kernel's statistics, whatever the disk's own sectors are.
/// <https://docs.kernel.org/admin-guide/iostats.html>
const SECTOR: u64 = 512;

/// Devices that are memory, or made of other devices whose reads and writes count already.
const NOT_DISKS: &[&str] = &["loop", "ram", "zram", "dm", "md", "bcache", "drbd", "zd"];

/// Reads bytes read from and written to whole disks.
#[derive(Debug)]
pub(super) struct Disks(Growth<2>);

impl Default for Disks {
    fn default() -> Self {
        Self(Growth::new("disk"))
    }
}

impl Disks {
    pub(super) fn read(&mut self, proc: &Proc, now: Mono, into: &mut Readings<HostMetric>) {
        let rates = proc.parse("diskstats", parse).and_then(|counters| self.0.per_second(now, counters));
        let one = |at: usize| -> Reading { rates.as_ref().map(|rates| rates[at]).map_err(Clone::clone) };
        into.set(HostMetric::DiskReadBytesPerS, one(0));
        into.set(HostMetric::DiskWrittenBytesPerS, one(1));
    }
}

/// A line for each device: two numbers, its name, then reads, reads merged, sectors read, milliseconds, and the
/// same four of writes; more numbers may follow.
fn parse(text: &str) -> Result<Counters<2>, Odd> {
    let mut devices = Counters::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace().skip(2);
        let name = fields.next().ok_or_else(|| Odd::garbled(format!("`{line}` is of no device")))?;
        if is_no_disk(name) {
            continue;
        }
        let mut fields = fields.map(|field| field.parse::<u64>().ok());
        let read = fields.nth(2).flatten();
        let written = fields.nth(3).flatten();
        let (Some(read), Some(written)) = (read, written) else {
            return Err(Odd::garbled(format!("device {name} has no counts of sectors")));
        };
        devices.insert(name.to_owned(), [read.saturating_mul(SECTOR), written.saturating_mul(SECTOR)]);
    }
    let disks = whole(&devices);
    if disks.is_empty() { Err(Odd::Nothing("no disk".to_owned())) } else { Ok(disks) }
}

fn is_no_disk(name: &str) -> bool {
    NOT_DISKS.iter().any(|kind| {
        // `md` is not the beginning of a longer word: of `md0`, `md_d0` and `dm-0` yes, of `mdx` no.
        name.strip_prefix(kind).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

/// Those that are no partition of another, with the paths of an NVMe disk as that disk.
fn whole(devices: &Counters<2>) -> Counters<2> {
    let mut disks = Counters::new();
    let mut over_paths = Counters::<2>::new();
    for (name, counts) in devices {
        if let Some(disk) = of_nvme_path(name) {
            let sum = over_paths.entry(disk).or_default();
            *sum = [sum[0].saturating_add(counts[0]), sum[1].saturating_add(counts[1])];
        } else if !disk_of_partition(name).is_some_and(|disk| devices.contains_key(disk)) {
            disks.insert(name.clone(), *counts);
        }
    }
    // Older kernels count at the paths alone, newer ones at the disk too.
    for (name, sums) in over_paths {
        let counts = disks.entry(name).or_default();
        *counts = [counts[0].max(sums[0]), counts[1].max(sums[1])];
    }
    disks
}

/// The disk of which this would be a partition: `sda` of `sda1`, and `nvme0n1` of `nvme0n1p1`, as the kernel puts
/// a `p` after a digit.
fn disk_of_partition(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return None;
    }
    match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => Some(disk),
        _ => Some(stem),
    }
}

/// The disk to which this is one of several paths: `nvme0n1` of `nvme0c3n1`.
fn of_nvme_path(name: &str) -> Option<String> {
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let numbers = [subsystem, controller, namespace];
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.iter().all(digits).then(|| format!("nvme{subsystem}n{namespace}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(text: &str) -> Vec<(String, [u64; 2])> {
        parse(text).unwrap().into_iter().collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        let line = |name: &&str| format!("8 0 {name} 1 0 2 0 1 0 4 0 0 0 0\n");
        disks(&names.iter().map(line).collect::<String>()).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn whole_disks_count_in_sectors_of_512_bytes() {
        let text = "   7       0 loop0 9 0 9 0 9 0 9 0 0 0 0 0 0 0 0 0 0
 254       0 vda 332321 19842 26807650 1387895 53330 200690 94730552 400863 0 82872 1799819 28882 47 11443128 11014 586 46
 254       1 vda1 332300 19842 26807000 1387895 53330 200690 94730552 400863 0 82872 1799819 0 0 0 0 0 0
 253       0 zram0 5 0 5 0 5 0 5 0 0 0 0 0 0 0 0 0 0
";
        assert_eq!(disks(text), [("vda".to_owned(), [26_807_650 * 512, 94_730_552 * 512])]);
        // The shorter lines of older kernels.
        let old = "   8       0 sda 1 2 3 4 5 6 7 8 0 10 11\n";
        assert_eq!(disks(old), [("sda".to_owned(), [3 * 512, 7 * 512])]);
    }

    #[test]
    fn a_partition_is_told_from_a_disk_by_the_disk_beside_it() {
        let all =
            ["sda", "sda1", "sda12", "sdaa", "nvme0n1", "nvme0n1p1", "nvme0n10", "mmcblk0", "mmcblk0p2"];
        assert_eq!(names(&all), ["mmcblk0", "nvme0n1", "nvme0n10", "sda", "sdaa"]);
        assert_eq!(
            names(&["xvda1", "xvda2"]),
            ["xvda1", "xvda2"],
            "a machine may be given no more than these"
        );
    }

    #[test]
    fn what_is_made_of_disks_or_of_memory_counts_for_none() {
        assert_eq!(names(&["dm-0", "md127", "md127p1", "md_d0", "ram0", "loop7p1", "drbd0", "sdb"]), ["sdb"]);
        assert!(matches!(parse("7 0 loop0 0 0 0 0 0 0 0 0\n"), Err(Odd::Nothing(_))));
        assert!(matches!(parse(""), Err(Odd::Nothing(_))));
    }

    #[test]
    fn paths_to_an_nvme_disk_count_once_whether_or_not_the_disk_counts_itself() {
        let paths = "259 1 nvme0c0n1 1 0 10 0 1 0 20 0\n259 2 nvme0c1n1 1 0 1 0 1 0 2 0\n";
        let expected = [("nvme0n1".to_owned(), [11 * 512, 22 * 512])];
        assert_eq!(disks(&format!("{paths}259 0 nvme0n1 0 0 0 0 0 0 0 0\n")), expected);
        assert_eq!(disks(&format!("{paths}259 0 nvme0n1 2 0 11 0 2 0 22 0\n")), expected);
    }

    #[test]
    fn a_text_that_is_cut_is_an_error() {
        let cut = " 254       0 vda 332321 19842 268076";
        assert_eq!(parse(cut), Err(Odd::garbled("device vda has no counts of sectors")));
        for odd in ["8 0", "8 0 sda x x x x x x x", "8 0 sda 1 2 3 4 5 6 -7 8"] {
            assert!(matches!(parse(odd), Err(Odd::Garbled(_))), "{odd}");
        }
    }

    #[test]
    fn both_directions_are_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut disks = Disks::default();
        let mut read = |seconds: i64, text: &str| {
            std::fs::write(dir.path().join("diskstats"), text).unwrap();
            let mut readings = Readings::default();
            disks.read(&Proc::at(dir.path()), Mono::from_nanos(seconds * 1_000_000_000), &mut readings);
            [HostMetric::DiskReadBytesPerS, HostMetric::DiskWrittenBytesPerS].map(|m| readings.value(m).ok())
        };
        assert_eq!(read(0, "8 0 sda 1 0 10 0 1 0 20 0"), [None, None]);
        assert_eq!(read(2, "8 0 sda 1 0 12 0 1 0 21 0"), [Some(512.0), Some(256.0)]);
        assert_eq!(read(4, "8 0 sda 1 0 11 0 1 0 22 0"), [None, None], "a counter fell");
    }
}
