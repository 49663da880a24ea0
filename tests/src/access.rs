//! What a server logged, held against the report, request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::process::eventually;
use crate::results::Results;

/// A request as the server saw it.
#[derive(Debug)]
pub struct Access {
    /// The status it answered with.
    pub status: u16,
    /// What it calls the connection.
    pub connection: String,
}

/// A server's log: a line `STATUS CONNECTION ID` for each request.
#[derive(Clone, Debug)]
pub struct AccessLog(pub(crate) PathBuf);

/// A log as read.
#[derive(Debug)]
pub struct Accesses(BTreeMap<String, Access>);

impl AccessLog {
    /// Whole lines of requests that carry an id; the worker's look at the route beforehand carries none.
    fn lines(&self) -> Vec<(String, Access)> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let entry = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_else(|| panic!("{line:?} is no line of a log"));
            let (status, connection, id) = (word(), word(), word());
            let status = status.parse().unwrap_or_else(|_| panic!("{line:?} has no status"));
            (id, Access { status, connection })
        };
        whole.lines().map(entry).filter(|(id, _)| id != "-").collect()
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.lines().len()
    }

    /// Forgets what was logged. The server appends, and so begins anew.
    pub fn clear(&self) {
        std::fs::write(&self.0, "").expect("the log can be written");
    }

    /// The requests of a run that has ended. Waits for those that the server must know, since nginx logs a request
    /// only after its answer; then fails unless log and report tell the same of each. `lost` are the kinds of
    /// failures of which the server need not know.
    pub fn read_as_reported(&self, results: &Results, lost: &[&str]) -> Accesses {
        self.read_as_reported_but(results, lost, 0)
    }

    /// The same of a server that was ended at once: up to `unlogged` requests it answered, and did not come to log.
    pub fn read_as_reported_but(&self, results: &Results, lost: &[&str], unlogged: usize) -> Accesses {
        let ends = ends(results);
        eventually("every request is logged", || {
            let logged: BTreeSet<_> = self.lines().into_iter().map(|(id, _)| id).collect();
            let must_be = ends.iter().filter(|(_, kind)| kind.is_none_or(|kind| !lost.contains(&kind)));
            must_be.filter(|(id, _)| !logged.contains(**id)).count() <= unlogged
        });
        let accesses = self.read();
        accesses.expect_as_reported(results, lost, unlogged);
        accesses
    }

    /// The requests by their ids. Fails when one came twice.
    fn read(&self) -> Accesses {
        let mut seen = BTreeMap::new();
        for (id, access) in self.lines() {
            if let Some(before) = seen.insert(id.clone(), access) {
                panic!("{id} was sent twice: first {before:?}, then {:?}", seen[&id]);
            }
        }
        Accesses(seen)
    }
}

impl Accesses {
    /// Fails unless log and report tell the same of each request: what went well was answered with 200, what
    /// failed by its status was answered with that; and nothing was logged that the report does not know.
    fn expect_as_reported(&self, results: &Results, lost: &[&str], unlogged: usize) {
        let (mut known, mut missing) = (BTreeSet::new(), Vec::new());
        for record in results.0["detailed_results"].as_array().expect("an array") {
            let id = record["request_id"].as_str().expect("an id");
            known.insert(id);
            let status = self.0.get(id).map(|access| access.status);
            let kind = record["error_kind"].as_str();
            match kind {
                Some(kind) if lost.contains(&kind) => {}
                None if status.is_none() => missing.push(id),
                Some(kind) if kind.starts_with("http_") => {
                    assert_eq!(status.map(|s| format!("http_{s}")).as_deref(), Some(kind), "{record}");
                }
                // Answered, but not as it should be; or well.
                _ => assert_eq!(status, Some(200), "{record}"),
            }
        }
        assert!(missing.len() <= unlogged, "the log does not know of {missing:?}");
        let strangers: Vec<_> = self.0.keys().filter(|id| !known.contains(id.as_str())).collect();
        assert!(strangers.is_empty(), "the report does not know of {strangers:?}");
    }

    /// How many requests each connection carried.
    pub fn by_connection(&self) -> Vec<usize> {
        let mut carried = BTreeMap::<&str, usize>::new();
        for access in self.0.values() {
            *carried.entry(&access.connection).or_default() += 1;
        }
        carried.into_values().collect()
    }
}

/// Each request of a report: its id, and the kind of its failure.
pub fn ends(results: &Results) -> BTreeMap<&str, Option<&str>> {
    let records = results.0["detailed_results"].as_array().expect("an array");
    records.iter().map(|r| (r["request_id"].as_str().expect("an id"), r["error_kind"].as_str())).collect()
}
