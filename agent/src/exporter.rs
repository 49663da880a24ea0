//! Readings for Prometheus, over HTTP.
//!
//! | name | what |
//! |---|---|
//! | `DCGM_FI_DEV_*` | what means the same as in NVIDIA's dcgm-exporter, with its names, units and labels |
//! | `fluxfleet_gpu_*` | every number of a GPU, in base units |
//! | `node_*` | what means the same as in node_exporter, from the same counters |
//! | `fluxfleet_host_*` | the host's other numbers, as the coordinator gets them |
//! | `fluxfleet_agent_*` | how the agent itself is |
//!
//! A reading that is absent has no line of its own, never a zero, but one in `fluxfleet_gpu_reading_absent` or
//! `fluxfleet_host_reading_absent` with the reason. One that is too old is absent as stale.

mod agent;
mod gpu;
mod host;
mod node;
mod page;
mod text;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fluxfleet_proto::clock::Clock;
use tokio::net::TcpListener;

use crate::error::AgentError;
pub(crate) use page::Page;

/// Version 0.0.4 of the text format, which every Prometheus reads.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const WELCOME: &str = "fluxfleet-agent: readings for Prometheus are at /metrics\n";

/// A port that listens, for Prometheus to read this host's readings from. It answers once the agent runs.
#[derive(Debug)]
pub struct MetricsPort {
    addr: SocketAddr,
    listener: TcpListener,
}

impl MetricsPort {
    /// Listens; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(addr: SocketAddr) -> Result<Self, AgentError> {
        let error = |source| AgentError::Metrics { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(error)?;
        let addr = listener.local_addr().map_err(error)?;
        Ok(Self { addr, listener })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, page: Page) {
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/", get(async || WELCOME))
            .with_state(Arc::new(page));
        if let Err(error) = axum::serve(self.listener, routes).await {
            tracing::warn!("readings are no longer served at http://{}/metrics: {error}", self.addr);
        }
    }
}

async fn metrics(State(page): State<Arc<Page>>) -> Response {
    // Off the thread that keeps the lanes' time.
    match tokio::task::spawn_blocking(move || page.render(Clock::now())).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
