//! The grammar of Sec-WebSocket-Extensions (RFC 6455 §9.1).
//!
//! The form of parameters is checked, and then they are skipped: their meaning is between the endpoints.

use crate::head::Headers;
use crate::head::token::is_token_byte;

/// The names of the extensions in all Sec-WebSocket-Extensions lines, in order; `None` if one line is malformed.
///
/// Empty elements count as nothing (RFC 9110 §5.6.1.2).
pub(super) fn parse_extension_names(headers: &Headers) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    for value in headers.get_all("sec-websocket-extensions") {
        parse_line(value, &mut names)?;
    }
    Some(names)
}

fn parse_line<'a>(value: &'a [u8], names: &mut Vec<&'a [u8]>) -> Option<()> {
    let mut cursor = Cursor { rest: value };
    loop {
        cursor.skip_space();
        match cursor.rest.first() {
            None => return Some(()),
            Some(b',') => {}
            Some(_) => {
                names.push(cursor.take_token()?);
                cursor.skip_parameters()?;
            }
        }
        // An element ends at the end of the value or at a comma.
        if !cursor.take(b',') {
            return cursor.rest.is_empty().then_some(());
        }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes `byte` if it comes next, behind any white space.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    fn take_token(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let len = self.rest.iter().take_while(|&&byte| is_token_byte(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        (len > 0).then_some(token)
    }

    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`
    fn skip_parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.take_token()?;
            if self.take(b'=') {
                if self.take(b'"') {
                    self.skip_quoted_token()?;
                } else {
                    self.take_token()?;
                }
            }
        }
        Some(())
    }

    /// The rest of a quoted string, whose text without its backslashes must be a token too.
    fn skip_quoted_token(&mut self) -> Option<()> {
        let mut len = 0;
        loop {
            self.rest = match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return (len > 0).then_some(());
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(*byte) => rest,
                _ => return None,
            };
            len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &str) -> Option<Vec<String>> {
        let mut names = Vec::new();
        parse_line(value.as_bytes(), &mut names)?;
        Some(names.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    #[test]
    fn takes_the_names_out_of_well_formed_lists() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" , ,", &[]),
            ("foo", &["foo"]),
            ("foo, bar", &["foo", "bar"]),
            ("foo,,bar ,", &["foo", "bar"]),
            ("permessage-deflate; client_max_window_bits", &["permessage-deflate"]),
            ("a;b=c;d=\"e\" ;\tf = g, h", &["a", "h"]),
            ("a;b=\"\\c\\d\", h", &["a", "h"]),
        ];
        for (value, expected) in table {
            let expected = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(names(value), Some(expected), "{value}");
        }
    }

    #[test]
    fn refuses_what_is_no_list_of_extensions() {
        for value in [
            "a b",
            "a;",
            "a;;b",
            "a;b=",
            "a;=b",
            ";a",
            "=a",
            "a=b",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"c",
            "a;b=\"c,d\"",
            "a;b=\"c d\"",
            "a;b=\"c\\\"",
            "a;b=\"c\\\"\"",
            "a;b=\"c\"d",
            "a/b",
            "\"a\"",
            "a;b=c=d",
        ] {
            assert_eq!(names(value), None, "{value}");
        }
    }
}
