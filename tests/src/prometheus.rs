//! A Prometheus server that scrapes, and what it says when it is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::http;
use crate::process::{Process, eventually};
use crate::real::{debian_program, free_port};

/// A server as its own process, with its own state folder.
pub struct Prometheus {
    url: String,
    _process: Process,
    _state: tempfile::TempDir,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, its name among them.
    pub labels: BTreeMap<String, String>,
    /// Its newest value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes this address twice a second.
    pub fn scraping(addr: SocketAddr) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let config = state.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\nscrape_configs:\n  - job_name: agent\n    \
             static_configs:\n      - targets: ['{addr}']\n"
        );
        std::fs::write(&config, text).expect("a file");
        let port = free_port();
        let mut command = Command::new(debian_program("prometheus", "usr/bin/prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", state.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::spawn("prometheus", command);
        let url = format!("http://127.0.0.1:{port}");
        eventually("Prometheus is ready", || {
            assert!(!process.has_ended(), "Prometheus ended:\n{}", process.stderr_so_far());
            matches!(http::get(&format!("{url}/-/ready")), Ok((200, _)))
        });
        Self { url, _process: process, _state: state }
    }

    /// What an expression is now.
    pub fn query(&self, expression: &str) -> Vec<Series> {
        let encoded = expression.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let answer = http::get_json(&format!("{}/api/v1/query?query={encoded}", self.url));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let series = |one: &Value| Series {
            labels: serde_json::from_value(one["metric"].clone()).expect("labels"),
            value: one["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a number"),
        };
        answer["data"]["result"].as_array().expect("a vector").iter().map(series).collect()
    }

    /// Waits until an expression is as wanted.
    pub fn query_until(&self, expression: &str, wanted: impl Fn(&[Series]) -> bool) -> Vec<Series> {
        let mut series = Vec::new();
        eventually(&format!("{expression} is as wanted"), || {
            series = self.query(expression);
            wanted(&series)
        });
        series
    }
}
