//! The routes of the simulated host, named once for the router, the counters and the configuration.

/// A route of the simulated host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Generate,
    BatchGenerate,
    AsyncGenerate,
    RequestStatus,
    CancelRequest,
    QueueStats,
    Health,
    GpuInfo,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 8] = [
        Self::Generate,
        Self::BatchGenerate,
        Self::AsyncGenerate,
        Self::RequestStatus,
        Self::CancelRequest,
        Self::QueueStats,
        Self::Health,
        Self::GpuInfo,
    ];

    /// The routes that make items.
    pub(crate) const ITEM_ROUTES: [Self; 3] = [Self::Generate, Self::BatchGenerate, Self::AsyncGenerate];

    /// The path as the router and [`SimConfig::disabled_endpoints`](crate::SimConfig) spell it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Generate => "/generate",
            Self::BatchGenerate => "/batch-generate",
            Self::AsyncGenerate => "/async-generate",
            Self::RequestStatus => "/request-status/{id}",
            Self::CancelRequest => "/cancel-request/{id}",
            Self::QueueStats => "/queue-stats",
            Self::Health => "/health",
            Self::GpuInfo => "/gpu-info",
        }
    }

    /// Its place in a table with one row for each route.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}
