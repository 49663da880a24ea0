//! HTTP/2: many requests wait for one connection.

use std::net::TcpListener;
use std::time::Duration;

use fluxfleet_proto::failure::FailureKind;
use futures_util::future::join_all;

use super::rig::{Rig, Silent, on_a_load_thread};
use crate::drive::general::General;
use crate::drive::{HttpVersion, TlsOptions};

fn rig(secure: bool) -> Rig<General> {
    let tls = TlsOptions { insecure: true, ..TlsOptions::default() };
    Rig::new(General::new(Some(&tls), HttpVersion::Two, None).unwrap(), secure)
}

#[test]
fn a_refused_connection_is_a_connect_failure_of_all_who_wait_for_it() {
    on_a_load_thread(async {
        let rig = rig(false);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for failure in join_all((0..8).map(|_| rig.failure(address))).await {
            assert_eq!(failure.kind, FailureKind::Connect, "{}", failure.text);
            assert!(failure.text.to_lowercase().contains("refused"), "{}", failure.text);
        }
    });
}

#[test]
fn all_who_wait_for_a_connection_or_its_handshake_are_told_from_those_who_wait_for_an_answer() {
    on_a_load_thread(async {
        let queued = Silent::new().await;
        let mute = super::rig::server(false, |_, mut wire| wire.wait_for_close());
        for (secure, address, kind) in [
            (false, queued.address, FailureKind::Connect),
            (true, mute, FailureKind::Tls),
            (false, mute, FailureKind::Timeout),
        ] {
            let rig = rig(secure);
            let url = rig.url(address);
            let short = Duration::from_millis(200);
            let ended = join_all((0..8).map(|_| rig.cut_off(&url, short))).await;
            assert_eq!(ended[0].kind, kind, "{}", ended[0].text);
            // One request opens the connection that all wait for, and is the first to be given up.
            let others = if kind == FailureKind::Tls { FailureKind::Connect } else { kind };
            for failure in &ended[1..] {
                assert_eq!(failure.kind, others, "{}", failure.text);
                assert!(!failure.text.contains("cancel"), "{}", failure.text);
            }
        }
    });
}
