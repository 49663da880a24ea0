//! Reading the times of a replay.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::time::Duration;

/// Most arrivals a replay may have: each worker holds all of them.
const MOST: usize = 1_000_000;
/// Longest line that is looked at, in bytes; a file without line ends must not fill the memory.
const LONGEST_LINE: u64 = 64 << 10;

/// The times in a file, the first of them moved to 0. One line each: seconds as a decimal number, alone or as the
/// first column of a CSV file. Empty lines and those that begin with `#` are passed over, and so is a first line
/// without a number in it: a header.
pub(super) fn read(path: &str) -> Result<Arc<[Duration]>, String> {
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    parse(BufReader::new(file))
}

fn parse(mut text: impl BufRead) -> Result<Arc<[Duration]>, String> {
    let mut times: Vec<f64> = Vec::new();
    let mut line = Vec::new();
    let mut header_may_come = true;
    for number in 1u64.. {
        line.clear();
        let mut one = std::io::Read::take(&mut text, LONGEST_LINE);
        let read = one.read_until(b'\n', &mut line).map_err(|e| format!("cannot be read: {e}"))?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let first = text.split([',', ';', '\t']).next().unwrap_or_default().trim();
        let at: f64 = match first.trim_matches('"').parse() {
            Ok(at) if (0.0..1e11).contains(&at) => at,
            Err(_) if header_may_come => {
                header_may_come = false;
                continue;
            }
            _ => {
                let shown: String = text.chars().take(40).collect();
                return Err(format!(
                    "has no time on line {number} ('{shown}'); give seconds as 12.5, one on each line"
                ));
            }
        };
        header_may_come = false;
        if times.last().is_some_and(|before| at < *before) {
            return Err(format!(
                "goes back in time on line {number}, from {} to {at}; sort it by its first column",
                times.last().copied().unwrap_or_default()
            ));
        }
        if times.len() == MOST {
            return Err(format!("has more than {MOST} times, at line {number}; cut it into several"));
        }
        times.push(at);
    }
    let first = *times.first().ok_or("holds no time; give seconds as 12.5, one on each line")?;
    Ok(times.iter().map(|at| Duration::try_from_secs_f64(at - first).unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Result<Vec<u128>, String> {
        parse(text.as_bytes()).map(|times| times.iter().map(Duration::as_millis).collect())
    }

    #[test]
    fn the_first_time_becomes_zero_and_columns_comments_and_a_header_are_passed_over() {
        assert_eq!(ms("10\n10.5\n\n# note\n10.5\n12"), Ok(vec![0, 500, 500, 2000]));
        assert_eq!(ms("\u{feff}timestamp,model\r\n1.25,a\r\n\"2.5\",b\r\n"), Ok(vec![0, 1250]));
        assert_eq!(ms("1700000000.25\t1\n1700000001\t2"), Ok(vec![0, 750]));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, part) in [
            ("1\n2\nthree\n", "line 3"),
            ("at\nabout\n", "line 2"),
            ("1\n-2\n", "line 2"),
            ("5\n\n4\n", "line 3, from 5 to 4"),
            ("nan\n", "line 1"),
            ("", "no time"),
            ("# nothing\n", "no time"),
        ] {
            let error = ms(text).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let long = "0\n".repeat(MOST + 1);
        assert!(ms(&long).expect_err("too many").contains("more than 1000000"));
        assert!(read("/nowhere/times.txt").expect_err("no file").contains("cannot be read"));
    }
}
