//! Prometheus's text format, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::Write as _;

use fluxfleet_proto::latency::Latency;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Upper bounds of a histogram's buckets, in microseconds. A call into a driver takes some 10 us, one that wakes a GPU
/// up a second.
const BOUNDS_US: [u64; 13] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// A page of families. One without samples leaves no trace.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// A family, whose samples have to come before the next one's.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &'a str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        Family { text: self, name, kind, help, begun: false }
    }

    /// A family of histograms of durations, in seconds.
    pub(super) fn histograms<'a>(&'a mut self, name: &'a str, help: &'a str) -> Family<'a> {
        Family { text: self, name, kind: "histogram", help, begun: false }
    }

    /// All of it.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Samples of one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut Text,
    name: &'a str,
    kind: &'static str,
    help: &'a str,
    begun: bool,
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        self.line("", labels, None, value);
    }

    /// Adds a histogram. A bucket's bound is met to a thousandth, as the recorded durations are.
    pub(super) fn durations(&mut self, labels: &[Label<'_>], latency: &Latency) {
        let mut counts = [0_u64; BOUNDS_US.len()];
        for recorded in latency.histogram().recorded() {
            let bucket = BOUNDS_US.partition_point(|bound| *bound < recorded.highest);
            if let Some(count) = counts.get_mut(bucket) {
                *count += recorded.count;
            }
        }
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(counts) {
            below += count;
            self.line("_bucket", labels, Some(&(*bound as f64 / 1e6).to_string()), below as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), latency.count() as f64);
        self.line("_sum", labels, None, latency.sum_us() as f64 / 1e6);
        self.line("_count", labels, None, latency.count() as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], le: Option<&str>, value: f64) {
        let Self { text: Text(out), name, kind, help, begun } = self;
        if !std::mem::replace(begun, true) {
            let help = help.replace('\\', r"\\").replace('\n', r"\n");
            // Writing to a string does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        out.push_str(name);
        out.push_str(suffix);
        let mut between = '{';
        for (label, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            let _ = write!(out, "{between}{label}=\"{}\"", escaped(value));
            between = ',';
        }
        if between == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::units::Micros;

    #[test]
    fn a_family_has_its_head_once_and_only_with_samples() {
        let mut text = Text::default();
        text.family("empty", Kind::Gauge, "Nothing.");
        let mut family = text.family("some_total", Kind::Counter, "Some\nof it.");
        family.sample(&[], 0.0);
        family.sample(&[("a", "1"), ("b", "")], 0.75);
        assert_eq!(
            text.into_string(),
            "# HELP some_total Some\\nof it.\n# TYPE some_total counter\nsome_total 0\nsome_total{a=\"1\",b=\"\"} 0.75\n"
        );
    }

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.family("m", Kind::Gauge, "").sample(&[("name", "a \"b\"\\c\nd")], 1.0);
        let text = text.into_string();
        assert!(text.ends_with("m{name=\"a \\\"b\\\"\\\\c\\nd\"} 1\n"), "{text}");
    }

    #[test]
    fn buckets_are_cumulative_and_what_is_beyond_them_is_in_the_last() {
        let mut latency = Latency::new();
        for us in [10, 11, 400, 20_000_000, 5_000_000_000] {
            latency.record(Micros(us));
        }
        let mut text = Text::default();
        text.histograms("call_seconds", "Calls.").durations(&[("call", "power")], &latency);
        let text = text.into_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# HELP call_seconds Calls.",
                "# TYPE call_seconds histogram",
                "call_seconds_bucket{call=\"power\",le=\"0.00001\"} 1"
            ]
        );
        for line in [
            "call_seconds_bucket{call=\"power\",le=\"0.000025\"} 2",
            "call_seconds_bucket{call=\"power\",le=\"0.00025\"} 2",
            "call_seconds_bucket{call=\"power\",le=\"0.0005\"} 3",
            "call_seconds_bucket{call=\"power\",le=\"10\"} 3",
            "call_seconds_bucket{call=\"power\",le=\"+Inf\"} 5",
            "call_seconds_sum{call=\"power\"} 5020.000421",
            "call_seconds_count{call=\"power\"} 5",
        ] {
            assert!(lines.contains(&line), "{line} is not in\n{text}");
        }
    }
}
