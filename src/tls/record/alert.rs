//! The alerts that this record layer sends (RFC 8446 §6, RFC 5246 §7.2).

/// An alert that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The sender has nothing more to say.
    CloseNotify,
    /// A record or message that has no place here.
    UnexpectedMessage,
    /// A record that is not authentic.
    BadRecordMac,
    /// A record or its content is too long.
    RecordOverflow,
    /// A field has a value that it cannot have.
    IllegalParameter,
    /// A message does not have the form that it must have.
    DecodeError,
    /// A record of another version.
    ProtocolVersion,
    /// Something of ringgate's own.
    InternalError,
    /// TLS 1.2: no second handshake (RFC 5246 §7.2.2).
    NoRenegotiation,
}

impl Alert {
    /// Level and description as they stand in a record.
    pub fn to_bytes(self) -> [u8; 2] {
        let level = match self {
            Self::CloseNotify | Self::NoRenegotiation => 1,
            Self::UnexpectedMessage
            | Self::BadRecordMac
            | Self::RecordOverflow
            | Self::IllegalParameter
            | Self::DecodeError
            | Self::ProtocolVersion
            | Self::InternalError => 2,
        };
        [level, self.code()]
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::CloseNotify => 0,
            Self::UnexpectedMessage => 10,
            Self::BadRecordMac => 20,
            Self::RecordOverflow => 22,
            Self::IllegalParameter => 47,
            Self::DecodeError => 50,
            Self::ProtocolVersion => 70,
            Self::InternalError => 80,
            Self::NoRenegotiation => 100,
        }
    }
}

/// The name of an alert that came, for logs (RFC 8446 §6, RFC 5246 §7.2).
pub fn alert_name(code: u8) -> &'static str {
    match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "unknown",
    }
}
