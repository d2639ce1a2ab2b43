//! The golden page of messages against the code: every text that tells what is wrong with a file stands on it.

use super::source::without_tests;
use super::{list, read, root, rust_files, shown};
use regex::Regex;
use std::path::PathBuf;

/// Texts that tell of something other than a file's fault, by a part of them, with where they are told.
const TOLD_ELSEWHERE: [(&str, &str); 26] = [
    ("IPv6 only; IPv4 needs", "a note of the start and of check --host"),
    ("there may be at most", "of serve --listen: a unit test beside it"),
    ("takes connections of", "of serve --listen: a unit test beside it"),
    ("open-file limit", "a bound's name in the announcement"),
    ("the text is a header's name", "an assertion"),
    ("the text is a parameter's name", "an assertion"),
    ("writing to a String does not fail", "an assertion"),
    ("a field is absent although", "an assertion"),
    ("a key is shorter than", "an assertion"),
    ("the key is as long as", "an assertion"),
    ("64 digits make 32 bytes", "an assertion"),
    ("hkdf gives up to 255 hashes", "an assertion"),
    ("ringgate subscription keys: ", "the label of a derived key"),
    ("the key was sealed under another secret", "of ringgate subscription keys: a unit test beside it"),
    ("printable ascii characters without a space", "of ringgate subscription set-key: a unit test beside it"),
    ("this private key is open to", "a warning of the start and of check"),
    ("every user of this host", "the same"),
    ("its group", "the same"),
    ("skipped: it does not apply", "a warning of check: tests/golden/policies"),
    ("which is a bug of ringgate", "nothing brings it about"),
    ("has authorities that cannot be used", "no file is known that brings it about"),
    ("it has to hold at least one certificate of an authority", "the same"),
    ("the values of a document may have at most", "takes megabytes of policies: a unit test beside it"),
    ("too much text up to this value", "the same"),
    ("{} by otlp to {scheme}", "a line of the announcement"),
    (").and_then(|text| text.strip_suffix(", "no text"),
];

/// The texts of a source file, without its tests and comments, each with its continuation lines joined.
fn texts(source: &str) -> Vec<String> {
    let source = without_tests(source);
    let comment = Regex::new(r"(?m)^\s*//.*$").expect("a pattern");
    let source = comment.replace_all(&source, "");
    let text = Regex::new(r#""((?:[^"\\]|\\.|\\\n)*)""#).expect("a pattern");
    let joint = Regex::new(r"\\\n\s*").expect("a pattern");
    let texts = text.captures_iter(&source).map(|found| joint.replace_all(&found[1], "").into_owned());
    texts.map(|text| text.replace("\\\"", "\"")).collect()
}

/// The parts of a text that stand between what is put into it, as far as they are long enough to be known again.
fn fixed_parts(text: &str) -> Vec<String> {
    let hole = Regex::new(r"\{[^{}]*\}").expect("a pattern");
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let parts = hole.split(&text).map(|part| part.replace('\u{1}', "{").replace('\u{2}', "}"));
    parts.filter(|part| part.trim().len() > 8).collect()
}

/// The texts of a file of which the page does not have all.
fn missing(source: &str, page: &str) -> Vec<String> {
    let is_missing = |text: &String| {
        text.contains(' ')
            && !TOLD_ELSEWHERE.iter().any(|(part, _)| text.contains(part))
            && fixed_parts(text).iter().any(|part| !page.contains(part.as_str()))
    };
    texts(source).into_iter().filter(is_missing).collect()
}

/// The files that say what is wrong with a configuration's files.
fn files_with_messages() -> Vec<PathBuf> {
    let folders = ["config", "catalog"].map(|folder| rust_files(&root().join("src").join(folder)));
    let others = ["tls/files.rs", "policy/compiling.rs"].map(|file| root().join("src").join(file));
    folders.concat().into_iter().chain(others).collect()
}

#[test]
fn every_message_about_a_file_is_on_the_golden_page() {
    let page = read(&root().join("tests/golden/check/messages.txt"));
    let files = files_with_messages();
    assert!(files.len() > 25, "the messages are not where they are looked for: {files:?}");
    let of = |file: &PathBuf| {
        let texts = missing(&read(file), &page);
        texts.into_iter().map(|text| format!("{}: {text}", shown(file))).collect::<Vec<_>>()
    };
    let missing: Vec<_> = files.iter().flat_map(of).collect();
    assert!(missing.is_empty(), "not on the page (add a set-up to tests/commands/check):{}", list(missing));
}

#[test]
fn notices_a_message_that_is_not_on_the_page() {
    let page = "remove the query: it is not sent";
    assert_eq!(missing("fn f() { g(\"remove the query: it is not sent\") }", page), [""; 0]);
    assert_eq!(missing("fn f() { g(\"remove the \\\n     query: {a}\") }", page), [""; 0]);
    assert_eq!(missing("fn f() { g(\"remove the fragment\") }", page).len(), 1);
    assert_eq!(
        missing("// \"remove the fragment\"\n#[cfg(test)]\nmod tests { g(\"a b c d e f g\") }", page),
        [""; 0]
    );
}
