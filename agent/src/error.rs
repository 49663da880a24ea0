//! Why a run ended badly.

use std::time::Duration;

use fluxfleet_proto::convert::InvalidMessage;
use fluxfleet_proto::id::RunId;
use thiserror::Error;

use crate::config::InvalidAddress;

/// Why an agent's run ended badly.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The coordinator's address cannot be dialled.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The agent has no host name to introduce itself with.
    #[error("this host does not tell its name: give one with --host")]
    NoHost,
    /// There is neither a coordinator nor anybody else to read for.
    #[error("nothing to do: give --coordinator, --metrics or both")]
    NothingToDo,
    /// The address for Prometheus cannot be listened on.
    #[error(
        "cannot listen on {addr} for --metrics: {source}; is the port taken, or the address not this host's?"
    )]
    Metrics {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system gave no thread.
    #[error("could not start the thread that reads the {reads}: {source}")]
    Thread {
        /// What it would have read.
        reads: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody answered at the coordinator's address.
    #[error(
        "no coordinator answered at {address} within {}: {reason}; check that it runs, listens there and is \
         not behind a firewall",
        seconds(.tried)
    )]
    Unreachable {
        /// The address.
        address: String,
        /// How long it was tried.
        tried: Duration,
        /// What the last try said.
        reason: String,
    },
    /// The coordinator does not want this agent.
    #[error("the coordinator at {address} refused host `{host}`: {words}")]
    Refused {
        /// The address.
        address: String,
        /// The name the agent introduced itself with.
        host: String,
        /// The coordinator's words.
        words: String,
    },
    /// What answers at the address is no coordinator.
    #[error("what answers at {address} is no fluxfleet coordinator ({reason}): check host and port")]
    NoCoordinator {
        /// The address.
        address: String,
        /// What it said instead.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("could not make up a session id: {source}")]
    NoRandom {
        /// What the system said.
        source: getrandom::Error,
    },
    /// The stream ended before the coordinator closed it.
    #[error(
        "lost the coordinator at {address}: {reason}{}; {unacked} samples were not confirmed; check that it still \
         runs and the network in between", again(.tried)
    )]
    Broken {
        /// The address.
        address: String,
        /// What broke.
        reason: String,
        /// Samples taken that the coordinator had not confirmed.
        unacked: usize,
        /// How long it was tried to reach it again.
        tried: Duration,
    },
    /// The coordinator that answers after a break conducts another run.
    #[error(
        "the coordinator at {address} conducts run {theirs} now, not {ours}, of which this agent was a part; start \
         the agent anew to join it"
    )]
    OtherRun {
        /// The address.
        address: String,
        /// The run this agent takes part in.
        ours: RunId,
        /// The coordinator's.
        theirs: RunId,
    },
    /// The coordinator said what this release cannot understand.
    #[error("the coordinator at {address} sent a message that makes no sense: {source}")]
    Protocol {
        /// The address.
        address: String,
        /// What is wrong with it.
        source: InvalidMessage,
    },
    /// The coordinator confirmed what it was never sent.
    #[error("the coordinator at {address} confirmed sample {acked}, which it was never sent")]
    AckBeyond {
        /// The address.
        address: String,
        /// The number it confirmed.
        acked: u64,
    },
}

fn again(tried: &Duration) -> String {
    if tried.is_zero() {
        String::new()
    } else {
        format!(", and it was not reached again within {}", seconds(tried))
    }
}

fn seconds(tried: &Duration) -> String {
    format!("{} s", tried.as_secs_f64())
}
