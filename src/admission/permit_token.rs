//! A permit as plain data, for a session that moves to another process.
//!
//! The process that a session leaves gives its places back when the permit is dropped. The process that it goes to adopts them:
//! those of the instance and the source network (`shared_counts::budgets`), those of API, product and subscription by their names
//! (`registry`), and the slots of policies. Adopting never refuses: a live session keeps its places, beyond the limit if need be.
//!
//! Slots are counted under keyed hashes, and each process draws the secret of those hashes itself
//! (`shared_counts::policy_guards`). A process that hands sessions over has to hand that secret over too, before the first
//! opening: with another secret, an adopted slot would be counted under a hash that no later opening asks for.

use core::net::IpAddr;

use zeroize::Zeroizing;

use super::permit::Permit;
use super::places::{Holder, HolderKind};
use super::source::SourceNetwork;
use crate::catalog::Name;
use crate::catalog::name::NAME_CHARS_MAX;
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};
use crate::policy::slot::{Slot, SlotKey};

/// The holders that a session counts against, besides the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermitToken {
    /// The API, if it has a place of one.
    pub api: Option<Name>,
    /// The product, likewise.
    pub product: Option<Name>,
    /// The subscription, likewise.
    pub subscription: Option<Name>,
    /// The network that its client came from, if it was counted.
    pub source: Option<SourceNetwork>,
    /// The keys that its slots are counted under.
    pub slots: Vec<SlotKey>,
}

impl Permit {
    /// Returns the token that another process adopts. This process returns the places when the permit is dropped.
    pub fn token(&self) -> PermitToken {
        let (held, source, slots) = self.holdings();
        let holders: Vec<_> = held.filter_map(|place| place.places().holder()).collect();
        let name = |kind| holders.iter().find(|holder| holder.kind == kind).map(|holder| holder.name.clone());
        PermitToken {
            api: name(HolderKind::Api),
            product: name(HolderKind::Product),
            subscription: name(HolderKind::Subscription),
            source: source.map(|place| place.network()),
            slots: slots.iter().map(Slot::key).collect(),
        }
    }
}

impl PermitToken {
    /// The API, the product and the subscription, as far as there are any.
    pub fn holders(&self) -> impl Iterator<Item = Holder> {
        [
            (HolderKind::Api, &self.api),
            (HolderKind::Product, &self.product),
            (HolderKind::Subscription, &self.subscription),
        ]
        .into_iter()
        .filter_map(|(kind, name)| Some(Holder { kind, name: name.clone()? }))
    }

    /// The token in a row of bytes.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = FieldWriter::new(ExportKind::Permit);
        self.export_fields(&mut writer);
        writer.finish()
    }

    /// Imports the bytes that [`PermitToken::export`] returned.
    ///
    /// # Errors
    /// The bytes are no token that any version exported.
    pub fn import(bytes: &[u8]) -> Result<Self, ExportFault> {
        let mut reader = FieldReader::new(ExportKind::Permit, bytes)?;
        let token = Self::import_fields(&mut reader)?;
        reader.finish()?;
        Ok(token)
    }

    fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { api, product, subscription, source, slots } = self;
        for (field, name) in [("api", api), ("product", product), ("subscription", subscription)] {
            writer.option(field, name.as_ref(), |writer, field, name| writer.text(field, name.as_str()));
        }
        writer.option("source", *source, |writer, _, source| match source.address() {
            IpAddr::V4(address) => {
                writer.u8("source_family", 4);
                writer.array("source_address", address.octets());
            }
            IpAddr::V6(address) => {
                writer.u8("source_family", 6);
                writer.array("source_address", address.octets());
            }
        });
        writer.u32("slots", slots.len() as u32);
        for slot in slots {
            writer.array("slot", slot.to_bytes());
        }
    }

    fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let mut name = |field| {
            reader.option(field, |reader, field| {
                let name = reader.text(field, NAME_CHARS_MAX)?;
                Name::parse(name).map_err(|_| reader.impossible(field))
            })
        };
        let (api, product, subscription) = (name("api")?, name("product")?, name("subscription")?);
        let source = reader.option("source", |reader, _| {
            let address = match reader.u8("source_family")? {
                4 => IpAddr::from(reader.array::<4>("source_address")?),
                6 => IpAddr::from(reader.array::<16>("source_address")?),
                _ => return Err(reader.impossible("source_family")),
            };
            SourceNetwork::from_address(address).ok_or(reader.impossible("source_address"))
        })?;
        let mut slots = Vec::new();
        for _ in 0..reader.u32("slots")? {
            slots.push(SlotKey::from_bytes(reader.array("slot")?));
        }
        Ok(Self { api, product, subscription, source, slots })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::admission::source::SourcePrefixes;
    use crate::catalog::subscription_key::KeyHasher;
    use crate::golden::exports;

    const KIND: ExportKind = ExportKind::Permit;

    fn network(address: &str) -> Option<SourceNetwork> {
        let address = address.parse().expect("an address");
        Some(SourcePrefixes { ipv4: 24, ipv6: 64 }.network_of(address))
    }

    fn name(text: &str) -> Option<Name> {
        Some(Name::parse(text).expect("a name"))
    }

    /// A token of each kind, with the name of what it shows.
    fn examples() -> [(&'static str, PermitToken); 3] {
        let hasher = KeyHasher::new(&[7; 32]);
        let slots = vec![SlotKey::of("ann", &hasher), SlotKey::of("198.51.100.7", &hasher)];
        let all = PermitToken {
            api: name("chat"),
            product: name("starter"),
            subscription: name("acme-1"),
            source: network("2001:db8::1"),
            slots,
        };
        [
            ("nothing but a place of the instance", PermitToken::default()),
            (
                "an open API, and a counted IPv4 network",
                PermitToken { api: name("echo"), source: network("192.0.2.77"), ..PermitToken::default() },
            ),
            ("all that a session can hold", all),
        ]
    }

    #[test]
    fn what_was_exported_is_imported() {
        for (shown, token) in examples() {
            assert_eq!(PermitToken::import(&token.export()).as_ref(), Ok(&token), "{shown}");
        }
    }

    #[test]
    fn exports_have_the_layout_of_their_version() {
        let examples = examples().map(|(shown, token)| {
            let mut writer = FieldWriter::with_layout(KIND);
            token.export_fields(&mut writer);
            (shown, writer)
        });
        exports::assert_exports(KIND, &examples);
    }

    #[test]
    fn tokens_that_any_supported_version_exported_are_imported() {
        exports::assert_imports(KIND, |bytes| PermitToken::import(bytes).map(|token| Some(token.export())));
    }

    #[test]
    fn names_and_networks_that_there_cannot_be_are_refused_with_their_field() {
        let impossible = |field| Err(ExportFault::Impossible { kind: KIND, field });
        let import = |fields: &[u8]| PermitToken::import(&[&[KIND as u8, KIND.version()], fields].concat());
        assert_eq!(import(&[1, 1, 0, 0, 0, b'.']), impossible("api"));
        assert_eq!(import(&[1, 0, 0, 0, 0]), impossible("api"));
        assert_eq!(import(&[0, 1, 241, 0, 0, 0]), impossible("product"));
        assert_eq!(import(&[0, 0, 0, 1, 5]), impossible("source_family"));
        // An IPv4 address that is written as an IPv6 one is no network of its own.
        let mapped = [&[0, 0, 0, 1, 6][..], &[0; 10], &[0xff, 0xff, 192, 0, 2, 0], &[0; 4]].concat();
        assert_eq!(import(&mapped), impossible("source_address"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_an_import_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            example in 0usize..3,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let _ = PermitToken::import(&[&[KIND as u8, KIND.version()], &bytes[..]].concat());
            let mut changed = examples()[example].1.export().to_vec();
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            let _ = PermitToken::import(&changed);
        }
    }
}
