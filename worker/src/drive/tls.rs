//! HTTPS through reqwest and rustls, on the platform's trust store.

use std::sync::{Arc, Once};

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::body::Gathered;
use super::classify::classify;
use super::resolve::ask;
use super::{Answer, Driver, Endpoint, Failure, IDLE_LIMIT, Phase, Progress};

/// The driver for `https://`; it speaks plain HTTP too.
pub(super) struct Tls(reqwest::Client);

impl Tls {
    /// A client of its own, with its own connections.
    ///
    /// # Errors
    /// When the platform's trust store cannot be used.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        install_crypto();
        reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(usize::MAX)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(System))
            .build()
            .map(Self)
    }
}

/// Installs ring as the process's crypto provider, once.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the embedding program has installed one, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The system's resolver with this crate's error, which [`classify`] knows by its type.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = ask(host, 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

impl Driver for Tls {
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        // reqwest does not tell when it is connected; a timeout while it connects counts as one of the answer.
        progress.enter(Phase::Head);
        let mut request = reqwest::Request::new(endpoint.method.clone(), endpoint.url.clone());
        *request.headers_mut() = endpoint.headers.clone();
        if endpoint.method == http::Method::POST {
            *request.body_mut() = Some(body.into());
        }
        let mut response = self.0.execute(request).await.map_err(|e| {
            let connected = !e.is_connect();
            classify(&e.without_url(), connected)
        })?;
        progress.head_arrived();
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut gathered = Gathered::new(&headers, limit);
        while !gathered.cut {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) => {
                    gathered.push(chunk, progress);
                }
                Err(e) => {
                    let failure = classify(&e.without_url(), true);
                    let text = format!("{} after {} body bytes", failure.text, progress.bytes());
                    return Err(Failure { text, ..failure });
                }
            }
        }
        if gathered.cut && status.is_success() {
            return Err(gathered.too_large());
        }
        Ok(Answer { status, headers, body: gathered.into_bytes() })
    }
}
