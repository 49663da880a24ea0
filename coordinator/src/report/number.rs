//! How numbers look to people.

/// Seconds with a fitting precision: `15.23s`, below a tenth of a second `87.3ms`, below a millisecond
/// `0.870ms`.
pub(super) fn seconds(s: f64) -> String {
    if s >= 0.0995 || s == 0.0 {
        format!("{s:.2}s")
    } else if s >= 0.001 {
        format!("{:.1}ms", s * 1e3)
    } else {
        format!("{:.3}ms", s * 1e3)
    }
}

/// Items per second: `1.15`, and more digits where two decimals would hide the value.
pub(super) fn rate(per_s: f64) -> String {
    if per_s == 0.0 || per_s >= 0.1 { format!("{per_s:.2}") } else { format!("{per_s:.4}") }
}

/// Requests per second: whole ones where there are many.
pub(super) fn per_second(per_s: f64) -> String {
    if per_s >= 100.0 { format!("{per_s:.0}") } else { rate(per_s) }
}

/// Bytes of memory: `14 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Bytes of much memory: `12.0 GiB`.
pub(super) fn gibibytes(bytes: f64) -> String {
    format!("{:.1} GiB", bytes / f64::from(1 << 30))
}

/// A number with how wrong it may be, to two digits of the latter and six of the former or so: `850.0±4.5`. The latter
/// is rounded up.
pub(super) fn measured(value: f64, uncertainty: f64) -> String {
    let supported = match uncertainty {
        u if u >= 9.95 => 0,
        u if u >= 0.995 || u <= 0.0 => 1,
        u if u >= 0.0995 => 2,
        _ => 3,
    };
    let digits = if value.abs() >= 1_000.0 { supported.min(1) } else { supported };
    let scale = [1.0, 10.0, 100.0, 1_000.0][digits];
    // What binary fractions add is no reason to round up.
    let uncertainty = (uncertainty * scale * (1.0 - 1e-9)).ceil() / scale;
    format!("{value:.digits$}±{uncertainty:.digits$}")
}

/// A share: `45.2%`.
pub(super) fn percent(p: f64) -> String {
    format!("{p:.1}%")
}

/// A part of a whole. Never `100.0%` while something is missing, nor `0.0%` while there is something.
pub(super) fn part(p: f64) -> String {
    if (99.95..100.0).contains(&p) {
        ">99.9%".to_owned()
    } else if p > 0.0 && p < 0.05 {
        "<0.1%".to_owned()
    } else {
        percent(p)
    }
}

/// A change with its sign: `+360.0%`, `-12.0%`, and `0.0%` for none.
pub(super) fn signed_percent(p: f64) -> String {
    let text = format!("{p:+.1}%");
    if text == "+0.0%" || text == "-0.0%" { "0.0%".to_owned() } else { text }
}

/// A score: `0.342`.
pub(super) fn score(s: f64) -> String {
    format!("{s:.3}")
}

/// Microseconds as milliseconds with a sign: `+0.412ms`.
pub(super) fn signed_ms(us: i64) -> String {
    format!("{:+.3}ms", us as f64 / 1e3)
}

/// Microseconds as milliseconds: `0.412ms`.
pub(super) fn ms(us: f64) -> String {
    format!("{:.3}ms", us / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_read_right_in_both_directions() {
        let shown: Vec<_> = [360.0, -12.0, 0.0, -0.04, 0.04, -0.06].map(signed_percent).into();
        assert_eq!(shown, ["+360.0%", "-12.0%", "0.0%", "0.0%", "0.0%", "-0.1%"]);
    }

    #[test]
    fn seconds_show_three_digits_or_so_at_any_size() {
        let shown: Vec<_> = [0.0, 0.000_87, 0.087_3, 0.0996, 0.95, 15.234, 300.0].map(seconds).into();
        assert_eq!(shown, ["0.00s", "0.870ms", "87.3ms", "0.10s", "0.95s", "15.23s", "300.00s"]);
    }

    #[test]
    fn a_part_is_not_rounded_to_all_or_nothing() {
        let shown: Vec<_> = [100.0, 99.99, 99.9, 0.01, 0.0].map(part).into();
        assert_eq!(shown, ["100.0%", ">99.9%", "99.9%", "<0.1%", "0.0%"]);
    }

    #[test]
    fn many_requests_a_second_and_bytes_are_whole() {
        assert_eq!([0.0, 12.5, 84_000.4].map(per_second), ["0.00", "12.50", "84000"]);
        assert_eq!(mebibytes(14_900_000), "14 MiB");
    }

    #[test]
    fn a_number_has_as_many_digits_as_its_uncertainty_supports() {
        let shown =
            [(14_870.3, 140.0), (850.04, 4.54), (1.234, 0.12), (0.5, 0.01), (212.5, 0.0), (1_300.26, 0.019)];
        let shown = shown.map(|(value, uncertainty)| measured(value, uncertainty));
        assert_eq!(shown, ["14870±140", "850.0±4.6", "1.23±0.12", "0.500±0.010", "212.5±0.0", "1300.3±0.1"]);
        assert_eq!(gibibytes(12.5 * 1024.0 * 1024.0 * 1024.0), "12.5 GiB");
    }

    #[test]
    fn a_small_rate_is_not_rounded_to_zero() {
        assert_eq!([0.0, 0.004, 0.25, 1234.5].map(rate), ["0.00", "0.0040", "0.25", "1234.50"]);
    }
}
