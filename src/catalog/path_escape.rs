//! Whether a path climbs out of the suffix it was routed by.
//!
//! The backend's reading of the path counts, and it is not known: some decode `%2f`, some take `\` for `/`, some do
//! not. So a path leaves its suffix if it does under *any* of these readings.
//!
//! Not here: double encoding (`%252e`), which is a backend that decodes twice; the answer to such a path (400).

/// Which bytes a backend might take for `/`, besides `/` itself.
#[derive(Clone, Copy)]
struct Reading {
    slash_encoded: bool,
    backslash_plain: bool,
    backslash_encoded: bool,
}

/// Whether dot segments in `rest`, what follows the suffix in a path, lead above the suffix at any moment.
///
/// `a/../b` does not, `a/../../b` does. Dots may be plain or percent-encoded, in either case of the hex digits.
/// Odd percent-encodings (`%`, `%2`, `%zz`) are bytes like others.
pub fn leaves_suffix(rest: &str) -> bool {
    let rest = rest.as_bytes();
    // Only `.` and `%2e` make a dot segment, and nearly every path has neither.
    if !rest.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    (0..8_u8).any(|bits| {
        let reading = Reading {
            slash_encoded: bits & 1 != 0,
            backslash_plain: bits & 2 != 0,
            backslash_encoded: bits & 4 != 0,
        };
        leaves_when_read(rest, reading)
    })
}

fn leaves_when_read(mut rest: &[u8], reading: Reading) -> bool {
    let mut depth: usize = 0;
    loop {
        let (segment, after) = split_segment(rest, reading);
        match dots(segment) {
            Some(2) if depth == 0 => return true,
            Some(2) => depth -= 1,
            // RFC 3986 §5.2.4 lets `..` remove an empty segment, many servers merge slashes first: count none.
            Some(_) => {}
            None => depth += 1,
        }
        match after {
            Some(after) => rest = after,
            None => return false,
        }
    }
}

/// The bytes before the first separator, and those after it if there is one.
fn split_segment(rest: &[u8], reading: Reading) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while at < rest.len() {
        let separator_bytes = match &rest[at..] {
            [b'/', ..] => 1,
            [b'\\', ..] if reading.backslash_plain => 1,
            [b'%', b'2', b'f' | b'F', ..] if reading.slash_encoded => 3,
            [b'%', b'5', b'c' | b'C', ..] if reading.backslash_encoded => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        return (&rest[..at], Some(&rest[at + separator_bytes..]));
    }
    (rest, None)
}

/// How many dots `segment` consists of, if it is empty, `.` or `..`.
fn dots(mut segment: &[u8]) -> Option<usize> {
    let mut count = 0;
    loop {
        segment = match segment {
            [] => return Some(count),
            // Some servers cut path parameters before they look for dot segments, so that `..;x` is `..` to them.
            [b';', ..] if count > 0 => return Some(count),
            [b'.', after @ ..] | [b'%', b'2', b'e' | b'E', after @ ..] if count < 2 => after,
            _ => return None,
        };
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_that_stay_inside_are_fine() {
        for rest in [
            "",
            "/",
            "/a",
            "/a/../b",
            "/a/..",
            "/a/../",
            "/.",
            "/./a/../b/..",
            "/a/b/../../c",
            "/%2e/a",
            "/...",
            "/..a",
            "/a..",
            "/.%2e.",
            "/a%2f..",
            "/a\\..\\b",
            "/a%5C..",
            "/a;x/..;y",
            "/;..",
            "/.../..",
        ] {
            assert!(!leaves_suffix(rest), "{rest}");
        }
    }

    #[test]
    fn dot_segments_that_climb_above_the_suffix_leave_it() {
        for rest in [
            "/..",
            "/../",
            "/../a",
            "/a/../../b",
            "/a/../../chat/b",
            "/./..",
            "/%2e%2e",
            "/.%2E",
            "/%2e.",
            "/%2E%2e/x",
            "/..%2fx",
            "/..%2F",
            "/..\\x",
            "/..%5cx",
            "/..%5C",
            "/a%2f..%2f..",
            "/a\\..\\..",
            "/a%5c%2e%2e%5c..",
            "//..",
            "/a//../..",
            "..",
            "/..;",
            "/..;x=1/a",
            "/%2e%2e;/a",
            "/a/..;/..",
        ] {
            assert!(leaves_suffix(rest), "{rest}");
        }
    }

    #[test]
    fn a_separator_that_only_some_backends_know_never_hides_a_climb() {
        // To who takes `a\b` or `a%2fb` for one segment, the second `..` leads above the suffix.
        for rest in ["/a\\b/../..", "/a%2fb/../..", "/a%5cb/../..", "/a\\b%2fc/../..", "/%2f../.."] {
            assert!(leaves_suffix(rest), "{rest}");
        }
    }

    #[test]
    fn odd_percent_encodings_are_bytes_like_others() {
        for rest in ["/%", "/%2", "/%zz", "/%2g..", "/.%", "/%%2e", "/a%2", "/.%2", "/%2%2e%2e", "/é%"] {
            assert!(!leaves_suffix(rest), "{rest}");
        }
        assert!(leaves_suffix("/%/../.."));
    }
}
