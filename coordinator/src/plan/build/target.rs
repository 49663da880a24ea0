//! Where requests go, how they travel, and what they ask for.

use std::time::Duration;

use fluxfleet_proto::trial::{DriverChoice, HttpVersion, Target, Transport, Workload};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use super::MAX_TIMEOUT;
use super::problems::Problems;
use crate::plan::{DEFAULT_PROMPTS, RawPlan, defaults, text};

/// Longest file of certificates, in bytes: each worker is sent it.
const MOST_PEM: u64 = 1 << 20;

/// Where requests go, and how they travel.
pub(super) fn target(raw: &RawPlan, p: &mut Problems) -> Target {
    let url = raw.url.as_deref().unwrap_or(defaults::URL);
    let base_url = text::url(url).unwrap_or_else(|trouble| {
        p.add("--url", shown(url), trouble);
        String::new()
    });
    let timeout = p.duration(
        "--timeout",
        raw.timeout.as_deref(),
        defaults::TIMEOUT,
        Duration::from_millis(1),
        MAX_TIMEOUT,
    );
    let max_body_bytes =
        p.read("--max-body", raw.max_body.as_deref(), defaults::MAX_BODY, |t| text::bytes(t, 1, 4 << 30));
    let mut headers = Vec::new();
    for header in &raw.headers {
        // The value may be a secret: the message shows the name alone.
        match text::header(header) {
            Ok(pair) => headers.push(pair),
            Err(trouble) => {
                p.add("--header", header.split(':').next().unwrap_or_default(), trouble);
            }
        }
    }
    Target { base_url, timeout, headers, max_body_bytes, transport: transport(raw, p) }
}

/// A URL as it may be shown: a password must not be repeated, whatever else is wrong.
fn shown(url: &str) -> String {
    let shown = text::masked(url);
    if shown.is_empty() { "''".to_owned() } else { shown }
}

fn transport(raw: &RawPlan, p: &mut Problems) -> Transport {
    let driver = p.read("--driver", raw.driver.as_deref(), DriverChoice::Auto, |t| match t {
        "auto" => Ok(DriverChoice::Auto),
        "direct" => Ok(DriverChoice::Direct),
        "general" => Ok(DriverChoice::General),
        _ => Err("is not a driver; choose auto, direct or general".to_owned()),
    });
    let http = p.read("--http", raw.http.as_deref(), HttpVersion::One, |t| match t {
        "1.1" | "1" => Ok(HttpVersion::One),
        "2" => Ok(HttpVersion::Two),
        _ => Err("is not a version that is spoken; choose 1.1 or 2".to_owned()),
    });
    let proxy = raw.proxy.as_deref().and_then(|given| match text::proxy(given) {
        Ok(proxy) => Some(proxy),
        Err(trouble) => {
            p.add("--proxy", shown(given), trouble);
            None
        }
    });
    if driver == DriverChoice::Direct {
        let use_general = "which the direct driver does not speak; leave --driver out, or choose general";
        if http == HttpVersion::Two {
            p.add("--http", "2", format!("is HTTP/2, {use_general}"));
        }
        if let (Some(_), Some(given)) = (&proxy, raw.proxy.as_deref().map(shown)) {
            p.add("--proxy", given, format!("is a proxy, {use_general}"));
        }
    }
    let ca_pem = raw
        .ca
        .as_deref()
        .and_then(|path| certificates(path).map_err(|trouble| p.add("--ca", path, trouble)).ok());
    Transport { driver, http, proxy, ca_pem, insecure: raw.insecure }
}

/// The text of a file of PEM certificates.
fn certificates(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if size > MOST_PEM {
        return Err(format!("has {size} bytes; certificates of authorities take far less than {MOST_PEM}"));
    }
    let pem = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    if pem.contains("PRIVATE KEY") {
        return Err(
            "holds a private key, which must not travel; give a file of certificates alone".to_owned()
        );
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("is not PEM throughout: {e:?}"))?;
        roots.add(certificate).map_err(|e| format!("holds something that is no certificate: {e}"))?;
    }
    if roots.is_empty() {
        return Err(
            "holds no certificate; give PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned()
        );
    }
    Ok(pem)
}

/// What is asked for.
pub(super) fn workload(raw: &RawPlan, p: &mut Problems) -> Workload {
    let mut parameters: Map<String, Value> = raw.parameters.clone().unwrap_or_else(defaults::parameters);
    for param in &raw.params {
        match text::parameter(param) {
            Ok((name, value)) => drop(parameters.insert(name, value)),
            Err(trouble) => p.add("--param", param, trouble),
        }
    }
    for taken in ["prompt", "prompts"] {
        if parameters.contains_key(taken) {
            p.add("--param", taken, "is filled in for each request; give prompts in the plan file");
        }
    }
    let prompts = match &raw.prompts {
        Some(prompts) if prompts.iter().all(|t| t.trim().is_empty()) => {
            p.add("prompts", "", "holds no prompt; leave it out for the built-in ten");
            Vec::new()
        }
        Some(prompts) => prompts.clone(),
        None => DEFAULT_PROMPTS.map(str::to_owned).to_vec(),
    };
    Workload {
        prompts,
        parameters_json: Value::Object(parameters).to_string(),
        seed: p.read("--seed", raw.seed.as_deref(), defaults::SEED, |t| text::number(t, 0, u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport_of(change: impl FnOnce(&mut RawPlan)) -> Result<Transport, Vec<String>> {
        let (mut raw, mut problems) = (RawPlan::default(), Problems::default());
        change(&mut raw);
        let made = transport(&raw, &mut problems);
        let told: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
        if told.is_empty() { Ok(made) } else { Err(told) }
    }

    #[test]
    fn what_the_direct_driver_cannot_do_is_a_contradiction() {
        let told = transport_of(|r| {
            r.driver = Some("direct".into());
            r.http = Some("2".into());
            r.proxy = Some("http://proxy:3128".into());
        })
        .expect_err("two contradictions");
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|t| t.contains("--driver")), "{told:?}");
        let general = transport_of(|r| (r.driver, r.http) = (Some("general".into()), Some("2".into())));
        assert_eq!(general.expect("valid").http, HttpVersion::Two);
    }

    #[test]
    fn a_file_of_authorities_holds_certificates_and_no_key() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["ca.test".to_owned()]).expect("a name");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let dir = tempfile::tempdir().expect("a directory");
        let given = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("space");
            transport_of(|r| r.ca = Some(path.display().to_string()))
        };
        let twice = format!("# an authority\n{pem}{pem}");
        assert_eq!(given("good.pem", &twice).expect("valid").ca_pem, Some(twice));
        for (name, text, part) in [
            ("empty.pem", String::new(), "no certificate"),
            ("both.pem", format!("{pem}{}", key.serialize_pem()), "private key"),
            ("broken.pem", pem.replace("MI", "!!"), "PEM"),
            (
                "other.pem",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
                "no certificate",
            ),
        ] {
            let told = given(name, &text).expect_err(name);
            assert!(told[0].contains(part), "{told:?}");
        }
        assert!(
            transport_of(|r| r.ca = Some("/nowhere.pem".into())).expect_err("no file")[0]
                .contains("cannot be read")
        );
    }
}
