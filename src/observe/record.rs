//! The record of a session: made at its 101, kept to its end.
//!
//! Plain data, so that it can move to another process with its session: labels go by name, and are found again there.
//!
//! Not here: what the session does (`session`).

#[cfg(test)]
use super::labels::EntityLabel;
use super::labels::{LabelRegistry, SessionLabels};
use super::sampling::Logged;
use crate::admission::places::HolderKind;
use crate::catalog::Name;
use crate::catalog::name::NAME_CHARS_MAX;
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};
use crate::limits::REVISION;
use crate::session::CorrelationId;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use zeroize::Zeroizing;

/// An IP address and a port, without what only a socket needs: 20 bytes instead of 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedAddress {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for RecordedAddress {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: address.port() }
    }
}

impl fmt::Display for RecordedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(formatter)
    }
}

/// A revision of an API (1 to 1,000,000), in three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedRevision([u8; 3]);

impl From<u64> for RecordedRevision {
    fn from(revision: u64) -> Self {
        const { assert!(REVISION.most < 1 << 24) };
        let [a, b, c, ..] = revision.min(REVISION.most).to_le_bytes();
        Self([a, b, c])
    }
}

impl RecordedRevision {
    /// The revision.
    pub fn get(self) -> u32 {
        let Self([a, b, c]) = self;
        u32::from_le_bytes([a, b, c, 0])
    }
}

impl fmt::Display for RecordedRevision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

/// The record of one session.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// The id of its opening, which it keeps.
    pub id: CorrelationId,
    /// The labels that it is counted under.
    pub labels: SessionLabels,
    /// The revision of its API.
    pub api_revision: RecordedRevision,
    /// Whom policies, limits and logs mean.
    pub client: RecordedAddress,
    /// Who connected.
    pub peer: RecordedAddress,
    /// Where its backend was reached.
    pub backend: RecordedAddress,
    /// When it was opened, in milliseconds since 1970.
    pub opened_at_ms: u64,
    /// Whether the log has its rows.
    pub logged: Logged,
}

// Every session has one.
const _: () = assert!(size_of::<SessionRecord>() <= 128);

impl SessionRecord {
    /// The record as bytes.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = FieldWriter::new(ExportKind::Record);
        self.export_fields(&mut writer);
        writer.finish()
    }

    fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { id, labels, api_revision, client, peer, backend, opened_at_ms, logged } = self;
        let SessionLabels { api, product, subscription } = labels;
        writer.array("id", id.to_bytes());
        writer.text("api", api.name().as_str());
        for (field, label) in [("product", product), ("subscription", subscription)] {
            let name = label.as_ref().map(|label| label.name().as_str());
            writer.option(field, name, FieldWriter::text);
        }
        writer.u32("api_revision", api_revision.get());
        for (field, address) in [("client", client), ("peer", peer), ("backend", backend)] {
            address.export_fields(writer, field);
        }
        writer.u64("opened_at_ms", *opened_at_ms);
        logged.export_field(writer);
    }

    /// Imports the bytes that [`SessionRecord::export`] returned, with the labels of this process.
    ///
    /// # Errors
    /// The bytes are no record that any version exported.
    pub fn import(bytes: &[u8], labels: &LabelRegistry) -> Result<Self, ExportFault> {
        let mut reader = FieldReader::new(ExportKind::Record, bytes)?;
        let id = reader.array("id")?;
        let api = import_name(&mut reader, "api")?;
        let product = reader.option("product", import_name)?;
        let subscription = reader.option("subscription", import_name)?;
        let revision = u64::from(reader.u32("api_revision")?);
        reader.check("api_revision", revision <= REVISION.most)?;
        let api_revision = RecordedRevision::from(revision);
        let client = RecordedAddress::import_fields(&mut reader, "client")?;
        let peer = RecordedAddress::import_fields(&mut reader, "peer")?;
        let backend = RecordedAddress::import_fields(&mut reader, "backend")?;
        let opened_at_ms = reader.u64("opened_at_ms")?;
        let logged = match reader.version() {
            // Before there was sampling.
            1 => Logged::Whole,
            _ => Logged::import_field(&mut reader)?,
        };
        let known_id = CorrelationId::from_random(id);
        reader.check("id", known_id.to_bytes() == id)?;
        reader.finish()?;
        // Only now: a fault leaves no label behind.
        let label = |kind, name: Name| labels.label_of(kind, &name);
        let labels = SessionLabels {
            api: label(HolderKind::Api, api),
            product: product.map(|name| label(HolderKind::Product, name)),
            subscription: subscription.map(|name| label(HolderKind::Subscription, name)),
        };
        Ok(Self { id: known_id, labels, api_revision, client, peer, backend, opened_at_ms, logged })
    }
}

fn import_name(reader: &mut FieldReader<'_>, field: &'static str) -> Result<Name, ExportFault> {
    let text = reader.text(field, NAME_CHARS_MAX)?;
    Name::parse(text).map_err(|_| reader.impossible(field))
}

impl RecordedAddress {
    fn export_fields(self, writer: &mut FieldWriter, field: &'static str) {
        let Self { ip, port } = self;
        match ip {
            IpAddr::V4(address) => writer.block(field, &address.octets()),
            IpAddr::V6(address) => writer.block(field, &address.octets()),
        }
        writer.u16(field, port);
    }

    fn import_fields(reader: &mut FieldReader<'_>, field: &'static str) -> Result<Self, ExportFault> {
        let octets = reader.block(field, 16)?;
        let ip = match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
            (Ok(octets), _) => Ipv4Addr::from(octets).into(),
            (_, Ok(octets)) => Ipv6Addr::from(octets).into(),
            (Err(_), Err(_)) => return Err(reader.impossible(field)),
        };
        Ok(Self { ip, port: reader.u16(field)? })
    }
}

/// A record of a session of the API `name`, for relays that are driven without a front.
#[cfg(test)]
pub(crate) fn record_of_api(name: &str) -> SessionRecord {
    let nowhere = RecordedAddress { ip: Ipv4Addr::UNSPECIFIED.into(), port: 0 };
    let label = EntityLabel::new(HolderKind::Api, Name::parse(name).expect("a name"), 1);
    SessionRecord {
        id: CorrelationId::from_random([0x42; 16]),
        labels: SessionLabels::of_api(label.into()),
        api_revision: 1.into(),
        client: nowhere,
        peer: nowhere,
        backend: nowhere,
        opened_at_ms: 0,
        logged: Logged::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::exports;
    use std::sync::Arc;

    fn record(registry: &LabelRegistry, is_full: bool) -> SessionRecord {
        let label = |kind, name| registry.label_of(kind, &Name::parse(name).unwrap());
        let address = |text: &str| RecordedAddress::from(text.parse::<SocketAddr>().unwrap());
        SessionRecord {
            id: CorrelationId::from_random([0x17; 16]),
            labels: SessionLabels {
                api: label(HolderKind::Api, "chat"),
                product: is_full.then(|| label(HolderKind::Product, "starter")),
                subscription: is_full.then(|| label(HolderKind::Subscription, "acme")),
            },
            api_revision: if is_full { REVISION.most } else { 7 }.into(),
            client: address("192.0.2.7:50000"),
            peer: address(if is_full { "[2001:db8::7]:40000" } else { "192.0.2.7:50000" }),
            backend: address("10.0.0.9:9001"),
            opened_at_ms: 1_800_000_000_123,
            logged: if is_full { Logged::IfFailed } else { Logged::Whole },
        }
    }

    fn shown(record: &SessionRecord) -> String {
        let names: Vec<_> = record.labels.iter().map(|label| (label.kind(), label.name().clone())).collect();
        let SessionRecord { id, labels: _, api_revision, client, peer, backend, opened_at_ms, logged } =
            record;
        format!("{id} {names:?} {api_revision} {client} {peer} {backend} {opened_at_ms} {logged:?}")
    }

    #[test]
    fn a_record_takes_at_most_128_bytes() {
        // A field that is added shows here what it costs.
        assert_eq!((size_of::<SessionRecord>(), size_of::<RecordedAddress>()), (112, 20));
    }

    #[test]
    fn exports_have_the_layout_of_their_version() {
        let registry = LabelRegistry::new(1);
        let examples = [("of an API alone", false), ("of all three, behind an IPv6 peer", true)].map(
            |(shown, is_full)| {
                let mut writer = FieldWriter::with_layout(ExportKind::Record);
                record(&registry, is_full).export_fields(&mut writer);
                (shown, writer)
            },
        );
        exports::assert_exports(ExportKind::Record, &examples);
    }

    #[test]
    fn records_that_any_supported_version_exported_are_imported() {
        let there = LabelRegistry::new(4);
        exports::assert_imports(ExportKind::Record, |bytes| {
            SessionRecord::import(bytes, &there).map(|record| Some(record.export()))
        });
    }

    #[test]
    fn an_imported_record_is_the_same_under_the_labels_of_its_new_process() {
        let (here, there) = (LabelRegistry::new(1), LabelRegistry::new(4));
        for is_full in [false, true] {
            let exported = record(&here, is_full);
            let imported = SessionRecord::import(&exported.export(), &there).unwrap();
            assert_eq!(shown(&imported), shown(&exported));
            assert!(
                Arc::ptr_eq(&imported.labels.api, &there.all_of(HolderKind::Api)[0]),
                "one label for all"
            );
        }
    }

    #[test]
    fn what_is_no_record_is_a_fault_and_makes_no_label() {
        let bytes = record(&LabelRegistry::new(1), true).export();
        let there = LabelRegistry::new(1);
        for cut in 0..bytes.len() {
            assert!(SessionRecord::import(&bytes[..cut], &there).is_err(), "cut at {cut}");
        }
        let trailing = [&bytes[..], b"x"].concat();
        assert!(SessionRecord::import(&trailing, &there).is_err());
        // The length of the API's name, its first letter, the version of the id, the length of an address, what is logged.
        let logged = bytes.len() - 1;
        let client = logged - 8 - 10 - 22 - 10;
        for (at, wrong) in [(18, 0xff), (22, b'/'), (8, 0x27), (client, 5), (logged, 3)] {
            let mut changed = bytes.to_vec();
            changed[at] = wrong;
            assert!(SessionRecord::import(&changed, &there).is_err(), "{wrong} at {at}");
        }
        for kind in HolderKind::ALL {
            assert_eq!(there.all_of(kind).len(), 0);
        }
    }
}
