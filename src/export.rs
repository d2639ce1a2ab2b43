//! Serializes live state when a session moves to another process, and restores it there.
//!
//! An export begins with two bytes, its [`ExportKind`] and that kind's version. Its fields follow in a fixed order, without names and
//! without padding:
//!
//! | field | bytes |
//! |---|---|
//! | integer | as many as its type has, little-endian |
//! | boolean | 1: 0 or 1 |
//! | optional value | 1: 0 for none, or 1 and the value |
//! | array | as many as its type has |
//! | block, text | 4 bytes of length, then so many |
//!
//! The property to trust: whatever bytes a [`FieldReader`] is given, it returns a value or an [`ExportFault`]. It does not panic, and
//! it allocates nothing; a fault names the field. A [`FieldWriter`] leaves no copy of a secret behind.
//!
//! # How to add a field
//!
//! Whoever adds a field to a type that moves, adds it to its export in the same commit. The compiler insists: an export takes its value
//! apart with a pattern that names every field (no `..`), and an import makes it with a literal that does. Then:
//!
//! 1. Raise the version of the kind in [`ExportKind::version`]. Keep reading the older version, with the value that the field had before
//!    there was one: the process that exports is the older one ([`FieldReader::version`] tells which). A version that no release has
//!    written need not be read.
//! 2. Run the tests with `UPDATE_GOLDEN=1`. It writes the golden file of the new version (`tests/golden/export/`). It never
//!    rewrites one that is there: those are what older processes write.
//!
//! # Why code of our own
//!
//! A serialization library takes the layout from the declaration of the type, so that moving or renaming a field changes it
//! unseen. Here the layout is what the code says, a reader refuses impossible values, and secrets are overwritten.
//!
//! Not here: what is exported (each type does that beside itself), descriptors, and how the bytes get to the other process.

use core::fmt;

use zeroize::Zeroizing;

/// The kinds of exports. The number of a kind is the first byte of an export, and is never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExportKind {
    /// `session::Session`.
    Session = 1,
    /// `admission::permit_token::PermitToken`.
    Permit = 2,
    /// `tls::record::LegRecords`.
    RecordLayer = 3,
    /// `relay::carrier::Carrier`.
    Carrier = 4,
    /// `observe::SessionRecord`.
    Record = 5,
}

impl ExportKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Session, Self::Permit, Self::RecordLayer, Self::Carrier, Self::Record];

    /// The version that is written. It is raised when the fields of the kind, or what they mean, change.
    pub const fn version(self) -> u8 {
        match self {
            Self::Session | Self::Permit | Self::RecordLayer | Self::Carrier => 1,
            Self::Record => 2,
        }
    }

    /// The oldest version that can be read.
    pub const fn oldest_version(self) -> u8 {
        match self {
            Self::Session | Self::Permit | Self::RecordLayer | Self::Carrier | Self::Record => 1,
        }
    }

    /// The name in faults and of golden files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Permit => "permit",
            Self::RecordLayer => "record-layer",
            Self::Carrier => "carrier",
            Self::Record => "record",
        }
    }
}

impl fmt::Display for ExportKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why bytes are not an export that this process can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportFault {
    /// They are an export of something else, or none.
    #[error("bytes begin with kind {found:?}, not with that of a {expected} ({})", *.expected as u8)]
    OtherKind {
        /// The kind that was to be read.
        expected: ExportKind,
        /// The first byte; absent if there is none.
        found: Option<u8>,
    },
    /// Another version of ringgate wrote them.
    #[error("a {kind} was exported with version {found}; versions {} to {} can be read", .kind.oldest_version(), .kind.version())]
    UnknownVersion {
        /// The kind of the export.
        kind: ExportKind,
        /// The version that it has.
        found: u8,
    },
    /// They end before the field does.
    #[error("an exported {kind} ends before the end of its field `{field}`")]
    Truncated {
        /// The kind of the export.
        kind: ExportKind,
        /// Where it ends.
        field: &'static str,
    },
    /// A field has a value that it has in no export, or one that contradicts another field.
    #[error("an exported {kind} has an impossible value in its field `{field}`")]
    Impossible {
        /// The kind of the export.
        kind: ExportKind,
        /// Which field.
        field: &'static str,
    },
    /// Bytes follow the last field.
    #[error("{bytes} bytes follow the last field of an exported {kind}")]
    TrailingBytes {
        /// The kind of the export.
        kind: ExportKind,
        /// How many.
        bytes: usize,
    },
}

/// Bytes that a writer has room for at the start: enough for most exports.
const ROOM_BYTES: usize = 512;

/// Writes the fields of one export. Each has a name, which the golden files show and the reader's faults name.
pub struct FieldWriter {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each field and each section begins, and what it is called, if that is noted.
    layout: Option<Vec<(usize, &'static str)>>,
}

impl FieldWriter {
    /// Begins an export of the newest version.
    pub fn new(kind: ExportKind) -> Self {
        Self::begun(kind, None)
    }

    /// Begins one that notes its layout, for golden files and whoever else looks into it.
    pub fn with_layout(kind: ExportKind) -> Self {
        Self::begun(kind, Some(Vec::new()))
    }

    fn begun(kind: ExportKind, layout: Option<Vec<(usize, &'static str)>>) -> Self {
        let mut writer = Self { bytes: Zeroizing::new(Vec::with_capacity(ROOM_BYTES)), layout };
        writer.u8("kind", kind as u8);
        writer.u8("version", kind.version());
        writer
    }

    /// The export, secrets included. They are overwritten when the value is dropped.
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// Returns the bytes written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each field and each section begins, with its name; empty if that is not noted. A section has no bytes.
    pub fn layout(&self) -> &[(usize, &'static str)] {
        self.layout.as_deref().unwrap_or_default()
    }

    /// Says what the following fields are of, for who looks at the layout. No byte is written for it.
    pub fn section(&mut self, name: &'static str) {
        self.begin(name);
    }

    /// An integer of one byte, or a number that stands for a variant.
    pub fn u8(&mut self, field: &'static str, value: u8) {
        self.array(field, [value]);
    }

    /// An integer.
    pub fn u16(&mut self, field: &'static str, value: u16) {
        self.array(field, value.to_le_bytes());
    }

    /// An integer.
    pub fn u32(&mut self, field: &'static str, value: u32) {
        self.array(field, value.to_le_bytes());
    }

    /// An integer.
    pub fn u64(&mut self, field: &'static str, value: u64) {
        self.array(field, value.to_le_bytes());
    }

    /// An integer with a sign.
    pub fn i64(&mut self, field: &'static str, value: i64) {
        self.array(field, value.to_le_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, field: &'static str, value: bool) {
        self.u8(field, u8::from(value));
    }

    /// An array of fixed length.
    pub fn array<const BYTES: usize>(&mut self, field: &'static str, value: [u8; BYTES]) {
        self.begin(field);
        self.append(&value);
    }

    /// Bytes whose length is not fixed, at most 4 GiB.
    pub fn block(&mut self, field: &'static str, value: &[u8]) {
        self.begin(field);
        self.append(&(value.len() as u32).to_le_bytes());
        self.append(value);
    }

    /// A text.
    pub fn text(&mut self, field: &'static str, value: &str) {
        self.block(field, value.as_bytes());
    }

    /// A value that may be absent: `write` writes the one that is there, with the same name.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        value: Option<T>,
        write: impl FnOnce(&mut Self, &'static str, T),
    ) {
        self.bool(field, value.is_some());
        if let Some(value) = value {
            write(self, field, value);
        }
    }

    fn begin(&mut self, name: &'static str) {
        let start = self.bytes.len();
        if let Some(layout) = &mut self.layout {
            layout.push((start, name));
        }
    }

    /// A vector that grows by itself leaves copies of its bytes behind.
    fn append(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.bytes.capacity())));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Reads the fields of one export, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct FieldReader<'a> {
    kind: ExportKind,
    version: u8,
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// Begins with an export of `kind`, of any version that can be read.
    ///
    /// # Errors
    /// The bytes begin with no such thing.
    pub fn new(kind: ExportKind, bytes: &'a [u8]) -> Result<Self, ExportFault> {
        let (found, rest) = match bytes.split_first() {
            Some((found, rest)) => (Some(*found), rest),
            None => (None, bytes),
        };
        if found != Some(kind as u8) {
            return Err(ExportFault::OtherKind { expected: kind, found });
        }
        let mut reader = Self { kind, version: kind.version(), rest };
        reader.version = reader.u8("version")?;
        if !(kind.oldest_version()..=kind.version()).contains(&reader.version) {
            return Err(ExportFault::UnknownVersion { kind, found: reader.version });
        }
        Ok(reader)
    }

    /// The version that is being read.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// All fields are read.
    ///
    /// # Errors
    /// Bytes follow them.
    pub fn finish(self) -> Result<(), ExportFault> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(ExportFault::TrailingBytes { kind: self.kind, bytes }),
        }
    }

    /// The fault of a field whose value is impossible.
    pub fn impossible(&self, field: &'static str) -> ExportFault {
        ExportFault::Impossible { kind: self.kind, field }
    }

    /// Checks a field that was read.
    ///
    /// # Errors
    /// `is_possible` does not hold.
    pub fn check(&self, field: &'static str, is_possible: bool) -> Result<(), ExportFault> {
        if is_possible { Ok(()) } else { Err(self.impossible(field)) }
    }

    /// An integer of one byte, or a number that stands for a variant.
    ///
    /// # Errors
    /// The export ends before it.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ExportFault> {
        self.array(field).map(|[byte]| byte)
    }

    /// An integer.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ExportFault> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// An integer.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ExportFault> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// An integer.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ExportFault> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A number of bytes or of other things, below 2^63: what is added to it while it lives does not overflow.
    ///
    /// # Errors
    /// The export ends within it, or it is more.
    pub fn count(&mut self, field: &'static str) -> Result<u64, ExportFault> {
        let count = self.u64(field)?;
        self.check(field, i64::try_from(count).is_ok())?;
        Ok(count)
    }

    /// An integer with a sign.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn i64(&mut self, field: &'static str) -> Result<i64, ExportFault> {
        self.array(field).map(i64::from_le_bytes)
    }

    /// A boolean.
    ///
    /// # Errors
    /// The export ends before it, or it is neither 0 nor 1.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, ExportFault> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.impossible(field)),
        }
    }

    /// An array of fixed length.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn array<const BYTES: usize>(&mut self, field: &'static str) -> Result<[u8; BYTES], ExportFault> {
        let (value, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(*value)
    }

    /// Bytes whose length is not fixed, where they lie.
    ///
    /// # Errors
    /// The export ends within them, or they are more than `bytes_max`.
    pub fn block(&mut self, field: &'static str, bytes_max: usize) -> Result<&'a [u8], ExportFault> {
        let bytes = self.u32(field)? as usize;
        self.check(field, bytes <= bytes_max)?;
        let (value, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(value)
    }

    /// A text of at most `bytes_max`.
    ///
    /// # Errors
    /// The export ends within it, or it is longer, or no UTF-8.
    pub fn text(&mut self, field: &'static str, bytes_max: usize) -> Result<&'a str, ExportFault> {
        let bytes = self.block(field, bytes_max)?;
        core::str::from_utf8(bytes).map_err(|_| self.impossible(field))
    }

    /// A value that may be absent: `read` reads the one that is there, with the same name.
    ///
    /// # Errors
    /// Those of `read`, and those of a boolean.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Result<T, ExportFault>,
    ) -> Result<Option<T>, ExportFault> {
        if self.bool(field)? { read(self, field).map(Some) } else { Ok(None) }
    }

    fn truncated(&self, field: &'static str) -> ExportFault {
        ExportFault::Truncated { kind: self.kind, field }
    }
}

#[cfg(test)]
mod tests;
