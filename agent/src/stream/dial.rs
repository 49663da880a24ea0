//! Reaching the coordinator.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tracing::warn;

use super::Coordinator;
use crate::error::AgentError;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A peer that vanished without a word, as when a cable is pulled, is found out within the sum of these.
const KEEP_ALIVE_EACH: Duration = Duration::from_secs(10);
const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(20);

/// Dials the coordinator, again and again until its time is up: it may start later than its agents, and its
/// name may be known later still. Says so once.
pub(crate) async fn dial(coordinator: &Coordinator) -> Result<Channel, AgentError> {
    let Coordinator { uri, address, connect_timeout, .. } = coordinator;
    let endpoint = endpoint(uri.clone());
    let deadline = Instant::now() + *connect_timeout;
    let mut wait = FIRST_WAIT;
    let mut reason = None;
    loop {
        match timeout_at(deadline, endpoint.connect()).await {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(error)) => {
                let said = innermost(&error);
                if reason.is_none() {
                    let seconds = connect_timeout.as_secs_f64();
                    warn!("no coordinator at {address} yet ({said}): trying for {seconds} s");
                }
                reason = Some(said);
            }
            Err(_) => {
                let reason = reason.unwrap_or_else(|| "the connection was not answered".to_owned());
                return Err(AgentError::Unreachable {
                    address: address.clone(),
                    tried: *connect_timeout,
                    reason,
                });
            }
        }
        // The deadline falls within this wait or within the next try; both end there.
        let _ = timeout_at(deadline, sleep(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Dials the coordinator once.
pub(super) async fn connect(coordinator: &Coordinator) -> Result<Channel, Status> {
    endpoint(coordinator.uri.clone()).connect().await.map_err(|error| Status::unavailable(innermost(&error)))
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_EACH)
        .keep_alive_timeout(KEEP_ALIVE_WITHIN)
        .keep_alive_while_idle(true)
}

/// The last cause of an error; those above it say no more than that there was one.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::coordinator_uri;
    use tokio::net::TcpSocket;

    fn coordinator(address: &str, connect_timeout: Duration) -> Coordinator {
        let (uri, reconnect_for) = (coordinator_uri(address).unwrap(), Duration::ZERO);
        Coordinator { uri, address: address.to_owned(), connect_timeout, reconnect_for, keep: Duration::ZERO }
    }

    /// An address where nobody listens, and the socket that keeps it free of others.
    fn nobody() -> (String, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        (socket.local_addr().unwrap().to_string(), socket)
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_never_comes_is_unreachable_when_its_time_is_up() {
        let (address, _socket) = nobody();
        let began = Instant::now();
        let error = dial(&coordinator(&address, Duration::from_secs(30))).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 30);
        let text = error.to_string();
        assert!(text.starts_with(&format!("no coordinator answered at {address} within 30 s: ")), "{text}");
    }

    #[tokio::test]
    async fn a_coordinator_that_comes_late_is_reached() {
        let (address, socket) = nobody();
        let coordinator = coordinator(&address, Duration::from_mins(1));
        let late = async {
            // The dialler has been refused, or will be taken at once; it is reached either way.
            tokio::task::yield_now().await;
            socket.listen(1).unwrap()
        };
        let (reached, _listener) = tokio::join!(dial(&coordinator), late);
        assert!(reached.is_ok());
    }
}
