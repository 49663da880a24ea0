//! From an error's source chain to a failure kind.
//!
//! Types and codes decide, not display texts: `io::ErrorKind`, the predicates of hyper and h2, rustls' error type,
//! and this crate's resolver error.

use std::error::Error;
use std::io;

use fluxfleet_proto::failure::FailureKind;
use rustls::CertificateError;

use super::Failure;
use super::resolve::ResolveError;

/// What may be behind bytes that are no HTTP/1.1.
pub(super) const NOT_HTTP: &str = "; not HTTP/1.1, is this an https port or another service?";

/// The same of HTTP/2.
const NOT_HTTP_2: &str = "; does the service speak HTTP/2 on this port?";

/// The failure behind an error that ended an exchange. `connected` tells whether a connection was there.
pub(super) fn classify(error: &(dyn Error + 'static), connected: bool) -> Failure {
    let kind = match chain(error).find_map(|e| kind_of(e, connected)) {
        // Whatever else is said in the chain, that is why.
        _ if chain(error).any(is_too_many_files) => FailureKind::Exhausted,
        Some(kind) => kind,
        None if connected => FailureKind::Disconnected,
        None => FailureKind::Connect,
    };
    Failure { kind, text: describe(error, kind) }
}

/// Each error of the chain. An `io::Error` names as its source the source of what it wraps, and so hides the
/// wrapped error itself; here it is visited.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e| {
        let e: &'a (dyn Error + 'static) = *e;
        match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => e.source(),
        }
    })
}

fn kind_of(e: &(dyn Error + 'static), connected: bool) -> Option<FailureKind> {
    if e.is::<ResolveError>() {
        return Some(FailureKind::Dns);
    }
    if e.is::<rustls::Error>() {
        return Some(FailureKind::Tls);
    }
    if let Some(e) = e.downcast_ref::<hyper::Error>() {
        // Other hyper errors wrap the io error that says more.
        return match () {
            () if e.is_parse() => Some(FailureKind::Protocol),
            () if e.is_incomplete_message() || e.is_canceled() || e.is_closed() => {
                Some(FailureKind::Disconnected)
            }
            () => None,
        };
    }
    if not_http_2(e) {
        return Some(FailureKind::Protocol);
    }
    let e = e.downcast_ref::<io::Error>()?;
    if !connected && e.kind() == io::ErrorKind::UnexpectedEof {
        // No attempt at a connection ends so: it was there, and closed within the handshake over it.
        return Some(FailureKind::Tls);
    }
    if e.get_ref().is_some() {
        // A wrapped error is looked at next.
        return None;
    }
    match e.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            if connected =>
        {
            Some(FailureKind::Disconnected)
        }
        _ if !connected => Some(FailureKind::Connect),
        _ => None,
    }
}

/// The innermost words, with what to do where that is known.
pub(super) fn describe(error: &(dyn Error + 'static), kind: FailureKind) -> String {
    let mut words: Vec<String> = Vec::new();
    for e in chain(error) {
        let said = e.to_string();
        // Outer errors often quote inner ones.
        if !words.iter().any(|w| w.contains(&said)) {
            words.push(said);
        }
    }
    let advice = match kind {
        FailureKind::Exhausted => "; this worker is out of file descriptors, raise its limit (`ulimit -n`)",
        FailureKind::Connect if chain(error).any(is_without_address) => {
            "; this machine may have no port left for one more (`net.ipv4.ip_local_port_range`)"
        }
        FailureKind::Protocol if chain(error).any(not_http_2) => NOT_HTTP_2,
        FailureKind::Protocol => NOT_HTTP,
        FailureKind::Tls => match refused_certificate(error) {
            None => "; if the port speaks plain http, write the URL with http://",
            Some(CertificateError::UnknownIssuer) => {
                "; if its authority is one of your own, give it with --ca"
            }
            Some(_) => "",
        },
        _ => "",
    };
    words.join(": ") + advice
}

/// Why a certificate is not trusted, if one was shown.
fn refused_certificate<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    chain(error).find_map(|e| match e.downcast_ref()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    })
}

/// Whether the connection was given up on this side because of what had come. A single stream that ends before its
/// announced length is an answer cut short.
fn not_http_2(e: &(dyn Error + 'static)) -> bool {
    e.downcast_ref::<h2::Error>().is_some_and(|e| e.is_library() && e.is_go_away())
}

fn is_too_many_files(e: &(dyn Error + 'static)) -> bool {
    // EMFILE and ENFILE; std has no name for them.
    e.downcast_ref::<io::Error>().is_some_and(|e| matches!(e.raw_os_error(), Some(23 | 24)))
}

/// What a system says that has no port left to connect from; but also of an address that it has no way to.
fn is_without_address(e: &(dyn Error + 'static)) -> bool {
    e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: io::Error, connected: bool) -> FailureKind {
        classify(&error, connected).kind
    }

    #[test]
    fn an_error_wrapped_in_an_io_error_is_found() {
        let tls = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert_eq!(kind(io::Error::other(wrapped), false), FailureKind::Tls);
    }

    #[test]
    fn the_same_reset_is_another_kind_before_and_after_the_connection() {
        assert_eq!(kind(io::ErrorKind::ConnectionReset.into(), false), FailureKind::Connect);
        assert_eq!(kind(io::ErrorKind::ConnectionReset.into(), true), FailureKind::Disconnected);
        assert_eq!(kind(io::ErrorKind::ConnectionRefused.into(), false), FailureKind::Connect);
    }

    #[test]
    fn running_out_of_file_descriptors_says_what_to_do() {
        let failure = classify(&io::Error::from_raw_os_error(24), false);
        assert_eq!(failure.kind, FailureKind::Exhausted);
        assert!(failure.text.contains("ulimit -n"), "{}", failure.text);
        let wrapped = io::Error::other(io::Error::from_raw_os_error(23));
        assert_eq!(kind(wrapped, false), FailureKind::Exhausted);
    }

    #[test]
    fn having_no_port_left_says_so_and_may_be_something_else() {
        let failure = classify(&io::Error::from(io::ErrorKind::AddrNotAvailable), false);
        assert_eq!(failure.kind, FailureKind::Connect);
        assert!(failure.text.contains("ip_local_port_range"), "{}", failure.text);
    }
}
