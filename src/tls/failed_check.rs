//! Names the check of a handshake that failed, in one word: for logs, and for the operator who has to fix it.
//!
//! Not here: the alert that the peer gets, which rustls chooses.

use core::fmt;

use rustls::{CertificateError, Error};

use super::handshake::HandshakeFault;
use super::record::alert::alert_name;

/// A check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedCheck {
    /// The certificate, or one that it rests on, is valid no more.
    Expired,
    /// It is not valid yet.
    NotValidYet,
    /// It is for other names.
    WrongName,
    /// No trusted authority vouches for it: a strange one does, or an intermediate certificate is missing.
    Untrusted,
    /// It is revoked.
    Revoked,
    /// A signature, its issuer's or the handshake's, is not that of the key.
    BadSignature,
    /// It is not the pinned one.
    WrongPin,
    /// It is not for servers, or not for clients.
    WrongPurpose,
    /// It is malformed, or has something that must be understood and is not.
    Malformed,
    /// There was none, and there has to be one.
    NoCertificate,
    /// There is no version, cipher suite, group or protocol that both have.
    NothingInCommon,
    /// The peer ended the handshake with this alert.
    Alert(u8),
    /// The peer speaks plain HTTP.
    PlainHttp,
    /// The peer left.
    Closed,
    /// The peer broke the protocol.
    Protocol,
    /// Something of ringgate's own.
    Internal,
}

impl FailedCheck {
    /// The check that this fault is of.
    pub fn of(fault: &HandshakeFault) -> Self {
        match fault {
            HandshakeFault::PlainHttp => Self::PlainHttp,
            HandshakeFault::TooLong => Self::Protocol,
            HandshakeFault::Closed => Self::Closed,
            HandshakeFault::Refused(error) => of_error(error),
            HandshakeFault::Unusable(_) => Self::WrongPurpose,
            HandshakeFault::Astray(_) | HandshakeFault::Handover(_) => Self::Internal,
        }
    }

    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotValidYet => "not_valid_yet",
            Self::WrongName => "wrong_name",
            Self::Untrusted => "untrusted",
            Self::Revoked => "revoked",
            Self::BadSignature => "bad_signature",
            Self::WrongPin => "wrong_pin",
            Self::WrongPurpose => "wrong_purpose",
            Self::Malformed => "malformed_certificate",
            Self::NoCertificate => "no_certificate",
            Self::NothingInCommon => "nothing_in_common",
            Self::Alert(code) => alert_name(code),
            Self::PlainHttp => "plain_http",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailedCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Alert(_) = self {
            formatter.write_str("alert ")?;
        }
        formatter.write_str(self.name())
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls adds errors; one that is not known here is the protocol's"
)]
fn of_error(error: &Error) -> FailedCheck {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => FailedCheck::NoCertificate,
        Error::AlertReceived(alert) => FailedCheck::Alert(u8::from(*alert)),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => FailedCheck::NothingInCommon,
        Error::General(_)
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::EncryptError => FailedCheck::Internal,
        _ => FailedCheck::Protocol,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls adds errors; one that is not known here makes it untrusted"
)]
fn of_certificate(error: &CertificateError) -> FailedCheck {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => FailedCheck::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            FailedCheck::NotValidYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            FailedCheck::WrongName
        }
        CertificateError::Revoked => FailedCheck::Revoked,
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            FailedCheck::BadSignature
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            FailedCheck::WrongPurpose
        }
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => {
            FailedCheck::Malformed
        }
        // Only a pin refuses like this.
        CertificateError::ApplicationVerificationFailure => FailedCheck::WrongPin,
        _ => FailedCheck::Untrusted,
    }
}
