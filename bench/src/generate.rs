//! Load in this process: the worker's engine without a coordinator in a closed loop, and the bare loops beside it.
//! Each runs as a child of its own, so that its memory and processor time are its own.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use fluxfleet_proto::clock::{Clock, Mono};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::trial;

mod sockets;

/// Path that every generator posts to.
pub const PATH: &str = "/generate";
/// The body of generators that render none: of the engine's form and length.
pub const BODY: &str = concat!(
    r#"{"prompt":"a cat on a mat","seed":100001,"request_id":"bench_100000","#,
    r#""height":512,"width":512}"#
);

/// What sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// The worker's engine: bodies rendered per item, every request timed, judged and recorded.
    Engine,
    /// The engine with a record of each request besides.
    EngineRecords,
    /// A loop over hyper's HTTP/1 connections that sends one body and measures nothing.
    Hyper,
    /// The same over reqwest.
    Reqwest,
    /// One write and one read for each request, and nothing else.
    Sockets,
}

/// How to send.
#[derive(Clone, Debug)]
pub struct Options {
    /// What sends.
    pub client: Client,
    /// Base URL.
    pub url: String,
    /// Connections, one request in flight on each.
    pub connections: NonZeroU32,
    /// How long; the engine ends with the first interval, of a second, that reaches it.
    pub duration: Duration,
    /// Load threads of the engine. The bare loops have one.
    pub threads: NonZeroUsize,
    /// Requests a second, of bare sockets alone; `None`: as many as go.
    pub rate: Option<NonZeroU32>,
}

/// Sends, and prints what came of it as one line of JSON.
///
/// # Errors
/// When a request fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let only_closed = options.rate.is_some() && options.client != Client::Sockets;
    ensure!(!only_closed, "a rate is for `--client sockets`; `fluxfleet run --rate` is the engine's");
    let begun = Clock::now();
    let requests = match options.client {
        Client::Engine => engine(options, false)?,
        Client::EngineRecords => engine(options, true)?,
        Client::Hyper => bare(options, hyper_loop)?,
        Client::Reqwest => bare(options, reqwest_loop)?,
        Client::Sockets => match options.rate {
            None => sockets::closed(options)?,
            Some(rate) => sockets::open(options, rate)?,
        },
    };
    let seconds = Clock::now().since(begun).as_secs_f64();
    println!(
        "{}",
        json!({ "requests": requests, "requests_per_s": requests as f64 / seconds, "failures": 0 })
    );
    Ok(())
}

fn engine(options: &Options, records: bool) -> anyhow::Result<u64> {
    // More than any machine sends meanwhile; the trial ends by a stop.
    let assignment = trial::assignment(&options.url, 1 << 40, options.connections.get(), records);
    let mut first = None;
    let outcome = trial::run(
        assignment,
        options.threads,
        || {},
        |interval| {
            let since = *first.get_or_insert(interval.from);
            if interval.to.since(since) < options.duration {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        },
    )?;
    Ok(outcome.tally.requests_ok)
}

/// Runs one loop per connection on this thread until the time is over.
fn bare<L, F>(options: &Options, one: L) -> anyhow::Result<u64>
where
    L: Fn(Target) -> F,
    F: Future<Output = anyhow::Result<u64>> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = host(&options.url)?;
    // Once for all connections, as a program would: a client is a pool.
    let client = {
        // An error means that there is a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().build()?
    };
    LocalSet::new().block_on(&runtime, async {
        let mut loops = JoinSet::new();
        let until = Clock::now() + options.duration;
        for _ in 0..options.connections.get() {
            let target = Target { host: host.to_owned(), until, client: client.clone() };
            loops.spawn_local(one(target));
        }
        let mut requests = 0;
        while let Some(ended) = loops.join_next().await {
            requests += ended??;
        }
        Ok(requests)
    })
}

/// The host and port of a base URL.
fn host(url: &str) -> anyhow::Result<&str> {
    url.strip_prefix("http://").context("the URL must begin with http://")
}

/// Where a bare loop sends to, and how long.
struct Target {
    host: String,
    until: Mono,
    client: reqwest::Client,
}

async fn hyper_loop(target: Target) -> anyhow::Result<u64> {
    let stream = TcpStream::connect(&target.host).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let mut requests = 0;
    while Clock::now() < target.until {
        let request = http::Request::post(PATH)
            .header("host", &target.host)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(BODY.as_bytes())))?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "a request was answered {}", answer.status());
        answer.into_body().collect().await?;
        requests += 1;
    }
    Ok(requests)
}

async fn reqwest_loop(target: Target) -> anyhow::Result<u64> {
    let url = format!("http://{}{PATH}", target.host);
    let mut requests = 0;
    while Clock::now() < target.until {
        let request = target.client.post(&url).header("content-type", "application/json").body(BODY);
        let answer = request.send().await?.error_for_status()?;
        answer.bytes().await?;
        requests += 1;
    }
    Ok(requests)
}
