//! How texts are searched: terms, parts, regular expressions.

use regex::Regex;

/// Most groups of a regular expression. Over it: a fault.
const GROUPS_MAX: usize = 16;

/// Longest regular expression, in bytes; its compiled form may have a hundred times as many. Over it: a fault.
const PATTERN_BYTES_MAX: usize = 2_048;

/// Largest compiled form of a regular expression, in bytes. Over it: a fault.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Compiles a regular expression; matching takes time in proportion to the text.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
    }
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            // The last line says what it is; the ones before draw where.
            regex::Error::Syntax(text) => {
                let last = text.lines().last().unwrap_or_default().trim();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
            _ => format!("it takes more than {COMPILED_BYTES_MAX} bytes"),
        })?;
    if regex.captures_len() > GROUPS_MAX + 1 {
        return Err(format!("it has more than {GROUPS_MAX} groups"));
    }
    Ok(regex)
}

/// The text in lower case, by Unicode.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

pub(super) fn is_same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || (!(left.is_ascii() && right.is_ascii()) && fold(left) == fold(right))
}

/// Whether the needle is in the text, in any case.
pub(super) fn contains(text: &str, needle: &str) -> bool {
    if text.is_ascii() && needle.is_ascii() {
        return find_ascii(text.as_bytes(), needle.as_bytes()).is_some();
    }
    fold(text).contains(&fold(needle))
}

pub(super) fn starts_with(text: &str, needle: &str) -> bool {
    match text.get(..needle.len()) {
        Some(start) if text.is_ascii() && needle.is_ascii() => start.eq_ignore_ascii_case(needle),
        _ => fold(text).starts_with(&fold(needle)),
    }
}

pub(super) fn ends_with(text: &str, needle: &str) -> bool {
    match text.len().checked_sub(needle.len()).and_then(|at| text.get(at..)) {
        Some(end) if text.is_ascii() && needle.is_ascii() => end.eq_ignore_ascii_case(needle),
        _ => fold(text).ends_with(&fold(needle)),
    }
}

/// Where the needle begins in the text, both ASCII, in any case.
fn find_ascii(text: &[u8], needle: &[u8]) -> Option<usize> {
    let Some(first) = needle.first() else { return Some(0) };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last = text.len().checked_sub(needle.len())?;
    memchr::memchr2_iter(lower, upper, &text[..=last])
        .find(|at| text[*at..*at + needle.len()].eq_ignore_ascii_case(needle))
}

/// Whether the needle is in the text as a term: where it begins or ends with a letter or digit, none is beside it there.
pub(super) fn has(text: &str, needle: &str, ignores_case: bool) -> bool {
    if ignores_case {
        if text.is_ascii() && needle.is_ascii() {
            return has_ascii(text.as_bytes(), needle.as_bytes());
        }
        return has_cased(&fold(text), &fold(needle));
    }
    has_cased(text, needle)
}

fn has_ascii(text: &[u8], needle: &[u8]) -> bool {
    let (Some(first), Some(last)) = (needle.first(), needle.last()) else { return true };
    let is_apart = |neighbour: Option<&u8>| !neighbour.is_some_and(u8::is_ascii_alphanumeric);
    let mut from = 0;
    while let Some(at) = find_ascii(&text[from..], needle) {
        let start = from + at;
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        let begins = !first.is_ascii_alphanumeric() || is_apart(before);
        let ends = !last.is_ascii_alphanumeric() || is_apart(text.get(start + needle.len()));
        if begins && ends {
            return true;
        }
        from = start + 1;
    }
    false
}

fn has_cased(text: &str, needle: &str) -> bool {
    let is_term = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    let (Some(first), last) = (needle.chars().next(), needle.chars().next_back()) else { return true };
    let mut from = 0;
    while let Some(at) = text[from..].find(needle) {
        let (start, end) = (from + at, from + at + needle.len());
        let begins = !first.is_alphanumeric() || !is_term(text[..start].chars().next_back());
        let ends = !is_term(last) || !is_term(text[end..].chars().next());
        if begins && ends {
            return true;
        }
        from = start + first.len_utf8();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_where_no_letter_or_digit_of_any_alphabet_follows() {
        for (text, needle, is_found) in [
            ("KustoExplorer", "Explorer", false),
            ("Kusto Explorer", "explorer", true),
            ("a_b", "a", true),
            ("North America", "north america", true),
            ("ab ac", "a", false),
            ("aa a", "a", true),
            ("x-y", "-y", true),
            ("xx-yy", "-y", false),
            ("größe", "gr", false),
            ("die GRÖSSE?", "grösse", true),
            ("", "", true),
            ("x", "", true),
            ("", "x", false),
            ("1.2.3.4", "2.3", true),
            ("1.12.3.4", "2.3", false),
        ] {
            assert_eq!(has(text, needle, true), is_found, "{text} has {needle}");
        }
        assert!(!has("Aa", "aa", false));
    }

    #[test]
    fn parts_are_found_in_any_case() {
        assert!(contains("aXYb", "xy") && !contains("aXb", "xy") && contains("ÄB", "ä") && contains("a", ""));
        assert!(starts_with("ABc", "ab") && !starts_with("a", "ab") && starts_with("Äb", "ä"));
        assert!(ends_with("abC", "bc") && !ends_with("c", "bc") && ends_with("bÄ", "ä"));
    }

    #[test]
    fn refuses_patterns_that_are_broken_or_too_large() {
        assert!(compile("(a)(?i)b").is_ok());
        let groups = "(a)".repeat(GROUPS_MAX + 1);
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for pattern in ["(", "a{1000}{1000}", r"(?=a)", r"\1", &groups, &long] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
