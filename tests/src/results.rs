//! `results.json` read back, checked against its schema and its own sums.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::process::{Ended, root};

/// A run's results.
#[derive(Debug)]
pub struct Results(pub Value);

impl Results {
    /// Reads and checks the file that a run wrote into `dir`; shows what the run said when there is none.
    pub fn read(dir: &Path, ended: &Ended) -> Self {
        let there = dir.join("results.json").exists();
        assert!(there, "no results.json; the run said:\n{}\n{}", ended.stdout, ended.stderr);
        Self::read_dir(dir)
    }

    /// Reads and checks `results.json` in `dir`.
    pub fn read_dir(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join("results.json")).expect("results.json");
        let value: Value = serde_json::from_str(&text).expect("results.json is JSON");
        validate(&value);
        let results = Self(value);
        results.check_sums();
        results.check_ids();
        results
    }

    /// The verdict's state.
    pub fn verdict(&self) -> &str {
        self.0["verdict"]["state"].as_str().expect("a state")
    }

    /// The verdict's reasons in one text.
    pub fn reasons(&self) -> String {
        self.0["verdict"]["reasons"].to_string()
    }

    /// Fails unless the verdict is valid. A start or a clock answer that a busy machine delays makes it degraded,
    /// and rightly so; that alone is let pass, since it says nothing about the program.
    pub fn expect_sound(&self) {
        self.expect_sound_but(&[]);
    }

    /// The same, but these strategies have so few requests that the verdict says so.
    pub fn expect_sound_but(&self, few: &[(&str, u64)]) {
        let reasons = self.0["verdict"]["reasons"].as_array().expect("an array");
        let (small, others): (Vec<_>, Vec<_>) = reasons
            .iter()
            .map(|reason| reason.as_str().expect("a text"))
            .partition(|reason| reason.contains("too few samples"));
        let told = few.iter().map(|(strategy, count)| format!("{strategy}: too few samples ({count})"));
        assert_eq!(small.len(), few.len(), "{reasons:?}");
        assert!(told.zip(&small).all(|(told, reason)| reason.starts_with(&told)), "{reasons:?}");
        let late = |reason: &&str| {
            reason.contains(" off the planned start") || reason.contains(" is known only to +/-")
        };
        assert!(others.iter().all(late), "{reasons:?}");
        assert_eq!(self.verdict(), if reasons.is_empty() { "valid" } else { "degraded" });
    }

    /// The entry of a strategy.
    pub fn strategy(&self, name: &str) -> &Value {
        self.0["performance_results"]
            .as_array()
            .expect("an array")
            .iter()
            .find(|entry| entry["strategy"] == name)
            .unwrap_or_else(|| panic!("no entry for {name}"))
    }

    /// A count of a strategy, such as `items_ok`.
    pub fn count(&self, strategy: &str, field: &str) -> u64 {
        self.strategy(strategy)[field].as_u64().unwrap_or_else(|| panic!("{strategy} has no {field}"))
    }

    /// Failed items of a kind.
    pub fn errors(&self, strategy: &str, kind: &str) -> u64 {
        let errors = self.strategy(strategy)["errors"].as_array().expect("an array");
        errors.iter().filter(|e| e["kind"] == kind).map(|e| e["count"].as_u64().expect("a count")).sum()
    }

    /// What a failure of a kind looked like.
    pub fn example(&self, strategy: &str, kind: &str) -> &str {
        let errors = self.strategy(strategy)["errors"].as_array().expect("an array");
        let error = errors.iter().find(|e| e["kind"] == kind);
        error
            .and_then(|e| e["example"].as_str())
            .unwrap_or_else(|| panic!("no example of {kind} in {errors:?}"))
    }

    /// Items of a strategy not sent for a reason.
    pub fn not_sent(&self, strategy: &str, reason: &str) -> u64 {
        let reasons = self.strategy(strategy)["not_sent"].as_array().expect("an array");
        reasons.iter().filter(|r| r["reason"] == reason).map(|r| r["count"].as_u64().expect("a count")).sum()
    }

    /// Fails unless a strategy's items ended so: ok, failed, not sent.
    pub fn expect_items(&self, strategy: &str, ok: u64, failed: u64, not_sent: u64) {
        let count = |field| self.count(strategy, field);
        let counts = (count("items_ok"), count("items_failed"), count("items_not_sent"));
        assert_eq!(counts, (ok, failed, not_sent), "{strategy}: {}", self.strategy(strategy)["errors"]);
    }

    /// The entry of a worker.
    pub fn worker(&self, name: &str) -> &Value {
        let workers = self.workers();
        workers
            .iter()
            .find(|w| w["name"] == name)
            .unwrap_or_else(|| panic!("no worker {name} in {workers:?}"))
    }

    /// Workers of the fleet.
    pub fn workers(&self) -> &[Value] {
        self.0["fleet"]["workers"].as_array().expect("an array")
    }

    /// What every demo must show: four rows, all items ok, GPU readings, and the order of the simulated host's
    /// physics: every way of asking beats the baseline.
    pub fn check_demo(&self) {
        self.expect_sound();
        let throughput = |name| self.strategy(name)["throughput"].as_f64().expect("a number");
        for name in ["baseline", "model_pool", "batch", "async"] {
            let planned = self.count(name, "items_planned");
            assert_eq!(self.count(name, "items_ok"), planned, "{name}");
            self.check_quantiles(name);
            assert!(self.strategy(name)["avg_gpu_utilization"].as_f64() > Some(0.0), "{name} shows no GPU");
            assert!(name == "baseline" || throughput(name) > throughput("baseline"), "{name} is slower");
        }
        assert!(throughput("batch") > throughput("async"), "batching amortises; async only frees the route");
    }

    /// Every item planned ended as exactly one of ok, failed, or not sent: per strategy, and over the workers.
    fn check_sums(&self) {
        let of = |value: &Value, field: &str| value[field].as_u64().unwrap_or_else(|| panic!("no {field}"));
        let (mut planned, mut accounted) = (0, 0);
        for entry in self.0["performance_results"].as_array().expect("an array") {
            let sum = of(entry, "items_ok") + of(entry, "items_failed") + of(entry, "items_not_sent");
            assert_eq!(sum, of(entry, "items_planned"), "{}", entry["strategy"]);
            let listed = |field: &str| -> u64 {
                entry[field].as_array().expect("an array").iter().map(|e| of(e, "count")).sum()
            };
            assert_eq!(listed("errors"), of(entry, "items_failed"), "{}", entry["strategy"]);
            assert_eq!(listed("not_sent"), of(entry, "items_not_sent"), "{}", entry["strategy"]);
            planned += of(entry, "items_ok") + of(entry, "items_failed");
        }
        for worker in self.workers() {
            let ended = of(worker, "items_ok") + of(worker, "items_failed");
            assert_eq!(
                ended + of(worker, "items_not_sent"),
                of(worker, "items_planned"),
                "{}",
                worker["name"]
            );
            accounted += ended;
        }
        assert_eq!(planned, accounted, "the strategies' items and the workers' differ");
    }

    /// No two of the detailed results have one id.
    fn check_ids(&self) {
        let detailed = self.0["detailed_results"].as_array().expect("an array");
        let mut ids = BTreeSet::new();
        for entry in detailed {
            assert!(ids.insert(entry["request_id"].as_str()), "two are {}", entry["request_id"]);
        }
    }

    /// The merged histogram of a strategy holds exactly the detailed results, and its quantiles are those reported.
    pub fn check_quantiles(&self, strategy: &str) {
        let entry = self.strategy(strategy);
        let merged = entry["histograms"]["response_time"].as_str().expect("base64");
        let bytes = base64::engine::general_purpose::STANDARD.decode(merged).expect("base64");
        // By the library that others read it with.
        let merged: Histogram<u64> = Deserializer::new().deserialize(&mut &*bytes).expect("HDR V2");
        let mut one = Histogram::<u64>::new_with_bounds(1, (1 << 32) - 1, 3).expect("valid");
        let (mut longest, mut sum, mut count) = (0, 0.0, 0);
        for record in self.0["detailed_results"].as_array().expect("an array") {
            let measured = record["optimization_type"] == strategy && record["phase"] == "measure";
            if measured && record["items_ok"].as_u64() > Some(0) {
                let seconds = record["response_time"].as_f64().expect("a number");
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds")]
                let us = (seconds * 1e6).round() as u64;
                one.record(us).expect("in range");
                longest = longest.max(us);
                sum += seconds;
                count += 1;
            }
        }
        assert!(count > 0, "{strategy} has no detailed results");
        assert!(merged == one, "{strategy}: the merged histogram is not that of the records");
        for (field, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            let reported = entry[format!("{field}_response_time")].as_f64().expect("a number");
            let exact = one.value_at_quantile(q).min(longest) as f64 / 1e6;
            assert!((reported - exact).abs() < 1e-9, "{strategy} {field}: {reported} is not {exact}");
        }
        let mean = entry["avg_response_time"].as_f64().expect("a number");
        assert!((mean - sum / f64::from(count)).abs() < 1e-9, "{strategy}: mean {mean}");
    }
}

/// Holds a document against docs/results.schema.json.
pub fn validate(document: &Value) {
    let path = root().join("docs/results.schema.json");
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let errors: Vec<String> =
        validator.iter_errors(document).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "results.json breaks its schema:\n{}", errors.join("\n"));
}
