//! Everything that [`Direct`](super::direct::Direct) leaves out, through reqwest: HTTP/2 and proxies.

mod opening;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::FailureKind;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::util::MapFutureLayer;
use url::{Position, Url};

use super::classify::classify;
use super::h1::{RESERVE, media, switched, too_large};
use super::resolve::ask;
use super::tls::{TlsOptions, trusting_nobody};
use super::{Answer, Driver, Endpoint, Failure, HttpVersion, IDLE_LIMIT, Progress};
use opening::Opened;

/// The driver for HTTP/2 and proxies; it speaks HTTP/1.1 too.
pub(super) struct General {
    client: reqwest::Client,
    opened: Opened,
    http: HttpVersion,
    /// Host and port of the proxy, for failure texts.
    proxy: Option<Box<str>>,
}

impl General {
    /// A client of its own, with its own connections; without `tls`, one for plain connections alone.
    ///
    /// # Errors
    /// `tls` when TLS cannot be set up, `protocol` when reqwest cannot.
    pub(super) fn new(
        tls: Option<&TlsOptions>,
        http: HttpVersion,
        proxy: Option<&Url>,
    ) -> Result<Self, Failure> {
        let protocols: &[&[u8]] = match http {
            HttpVersion::One => &[b"http/1.1"],
            HttpVersion::Two => &[b"h2"],
        };
        let fail = |what: &str, e: reqwest::Error| Failure {
            kind: FailureKind::Protocol,
            text: format!("{what} ({})", classify(&e, false).text),
        };
        let opened = Opened::default();
        let mut builder = reqwest::Client::builder()
            // The environment's proxies are not the plan's.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(usize::MAX)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(System))
            .connector_layer(MapFutureLayer::new({
                let opened = opened.clone();
                move |connecting| Box::pin(opened.clone().watch(connecting))
            }))
            .tls_backend_preconfigured(opening::seen(
                tls.map_or_else(trusting_nobody, |tls| tls.config(protocols))?,
            ));
        builder = match http {
            HttpVersion::One => builder.http1_only().retry(reqwest::retry::never()),
            // With reqwest's retries of what the service says it has not begun: see the module above.
            HttpVersion::Two => builder.http2_prior_knowledge(),
        };
        if let Some(proxy) = proxy {
            let used = reqwest::Proxy::all(proxy.as_str())
                .map_err(|e| fail(&format!("cannot use `{proxy}` as a proxy"), e))?;
            builder = builder.proxy(used);
        }
        let client = builder.build().map_err(|e| fail("cannot set up an HTTP client", e))?;
        let proxy = proxy.map(|proxy| authority(proxy).into());
        Ok(Self { client, opened, http, proxy })
    }
}

/// Host and port as a URL spells them.
fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// The system's resolver with this crate's error, which [`classify`] knows by its type.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            opening::looks_up();
            let addresses = ask(host, 0).await?;
            opening::has_addresses();
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

impl Driver for General {
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let mut request = reqwest::Request::new(endpoint.method.clone(), endpoint.url.clone());
        *request.headers_mut() = endpoint.headers.clone();
        let named = |host: &http::HeaderValue| host == authority(&endpoint.url);
        if self.http == HttpVersion::Two && endpoint.headers.get(HOST).is_some_and(named) {
            // HTTP/2 says it in `:authority`, and nginx refuses to be told twice. A host of the target's own stays.
            request.headers_mut().remove(HOST);
        }
        if endpoint.carries_body() {
            *request.body_mut() = Some(Bytes::copy_from_slice(body).into());
        }
        let (answered, others) = self.opened.during(progress, self.client.execute(request)).await;
        let mut response = answered.map_err(|e| {
            let connected = !e.is_connect();
            let failure = others.filter(|_| !connected);
            let failure = failure.unwrap_or_else(|| classify(&e.without_url(), connected));
            match &self.proxy {
                // What could not be reached may be the proxy, or what is behind it.
                Some(proxy) if !connected => {
                    Failure { text: format!("through the proxy {proxy}: {}", failure.text), ..failure }
                }
                _ => failure,
            }
        })?;
        progress.head_arrived(Clock::now());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(switched());
        }
        let announced = response.content_length();
        let mut gathered = Gathered::new(announced, limit);
        while !gathered.cut {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) => gathered.push(chunk, progress),
                Err(e) => {
                    let failure = classify(&e.without_url(), true);
                    let text = format!("{} after {} body bytes", failure.text, progress.bytes());
                    return Err(Failure { text, ..failure });
                }
            }
        }
        if gathered.cut && response.status().is_success() {
            return Err(too_large(announced, limit));
        }
        let header = |name| response.headers().get(name).map(http::HeaderValue::as_bytes);
        Ok(Answer {
            status: response.status(),
            media: header(CONTENT_TYPE).map(media).unwrap_or_default(),
            location: header(LOCATION).and_then(|l| std::str::from_utf8(l).ok()).map(Into::into),
            body: gathered.into_bytes().into(),
        })
    }
}

/// A body as it grows. One chunk is kept as it came; more are joined.
struct Gathered {
    limit: u64,
    announced: Option<u64>,
    first: Bytes,
    rest: BytesMut,
    /// Whether a part was left away; then no more need be read.
    cut: bool,
}

impl Gathered {
    /// An empty body of at most `limit` bytes.
    fn new(announced: Option<u64>, limit: u64) -> Self {
        let cut = announced.is_some_and(|n| n > limit);
        Self { limit, announced, first: Bytes::new(), rest: BytesMut::new(), cut }
    }

    /// Takes a chunk, as much of it as the limit allows.
    fn push(&mut self, chunk: Bytes, progress: &Progress) {
        progress.received(chunk.len());
        let held = self.first.len().max(self.rest.len()) as u64;
        let room = usize::try_from(self.limit.saturating_sub(held)).unwrap_or(usize::MAX);
        let kept = chunk.len().min(room);
        self.cut |= kept < chunk.len();
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk.slice(..kept);
        } else {
            if self.rest.is_empty() {
                let expected = self.announced.unwrap_or(0).min(self.limit).min(RESERVE);
                self.rest.reserve(usize::try_from(expected).unwrap_or(0).max(self.first.len() + kept));
                self.rest.extend_from_slice(&self.first);
                self.first.clear();
            }
            self.rest.extend_from_slice(&chunk[..kept]);
        }
    }

    /// The body so far.
    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_is_not_copied_and_several_are_joined() {
        let progress = Progress::default();
        let chunk = Bytes::from(vec![1u8; 10]);
        let mut body = Gathered::new(None, 100);
        body.push(chunk.clone(), &progress);
        assert_eq!(body.into_bytes().as_ptr(), chunk.as_ptr());

        let mut body = Gathered::new(None, 100);
        for n in 0..5u8 {
            body.push(Bytes::from(vec![n; 3]), &progress);
        }
        assert_eq!(&body.into_bytes()[..], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(progress.bytes(), 25);
    }

    #[test]
    fn exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
        let progress = Progress::default();
        let mut body = Gathered::new(None, 4);
        body.push(Bytes::from_static(b"abcd"), &progress);
        assert!(!body.cut);
        body.push(Bytes::from_static(b"e"), &progress);
        assert!(body.cut);
        assert_eq!(&body.into_bytes()[..], b"abcd");
    }
}
