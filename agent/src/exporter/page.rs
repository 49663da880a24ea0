//! The whole page.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::{Absence, Device};
use tokio::sync::watch;

use super::text::Text;
use super::{agent, gpu, host, node};
use crate::collect::Calls;
use crate::latest::Latest;
use crate::stream::Counts;

/// Where a page gets what is on it.
#[derive(Debug)]
pub(crate) struct Page {
    /// This host's name.
    pub(crate) host: String,
    /// Its GPUs at first, or why they could not be seen.
    pub(crate) devices: Result<Vec<Device>, Absence>,
    /// The latest readings.
    pub(crate) latest: watch::Receiver<Latest>,
    /// How long calls into the GPU library took.
    pub(crate) calls: watch::Receiver<Calls>,
    /// What became of the samples for the coordinator; `None`: there is none.
    pub(crate) stream: Option<Counts>,
}

impl Page {
    /// The page as it is now.
    pub(super) fn render(&self, now: Mono) -> String {
        let mut text = Text::default();
        let latest = self.latest.borrow().clone();
        gpu::write(&mut text, &self.host, &latest.devices(&self.devices), &latest, now);
        node::write(&mut text, "/proc".as_ref());
        host::write(&mut text, &latest, now);
        agent::write(&mut text, self, latest.samples());
        text.into_string()
    }
}
