//! How the agent itself is.

use super::page::Page;
use super::text::{Kind, Text};
use crate::collect::{processor_seconds, resident};

/// Writes the agent's health; `samples` were taken so far.
pub(super) fn write(text: &mut Text, page: &Page, samples: u64) {
    let version = env!("CARGO_PKG_VERSION");
    text.family("fluxfleet_agent_info", Kind::Gauge, "What the agent is.")
        .sample(&[("version", version), ("host", &page.host)], 1.0);
    text.family("fluxfleet_agent_samples_taken_total", Kind::Counter, "Samples taken.")
        .sample(&[], samples as f64);
    if let Some(stream) = &page.stream {
        let help = "Samples for the coordinator that it has not confirmed yet.";
        text.family("fluxfleet_agent_samples_unconfirmed", Kind::Gauge, help)
            .sample(&[], stream.unconfirmed() as f64);
        let help = "Samples for the coordinator that were dropped before they could be sent.";
        text.family("fluxfleet_agent_samples_lost_total", Kind::Counter, help)
            .sample(&[], stream.lost() as f64);
    }
    text.family("fluxfleet_agent_cpu_seconds_total", Kind::Counter, "Processor time of the agent.")
        .sample(&[], processor_seconds());
    if let Ok(bytes) = resident() {
        text.family("fluxfleet_agent_resident_memory_bytes", Kind::Gauge, "Resident memory of the agent.")
            .sample(&[], bytes);
    }
    let calls = page.calls.borrow().clone();
    let help = "How long calls into the GPU library took, by call.";
    let mut family = text.histograms("fluxfleet_agent_gpu_call_seconds", help);
    for (call, latency) in &calls {
        family.durations(&[("call", call)], latency);
    }
}
