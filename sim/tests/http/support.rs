//! A simulated host on a free port, and a client of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use fluxfleet_sim::{CounterSnapshot, Counters, Sim, SimConfig, SimError, VirtualGpus};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any test has to wait, so that nothing ends in it.
pub(crate) const FOREVER: Duration = Duration::from_mins(30);
/// How long a condition may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Served {
    pub(crate) client: Client,
    pub(crate) addr: SocketAddr,
    pub(crate) counters: Counters,
    pub(crate) gpus: VirtualGpus,
    cancel: CancellationToken,
    server: JoinHandle<Result<(), SimError>>,
}

impl Served {
    pub(crate) async fn start(config: SimConfig) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nothing else installs one");
        });
        let sim = Sim::bind(any_port(), config).await.expect("a free port");
        let cancel = CancellationToken::new();
        Self {
            client: Client::builder().no_proxy().build().expect("a client"),
            addr: sim.local_addr(),
            counters: sim.counters(),
            gpus: sim.gpus(),
            server: tokio::spawn(sim.serve(cancel.clone())),
            cancel,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    /// Status and JSON body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.send(path, body).await).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::DELETE, path).send().await.expect("an answer")).await
    }

    pub(crate) async fn send(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("an answer")
    }

    /// Sends in the background; aborting the task closes the connection.
    pub(crate) fn post_in_background(&self, path: &str, body: &Value) -> JoinHandle<(u16, Value)> {
        let request = self.request(Method::POST, path).json(body);
        tokio::spawn(async move { read(request.send().await.expect("an answer")).await })
    }

    /// Submits an asynchronous job and answers its status path.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let (status, answer) = self.post("/async-generate", body).await;
        assert_eq!(status, 202, "{answer}");
        answer["status_url"].as_str().expect("a status_url").to_owned()
    }

    /// Polls a job until it has ended.
    pub(crate) async fn ended(&self, status_url: &str) -> Value {
        let poll = async {
            loop {
                let (status, job) = self.get(status_url).await;
                assert_eq!(status, 200, "{job}");
                if !["pending", "processing"].contains(&job["status"].as_str().expect("a status")) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("the job ends")
    }

    /// Waits for the counts to be so.
    pub(crate) async fn counts(&self, what: &str, so: impl Fn(&CounterSnapshot) -> bool) -> CounterSnapshot {
        let poll = async {
            loop {
                let counts = self.counters.snapshot();
                if so(&counts) {
                    return counts;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, poll).await;
        reached.unwrap_or_else(|_| panic!("never {what}: {:?}", self.counters.snapshot()))
    }

    /// Stops the host and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        let served = tokio::time::timeout(PATIENCE, self.server).await;
        served.expect("it stops").expect("it does not panic").expect("it served");
    }
}

pub(crate) fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.expect("a JSON body"))
}
