//! The TLS configurations of both ends: one version, one suite, one group.

use super::credentials::Credentials;
use super::tickets::Tickets;
use anyhow::Result;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

/// The protocol that a client offers (ALPN): the one that a browser offers for a WebSocket.
const PROTOCOL: &[u8] = b"http/1.1";

/// Tickets that the backend gives for each handshake, as OpenSSL does.
const TICKETS_GIVEN: usize = 2;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

/// The generator's clients. The proxy must show this certificate, byte by byte; that it has its key is not checked, which
/// would cost the load's core as much as signing costs the proxy's, and is the verifying mode's business.
///
/// # Errors
/// Credentials that are none.
pub(crate) fn load_client(credentials: &Credentials, resumes: bool) -> Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(KnownCertificate(credentials.certificate()?)))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption =
        if resumes { Resumption::store(Arc::new(Tickets::default())) } else { Resumption::disabled() };
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// A client that checks everything.
///
/// # Errors
/// Credentials that are none.
pub(crate) fn verifying_client(credentials: &Credentials) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(credentials.authority()?)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// The backend. It gives tickets, which it opens again.
///
/// # Errors
/// Credentials that are none.
pub(crate) fn backend(credentials: &Credentials) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![credentials.certificate()?], credentials.key()?)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = TICKETS_GIVEN;
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct KnownCertificate(CertificateDer<'static>);

impl ServerCertVerifier for KnownCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
