//! Replays every kept input of the fuzzer: what it once found, and what reaches deep, stays checked.

#[path = "../fuzz/checks/mod.rs"]
#[allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, unused_qualifications)]
mod checks;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpora").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{target} has a corpus");
    for file in files {
        let input = std::fs::read(&file).unwrap();
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            panic!("{target} fails with {}", file.display());
        }
    }
}

#[test]
fn request_heads() {
    replay("request_head", checks::request_head::check);
}

#[test]
fn response_heads() {
    replay("response_head", checks::response_head::check);
}

#[test]
fn scanned_streams() {
    replay("scanner", checks::scanner::check);
}

#[test]
fn sessions() {
    replay("session", checks::session::check);
}

#[test]
fn exports() {
    replay("export", checks::export::check);
}

#[test]
fn configuration_files() {
    replay("configuration", checks::configuration::check);
}

#[test]
fn tls_records() {
    replay("tls_records", checks::tls_records::check);
}

#[test]
fn policy_documents() {
    replay("policy_document", checks::policy_document::check);
}

#[test]
fn policy_expressions() {
    replay("expression", checks::expression::check);
}

#[test]
fn queries() {
    replay("kql", checks::kql::check);
}
