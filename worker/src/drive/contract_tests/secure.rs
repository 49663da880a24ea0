//! Whom TLS trusts, and what it says when it does not.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use fluxfleet_proto::failure::FailureKind;
use rustls::HandshakeKind;

use super::rig::{OK, Rig, on_a_load_thread, server, trusting};
use crate::drive::direct::Direct;
use crate::drive::general::General;
use crate::drive::{HttpVersion, TlsOptions};

fn insecure() -> TlsOptions {
    TlsOptions { ca_pem: None, insecure: true }
}

#[test]
fn https_to_a_plain_port_is_a_tls_failure() {
    on_a_load_thread(async {
        let plain = server(false, |_, mut wire| {
            let _ = wire.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            wire.wait_for_close();
        });
        let failures = [
            Rig::new(Direct::default(), true).failure(plain).await,
            Rig::new(General::new(Some(&insecure()), HttpVersion::One, None).unwrap(), true)
                .failure(plain)
                .await,
        ];
        for failure in failures {
            assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.text);
            assert!(failure.text.contains("http://"), "{}", failure.text);
        }
    });
}

#[test]
fn who_is_not_vouched_for_is_trusted_only_when_that_is_asked_for() {
    on_a_load_thread(async {
        let address = server(true, |_, mut wire| {
            while wire.read_request().is_some() {
                wire.write_all(OK).unwrap();
            }
        });
        let failure = Rig::new(Direct::default(), true).failure(address).await;
        assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.text);
        assert!(failure.text.contains("certificate") && failure.text.contains("--ca"), "{}", failure.text);
        assert!(!failure.text.contains("http://"), "it is TLS that answered: {}", failure.text);
        for options in [trusting(), insecure()] {
            Rig::new(Direct::new(options.clone()), true).answer(address).await;
            Rig::new(General::new(Some(&options), HttpVersion::One, None).unwrap(), true)
                .answer(address)
                .await;
        }
    });
}

#[test]
fn authorities_that_are_none_are_refused_with_what_to_do() {
    for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n"] {
        let options = TlsOptions { ca_pem: Some(pem.into()), insecure: false };
        let failure = options.config(&[]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Tls);
        assert!(failure.text.contains("PEM"), "{}", failure.text);
    }
}

#[test]
fn a_port_that_closes_within_the_handshake_is_a_tls_failure() {
    on_a_load_thread(async {
        let address = server(false, |_, mut wire| {
            let _ = wire.read(&mut [0; 1000]);
        });
        let failures = [
            Rig::new(Direct::new(insecure()), true).failure(address).await,
            Rig::new(General::new(Some(&insecure()), HttpVersion::One, None).unwrap(), true)
                .failure(address)
                .await,
        ];
        for failure in failures {
            assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.text);
        }
    });
}

#[test]
fn a_handshake_that_is_never_answered_is_told_from_a_slow_answer() {
    on_a_load_thread(async {
        let silent = server(false, |_, mut wire| wire.wait_for_close());
        let url = format!("https://{silent}/x");
        let short = Duration::from_millis(100);
        let general = General::new(Some(&insecure()), HttpVersion::One, None).unwrap();
        for failure in [
            Rig::new(Direct::new(insecure()), true).cut_off(&url, short).await,
            Rig::new(general, true).cut_off(&url, short).await,
        ] {
            assert_eq!(failure.kind, FailureKind::Tls);
            assert_eq!(failure.text, "POST /x: connected, but no TLS handshake within 100ms");
        }
    });
}

#[test]
fn a_session_is_resumed_and_http_1_1_agreed_on() {
    on_a_load_thread(async {
        let (told, kinds) = mpsc::channel();
        let address = server(true, move |_, mut wire| {
            wire.read_request();
            let session = wire.session().unwrap();
            told.send((session.handshake_kind(), session.alpn_protocol().map(<[u8]>::to_vec))).unwrap();
            wire.write_all(OK).unwrap();
        });
        let rig = Rig::new(Direct::new(trusting()), true);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            rig.answer(address).await;
            assert_eq!(kinds.recv().unwrap(), (Some(kind), Some(b"http/1.1".to_vec())));
            // Closed by then, so that the next request needs a connection of its own.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
