//! Whether a path climbs out of its prefix: out of the segments that were compared with suffixes, or out of a backend's path.
//!
//! The backend's reading of the path counts, and it is unknown: some decode `%2f`, some take `\` for `/`, some cut off parameters
//! (`..;x`) before they look for dot segments, some do none of these. So a path leaves its suffix if it does under *any* of these
//! readings.
//!
//! Not here: double encoding (`%252e`), which is a backend that decodes twice; the answer to such a path (400).

/// A way in which a backend might read a path: it takes other bytes for `/` besides `/` itself, or cuts off parameters.
#[derive(Clone, Copy)]
struct Reading {
    parameters_cut: bool,
    slash_encoded: bool,
    backslash_plain: bool,
    backslash_encoded: bool,
}

impl Reading {
    /// Those that cut off parameters, and those that do not.
    fn all() -> impl Iterator<Item = Self> {
        let cutting = Self::that_cut();
        cutting.flat_map(|reading| [true, false].map(|parameters_cut| Self { parameters_cut, ..reading }))
    }

    fn that_cut() -> impl Iterator<Item = Self> {
        (0..8_u8).map(|bits| Self {
            parameters_cut: true,
            slash_encoded: bits & 1 != 0,
            backslash_plain: bits & 2 != 0,
            backslash_encoded: bits & 4 != 0,
        })
    }
}

/// Whether dot segments in `rest`, the end of a path, lead above its beginning at any moment.
///
/// `a/../b` does not, `a/../../b` does. Dots may be plain or percent-encoded, in either case of the hex digits.
/// Odd percent-encodings (`%`, `%2`, `%zz`) are bytes like others.
pub fn leaves_suffix(rest: &str) -> bool {
    let rest = rest.as_bytes();
    // Only `.` and `%2e` make a dot segment, and nearly every path has neither.
    if !rest.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    // Where parameters are cut off, a segment leads up where it would lead down otherwise, or nowhere: a path that leaves
    // with them leaves without them too.
    Reading::that_cut().any(|reading| leaves_when_read(rest, reading))
}

/// Returns `rest`, which does not leave its beginning, with its dot segments resolved, under each of the readings. Other segments
/// stay as they came.
pub(crate) fn resolutions(rest: &str) -> impl Iterator<Item = String> {
    Reading::all().map(move |reading| {
        let mut segments: Vec<&[u8]> = Vec::new();
        each_segment(rest.as_bytes(), reading, |step| {
            match step {
                Step::Down(segment) => segments.push(segment),
                Step::Up => drop(segments.pop()),
            }
            true
        });
        let mut path = Vec::with_capacity(rest.len());
        for segment in segments {
            path.push(b'/');
            path.extend_from_slice(segment);
        }
        if path.is_empty() { "/".to_owned() } else { String::from_utf8_lossy(&path).into_owned() }
    })
}

fn leaves_when_read(rest: &[u8], reading: Reading) -> bool {
    let mut depth: usize = 0;
    let stays = each_segment(rest, reading, |step| {
        let is_above = matches!(step, Step::Up) && depth == 0;
        depth = match step {
            Step::Down(_) => depth + 1,
            Step::Up => depth.saturating_sub(1),
        };
        !is_above
    });
    !stays
}

/// Where a segment leads.
enum Step<'r> {
    Down(&'r [u8]),
    Up,
}

/// Goes along the segments that lead anywhere, for as long as `go_on` says so; gives whether it did to the end.
fn each_segment<'r>(mut rest: &'r [u8], reading: Reading, mut go_on: impl FnMut(Step<'r>) -> bool) -> bool {
    loop {
        let (segment, after) = split_segment(rest, reading);
        let goes_on = match dots(segment, reading) {
            Some(2) => go_on(Step::Up),
            // RFC 3986 §5.2.4 lets `..` remove an empty segment, many servers merge slashes first: count none.
            Some(_) => true,
            None => go_on(Step::Down(segment)),
        };
        match after {
            Some(after) if goes_on => rest = after,
            Some(_) | None => return goes_on,
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
fn dots(mut segment: &[u8], reading: Reading) -> Option<usize> {
    let mut count = 0;
    loop {
        segment = match segment {
            [] => return Some(count),
            // `..;x` is `..` then, and `;x` empty.
            [b';', ..] | [b'%', b'3', b'b' | b'B', ..] if reading.parameters_cut => return Some(count),
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
            "/..%3bx/a",
            "/..%3B",
            "/a/..;/..",
            "/;x/..",
            "/a/;x/../..",
            "/%3bx/../b",
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
    fn a_path_comes_to_something_else_under_each_reading_that_finds_other_dot_segments() {
        for (rest, expected) in [
            ("/a/../b", &["/b"][..]),
            ("/a/..", &["/"]),
            ("/a//./b%20/", &["/a/b%20"]),
            ("/a/b/..;x/c;y", &["/a/b/..;x/c;y", "/a/c;y"]),
            ("/a/../;x/b", &["/;x/b", "/b"]),
            ("/a/b%2f../c", &["/a/b%2f../c", "/a/c"]),
            ("/a/b\\../%2e%2e/c", &["/a/c", "/c"]),
        ] {
            let mut found: Vec<String> = resolutions(rest).collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, expected, "{rest}");
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
