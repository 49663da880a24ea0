//! Picks the driver by scheme and follows redirects.

use std::cell::OnceCell;

use bytes::Bytes;
use fluxfleet_proto::failure::FailureKind;
use http::StatusCode;
use http::header::LOCATION;

use super::direct::Direct;
use super::endpoint::Origin;
use super::tls::Tls;
use super::{Answer, Driver, Endpoint, Failure, Progress};

/// Redirects followed for one call.
const MAX_REDIRECTS: usize = 5;

/// A load thread's own client: connections are never shared between threads.
pub(crate) struct Client {
    direct: Direct,
    // Reading the trust store takes a while; only an https target pays for it.
    tls: OnceCell<Tls>,
    limit: u64,
}

impl Client {
    /// A client that accepts bodies of up to `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { direct: Direct::default(), tls: OnceCell::new(), limit }
    }

    /// Builds ahead what the first request to an https target would have to wait for.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub(crate) fn warm_up(&self, origin: &Origin) -> Result<(), Failure> {
        if origin.secure { self.tls().map(drop) } else { Ok(()) }
    }

    fn tls(&self) -> Result<&Tls, Failure> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = Tls::new().map_err(|e| Failure {
            kind: FailureKind::Tls,
            text: format!("cannot set up TLS ({e}); are the system's CA certificates installed?"),
        })?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// Closes connections that have been idle for too long; to be called about once a second.
    pub(crate) fn sweep(&self) {
        self.direct.sweep();
    }

    /// Asks an endpoint and follows where it redirects to. Failure texts begin with method and path.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let answer = self.exchange(endpoint, body.clone(), progress).await?;
        if is_redirect(answer.status) {
            // Rare and large: kept out of the future of every request in flight.
            return Box::pin(self.follow(endpoint, body, answer, progress)).await;
        }
        Ok(answer)
    }

    async fn follow(
        &self,
        from: &Endpoint,
        body: Bytes,
        mut answer: Answer,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let fail = |from: &Endpoint, status: StatusCode, what: String| Failure {
            kind: FailureKind::Redirect,
            text: format!("{}: {status}: {what}", from.label()),
        };
        let mut from = from.clone();
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = answer.headers.get(LOCATION).and_then(|l| l.to_str().ok()) else {
                return Err(fail(&from, answer.status, "a redirect without a readable Location".to_owned()));
            };
            // 307 and 308 ask for the same request at another place; the others for a GET.
            let keep_method =
                matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            let next = from.redirect(location, keep_method).map_err(|e| {
                fail(&from, answer.status, format!("a redirect that cannot be followed: {e}"))
            })?;
            progress.redirected(next.label());
            let body = if next.method == http::Method::POST { body.clone() } else { Bytes::new() };
            answer = self.exchange(&next, body, progress).await?;
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            from = next;
        }
        Err(fail(&from, answer.status, format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let result = if endpoint.origin.secure {
            match self.tls() {
                // Boxed: reqwest's future is several times the size of the direct driver's.
                Ok(tls) => Box::pin(tls.exchange(endpoint, body, self.limit, progress)).await,
                Err(failure) => Err(failure),
            }
        } else {
            self.direct.exchange(endpoint, body, self.limit, progress).await
        };
        result.map_err(|f| Failure { text: format!("{}: {}", endpoint.label(), f.text), ..f })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
