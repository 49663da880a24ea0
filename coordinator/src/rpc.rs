//! The coordinator's port: gRPC streams in, [`Event`]s out.
//!
//! ```text
//! accept -> is it HTTP/2? -> first message is a greeting? -> owner registers it -> messages become events
//!              no: a line        no: INVALID_ARGUMENT          no: its refusal
//! ```

mod accept;
mod down;
mod service;

use std::net::SocketAddr;

use fluxfleet_proto::MAX_MESSAGE_BYTES;
use fluxfleet_proto::wire::fleet_server::FleetServer;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Event, Notice};
use service::Service;

/// Events that may wait for the owner. Streams stop reading when it is full, so nothing is dropped.
const EVENTS: usize = 1024;

/// The port cannot be listened on.
#[derive(Debug, Error)]
#[error(
    "cannot listen on {addr}: {source}; is another coordinator running there? choose another port with --listen"
)]
pub struct ListenError {
    addr: SocketAddr,
    source: std::io::Error,
}

/// The coordinator's port, taken but not served yet.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Port {
    /// Takes the port.
    ///
    /// # Errors
    /// When it is taken already or the address is not this machine's.
    pub async fn bind(addr: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr })
    }

    /// The address listened on, with the port that the system chose if it was to choose.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until cancelled; then streams end and peers take the run as over.
    pub fn serve(self, cancel: CancellationToken) -> (mpsc::Receiver<Event>, tokio::task::JoinHandle<()>) {
        let (events, rx) = mpsc::channel(EVENTS);
        let service = FleetServer::new(Service::new(events.clone(), cancel.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let incoming = accept::grpc_connections(self.listener, events.clone(), cancel.clone());
        let server = tokio::spawn(async move {
            let served = tonic::transport::Server::builder()
                .tcp_nodelay(true)
                .http2_keepalive_interval(Some(std::time::Duration::from_secs(5)))
                .http2_keepalive_timeout(Some(std::time::Duration::from_secs(10)))
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, cancel.cancelled_owned())
                .await;
            if let Err(error) = served {
                let _ = events.send(Event::Notice(Notice::PortFailed(error.to_string()))).await;
            }
        });
        (rx, server)
    }
}
