//! Ways of asking for items: one file each, and one line in [`Strategy`].

mod batch;
mod single;
mod submit_poll;
mod template;
mod url;

use std::num::NonZeroU32;

use fluxfleet_proto::trial::{Assignment, Method, Workload};
use thiserror::Error;

use crate::claim::Claim;
use crate::drive::{Client, Endpoint, HeaderSet, InvalidUrl, Progress};
use crate::judge::{Glance, Verdict};
use batch::Batch;
use single::Single;
use submit_poll::SubmitPoll;
use template::Template;

/// An assignment that cannot be carried out. Each names what to change in the plan.
#[derive(Debug, Error)]
pub(crate) enum InvalidAssignment {
    #[error("the target {0}; correct the plan's URL or path")]
    Url(#[from] InvalidUrl),
    #[error("the header `{name}` cannot be sent ({problem}); correct the plan's headers")]
    Header { name: String, problem: String },
    #[error("the workload's parameters are not a JSON object ({0}); correct the plan's parameters")]
    Parameters(serde_json::Error),
    #[error("the workload has no prompts; give at least one")]
    NoPrompts,
    #[error("the status path `{0}` has no `{{id}}` in it; mark where the job id goes")]
    StatusPath(String),
    #[error("{items} items with nothing in flight can never be sent; give at least one place in flight")]
    NothingInFlight { items: u64 },
}

/// A strategy, ready to ask. Shared by all load threads.
#[derive(Debug)]
pub(crate) struct Strategy {
    template: Template,
    how: How,
}

#[derive(Debug)]
enum How {
    Single(Single),
    Batch(Batch),
    // Boxed for its size; there is one per trial.
    SubmitPoll(Box<SubmitPoll>),
}

impl Strategy {
    /// Works out everything that does not change from request to request.
    pub(crate) fn new(assignment: &Assignment, headers: HeaderSet) -> Result<Self, InvalidAssignment> {
        let Assignment { strategy, target, workload, .. } = assignment;
        let base = url::base(&target.base_url)?;
        let endpoint =
            |path: &str| Ok::<_, InvalidAssignment>(Endpoint::post(url::append(&base, path)?, &headers)?);
        let template = |workload: &Workload, plural| Template::new(workload, &strategy.name, plural);
        Ok(match &strategy.method {
            Method::Single { path } => {
                Self { template: template(workload, false)?, how: How::Single(Single::new(endpoint(path)?)) }
            }
            Method::Batch { path, size } => Self {
                template: template(workload, true)?,
                how: How::Batch(Batch::new(endpoint(path)?, *size)),
            },
            Method::Async { submit_path, id_field, status_path, poll_interval } => Self {
                template: template(workload, false)?,
                how: How::SubmitPoll(Box::new(SubmitPoll::new(
                    endpoint(submit_path)?,
                    id_field.clone(),
                    status_path.as_deref().map(|p| url::StatusPath::new(&base, p)).transpose()?,
                    *poll_interval,
                    headers.clone(),
                ))),
            },
        })
    }

    /// Items that a full request asks for.
    pub(crate) fn size(&self) -> NonZeroU32 {
        match &self.how {
            How::Batch(batch) => batch.size(),
            How::Single(_) | How::SubmitPoll(_) => NonZeroU32::MIN,
        }
    }

    /// Where requests are posted to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        match &self.how {
            How::Single(s) => s.endpoint(),
            How::Batch(b) => b.endpoint(),
            How::SubmitPoll(p) => p.endpoint(),
        }
    }

    /// Puts the body of the request for these items in place of what is in `body`.
    pub(crate) fn render(&self, claim: Claim, body: &mut Vec<u8>) {
        self.template.render(claim, body);
    }

    /// Asks, and judges what comes back. Watches no timeout; to be dropped when the time is up.
    pub(crate) async fn ask(
        &self,
        claim: Claim,
        body: &[u8],
        client: &Client,
        glance: &Glance,
        progress: &Progress,
    ) -> Verdict {
        match &self.how {
            How::Single(s) => s.ask(body, client, glance, progress).await,
            How::Batch(b) => b.ask(claim.items, body, client, progress).await,
            // Boxed: its polls make it the largest, and the others should not pay for that.
            How::SubmitPoll(p) => Box::pin(p.ask(body, client, progress)).await,
        }
    }
}
