//! What is read of the host for the coordinator. Where a container is limited it is the container's, so it has no name of
//! node_exporter's.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;

use super::gpu::{base, suffix};
use super::text::{Kind, Text};
use crate::latest::Latest;
use crate::units::Unit;

/// The agent's own are told with more precision beside its health.
fn of_the_host(metric: HostMetric) -> bool {
    !["agent_", "gpu_call_"].iter().any(|own| metric.name().starts_with(own))
}

/// Writes all that is known of the host.
pub(super) fn write(text: &mut Text, latest: &Latest, now: Mono) {
    let metrics = || HostMetric::ALL.iter().copied().filter(|metric| of_the_host(*metric));
    for metric in metrics() {
        let (stem, unit) = Unit::split(metric.name());
        let name = format!("fluxfleet_host_{stem}{}", suffix(unit));
        let help = format!("The reading {} of the host, in base units.", metric.name());
        if let Some(Ok(value)) = latest.host(metric, now) {
            text.family(&name, Kind::Gauge, &help).sample(&[], base(metric.name(), value));
        }
    }
    let help = "The reading is absent, for this reason.";
    let mut family = text.family("fluxfleet_host_reading_absent", Kind::Gauge, help);
    for metric in metrics() {
        if let Some(Err(absence)) = latest.host(metric, now) {
            family.sample(&[("metric", metric.name()), ("reason", &absence.reason.to_string())], 1.0);
        }
    }
}
