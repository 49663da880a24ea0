//! What goes over the network interfaces.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Reading, Readings};

use super::files::{Odd, Proc};
use super::growth::{Counters, Growth};

/// Reads bytes received and sent over all interfaces but loopback.
///
/// What passes a bridge and a port of it, or a bond and its members, counts at each: the kernel counts it so.
#[derive(Debug)]
pub(super) struct Network(Growth<2>);

impl Default for Network {
    fn default() -> Self {
        Self(Growth::new("interface"))
    }
}

impl Network {
    pub(super) fn read(&mut self, proc: &Proc, now: Mono, into: &mut Readings<HostMetric>) {
        let rates = proc.parse("net/dev", parse).and_then(|counters| self.0.per_second(now, counters));
        let one = |at: usize| -> Reading { rates.as_ref().map(|rates| rates[at]).map_err(Clone::clone) };
        into.set(HostMetric::NetworkReceivedBytesPerS, one(0));
        into.set(HostMetric::NetworkSentBytesPerS, one(1));
    }
}

/// Two lines of headings, then a line for each interface: its name, a colon that may touch the first number,
/// 8 numbers of what was received and 8 of what was sent, bytes first.
fn parse(text: &str) -> Result<Counters<2>, Odd> {
    let mut lines = text.lines().skip(2).peekable();
    if lines.peek().is_none() {
        return Err(Odd::garbled("ends before its first interface"));
    }
    let mut all = Counters::new();
    for line in lines {
        let (name, counts) =
            line.split_once(':').ok_or_else(|| Odd::garbled(format!("`{line}` is of no interface")))?;
        let name = name.trim();
        if name == "lo" {
            continue;
        }
        let mut counts = counts.split_whitespace().map(|count| count.parse().ok());
        let received = counts.next().flatten();
        let sent = counts.nth(7).flatten();
        let (Some(received), Some(sent)) = (received, sent) else {
            return Err(Odd::garbled(format!("interface {name} has no counts of bytes")));
        };
        all.insert(name.to_owned(), [received, sent]);
    }
    if all.is_empty() { Err(Odd::Nothing("no interface but loopback".to_owned())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::reading::AbsenceReason;
    use std::time::Duration;

    const HEADINGS: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";
    const INTERFACES: &str = "    \
    lo: 84498983201 265841914    0    0    0     0          0         0 84498983201 265841914    0    0    0     0       0          0
  ifb0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  eth0:300688010   12476    0    0    0     0          0         0   808250    7145    0    0    0     0       0          0
";

    #[test]
    fn all_interfaces_but_loopback_count() {
        let counters = parse(&format!("{HEADINGS}{INTERFACES}")).unwrap();
        let expected = [("eth0", [300_688_010, 808_250]), ("ifb0", [0, 0])];
        assert_eq!(counters, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
    }

    #[test]
    fn a_host_with_loopback_alone_has_nothing_to_read_and_a_cut_text_is_an_error() {
        let alone = format!("{HEADINGS}    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n");
        assert!(matches!(parse(&alone), Err(Odd::Nothing(_))));
        let cut = format!("{HEADINGS}  eth0: 300688010   12476    0    0\n");
        assert_eq!(parse(&cut), Err(Odd::garbled("interface eth0 has no counts of bytes")));
        for odd in ["", HEADINGS, &format!("{HEADINGS}  eth"), &format!("{HEADINGS} eth0: x 0 0 0 0 0 0 0 1")]
        {
            assert!(matches!(parse(odd), Err(Odd::Garbled(_))), "{odd}");
        }
    }

    #[test]
    fn an_absence_is_of_both_directions_and_so_is_a_rate() {
        let dir = tempfile::tempdir().unwrap();
        let proc = Proc::at(dir.path());
        let mut network = Network::default();
        let mut read = |seconds, text: Option<&str>| {
            if let Some(text) = text {
                std::fs::create_dir_all(dir.path().join("net")).unwrap();
                std::fs::write(dir.path().join("net/dev"), format!("{HEADINGS}{text}")).unwrap();
            }
            let mut readings = Readings::default();
            network.read(&proc, Mono::from_nanos(0) + Duration::from_secs(seconds), &mut readings);
            let value = |metric| readings.value(metric).map_err(|absence| absence.reason);
            (value(HostMetric::NetworkReceivedBytesPerS), value(HostMetric::NetworkSentBytesPerS))
        };
        let both = |reason| (Err(reason), Err(reason));
        assert_eq!(read(0, None), both(AbsenceReason::Unsupported));
        assert_eq!(read(1, Some(INTERFACES)), both(AbsenceReason::NotYet));
        let later = INTERFACES.replace("300688010", "300688110").replace("808250", "808260");
        assert_eq!(read(2, Some(&later)), (Ok(100.0), Ok(10.0)));
        assert_eq!(read(3, Some("  eth0: 1")), both(AbsenceReason::Error));
    }
}
