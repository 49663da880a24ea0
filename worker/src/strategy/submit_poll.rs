//! Submit a job, then ask for its state until it has ended.
//!
//! The state is asked for at a fixed interval, the first time one interval after the submit answer. The end of
//! a job is therefore seen at most one interval (and one exchange) late, and on average half of that: choose an
//! interval well below the expected duration.
//!
//! A status answer of 404 means "queued" until the job has been seen once (flux_api answers so), and that the
//! job is lost afterwards. 429 and 503 to a poll speak of the poll, not of the job: it is asked again. Any
//! other failing poll ends the item, since a service that cannot tell the state will not tell the result.

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::FailureKind;

use super::url::StatusPath;
use crate::drive::{Answer, Client, Endpoint, Failure, HeaderSet, Phase, Progress};
use crate::judge::document::{Document, Wanted};
use crate::judge::job::State;
use crate::judge::{Content, Verdict, content, excerpt};

/// POST, then GET until terminal.
#[derive(Debug)]
pub(super) struct SubmitPoll {
    endpoint: Endpoint,
    id_field: String,
    /// `None`: the submit answer's `status_url` is followed.
    status_path: Option<StatusPath>,
    interval: Duration,
    headers: HeaderSet,
}

/// What an answer says about the job.
enum Said {
    Ended(Verdict),
    Pending(Document),
    /// 404: not known, or not known yet.
    Unknown(Failure),
}

impl SubmitPoll {
    pub(super) fn new(
        endpoint: Endpoint,
        id_field: String,
        status_path: Option<StatusPath>,
        interval: Duration,
        headers: HeaderSet,
    ) -> Self {
        Self { endpoint, id_field, status_path, interval, headers }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) async fn ask(&self, body: &[u8], client: &Client, progress: &Progress) -> Verdict {
        match self.run(body, client, progress).await {
            Ok(verdict) => verdict,
            Err(failure) => Verdict::all_failed(1, failure),
        }
    }

    async fn run(&self, body: &[u8], client: &Client, progress: &Progress) -> Result<Verdict, Failure> {
        let submitted = client.call(&self.endpoint, body, progress).await?;
        let label = || self.endpoint.label();
        let job = match self.said(&submitted, progress).map_err(|f| labelled(f, &label()))? {
            Said::Ended(verdict) => return Ok(verdict.labelled(label)),
            Said::Pending(job) => job,
            Said::Unknown(failure) => return Err(labelled(failure, &label())),
        };
        // An item without a job around it: the service answered at once.
        if job.evidence && job.state.is_none() && job.id.is_none() && job.status_url.is_none() {
            return Ok(Verdict::all_ok(1, job.generation_time));
        }
        let status = self.status_endpoint(&job).map_err(|what| Failure {
            kind: FailureKind::MissingField,
            text: format!("{}: {}: {what}: {}", label(), submitted.status, excerpt(&submitted.body)),
        })?;
        drop((submitted, job));
        self.poll(&status, client, progress).await
    }

    async fn poll(
        &self,
        status: &Endpoint,
        client: &Client,
        progress: &Progress,
    ) -> Result<Verdict, Failure> {
        let mut due = Clock::now() + self.interval;
        let mut known = false;
        loop {
            progress.enter(Phase::Polling);
            sleep_until(due).await;
            // A late poll does not bring the next one forward: a slow service is not to be asked faster.
            due = Clock::now() + self.interval;
            progress.polled(status.label());
            let answer = client.call(status, &[], progress).await?;
            if matches!(answer.status.as_u16(), 429 | 503) {
                continue;
            }
            match self.said(&answer, progress).map_err(|f| labelled(f, &status.label()))? {
                Said::Ended(verdict) => return Ok(verdict.labelled(|| status.label())),
                Said::Pending(_) => known = true,
                Said::Unknown(_) if !known => {}
                Said::Unknown(failure) => {
                    let failure = Failure { kind: FailureKind::JobLost, ..failure };
                    return Err(labelled(failure, &status.label()));
                }
            }
        }
    }

    fn said(&self, answer: &Answer, progress: &Progress) -> Result<Said, Failure> {
        let wanted = Wanted { items: None, id_field: Some(&self.id_field) };
        let document = match (answer.status.as_u16(), content(answer, wanted)) {
            (404, Err(failure)) => return Ok(Said::Unknown(failure)),
            (410, Err(failure)) => return Err(Failure { kind: FailureKind::JobLost, ..failure }),
            (_, Err(failure)) => return Err(failure),
            (_, Ok(Content::Image)) => return Ok(Said::Ended(Verdict::all_ok(1, None))),
            (_, Ok(Content::Json(document))) => document,
        };
        let state = document.state.as_deref().map_or(State::Pending, State::of);
        if let Some(state) = &document.state {
            progress.job_state(state);
        }
        let ended_as = |kind| {
            let words = document.complaint().or_else(|| document.message.clone()).unwrap_or_default();
            let text = format!("{}: {words}: {}", answer.status, excerpt(&answer.body));
            Ok(Said::Ended(Verdict::all_failed(1, Failure { kind, text })))
        };
        match state {
            State::Cancelled => ended_as(FailureKind::JobCancelled),
            State::Failed => ended_as(FailureKind::JobFailed),
            // A job may be "completed" and carry an error all the same.
            _ if document.complaint().is_some() => ended_as(FailureKind::JobFailed),
            State::Done => Ok(Said::Ended(Verdict::all_ok(1, document.generation_time))),
            State::Pending => Ok(Said::Pending(document)),
        }
    }

    fn status_endpoint(&self, job: &Document) -> Result<Endpoint, String> {
        let url = if let Some(path) = &self.status_path {
            let id = job.id.as_deref().ok_or_else(|| format!("no job id at `{}`", self.id_field))?;
            path.url(id).map_err(|e| e.to_string())?
        } else {
            let url = job.status_url.as_deref().ok_or("no `status_url`")?;
            self.endpoint.url.join(url).map_err(|e| format!("`status_url` is {url}: {e}"))?
        };
        Endpoint::get(url, &self.headers).map_err(|e| e.to_string())
    }
}

fn labelled(failure: Failure, label: &str) -> Failure {
    Failure { text: format!("{label}: {}", failure.text), ..failure }
}

async fn sleep_until(at: Mono) {
    tokio::time::sleep_until(Clock::instant(at).into()).await;
}
