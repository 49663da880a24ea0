//! A server that counts what it is asked, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::runtime::Runtime;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many came before it.
    pub(crate) index: usize,
}

impl Seen {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A running server; dropping it stops it.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Starts a server that answers every request by `answer`.
pub(crate) fn start(answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> Server {
    start_async(move |seen| std::future::ready(answer(&seen)))
}

/// Connections that may wait to be accepted, where nobody asks for other than the usual.
const QUEUE: u32 = 1024;

/// Starts a server whose answers may take their time.
pub(crate) fn start_async<F>(answer: impl Fn(Seen) -> F + Send + Sync + 'static) -> Server
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    start_with_queue(QUEUE, answer)
}

/// Starts a server whose system lets about `queue` connections wait to be accepted. One thread does everything.
pub(crate) fn start_with_queue<F>(queue: u32, answer: impl Fn(Seen) -> F + Send + Sync + 'static) -> Server
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answer = Arc::new(answer);
    let kept = Arc::clone(&seen);
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
        async move {
            let request = {
                let mut kept = kept.lock().unwrap();
                let request = Seen { method, uri, headers, body, index: kept.len() };
                kept.push(request.clone());
                request
            };
            answer(request).await
        }
    };
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(queue).unwrap()
    });
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap();
    });
    Server { address, seen, _runtime: runtime }
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: impl Into<String>) -> Response<Body> {
    typed(status, "application/json", body.into())
}

/// An answer with a media type.
pub(crate) fn typed(status: u16, media: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", media)
        .body(body.into())
        .unwrap()
}
