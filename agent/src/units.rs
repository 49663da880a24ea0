//! What a metric's name says of its unit.

/// The unit that a metric's name ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Percent,
    BytesPerSecond,
    Bytes,
    Watts,
    Joules,
    Celsius,
    Megahertz,
    Microseconds,
    /// A count, or a number of its own kind such as a load average.
    Plain,
}

/// Endings, longer ones before those that they end in.
const ENDINGS: [(&str, Unit); 8] = [
    ("_percent", Unit::Percent),
    ("_bytes_per_s", Unit::BytesPerSecond),
    ("_bytes", Unit::Bytes),
    ("_w", Unit::Watts),
    ("_j", Unit::Joules),
    ("_c", Unit::Celsius),
    ("_mhz", Unit::Megahertz),
    ("_us", Unit::Microseconds),
];

impl Unit {
    /// A metric's name without its unit, and the unit.
    pub(crate) fn split(name: &str) -> (&str, Self) {
        let ending = |(ending, unit)| Some((name.strip_suffix(ending)?, unit));
        ENDINGS.into_iter().find_map(ending).unwrap_or((name, Self::Plain))
    }

    /// A value for people, with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{} %", short(value)),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
            Self::Bytes => bytes(value),
            Self::Watts => format!("{} W", short(value)),
            Self::Joules => format!("{} J", short(value)),
            Self::Celsius => format!("{} C", short(value)),
            Self::Megahertz => format!("{} MHz", short(value)),
            Self::Microseconds => format!("{} us", short(value)),
            Self::Plain => short(value),
        }
    }
}

/// One decimal, and two below ten; none that would be zeros.
fn short(value: f64) -> String {
    let text = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", short(value), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::metric::{GpuMetric, HostMetric};

    #[test]
    fn every_metric_is_shown_in_the_unit_of_its_name() {
        let shown = |name| Unit::split(name).1.show(1.0);
        let gpu: Vec<String> = GpuMetric::ALL.iter().map(|metric| shown(metric.name())).collect();
        assert_eq!(
            gpu,
            [
                "1 %", "1 %", "1 B", "1 B", "1 B", "1 W", "1 W", "1 W", "1 J", "1 C", "1 MHz", "1 MHz", "1",
                "1 %", "1 %", "1", "1", "1 B/s", "1 B/s", "1", "1", "1", "1", "1"
            ]
        );
        let host: Vec<String> = HostMetric::ALL.iter().map(|metric| shown(metric.name())).collect();
        assert_eq!(
            host,
            [
                "1 %", "1 B", "1 B", "1", "1 B/s", "1 B/s", "1 B/s", "1 B/s", "1 %", "1 %", "1 %", "1",
                "1 B", "1 %", "1 B", "1", "1 %", "1 B", "1 us", "1 us"
            ]
        );
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        assert_eq!([0.0, 0.25, 9.0, 61.04, 1410.0].map(short), ["0", "0.25", "9", "61", "1410"]);
        assert_eq!(
            [0.0, 1023.0, 1536.0, 8e9, 3e15].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "7.45 GiB", "2728.5 TiB"]
        );
    }
}
