//! Binds, serves and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::config::SimConfig;
use crate::counters::{Counters, Tally};
use crate::error::SimError;
use crate::gpu::VirtualGpus;
use crate::host::Host;
use crate::nvml::NvmlScript;

/// How long open connections may take to notice that the host stops.
const GRACE: Duration = Duration::from_secs(1);

/// A simulated inference host that listens; [`serve`](Sim::serve) makes it answer.
#[derive(Debug)]
pub struct Sim {
    addr: SocketAddr,
    listener: TcpListener,
    config: SimConfig,
    gpus: VirtualGpus,
    tally: Arc<Tally>,
    nvml: Option<NvmlScript>,
}

impl Sim {
    /// Checks the configuration and listens on `addr`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`SimError::Config`] with every problem, [`SimError::PortTaken`], [`SimError::Bind`] or [`SimError::Nvml`].
    pub async fn bind(addr: SocketAddr, config: SimConfig) -> Result<Self, SimError> {
        config.validate().map_err(SimError::Config)?;
        let bind_error = |source| SimError::from_bind(addr, source);
        let listener = TcpListener::bind(addr).await.map_err(bind_error)?;
        let addr = listener.local_addr().map_err(bind_error)?;
        let gpus = VirtualGpus::new(&config, Instant::now());
        let nvml = config.nvml_script.clone().map(|path| {
            NvmlScript::create(path.clone(), gpus.clone()).map_err(|source| SimError::Nvml { path, source })
        });
        Ok(Self { addr, listener, config, gpus, tally: Arc::default(), nvml: nvml.transpose()? })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// A handle that reads its virtual GPUs.
    pub fn gpus(&self) -> VirtualGpus {
        self.gpus.clone()
    }

    /// A handle that reads its counts.
    pub fn counters(&self) -> Counters {
        Counters::new(Arc::clone(&self.tally), self.gpus.clone())
    }

    /// Answers requests until `cancel`; then waiting clients get a 503 and the host is gone within a second.
    ///
    /// # Errors
    /// [`SimError::Serve`] when the listener fails.
    pub async fn serve(self, cancel: CancellationToken) -> Result<(), SimError> {
        let stop = cancel.child_token();
        let host = Arc::new(Host::new(self.config, self.gpus.clone(), self.tally, stop.clone()));
        let mut drivers = host.drive();
        if let Some(nvml) = self.nvml {
            drivers.spawn(nvml.keep(stop.clone()));
        }
        tracing::info!(addr = %self.addr, gpus = host.config.gpus, "simulated host serves");

        let listener = self.listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot turn off Nagle's algorithm");
            }
        });
        let server =
            axum::serve(listener, api::router(host)).with_graceful_shutdown(stop.clone().cancelled_owned());
        let outlived = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = server.into_future() => served,
            () = outlived => {
                tracing::debug!("connections were still open at the end of the grace period");
                Ok(())
            }
        };
        stop.cancel();
        drivers.join_all().await;
        served.map_err(|source| SimError::Serve { addr: self.addr, source })
    }
}
