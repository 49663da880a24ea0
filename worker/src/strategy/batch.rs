//! Several items a request, answered in the response.

use std::num::NonZeroU32;

use crate::drive::{Client, Endpoint, Progress};
use crate::judge::{self, Verdict};

/// POST with a list of prompts, and the answer lists the items.
#[derive(Debug)]
pub(super) struct Batch {
    endpoint: Endpoint,
    size: NonZeroU32,
}

impl Batch {
    pub(super) fn new(endpoint: Endpoint, size: NonZeroU32) -> Self {
        Self { endpoint, size }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn size(&self) -> NonZeroU32 {
        self.size
    }

    pub(super) async fn ask(&self, items: u32, body: &[u8], client: &Client, progress: &Progress) -> Verdict {
        match client.call(&self.endpoint, body, progress).await {
            Ok(answer) => judge::batch(&answer, items).labelled(|| self.endpoint.label()),
            Err(failure) => Verdict::all_failed(items, failure),
        }
    }
}
