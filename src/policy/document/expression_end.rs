//! Finds the end of an expression: the bracket that closes its first one.
//!
//! Brackets count outside of strings, characters and comments. The rest of C# is the compiler's (`expression`).

/// How deep interpolated strings are followed. What stands deeper is refused by the compiler of expressions anyway.
const INTERPOLATIONS_NESTED_MAX: usize = 8;

/// Length in bytes of the expression at the start of `text`, its `@(` and `)` included. `None`: it is not closed.
pub(super) fn expression_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes {
        [b'@', b'(' | b'{', ..] => brackets_end(bytes, 1, 0),
        _ => None,
    }
}

/// The place behind the bracket that closes the one at `open`.
fn brackets_end(bytes: &[u8], open: usize, nested: usize) -> Option<usize> {
    let (mut at, mut depth) = (open, 0usize);
    while let Some(byte) = bytes.get(at) {
        at = match (byte, &bytes[at + 1..]) {
            (b'(' | b'[' | b'{', _) => {
                depth += 1;
                at + 1
            }
            (b')' | b']' | b'}', _) => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
                at + 1
            }
            (b'/', [b'/', ..]) => at + memchr::memchr(b'\n', &bytes[at..])?,
            (b'/', [b'*', ..]) => at + 4 + memchr::memmem::find(&bytes[at + 2..], b"*/")?,
            (b'\'', [b'\\', _, ..]) => at + 3 + memchr::memchr(b'\'', &bytes[at + 3..])? + 1,
            (b'\'', rest) => at + 2 + memchr::memchr(b'\'', rest)?,
            (b'"', _) => {
                string_end(bytes, at + 1, Kind { is_verbatim: false, is_interpolated: false }, nested)?
            }
            (b'@' | b'$', rest) => match string_start(bytes, at) {
                Some((start, kind)) => string_end(bytes, start, kind, nested)?,
                None => at + 1 + usize::from(rest.is_empty()),
            },
            _ => at + 1,
        };
    }
    None
}

#[derive(Clone, Copy)]
struct Kind {
    is_verbatim: bool,
    is_interpolated: bool,
}

/// Returns the position behind the quote of a string that begins with `@`, `$` or both at `at`, and its kind.
fn string_start(bytes: &[u8], at: usize) -> Option<(usize, Kind)> {
    match &bytes[at..] {
        [b'@', b'"', ..] => Some((at + 2, Kind { is_verbatim: true, is_interpolated: false })),
        [b'$', b'"', ..] => Some((at + 2, Kind { is_verbatim: false, is_interpolated: true })),
        [b'@', b'$', b'"', ..] | [b'$', b'@', b'"', ..] => {
            Some((at + 3, Kind { is_verbatim: true, is_interpolated: true }))
        }
        _ => None,
    }
}

/// The place behind the quote that closes a string whose contents begin at `at`.
fn string_end(bytes: &[u8], mut at: usize, kind: Kind, nested: usize) -> Option<usize> {
    if nested > INTERPOLATIONS_NESTED_MAX {
        return None;
    }
    loop {
        at = match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'"', Some(b'"')) if kind.is_verbatim => at + 2,
            (b'"', _) => return Some(at + 1),
            (b'\\', _) if !kind.is_verbatim => at + 2,
            (b'{', Some(b'{')) if kind.is_interpolated => at + 2,
            (b'{', _) if kind.is_interpolated => brackets_end(bytes, at, nested + 1)?,
            _ => at + 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_bracket_that_closes_the_first() {
        for whole in [
            "@(1)",
            "@((1) + [2] + {3})",
            r#"@(")" + ")\")" + @")"")" + ')' + '\'' + '\\')"#,
            "@{ // }\n return /* } */ 1; }",
            r#"@($"){{{Get("}")}}}" + $@"""{a["b"]}\")"#,
            "@(a ? @b : $\"\")",
        ] {
            assert_eq!(expression_length(whole), Some(whole.len()), "{whole}");
            assert_eq!(expression_length(&format!("{whole}) \"x")), Some(whole.len()), "{whole}");
        }
    }

    #[test]
    fn what_is_not_closed_has_no_end() {
        for open in [
            "", "@", "@(", "@(\"", "@('", "@('\\", "@(/*", "@(/*/", "@(//)", "@($\"{", "@(@", "@($", "@[1]",
            "(1)",
        ] {
            assert_eq!(expression_length(open), None, "{open}");
        }
        let nested = format!("@({}", "$\"{".repeat(1000));
        assert_eq!(expression_length(&nested), None);
    }
}
