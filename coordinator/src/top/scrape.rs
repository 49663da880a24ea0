//! Asks an agent for its page.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, StatusCode};

use super::page::Page;

/// An agent answers within some milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// A host of 16 GPUs tells some 150 KB.
const MOST_BYTES: usize = 16 << 20;

/// Asks agents.
#[derive(Clone, Debug)]
pub(super) struct Scraper(Client);

impl Scraper {
    pub(super) fn new() -> reqwest::Result<Self> {
        // Fails only when a provider is there already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().connect_timeout(PATIENCE).timeout(PATIENCE);
        client.redirect(reqwest::redirect::Policy::none()).build().map(Self)
    }

    /// The page of the agent at `HOST:PORT`.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn scrape(&self, address: &str) -> Result<Page, String> {
        let url = format!("http://{address}/metrics");
        let mut answer = self.0.get(url).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(format!(
                "answers {} to /metrics; is that an agent's --metrics?",
                answer.status().as_u16()
            ));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err("answers with more than an agent has to tell".to_owned());
            }
        }
        Ok(Page::parse(&String::from_utf8_lossy(&body)))
    }
}

fn unreachable(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("unreachable: no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    format!("unreachable: {cause}")
}
