//! What a generator says of its own run. The server's count is the measure; this is set beside it, and tells whether
//! requests failed.

use serde::Serialize;
use serde_json::Value;

use super::Tool;

/// A generator's own account.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Requests a second.
    pub requests_per_s: f64,
    /// Requests without a good answer. What was cut off by the end of the time is none.
    pub failures: u64,
}

/// Reads what a generator printed; `None` when it is not what that generator prints.
pub fn claim(tool: Tool, printed: &str) -> Option<Claim> {
    match tool {
        Tool::Wrk | Tool::Wrk2 => wrk(printed),
        Tool::Oha => oha(printed),
        Tool::Hey => hey(printed),
        Tool::K6
        | Tool::Fluxfleet
        | Tool::FluxfleetEngine
        | Tool::FluxfleetRecords
        | Tool::FluxfleetUnprivileged
        | Tool::Hyper
        | Tool::Reqwest
        | Tool::Sockets => json_line(printed),
    }
}

/// The number after a label.
fn after<T: std::str::FromStr>(text: &str, label: &str) -> Option<T> {
    text.split_once(label)?.1.split([',', ' ', '\n', '\t']).find(|w| !w.is_empty())?.parse().ok()
}

fn wrk(text: &str) -> Option<Claim> {
    let requests_per_s = after(text, "Requests/sec:")?;
    let mut failures: u64 = after(text, "Non-2xx or 3xx responses:").unwrap_or(0);
    if let Some((_, errors)) = text.split_once("Socket errors:") {
        for kind in ["connect ", "read ", "write ", "timeout "] {
            failures += after::<u64>(errors, kind)?;
        }
    }
    Some(Claim { requests_per_s, failures })
}

fn oha(text: &str) -> Option<Claim> {
    let report: Value = serde_json::from_str(text).ok()?;
    let sum = |key: &str, counts: &dyn Fn(&str) -> bool| -> Option<u64> {
        let entries = report.get(key)?.as_object()?;
        Some(entries.iter().filter(|(name, _)| counts(name)).filter_map(|(_, n)| n.as_u64()).sum())
    };
    let bad_statuses = sum("statusCodeDistribution", &|status| !status.starts_with('2'))?;
    let errors = sum("errorDistribution", &|error| !error.contains("deadline"))?;
    let requests_per_s = report.get("summary")?.get("requestsPerSec")?.as_f64()?;
    Some(Claim { requests_per_s, failures: bad_statuses + errors })
}

fn hey(text: &str) -> Option<Claim> {
    let requests_per_s = after(text, "Requests/sec:")?;
    let mut failures = 0;
    for line in text.lines() {
        // `  [200]	1000 responses` and, under `Error distribution:`, `  [12]	Post "http..": dial ..`
        let Some((code, rest)) = line.trim().strip_prefix('[').and_then(|l| l.split_once(']')) else {
            continue;
        };
        let count: u64 = match rest.trim().strip_suffix(" responses") {
            Some(_) if code.starts_with('2') => 0,
            Some(count) => count.parse().ok()?,
            None => code.parse().ok()?,
        };
        failures += count;
    }
    Some(Claim { requests_per_s, failures })
}

fn json_line(text: &str) -> Option<Claim> {
    let line: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(Claim {
        requests_per_s: line.get("requests_per_s")?.as_f64()?,
        failures: line.get("failures")?.as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of a second or two against this workspace's own server.
    const WRK: &str = include_str!("fixtures/wrk.txt");
    const WRK_FAILED: &str = include_str!("fixtures/wrk-failed.txt");
    const OHA: &str = include_str!("fixtures/oha.json");
    const HEY: &str = include_str!("fixtures/hey.txt");
    const HEY_FAILED: &str = include_str!("fixtures/hey-failed.txt");

    fn figures(tool: Tool, printed: &str) -> (u64, u64) {
        let Claim { requests_per_s, failures } = claim(tool, printed).expect("what it prints");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        let rate = requests_per_s as u64;
        (rate, failures)
    }

    #[test]
    fn wrk_is_understood() {
        assert_eq!(figures(Tool::Wrk, WRK), (184_174, 0));
        assert_eq!(figures(Tool::Wrk, WRK_FAILED), (184_174, 12));
    }

    #[test]
    fn oha_is_understood_and_what_the_end_cut_off_is_no_failure() {
        assert!(OHA.contains("aborted due to deadline"));
        assert_eq!(figures(Tool::Oha, OHA), (139_746, 0));
        let failed = OHA.replace("aborted due to deadline", "connection reset");
        assert_eq!(figures(Tool::Oha, &failed), (139_746, 51));
        let refused = OHA.replace("\"200\"", "\"503\"");
        assert_eq!(figures(Tool::Oha, &refused), (139_746, 139_976));
    }

    #[test]
    fn hey_is_understood() {
        assert_eq!(figures(Tool::Hey, HEY), (996, 0));
        assert_eq!(figures(Tool::Hey, HEY_FAILED), (17_222, 6));
        assert_eq!(figures(Tool::Hey, &HEY.replace("[200]", "[500]")), (996, 1000));
    }

    #[test]
    fn the_programs_of_the_workspace_print_one_line() {
        let line = r#"{"failures":0,"requests":93534,"requests_per_s":93280.1}"#;
        assert_eq!(figures(Tool::Reqwest, &format!("a warning\n{line}\n")), (93_280, 0));
    }

    #[test]
    fn other_words_are_not_taken_for_figures() {
        for tool in Tool::ALL {
            assert_eq!(claim(tool, "something else\n"), None, "{tool:?}");
        }
    }
}
