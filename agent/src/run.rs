//! An agent's run, from the first look at the GPUs to the coordinator's goodbye.

use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::id::SessionId;
use fluxfleet_proto::peer::AgentHello;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::collect::Collectors;
use crate::config::{Config, coordinator_uri};
use crate::error::AgentError;
use crate::sampler::Sampler;
use crate::stream::{Coordinator, Session, dial};

/// How long the GPUs may take to name themselves. Without persistence mode the driver initialises every GPU
/// anew, which takes seconds on large hosts.
const DEVICES_WITHIN: Duration = Duration::from_secs(15);

/// Samples between the sampler and the session; the session takes them at once.
const SAMPLES_AHEAD: usize = 8;

/// Reads this host and streams to the coordinator until the coordinator closes the stream or `cancel` is
/// cancelled.
///
/// # Errors
/// When the configuration is wrong, when the coordinator cannot be reached or refuses this agent, and when
/// the stream breaks and the coordinator cannot be reached again. GPUs that cannot be read are no error; they are absent, with the reason.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), AgentError> {
    let Config { coordinator, host, gpus, connect_timeout, reconnect_for } = config;
    let uri = coordinator_uri(&coordinator)?;
    let coordinator = Coordinator { uri, address: coordinator, connect_timeout, reconnect_for };
    if host.is_empty() {
        return Err(AgentError::NoHost);
    }
    let collectors = Collectors::start(gpus)?;
    let prepare = async {
        let devices = collectors.devices(DEVICES_WITHIN).await;
        if devices.as_ref().is_ok_and(Vec::is_empty) {
            warn!("no GPU on this host: GPU readings are absent, system metrics go on");
        }
        Ok::<_, AgentError>((devices, dial(&coordinator).await?))
    };
    let Some(prepared) = cancel.run_until_cancelled(prepare).await else { return Ok(()) };
    let (devices, channel) = prepared?;

    let (samples_in, samples) = mpsc::channel(SAMPLES_AHEAD);
    let (period, period_seen) = watch::channel(None);
    let sampler = Sampler::new(collectors, devices.clone().unwrap_or_default());
    let hello = AgentHello {
        protocol_version: PROTOCOL_VERSION,
        host,
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        devices,
        session: session()?,
        run: None,
    };
    let sampling = async {
        sampler.run(period_seen, samples_in).await;
        // It ends when the session's ends of the channels are gone, and the session's result is what counts.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = Session::new(coordinator, hello, period).run(channel, samples, cancel) => ended,
        () = sampling => Ok(()),
    }
}

fn session() -> Result<SessionId, AgentError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|source| AgentError::NoRandom { source })?;
    Ok(SessionId(u128::from_be_bytes(random)))
}
