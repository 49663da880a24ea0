//! Requests in detail, on disk: a run of millions keeps the coordinator's memory flat.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::tally::Phase;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The spool file cannot be written or read.
#[derive(Debug, Error)]
#[error(
    "{tried} the temporary file for request records in {dir}: {source}; free space there, set TMPDIR to another directory, or run with --records none"
)]
pub struct SpoolError {
    tried: &'static str,
    dir: String,
    source: io::Error,
}

fn failed(tried: &'static str) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError { tried, dir: std::env::temp_dir().display().to_string(), source }
}

/// One request that ended, or was never sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledRecord {
    /// The trial's number.
    #[serde(rename = "t")]
    pub trial: u32,
    /// The worker's number.
    #[serde(rename = "w")]
    pub worker: u32,
    /// Which phase it belongs to; the two number their items apart.
    #[serde(rename = "p", with = "phase", default, skip_serializing_if = "phase::is_measured")]
    pub phase: Phase,
    /// Index of its first item.
    #[serde(rename = "i")]
    pub first_item: u64,
    /// Items it asked for.
    #[serde(rename = "n")]
    pub items: u32,
    /// Items that ended well.
    #[serde(rename = "k")]
    pub items_ok: u32,
    /// Intended start on the coordinator's clock, nanoseconds.
    #[serde(rename = "at")]
    pub intended_ns: i64,
    /// Intended start to end, microseconds.
    #[serde(rename = "r")]
    pub response_time_us: u64,
    /// Actual send to end, microseconds.
    #[serde(rename = "s")]
    pub service_time_us: u64,
    /// The service's own figure, microseconds.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub generation_time_us: Option<u64>,
    /// Failure kind and text.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<(String, String)>,
    /// Why it was never sent; the response time is then what it had waited.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<String>,
}

/// A phase as a bit: whether it is the warm-up.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for references")]
mod phase {
    use fluxfleet_proto::tally::Phase;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn is_measured(phase: &Phase) -> bool {
        *phase == Phase::Measure
    }

    pub(super) fn serialize<S: Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(!is_measured(phase))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Phase, D::Error> {
        Ok(if bool::deserialize(from)? { Phase::Warmup } else { Phase::Measure })
    }
}

impl SpooledRecord {
    /// Intended start on the coordinator's clock.
    pub fn intended(&self) -> Mono {
        Mono::from_nanos(self.intended_ns)
    }

    /// The trial.
    pub fn trial(&self) -> TrialId {
        TrialId(self.trial)
    }

    /// The worker.
    pub fn worker(&self) -> PeerId {
        PeerId(self.worker)
    }
}

/// An unnamed temporary file of records, one JSON line each; gone with the process.
#[derive(Debug)]
pub struct RecordSpool {
    file: BufWriter<File>,
    count: u64,
}

impl RecordSpool {
    /// An empty spool in the system's temporary directory.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create() -> Result<Self, SpoolError> {
        let file = tempfile::tempfile().map_err(failed("cannot create"))?;
        Ok(Self { file: BufWriter::new(file), count: 0 })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When the file cannot be written, as on a full disk.
    pub fn append(&mut self, record: &SpooledRecord) -> Result<(), SpoolError> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::from).map_err(failed("cannot write"))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed("cannot write"))?;
        self.count += 1;
        Ok(())
    }

    /// Records held.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads all records from the first on, in the order they were added.
    ///
    /// # Errors
    /// When the file cannot be flushed or read; each record may fail too.
    pub fn read(
        &mut self,
    ) -> Result<impl Iterator<Item = Result<SpooledRecord, SpoolError>> + use<'_>, SpoolError> {
        self.file.flush().map_err(failed("cannot write"))?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0)).map_err(failed("cannot read"))?;
        Ok(BufReader::new(file).lines().map(|line| {
            let line = line.map_err(failed("cannot read"))?;
            serde_json::from_str(&line).map_err(io::Error::from).map_err(failed("cannot read"))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_reads_back_in_order_as_often_as_asked() {
        let mut spool = RecordSpool::create().expect("a temporary file");
        let record = |i| SpooledRecord {
            trial: 1,
            worker: 2,
            phase: if i == 0 { Phase::Warmup } else { Phase::Measure },
            first_item: i,
            items: 4,
            items_ok: 3,
            intended_ns: -5,
            response_time_us: 10,
            service_time_us: 9,
            generation_time_us: None,
            error: Some(("http_503".into(), "全满\n".into())),
            not_sent: (i == 2).then(|| "no_place".into()),
        };
        for i in 0..3 {
            spool.append(&record(i)).expect("space");
        }
        for _ in 0..2 {
            let read: Vec<_> = spool.read().expect("readable").map(|r| r.expect("own line")).collect();
            assert_eq!(read, [record(0), record(1), record(2)]);
        }
    }
}
