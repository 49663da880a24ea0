//! Whether a target runs on this machine.

use std::net::{ToSocketAddrs as _, UdpSocket};

use url::Url;

/// Whether the URL's host is this machine, so that an embedded agent would watch the right host. The question is
/// put to the system: a socket can only be bound to an address of one's own.
pub fn is_this_machine(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(mut addresses) = (host, 0).to_socket_addrs() else { return false };
    addresses.any(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_here_and_a_documentation_address_is_not() {
        assert!(is_this_machine("http://127.0.0.1:8000"));
        assert!(is_this_machine("http://localhost"));
        // TEST-NET-1 of RFC 5737 belongs to nobody.
        assert!(!is_this_machine("http://192.0.2.1:8000"));
        assert!(!is_this_machine("not a url"));
    }
}
