//! Finds the coordinator, introduces the worker, understands refusals.

use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::message::WorkerReport;
use fluxfleet_proto::peer::WorkerHello;
use fluxfleet_proto::wire::WorkerDown;
use fluxfleet_proto::wire::fleet_client::FleetClient;
use fluxfleet_proto::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tracing::info;

use super::outbound::{Feeder, outbound};
use crate::config::{Config, cores, host_name};
use crate::error::WorkerError;

/// First and longest pause between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// One attempt; a host that drops packets answers nothing.
const ATTEMPT: Duration = Duration::from_secs(5);
/// What accepts a connection has this long to accept the stream.
const GREETING: Duration = Duration::from_secs(10);
/// A coordinator that vanishes without a word (its host lost power, the network is cut) is noticed after the sum
/// of these, and the load stops.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// A stream that is open in both directions; the hello is on its way.
pub(super) struct Dialed {
    pub(super) feeder: Feeder,
    pub(super) commands: Streaming<WorkerDown>,
}

/// Dials until the coordinator is there. `None`: cancelled.
pub(super) async fn dial(
    config: &Config,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Dialed>, WorkerError> {
    let address = config.coordinator.clone();
    let invalid = |problem: String| WorkerError::Address { address: config.coordinator.clone(), problem };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| invalid(e.to_string()))?
        .connect_timeout(ATTEMPT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true);
    if endpoint.uri().port().is_none() || endpoint.uri().path() != "/" {
        return Err(invalid("no port, or more than a host and a port".to_owned()));
    }
    let session = async {
        let channel = connect(&endpoint, config, patience).await?;
        greet(channel, config, patience).await
    };
    tokio::select! {
        dialed = session => dialed.map(Some),
        () = cancel.cancelled() => Ok(None),
    }
}

async fn connect(endpoint: &Endpoint, config: &Config, patience: Duration) -> Result<Channel, WorkerError> {
    let give_up = Clock::now() + patience;
    let mut pause = BACKOFF.0;
    let mut told = false;
    loop {
        let error = match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(e) => innermost(&e),
        };
        let left = give_up.since(Clock::now());
        if left.is_zero() {
            return Err(WorkerError::Unreachable {
                address: config.coordinator.clone(),
                waited: patience,
                problem: error,
            });
        }
        // A coordinator that is just being started needs no words.
        if !told && pause > BACKOFF.0 * 4 {
            told = true;
            info!(
                "waiting up to {} s for a coordinator at {} ({error})",
                left.as_secs() + 1,
                config.coordinator
            );
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

async fn greet(channel: Channel, config: &Config, patience: Duration) -> Result<Dialed, WorkerError> {
    let mut client = FleetClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (feeder, stream) = outbound();
    let hello = WorkerReport::Hello(WorkerHello {
        protocol_version: PROTOCOL_VERSION,
        name: config.name.clone(),
        host: host_name(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        threads: u32::try_from(config.threads.get()).unwrap_or(u32::MAX),
        cores: u32::try_from(cores().get()).unwrap_or(u32::MAX),
        labels: config.labels.clone(),
    });
    // There is room: nothing else has been sent.
    let _ = feeder.reports.send(hello.into()).await;
    // What speaks no HTTP/2 closes the connection, and the channel below opens another one, without end.
    let limit = patience.min(GREETING);
    match tokio::time::timeout(limit, client.work(stream)).await {
        Ok(Ok(response)) => Ok(Dialed { feeder, commands: response.into_inner() }),
        Ok(Err(status)) => Err(refused(&config.coordinator, &status)),
        Err(_) => Err(WorkerError::Stranger {
            address: config.coordinator.clone(),
            problem: format!("it did not answer a greeting within {limit:?}"),
        }),
    }
}

/// What a status before the welcome means.
pub(super) fn refused(address: &str, status: &Status) -> WorkerError {
    let address = address.to_owned();
    let advice = match status.code() {
        Code::FailedPrecondition => "install the same fluxfleet release on both sides",
        Code::AlreadyExists => "give this worker another name with --name",
        Code::InvalidArgument => "install the same fluxfleet release on both sides, or report a bug",
        Code::ResourceExhausted | Code::PermissionDenied | Code::Unauthenticated => {
            "start the coordinator with room for this worker"
        }
        Code::Unavailable | Code::Cancelled | Code::Aborted => {
            return WorkerError::Lost {
                address,
                during: "before it welcomed this worker".to_owned(),
                problem: words(status),
                unacked: 0,
            };
        }
        _ => return WorkerError::Stranger { address, problem: words(status) },
    };
    WorkerError::Refused { address, words: words(status), advice }
}

/// A status in words; the code when the server gave none.
pub(super) fn words(status: &Status) -> String {
    if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() }
}

fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).last().unwrap_or(error).to_string()
}
