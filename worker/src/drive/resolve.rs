//! Host names to addresses, once per load thread and half minute.
//!
//! A load test opens thousands of connections to one name; asking the system each time would measure the
//! resolver. Lookups that run at the same time share one answer, a failed one included; failures are not kept.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use thiserror::Error;

/// How long an answer is used.
const KEEP: Duration = Duration::from_secs(30);

/// A name without addresses.
#[derive(Clone, Debug, Error)]
#[error("`{host}` does not resolve ({problem}); check the host name and this machine's DNS")]
pub(super) struct ResolveError {
    host: String,
    problem: Arc<str>,
}

type Lookup = Shared<LocalBoxFuture<'static, Result<Rc<[SocketAddr]>, ResolveError>>>;

/// The names looked up so far.
#[derive(Default)]
pub(super) struct Resolver {
    names: RefCell<Vec<Name>>,
}

struct Name {
    host: String,
    port: u16,
    asked: Mono,
    lookup: Lookup,
}

impl Resolver {
    /// Addresses of a host, in the system's order.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Rc<[SocketAddr]>, ResolveError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Rc::new([SocketAddr::new(ip, port)]));
        }
        let lookup = self.lookup(host, port);
        let found = lookup.await;
        if found.is_err() {
            self.names.borrow_mut().retain(|n| n.host != host || n.port != port);
        }
        found
    }

    fn lookup(&self, host: &str, port: u16) -> Lookup {
        let mut names = self.names.borrow_mut();
        let now = Clock::now();
        names.retain(|n| now.since(n.asked) < KEEP);
        if let Some(name) = names.iter().find(|n| n.host == host && n.port == port) {
            return name.lookup.clone();
        }
        let lookup = ask(host.to_owned(), port).map(|found| found.map(Rc::from)).boxed_local().shared();
        names.push(Name { host: host.to_owned(), port, asked: now, lookup: lookup.clone() });
        lookup
    }
}

/// Asks the system.
pub(super) async fn ask(host: String, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let found = tokio::net::lookup_host((host.as_str(), port)).await.map(Iterator::collect::<Vec<_>>);
    let problem = match found {
        Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
        Ok(_) => io::Error::other("no address"),
        Err(e) => e,
    };
    Err(ResolveError { host, problem: problem.to_string().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_once_and_an_address_never() {
        let resolver = Resolver::default();
        let both = futures_util::future::join(
            resolver.addresses("localhost", 80),
            resolver.addresses("localhost", 80),
        );
        let (first, second) = both.await;
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Rc::ptr_eq(&first, &second), "lookups at the same time share an answer");
        assert!(Rc::ptr_eq(&first, &resolver.addresses("localhost", 80).await.unwrap()), "so do later ones");
        let address = resolver.addresses("::1", 81).await.unwrap();
        assert_eq!(address[..], ["[::1]:81".parse().unwrap()]);
        assert_eq!(resolver.names.borrow().len(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let resolver = Resolver::default();
        let error = resolver.addresses("no such host", 80).await.unwrap_err();
        assert!(error.to_string().starts_with("`no such host` does not resolve ("), "{error}");
        assert!(resolver.names.borrow().is_empty());
    }
}
