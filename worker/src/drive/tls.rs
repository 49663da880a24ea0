//! What TLS is set up with, for every driver.

use std::sync::Arc;

use fluxfleet_proto::failure::FailureKind;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::Failure;

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// Certificates of authorities in PEM that count beside the platform's.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// Trust whoever answers.
    pub(crate) insecure: bool,
}

impl TlsOptions {
    /// A configuration that offers these protocols, the preferred one first. Reads the platform's trust store,
    /// which takes a while. Sessions are resumed within one configuration.
    ///
    /// # Errors
    /// `tls`, when nobody can be trusted: no trust store, or `ca_pem` is no PEM.
    pub(super) fn config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure {
            Arc::new(Anyone(Arc::clone(&provider)))
        } else {
            let verifier = Verifier::new_with_extra_roots(self.authorities()?, Arc::clone(&provider));
            Arc::new(verifier.map_err(fail)?)
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(fail)?
            // With the platform's own verifier, which this builder calls custom.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, Failure> {
        let Some(pem) = &self.ca_pem else { return Ok(Vec::new()) };
        let fail = |what: String| Failure {
            kind: FailureKind::Tls,
            text: format!("cannot use the given CA certificates ({what}); give them in PEM"),
        };
        let found = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fail(e.to_string()))?;
        if found.is_empty() {
            return Err(fail("there is no certificate in them".to_owned()));
        }
        Ok(found)
    }
}

/// A configuration for those who must have one and do not speak TLS. Reads no trust store.
///
/// # Errors
/// `tls`, when it cannot be made.
pub(super) fn trusting_nobody() -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(fail)?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn fail(e: rustls::Error) -> Failure {
    Failure {
        kind: FailureKind::Tls,
        text: format!("cannot set up TLS ({e}); are the system's CA certificates installed?"),
    }
}

/// Trusts anyone who holds some certificate. Its signatures are checked all the same: without that, TLS would
/// not even be what it costs elsewhere.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
