//! The load average.

use fluxfleet_proto::reading::Reading;

use super::files::{Odd, Proc};

/// Over a minute.
pub(super) fn over_a_minute(proc: &Proc) -> Reading {
    proc.parse("loadavg", parse)
}

/// `0.92 2.05 2.21 4/156 1417`: over 1, 5 and 15 minutes, tasks that run of all, the last one's number.
fn parse(text: &str) -> Result<f64, Odd> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let load = first.parse::<f64>().ok().filter(|load| load.is_finite() && *load >= 0.0);
    load.ok_or_else(|| Odd::garbled(format!("begins with `{first}`, which is no load average")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_of_the_last_minute() {
        assert_eq!(parse("0.92 2.05 2.21 4/156 1417\n"), Ok(0.92));
        assert_eq!(parse("1024.00 900.10 3.00 1/9 1\n"), Ok(1024.0));
    }

    #[test]
    fn what_is_no_load_average_is_told() {
        for odd in ["", "\n", "x 1 2", "NaN 1 2", "-1 2 3"] {
            assert!(matches!(parse(odd), Err(Odd::Garbled(_))), "{odd}");
        }
    }
}
