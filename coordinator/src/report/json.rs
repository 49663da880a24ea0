//! `results.json`: the seed tool's four keys with its field names, and what makes the numbers checkable.
//! `docs/results.schema.json` describes it. Times are seconds and shares percent unless a name says otherwise.

mod absent;
mod entry;
mod fleet;
mod generator;
mod gpu;
mod load;
mod overview;
mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use thiserror::Error;

use crate::aggregate::{RunOutcome, SpoolError};
use crate::analysis::Report;
use crate::analysis::detail::DetailContext;
use crate::analysis::metrics::{gpu_samples, system_metrics};

use super::text::EN;
use stream::Object;

/// Version of the file's shape. Raised with each change that a reader would misunderstand.
pub const SCHEMA_VERSION: u32 = 1;

/// Why `results.json` could not be written to its end.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The destination refused bytes.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The request records could not be read back.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Writes the whole document. Samples and request records pass through one at a time, so that memory does not
/// grow with the run. Its sentences are English whatever the language of the run: programs read this file.
///
/// # Errors
/// [`JsonError`] when `out` fails or when the records cannot be read back; what was written by then is no
/// valid document.
pub fn write(out: impl Write, report: &Report, outcome: &mut RunOutcome) -> Result<(), JsonError> {
    let mut object = Object::begin(out)?;
    object.field("schema_version", &SCHEMA_VERSION)?;
    object.field("run_id", report.run.as_str())?;
    object.field("started_at", &stream::rfc3339(report.started_at))?;
    object.field("partial", &report.partial)?;
    object.field("verdict", &overview::Verdict::of(&report.verdict))?;
    object.field("test_config", &overview::TestConfig::of(report))?;
    object.field(
        "performance_results",
        &report.strategies.iter().map(entry::Performance::of).collect::<Vec<_>>(),
    )?;
    object.field("best_strategy", &report.best.as_ref().map(overview::Best::of))?;
    object.field("improvements", &overview::improvements(report))?;
    object.field("improvements_absent", &report.improvements.as_ref().err().map(EN.missing))?;
    object.field("advice", &report.advice.iter().map(overview::Advice::of).collect::<Vec<_>>())?;
    object.field("notes", &report.notes.iter().map(EN.note).collect::<Vec<_>>())?;
    object.field("fleet", &fleet::Fleet::of(&report.fleet))?;
    object.array("system_metrics", system_metrics(outcome, EN.missing).map(Ok::<_, JsonError>))?;
    object.array("gpu_samples", gpu_samples(outcome).map(Ok::<_, JsonError>))?;
    object.field("gpu_events", &report.gpu_events.iter().map(gpu::Event::of).collect::<Vec<_>>())?;
    let context = DetailContext::of(outcome);
    match &mut outcome.records {
        Some(records) => {
            let entries = records.read()?.map(|record| Ok::<_, JsonError>(context.entry(&record?)));
            object.array("detailed_results", entries)?;
        }
        None => object.array("detailed_results", std::iter::empty::<Result<(), JsonError>>())?,
    }
    object.field("detailed_results_absent", &report.detail_absent.map(EN.detail_absent))?;
    object.end()?;
    Ok(())
}
