//! Connections that reqwest opens. It does not tell of them, so they are watched as they come into being.
//!
//! ```text
//!   Opened::during(request) --poll--> reqwest --poll--> watch(connecting) --poll--> look-up, TCP, TLS
//!            ^                                                |                        |
//!            |  what the request waits for                    |  what was reached, of the connection polled now
//!            +------------------------------------------------+<-----------------------+
//! ```
//!
//! A connection that a request began to open may be finished without it, when another one became free first. It then
//! counts with whichever request is looked at next: every connection counts once. Over HTTP/2 one request opens the
//! connection that all wait for; when that fails, reqwest tells the others no more than that they were canceled.

use std::cell::Cell;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::FailureKind;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use tower::BoxError;

use crate::drive::classify::classify;
use crate::drive::{Failure, Phase, Progress};

thread_local! {
    /// How far the connection has come that is being polled on this thread.
    static REACHED: Cell<Reached> = const { Cell::new(Reached::NOTHING) };
    /// What the connection waits for that the request polled last on this thread has polled; `None`: it polled none.
    static WAITS: Cell<Option<Phase>> = const { Cell::new(None) };
    /// The request polled last on this thread has polled a connection that failed.
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// When a connection reached what, as far as it has.
#[derive(Clone, Copy, Debug)]
struct Reached {
    look_up: Option<Mono>,
    addresses: Option<Mono>,
    handshake: Option<Mono>,
}

impl Reached {
    const NOTHING: Self = Self { look_up: None, addresses: None, handshake: None };

    /// What comes next.
    fn phase(self) -> Phase {
        match self {
            Self { handshake: Some(_), .. } => Phase::Securing,
            Self { look_up: Some(_), addresses: None, .. } => Phase::Resolving,
            _ => Phase::Connecting,
        }
    }
}

/// The connection that is being polled begins to look up its host's name.
pub(super) fn looks_up() {
    reach(|reached| reached.look_up = Some(Clock::now()));
}

/// It has the addresses.
pub(super) fn has_addresses() {
    reach(|reached| reached.addresses = Some(Clock::now()));
}

fn reach(step: impl FnOnce(&mut Reached)) {
    let mut reached = REACHED.get();
    step(&mut reached);
    REACHED.set(reached);
}

/// A connection that was opened.
#[derive(Clone, Copy, Debug)]
struct Opening {
    resolving: Duration,
    /// Name and TCP; through a proxy, until there is a way to the service.
    connecting: Duration,
    /// `None`: there was no handshake, or it failed.
    securing: Option<Duration>,
}

/// The connections of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened(Arc<Mutex<Known>>);

/// What is known of them.
#[derive(Debug, Default)]
struct Known {
    /// Those that no request has been told of yet.
    untold: Vec<Opening>,
    /// There was one that could take a request.
    any: bool,
    /// Why the last attempt failed, if it did.
    failure: Option<Failure>,
}

impl Known {
    /// What a request waits for that polls no connection: it has one, or, over HTTP/2, waits for the one that another
    /// opens. Before the first one that is certain.
    fn phase(&self) -> Phase {
        if self.any { Phase::Head } else { Phase::Connecting }
    }
}

impl Opened {
    fn locked(&self) -> MutexGuard<'_, Known> {
        // Plain values are whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request to its head, and keeps what it waits for, and which connections were opened, in `progress`. Beside
    /// the outcome: why the connection failed that another request was to open for it, if it waited for one.
    pub(super) async fn during<F: Future>(
        &self,
        progress: &Progress,
        request: F,
    ) -> (F::Output, Option<Failure>) {
        // Dropped last, wherever the request is cut off.
        let _told = Told { opened: self, progress };
        let mut request = pin!(request);
        std::future::poll_fn(|cx| {
            WAITS.set(None);
            FAILED.set(false);
            let polled = request.as_mut().poll(cx);
            progress.enter(WAITS.get().unwrap_or_else(|| self.locked().phase()));
            polled.map(|ended| (ended, self.locked().failure.clone().filter(|_| !FAILED.get())))
        })
        .await
    }

    /// Watches a connection that is opened.
    pub(super) async fn watch<T>(
        self,
        connecting: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let given_up = "the request that was to open the connection ended before it had one".to_owned();
        let mut attempt = Attempt {
            opened: self,
            began: Clock::now(),
            reached: Reached::NOTHING,
            failure: Some(Failure { kind: FailureKind::Connect, text: given_up }),
        };
        let mut connecting = pin!(connecting);
        std::future::poll_fn(|cx| {
            let other = REACHED.replace(attempt.reached);
            let polled = connecting.as_mut().poll(cx);
            attempt.reached = REACHED.replace(other);
            match &polled {
                Poll::Pending => WAITS.set(Some(attempt.reached.phase())),
                Poll::Ready(ended) => {
                    attempt.failure = ended.as_ref().err().map(|e| classify(&**e, false));
                    FAILED.set(attempt.failure.is_some());
                }
            }
            polled
        })
        .await
    }
}

/// Tells a request of connections when it has come to its head, or ends before.
struct Told<'a> {
    opened: &'a Opened,
    progress: &'a Progress,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        for Opening { resolving, connecting, securing } in std::mem::take(&mut self.opened.locked().untold) {
            self.progress.resolved(resolving);
            self.progress.connected(connecting);
            if let Some(took) = securing {
                self.progress.secured(took);
            }
        }
    }
}

/// A connection that is to be. One whose handshake began was opened, whatever became of it.
struct Attempt {
    opened: Opened,
    began: Mono,
    reached: Reached,
    /// `None`: it is open.
    failure: Option<Failure>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Self { opened, began, reached, failure } = self;
        let mut opened = opened.locked();
        let is_open = failure.is_none();
        opened.any |= is_open;
        opened.failure = failure.take();
        if !is_open && reached.handshake.is_none() {
            return;
        }
        let now = Clock::now();
        opened.untold.push(Opening {
            resolving: reached.addresses.map_or(Duration::ZERO, |at| at.since(*began)),
            connecting: reached.handshake.unwrap_or(now).since(*began),
            securing: reached.handshake.filter(|_| is_open).map(|at| now.since(at)),
        });
    }
}

/// A configuration whose handshakes are seen to begin.
pub(super) fn seen(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::store(Arc::new(Sessions(ClientSessionMemoryCache::new(SESSIONS))));
    config
}

/// Sessions that are kept: rustls' own default.
const SESSIONS: usize = 256;

/// Sessions to resume. The first thing that a handshake does is to ask for the key share that went well the last time.
#[derive(Debug)]
struct Sessions(ClientSessionMemoryCache);

impl ClientSessionStore for Sessions {
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        reach(|reached| reached.handshake = Some(Clock::now()));
        self.0.kx_hint(server)
    }

    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server)
    }
}
