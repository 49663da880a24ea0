//! Picks the driver and follows redirects.

use std::cell::OnceCell;

use fluxfleet_proto::failure::FailureKind;
use fluxfleet_proto::trial::{DriverChoice, HttpVersion, Target};
use http::StatusCode;
use url::Url;

use super::direct::Direct;
use super::endpoint::Origin;
use super::general::General;
use super::tls::TlsOptions;
use super::{Answer, Driver, Endpoint, Failure, Progress};

/// Redirects followed for one call.
const MAX_REDIRECTS: usize = 5;

/// What a client is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientOptions {
    /// Longest body accepted, in bytes.
    pub(crate) limit: u64,
    /// Whom to trust.
    pub(crate) tls: TlsOptions,
    /// Which driver was asked for.
    pub(crate) driver: DriverChoice,
    /// Which HTTP to speak.
    pub(crate) http: HttpVersion,
    /// A proxy that all requests go through.
    pub(crate) proxy: Option<Url>,
}

impl ClientOptions {
    /// What a target asks for.
    ///
    /// # Errors
    /// When its proxy is no URL.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        let transport = &target.transport;
        let proxy = transport.proxy.as_deref().map(Url::parse).transpose();
        Ok(Self {
            limit: target.max_body_bytes,
            tls: TlsOptions {
                ca_pem: transport.ca_pem.clone().map(String::into_bytes),
                insecure: transport.insecure,
            },
            driver: transport.driver,
            http: transport.http,
            proxy: proxy.map_err(|e| format!("the proxy is no URL ({e}); correct the plan's proxy"))?,
        })
    }
}

/// A load thread's own client: connections are never shared between threads.
pub(crate) struct Client {
    direct: Direct,
    // Only a client that needs it pays for its setup, and only https for reading the trust store.
    general: OnceCell<General>,
    general_over_tls: OnceCell<General>,
    uses_general: bool,
    options: ClientOptions,
}

impl Client {
    /// A client without connections.
    pub(crate) fn new(options: ClientOptions) -> Self {
        let direct = Direct::new(options.tls.clone());
        let uses_general = options.driver.is_general(options.http, options.proxy.is_some());
        Self { direct, general: OnceCell::new(), general_over_tls: OnceCell::new(), uses_general, options }
    }

    /// Builds ahead what the first request to this origin would have to wait for.
    ///
    /// # Errors
    /// When TLS cannot be set up, or the options ask for what their driver cannot do.
    pub(crate) fn warm_up(&self, origin: &Origin) -> Result<(), Failure> {
        if self.uses_general {
            return self.general(origin).map(drop);
        }
        if self.options.http == HttpVersion::Two || self.options.proxy.is_some() {
            return Err(Failure {
                kind: FailureKind::Protocol,
                text: "the direct driver speaks neither HTTP/2 nor to proxies; choose the general one"
                    .to_owned(),
            });
        }
        self.direct.warm_up(origin)
    }

    fn general(&self, origin: &Origin) -> Result<&General, Failure> {
        let kept = if origin.secure { &self.general_over_tls } else { &self.general };
        if let Some(general) = kept.get() {
            return Ok(general);
        }
        let ClientOptions { tls, http, proxy, .. } = &self.options;
        let general = General::new(origin.secure.then_some(tls), *http, proxy.as_ref())?;
        Ok(kept.get_or_init(|| general))
    }

    /// Closes connections that have been idle for too long; to be called about once a second.
    pub(crate) fn sweep(&self) {
        self.direct.sweep();
    }

    /// Asks an endpoint and follows where it redirects to. Failure texts begin with method and path.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        // Boxed: rare and large, it is kept out of every request in flight.
        let mut followed: Option<Box<Followed>> = None;
        loop {
            let (endpoint, body) = match followed.as_deref() {
                None => (endpoint, body),
                Some(to) if to.endpoint.carries_body() => (&to.endpoint, body),
                Some(to) => (&to.endpoint, &[][..]),
            };
            let answer = self.exchange(endpoint, body, progress).await?;
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            let so_far = followed.as_ref().map_or(0, |to| to.redirects);
            let to = follow(endpoint, &answer, so_far)?;
            progress.redirected(to.endpoint.label());
            followed = Some(to);
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let result = if self.uses_general {
            match self.general(&endpoint.origin) {
                // Boxed: reqwest's future is several times the size of the direct driver's.
                Ok(general) => Box::pin(general.exchange(endpoint, body, self.options.limit, progress)).await,
                Err(failure) => Err(failure),
            }
        } else {
            self.direct.exchange(endpoint, body, self.options.limit, progress).await
        };
        // With the last of an answer the direct driver has read the clock, and that is when the request ended.
        if self.uses_general || result.is_err() {
            progress.tick();
        }
        result.map_err(|f| Failure { text: format!("{}: {}", endpoint.label(), f.text), ..f })
    }
}

/// Where redirects have led to.
struct Followed {
    endpoint: Endpoint,
    redirects: usize,
}

/// Where an answer redirects to, after so many redirects before it.
fn follow(from: &Endpoint, answer: &Answer, redirects: usize) -> Result<Box<Followed>, Failure> {
    let fail = |what: String| Failure {
        kind: FailureKind::Redirect,
        text: format!("{}: {}: {what}", from.label(), answer.status),
    };
    if redirects == MAX_REDIRECTS {
        return Err(fail(format!("more than {MAX_REDIRECTS} redirects")));
    }
    let Some(location) = answer.location.as_deref() else {
        return Err(fail("a redirect without a readable Location".to_owned()));
    };
    // 307 and 308 ask for the same request at another place; the others for a GET.
    let keep_method =
        matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let endpoint = from
        .redirect(location, keep_method)
        .map_err(|e| fail(format!("a redirect that cannot be followed: {e}")))?;
    Ok(Box::new(Followed { endpoint, redirects: redirects + 1 }))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
