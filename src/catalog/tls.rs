//! The TLS settings in the configuration: of a listener, and of an API's backend.
//!
//! They hold only names of files, which are relative to the folder of the instance file, or absolute.
//!
//! Not here: the content of the files (`tls::certificates`).

use super::fault::Remedy;
use super::fields::Fields;

/// Remedies for keys that do not go together.
const NO_AUTHORITIES: &str =
    "client_ca is missing: name the file of the authorities of clients, or set client_auth to \"none\"";
const NOBODY_ASKED: &str = "it has no effect beside client_auth = \"none\": remove it, or set client_auth to \"optional\" or \
                            \"required\"";
const NO_CLIENT_AUTH: &str =
    "client_auth is missing: set it to \"optional\" or \"required\", or remove client_ca";
const PINNED: &str =
    "it has no effect beside pin, which trusts one certificate whoever issued it: remove one of the two";

/// Most certificates of one listener.
const TLS_CERTIFICATES_MAX: usize = 256;

/// Longest file name, in bytes, of a certificate, key or authority (Linux: PATH_MAX less its final zero).
const TLS_FILE_NAME_BYTES_MAX: usize = 4095;

/// A chain of certificates and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The file of the certificates in PEM, the own one first, those of its issuers behind it.
    pub chain: String,
    /// The file of the private key in PEM.
    pub key: String,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients are not asked for one.
    None,
    /// Clients are asked, and may show none. A certificate that `client_ca` did not issue ends the handshake.
    Optional,
    /// Clients have to show one.
    Required,
}

/// The lowest version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one. A client gets one that has the name that it asks for, and else the first.
    pub certificates: Vec<CertificateFiles>,
    /// The file of the authorities in PEM that clients' certificates come from. There is one exactly if they are asked.
    pub client_ca: Option<String>,
    /// Whether clients are asked for certificates. Default none.
    pub client_auth: ClientAuth,
    /// The lowest version of TLS. Default 1.2.
    pub min_version: MinVersion,
}

/// TLS towards the backend of one API. Everything may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTls {
    /// The file of the authorities in PEM that the backend's certificate comes from. `None`: those of the system.
    pub ca: Option<String>,
    /// The certificate that ringgate shows if the backend asks for one. `None`: it shows none.
    pub certificate: Option<CertificateFiles>,
    /// SHA-256 of the one certificate (the whole of it, in DER) that the backend has to show, whatever its issuer.
    pub pin: Option<[u8; 32]>,
}

pub(crate) fn take_listener_tls(mut fields: Fields<'_>) -> Option<ListenerTls> {
    let certificates = take_certificates(&mut fields);
    let has_authority = fields.has("client_ca");
    let client_ca = fields.take_text("client_ca", parse_file_name);
    let client_auth = fields.take_text("client_auth", |text| match text {
        "none" => Ok(ClientAuth::None),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err("\"none\", \"optional\" or \"required\"".to_owned()),
    });
    let min_version = fields.take_text("min_version", |text| match text {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err("\"1.2\" or \"1.3\"".to_owned()),
    });
    match client_auth {
        Some(ClientAuth::Optional | ClientAuth::Required) if !has_authority => {
            fields.object("client_auth", Remedy::act(NO_AUTHORITIES));
        }
        Some(ClientAuth::Optional | ClientAuth::Required) => {}
        // Who names authorities wants them to count for something.
        Some(ClientAuth::None) => fields.object("client_ca", Remedy::act(NOBODY_ASKED)),
        None if fields.has("client_auth") => {}
        None => fields.object("client_ca", Remedy::act(NO_CLIENT_AUTH)),
    }
    fields.finish();
    Some(ListenerTls {
        certificates: certificates?,
        client_ca,
        client_auth: client_auth.unwrap_or(ClientAuth::None),
        min_version: min_version.unwrap_or(MinVersion::Tls12),
    })
}

pub(crate) fn take_backend_tls(mut fields: Fields<'_>) -> BackendTls {
    let tls = BackendTls {
        ca: fields.take_text("ca", parse_file_name),
        certificate: fields.take_table("certificate").and_then(take_certificate),
        pin: fields.take_text("pin", parse_pin),
    };
    if fields.has("ca") && fields.has("pin") {
        fields.object("ca", Remedy::act(PINNED));
    }
    fields.finish();
    tls
}

fn take_certificates(fields: &mut Fields<'_>) -> Option<Vec<CertificateFiles>> {
    fields.require("certificates", "a list of tables like { chain = \"chain.pem\", key = \"key.pem\" }");
    let tables = fields.take_tables("certificates", (1, TLS_CERTIFICATES_MAX))?;
    let taken: Vec<_> = tables.into_iter().map(take_certificate).collect();
    taken.into_iter().collect()
}

fn take_certificate(mut fields: Fields<'_>) -> Option<CertificateFiles> {
    let chain =
        fields.take_required_text("chain", "the file of the certificate chain (pem)", parse_file_name);
    let key = fields.take_required_text("key", "the file of the private key (pem)", parse_file_name);
    fields.finish();
    Some(CertificateFiles { chain: chain?, key: key? })
}

fn parse_file_name(text: &str) -> Result<String, String> {
    let is_name = (1..=TLS_FILE_NAME_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("a file name of 1 to {TLS_FILE_NAME_BYTES_MAX} bytes"))
    }
}

/// 64 hexadecimal digits, with or without colons between the bytes, as `openssl x509 -fingerprint -sha256` shows them.
fn parse_pin(text: &str) -> Result<[u8; 32], String> {
    let allowed = || {
        "the sha-256 of a certificate: 64 hexadecimal digits, with or without colons between the bytes"
            .to_owned()
    };
    let pairs: Vec<&str> = if text.contains(':') {
        text.split(':').collect()
    } else {
        (0..text.len()).step_by(2).map(|at| text.get(at..at + 2).unwrap_or_default()).collect()
    };
    let byte = |pair: &str| {
        let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| is_pair)
    };
    let bytes: Option<Vec<u8>> = pairs.into_iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fault::Fault;
    use crate::catalog::fields::Document;

    /// Parses the table `tls` in `text`; gives the value or the faults.
    fn taken<T>(text: &str, take: impl FnOnce(Fields<'_>) -> Option<T>) -> Result<T, Vec<String>> {
        let document = Document::parse("a.toml", text).unwrap_or_else(|faults| panic!("{faults:?}"));
        let value = take(document.fields().take_table("tls").expect("a table"));
        document.finish(value).map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    fn listener(text: &str) -> Result<ListenerTls, Vec<String>> {
        taken(&format!("[tls]\n{text}"), take_listener_tls)
    }

    fn backend(text: &str) -> Result<BackendTls, Vec<String>> {
        taken(&format!("[tls]\n{text}"), |fields| Some(take_backend_tls(fields)))
    }

    fn files(chain: &str, key: &str) -> CertificateFiles {
        CertificateFiles { chain: chain.to_owned(), key: key.to_owned() }
    }

    const LEAST: &str = "certificates = [{ chain = \"c\", key = \"k\" }]\n";

    #[test]
    fn a_listener_needs_a_certificate_and_has_defaults_for_the_rest() {
        let tls = listener(LEAST).expect("the least");
        assert_eq!(
            tls,
            ListenerTls {
                certificates: vec![files("c", "k")],
                client_ca: None,
                client_auth: ClientAuth::None,
                min_version: MinVersion::Tls12,
            }
        );
    }

    #[test]
    fn takes_every_key_of_a_listener() {
        let text = "certificates = [{ chain = \"/etc/a.pem\", key = \"a.key\" }, { chain = \"b\", key = \"b\" }]\n\
            client_ca = \"clients.pem\"\nclient_auth = \"optional\"\nmin_version = \"1.3\"\n";
        let tls = listener(text).expect("all of it");
        assert_eq!(tls.certificates, [files("/etc/a.pem", "a.key"), files("b", "b")]);
        assert_eq!((tls.client_ca.as_deref(), tls.client_auth), (Some("clients.pem"), ClientAuth::Optional));
        assert_eq!(tls.min_version, MinVersion::Tls13);
    }

    #[test]
    fn says_what_is_wrong_with_a_listener() {
        let certificates = "a list of tables like { chain = \"chain.pem\", key = \"key.pem\" }";
        for (text, fault) in [
            ("", format!("1: tls.certificates is missing; set it to {certificates}")),
            ("certificates = []", "2: tls.certificates = []: allowed is 1 to 256 tables, each written [[tls.certificates]]".to_owned()),
            (
                "certificates = [{ chain = \"c\" }]",
                "2: tls.certificates[0].key is missing; set it to the file of the private key (pem)".to_owned(),
            ),
            (
                "certificates = [{ chain = \"\", key = \"k\" }]",
                "2: tls.certificates[0].chain = \"\": allowed is a file name of 1 to 4095 bytes".to_owned(),
            ),
            (
                &format!("{LEAST}client_auth = \"must\""),
                "3: tls.client_auth = \"must\": allowed is \"none\", \"optional\" or \"required\"".to_owned(),
            ),
            (
                &format!("{LEAST}client_auth = \"required\""),
                "3: tls.client_auth = \"required\"; client_ca is missing: name the file of the authorities of clients, or set client_auth to \"none\"".to_owned(),
            ),
            (
                &format!("{LEAST}client_ca = \"f\""),
                "3: tls.client_ca = \"f\"; client_auth is missing: set it to \"optional\" or \"required\", or remove client_ca"
                    .to_owned(),
            ),
            (
                &format!("{LEAST}client_ca = \"f\"\nclient_auth = \"none\""),
                "3: tls.client_ca = \"f\"; it has no effect beside client_auth = \"none\": remove it, or set client_auth to \"optional\" or \"required\"".to_owned(),
            ),
            (
                &format!("{LEAST}min_version = \"1.1\""),
                "3: tls.min_version = \"1.1\": allowed is \"1.2\" or \"1.3\"".to_owned(),
            ),
            (
                &format!("{LEAST}cert = \"f\""),
                "3: tls.cert is not known; the keys here are certificates, client_ca, client_auth, min_version"
                    .to_owned(),
            ),
        ] {
            assert_eq!(listener(text).expect_err(text), [format!("a.toml:{fault}")], "{text}");
        }
    }

    #[test]
    fn takes_every_key_of_a_backend_and_needs_none() {
        assert_eq!(backend(""), Ok(BackendTls::default()));
        let tls =
            backend("ca = \"ca.pem\"\ncertificate = { chain = \"c\", key = \"k\" }").expect("all of it");
        assert_eq!((tls.ca.as_deref(), tls.certificate), (Some("ca.pem"), Some(files("c", "k"))));
    }

    #[test]
    fn a_pin_is_a_sha_256_in_either_notation() {
        let pin = |text: &str| backend(&format!("pin = \"{text}\"")).map(|tls| tls.pin);
        assert_eq!(pin(&"a0".repeat(32)), Ok(Some([0xa0; 32])));
        assert_eq!(pin(&["0B"; 32].join(":")), Ok(Some([0x0b; 32])));
        for bad in [
            "",
            &"a".repeat(63),
            &"a".repeat(65),
            &"aa".repeat(31),
            &"aa".repeat(33),
            &"ag".repeat(32),
            &"+1".repeat(32),
            &["aa"; 31].join(":"),
            &["a"; 32].join(":"),
            &"é".repeat(32),
        ] {
            assert!(pin(bad).expect_err(bad)[0].starts_with("a.toml:2: tls.pin = "), "{bad}");
        }
    }

    #[test]
    fn a_pin_stands_alone() {
        let text = format!("ca = \"f\"\npin = \"{}\"", "aa".repeat(32));
        let faults = backend(&text).expect_err("both");
        assert!(
            faults.len() == 1
                && faults[0].starts_with("a.toml:2: tls.ca = \"f\"; it has no effect beside pin")
        );
    }
}
