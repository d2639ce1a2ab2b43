//! Where a head ends.

/// Length, in bytes, of the head at the start of `bytes`, its empty line included; `None` while it is not whole.
///
/// One CRLF in front of the start line belongs to the head (RFC 9112 §2.2). A bare LF ends a line too: a head with bare
/// LFs is whole, so that it can be refused at once instead of waited for.
///
/// `already_searched` is how many of these bytes an earlier call has seen without finding the end; 0 is always right.
pub fn find_head_end(bytes: &[u8], already_searched: usize) -> Option<usize> {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    if let Some(len) = empty_line_len(&bytes[start..]) {
        return Some(start + len);
    }
    // A LF among the last two bytes that were searched may have waited for the empty line behind it.
    let from = already_searched.saturating_sub(2).max(start).min(bytes.len());
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|line_feed| from + line_feed + 1)
        .find_map(|line_start| Some(line_start + empty_line_len(&bytes[line_start..])?))
}

fn empty_line_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_behind_the_first_empty_line() {
        let table: &[(&[u8], Option<usize>)] = &[
            (b"", None),
            (b"\r", None),
            (b"\r\n", None),
            (b"\r\n\r\n", Some(4)),
            (b"\n", Some(1)),
            (b"GET / HTTP/1.1\r\n", None),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"a\r\n\r\n", Some(5)),
            (b"a\r\n\r\nb\r\n\r\n", Some(5)),
            (b"a\n\n", Some(3)),
            (b"a\n\r\nrest", Some(4)),
            (b"a\r\n\nrest", Some(4)),
            (b"\r\na\r\n\r\nrest", Some(7)),
            (b"a\r\n\r\r\n", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(find_head_end(bytes, 0), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_cut_of_a_head_gives_the_same_end() {
        for head in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\nHost: a\n\r\n",
            b"\r\n\r\n",
        ] {
            let bytes = [head, b"\x81\x00\r\n\r\n"].concat();
            for first in 0..bytes.len() {
                for second in first..=bytes.len() {
                    let mut found = None;
                    let mut searched = 0;
                    for received in [first, second, bytes.len()] {
                        found = found.or_else(|| find_head_end(&bytes[..received], searched));
                        searched = received;
                    }
                    assert_eq!(found, Some(head.len()), "cut at {first} and {second}");
                }
            }
        }
    }
}
