//! Tests of the codec's guarantees.

use proptest::prelude::*;

use super::*;
use crate::golden::exports;

const KIND: ExportKind = ExportKind::Session;

/// One field of each type.
fn example() -> FieldWriter {
    let mut writer = FieldWriter::with_layout(KIND);
    writer.section("integers");
    writer.u8("one", 0x11);
    writer.u16("two", 0x2221);
    writer.u32("four", 0x4443_4241);
    writer.u64("eight", 0x8887_8685_8483_8281);
    writer.i64("signed", -2);
    writer.section("others");
    writer.bool("is_so", true);
    writer.array("array", *b"abc");
    writer.block("block", &[9; 3]);
    writer.text("text", "é");
    writer.option("absent", None, FieldWriter::u64);
    writer.option("present", Some(7), FieldWriter::u16);
    writer
}

type Fields = (u8, u16, u32, u64, i64, bool, [u8; 3], Vec<u8>, String, Option<u64>, Option<u16>);

fn read(bytes: &[u8]) -> Result<Fields, ExportFault> {
    let mut reader = FieldReader::new(KIND, bytes)?;
    let fields = (
        reader.u8("one")?,
        reader.u16("two")?,
        reader.u32("four")?,
        reader.u64("eight")?,
        reader.i64("signed")?,
        reader.bool("is_so")?,
        reader.array("array")?,
        reader.block("block", 8)?.to_vec(),
        reader.text("text", 8)?.to_owned(),
        reader.option("absent", FieldReader::u64)?,
        reader.option("present", FieldReader::u16)?,
    );
    reader.finish()?;
    Ok(fields)
}

#[test]
fn fields_stand_one_behind_the_other_with_little_endian_integers() {
    let bytes = example().finish();
    let fields =
        "11 2122 41424344 8182838485868788 feffffffffffffff 01 616263 03000000090909 02000000c3a9 00 010700";
    let digits: String = bytes[2..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, fields.replace(' ', ""));
    assert_eq!(bytes[..2], [KIND as u8, KIND.version()]);
}

#[test]
fn what_was_written_is_read() {
    let expected = (
        0x11,
        0x2221,
        0x4443_4241,
        0x8887_8685_8483_8281,
        -2,
        true,
        *b"abc",
        vec![9; 3],
        "é".to_owned(),
        None,
        Some(7),
    );
    assert_eq!(read(&example().finish()), Ok(expected));
}

#[test]
fn every_cut_is_told_with_the_field_that_it_cuts() {
    let writer = example();
    let is_field = |name: &str| !["integers", "others"].contains(&name);
    let fields: Vec<_> = writer.layout().iter().filter(|(_, name)| is_field(name)).copied().collect();
    let bytes = writer.finish();
    assert_eq!(read(&[]), Err(ExportFault::OtherKind { expected: KIND, found: None }));
    for len in 1..bytes.len() {
        let (_, cut) = fields.iter().rfind(|(start, _)| *start <= len).expect("the kind begins at 0");
        match read(&bytes[..len]) {
            Err(ExportFault::Truncated { kind: KIND, field }) => assert_eq!(field, *cut, "{len} bytes"),
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

#[test]
fn bytes_behind_the_last_field_are_refused() {
    let bytes = [&example().finish()[..], &[0; 2]].concat();
    assert_eq!(read(&bytes), Err(ExportFault::TrailingBytes { kind: KIND, bytes: 2 }));
}

#[test]
fn another_kind_and_another_version_are_refused() {
    let bytes = example().finish();
    for other in [0, ExportKind::Permit as u8, 255] {
        let wrong = [&[other], &bytes[1..]].concat();
        assert_eq!(read(&wrong), Err(ExportFault::OtherKind { expected: KIND, found: Some(other) }));
    }
    for found in [KIND.oldest_version() - 1, KIND.version() + 1, 255] {
        let wrong = [&bytes[..1], &[found], &bytes[2..]].concat();
        assert_eq!(read(&wrong), Err(ExportFault::UnknownVersion { kind: KIND, found }));
    }
}

#[test]
fn values_that_no_export_has_are_refused_with_their_field() {
    let fault_of = |bytes: &[u8], read: fn(&mut FieldReader<'_>) -> Result<(), ExportFault>| {
        let bytes = [&[KIND as u8, KIND.version()], bytes].concat();
        read(&mut FieldReader::new(KIND, &bytes).expect("a head of an export"))
    };
    let impossible = Err(ExportFault::Impossible { kind: KIND, field: "it" });
    assert_eq!(fault_of(&[2], |reader| reader.bool("it").map(|_| ())), impossible);
    assert_eq!(fault_of(&[2, 0], |reader| reader.option("it", FieldReader::u8).map(|_| ())), impossible);
    assert_eq!(fault_of(&[1, 0, 0, 0, 0xff], |reader| reader.text("it", 9).map(|_| ())), impossible);
    assert_eq!(fault_of(&[3, 0, 0, 0, 1, 2, 3], |reader| reader.block("it", 2).map(|_| ())), impossible);
    assert_eq!(fault_of(&[0xff; 8], |reader| reader.count("it").map(|_| ())), impossible);
    // A length that is allowed and that the bytes do not have is no reason to allocate anything.
    assert_eq!(
        fault_of(&[0xff; 5], |reader| reader.block("it", usize::MAX).map(|_| ())),
        Err(ExportFault::Truncated { kind: KIND, field: "it" })
    );
}

#[test]
fn a_writer_that_grows_keeps_what_it_has() {
    let mut writer = FieldWriter::new(KIND);
    for byte in 0..20 {
        writer.block("block", &[byte; 100]);
    }
    let bytes = writer.finish();
    let mut reader = FieldReader::new(KIND, &bytes).expect("an export");
    for byte in 0..20 {
        assert_eq!(reader.block("block", 100), Ok(&[byte; 100][..]));
    }
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn every_kind_has_a_number_and_a_name_of_its_own_and_reads_what_it_writes() {
    for (index, kind) in ExportKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, index + 1);
        assert!((1..=kind.version()).contains(&kind.oldest_version()));
        assert!(FieldReader::new(kind, &FieldWriter::new(kind).finish()).is_ok());
        assert!(ExportKind::ALL.iter().filter(|other| other.name() == kind.name()).count() == 1);
    }
}

#[test]
fn an_annotated_export_shows_each_field_and_is_read_back() {
    let annotated = exports::annotated(&example());
    assert!(annotated.contains("\n[integers]\none                      11\n"), "{annotated}");
    assert!(annotated.contains("\nabsent                   00\n"), "{annotated}");
    let text = format!("== one\n{annotated}\n== two\n{annotated}\n");
    let bytes = example().finish().to_vec();
    let expected = ["one", "two"].map(|name| (name.to_owned(), bytes.clone()));
    assert_eq!(exports::exports_in(&text), expected);
}

#[test]
fn a_layout_that_changes_without_a_new_version_is_told_with_what_to_do() {
    let difference = exports::check_exports(KIND, &[("another layout", example())], false).unwrap_err();
    assert!(difference.contains("Raise the version of session in `ExportKind::version`"), "{difference}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), has_head in any::<bool>()) {
        let head: &[u8] = if has_head { &[KIND as u8, KIND.version()] } else { &[] };
        let _ = read(&[head, &bytes].concat());
    }
}
