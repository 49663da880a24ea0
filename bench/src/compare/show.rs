//! Figures and tables as text.

use super::report::Turns;

/// How a figure is written.
#[derive(Clone, Copy)]
pub(super) enum Show {
    Whole(&'static str),
    Tenths(&'static str),
    Hundredths,
    Times,
    Percent,
}

impl Show {
    pub(super) fn of(self, value: f64) -> String {
        match self {
            Self::Whole(unit) => format!("{}{unit}", grouped(value)),
            Self::Tenths(unit) => format!("{value:.1}{unit}"),
            Self::Hundredths => format!("{value:.2}"),
            Self::Times => format!("{value:.2} x"),
            Self::Percent => format!("{:.1} %", value * 100.0),
        }
    }
}

/// A whole number with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

/// The median, with the smallest and the largest behind it.
pub(super) fn spread(turns: &Turns, show: Show) -> String {
    match turns.summary() {
        None => "-".to_owned(),
        Some(s) => format!("{} ({} to {})", show.of(s.median), show.of(s.min), show.of(s.max)),
    }
}

/// A table of Markdown.
pub(super) fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&columns.iter().map(|&c| c.to_owned()).collect::<Vec<_>>());
    text.extend(["|", &"---|".repeat(columns.len()), "\n"]);
    text.extend(rows.map(|row| line(&row)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_kept_apart() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(-1_234_567.0), "-1,234,567");
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_not_a_zero() {
        assert_eq!(spread(&Turns::default(), Show::Times), "-");
        assert_eq!(spread(&Turns(vec![1.0, 3.0]), Show::Times), "2.00 x (1.00 x to 3.00 x)");
    }
}
