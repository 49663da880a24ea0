//! An agent's run, from the first look at the GPUs to the coordinator's goodbye.

use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::id::SessionId;
use fluxfleet_proto::peer::AgentHello;
use fluxfleet_proto::reading::HostSample;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::collect::{Calls, Collectors};
use crate::config::{Config, coordinator_uri};
use crate::error::AgentError;
use crate::exporter::Page;
use crate::latest::Latest;
use crate::relay::Relay;
use crate::sampler::Sampler;
use crate::stream::{Coordinator, Session, dial};

/// How long the GPUs may take to name themselves. Without persistence mode the driver initialises every GPU
/// anew, which takes seconds on large hosts.
pub(crate) const DEVICES_WITHIN: Duration = Duration::from_secs(15);

/// Samples between the sampler and the session; the session takes them at once.
const SAMPLES_AHEAD: usize = 8;

/// Edges of trials that wait for the sampler; a trial has two.
const MARKS_AHEAD: usize = 16;

/// Reads this host until the coordinator closes the stream or `cancel` is cancelled: streams to the coordinator, serves
/// Prometheus, or both.
///
/// # Errors
/// When the configuration is wrong, when the coordinator cannot be reached or refuses this agent, and when
/// the stream breaks and the coordinator cannot be reached again. GPUs that cannot be read are no error; they are
/// absent, with the reason.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), AgentError> {
    let Config { coordinator, host, gpus, processes, connect_timeout, reconnect_for, keep, metrics } = config;
    let coordinator = match coordinator {
        Some(address) => {
            let uri = coordinator_uri(&address)?;
            Some(Coordinator { uri, address, connect_timeout, reconnect_for, keep })
        }
        None if metrics.is_none() => return Err(AgentError::NothingToDo),
        None => None,
    };
    if host.is_empty() {
        return Err(AgentError::NoHost);
    }
    let mut collectors = Collectors::start(gpus, processes)?;
    let Some(devices) = cancel.run_until_cancelled(collectors.devices(DEVICES_WITHIN)).await else {
        return Ok(());
    };
    if devices.as_ref().is_ok_and(Vec::is_empty) {
        warn!("no GPU on this host: GPU readings are absent, system metrics go on");
    }
    let (samples_in, samples) = mpsc::channel(SAMPLES_AHEAD);
    let (cadence, cadence_seen) = watch::channel(None);
    let (marks_in, marks) = mpsc::channel(MARKS_AHEAD);
    let sampler = Sampler::new(collectors, devices.clone().unwrap_or_default());
    let hello = AgentHello {
        protocol_version: PROTOCOL_VERSION,
        host: host.clone(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        devices: devices.clone(),
        session: session_id()?,
        run: None,
    };
    let session = coordinator.map(|c| (Session::new(c.clone(), hello, cadence.clone(), marks_in.clone()), c));
    let Some(port) = metrics else {
        drop((cadence, marks_in));
        return tokio::select! {
            ended = stream(session, samples, cancel) => ended,
            () = forever(sampler.run(cadence_seen, marks, samples_in)) => Ok(()),
        };
    };
    let (latest, latest_seen) = watch::channel(Latest::default());
    let (calls, calls_seen) = watch::channel(Calls::new());
    let (pace, pace_seen) = watch::channel(None);
    let (onward, forwarded) = mpsc::channel(SAMPLES_AHEAD);
    let page = Page {
        host,
        devices,
        latest: latest_seen,
        calls: calls_seen,
        stream: session.as_ref().map(|(session, _)| session.counts()),
    };
    info!("readings for Prometheus are at http://{}/metrics", port.addr());
    let relay = Relay { samples, pace, asked: cadence_seen, onward, latest };
    tokio::select! {
        ended = stream(session, forwarded, cancel) => ended,
        () = forever(sampler.telling(calls).run(pace_seen, marks, samples_in)) => Ok(()),
        () = forever(relay.run()) => Ok(()),
        () = forever(port.serve(page)) => Ok(()),
    }
}

/// Converses with the coordinator to the end; where there is none, waits to be cancelled.
async fn stream(
    session: Option<(Session, Coordinator)>,
    samples: mpsc::Receiver<HostSample>,
    cancel: CancellationToken,
) -> Result<(), AgentError> {
    let Some((session, coordinator)) = session else {
        cancel.cancelled().await;
        return Ok(());
    };
    match cancel.run_until_cancelled(dial(&coordinator)).await {
        Some(channel) => session.run(channel?, samples, cancel).await,
        None => Ok(()),
    }
}

fn session_id() -> Result<SessionId, AgentError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|source| AgentError::NoRandom { source })?;
    Ok(SessionId(u128::from_be_bytes(random)))
}

/// What works beside the stream ends when the session's ends of the channels are gone, and the stream's result is what
/// counts.
async fn forever(work: impl Future<Output = ()>) {
    work.await;
    std::future::pending::<()>().await;
}
