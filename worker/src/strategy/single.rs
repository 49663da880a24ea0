//! One item a request, answered in the response.

use crate::drive::{Client, Endpoint, Progress};
use crate::judge::{self, Glance, Verdict};

/// POST, and the answer is the item.
#[derive(Debug)]
pub(super) struct Single {
    endpoint: Endpoint,
}

impl Single {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) async fn ask(
        &self,
        body: &[u8],
        client: &Client,
        glance: &Glance,
        progress: &Progress,
    ) -> Verdict {
        match client.call(&self.endpoint, body, progress).await {
            Ok(answer) => judge::single(&answer, glance).labelled(|| self.endpoint.label()),
            Err(failure) => Verdict::all_failed(1, failure),
        }
    }
}
