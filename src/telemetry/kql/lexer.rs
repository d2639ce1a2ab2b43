//! The text of a query as tokens with their places.
//!
//! Literals of a named type (`datetime(…)`, `dynamic(…)`) are one token each: what is in their parentheses is no query text.

use super::calendar::{parse_datetime, parse_timespan, ticks_of, unit_ticks};
use super::fault::{At, Checked, Fault};
use super::types::{Literal, Type};

/// A token of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a word of the language.
    Name(String),
    /// A name in brackets: `['any name']`. It is never a word of the language.
    Bracketed(String),
    Literal(Literal),
    /// `datetime()`: now.
    Now,
    Sign(&'static str),
    End,
}

/// A token with the bytes before it and the bytes before what follows it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: At,
    pub(super) end: At,
}

/// Most tokens of a query. It bounds what checking and translating a query costs. Over it: a fault.
const TOKENS_MAX: usize = 10_000;

/// Signs, longer ones before their beginnings.
const SIGNS: [&str; 27] = [
    "..", "==", "=~", "!=", "!~", "<=", ">=", "<>", "|", ";", ",", "(", ")", "[", "]", "{", "}", ".", "=",
    "<", ">", "+", "-", "*", "/", "%", "!",
];
/// Signs that are of the language and only good for faults and a few places.
const RARE_SIGNS: [&str; 4] = [":", "~", "$", "?"];

/// Words that are the begin of a literal, if a parenthesis follows.
fn literal_type(word: &str) -> Option<Type> {
    match word {
        "string" => None,
        _ => Type::named(word),
    }
}

pub(super) fn tokens(text: &str) -> Checked<Vec<Placed>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at as At;
        let token = lexer.token(tokens.last())?;
        let is_end = token == Token::End;
        tokens.push(Placed { token, at, end: lexer.at as At });
        if is_end {
            return Ok(join_texts(tokens));
        }
        if tokens.len() > TOKENS_MAX {
            return Err(Fault::new(at, format!("a query has at most {TOKENS_MAX} words and signs")));
        }
    }
}

/// Joins string literals that stand side by side.
fn join_texts(tokens: Vec<Placed>) -> Vec<Placed> {
    let mut joined: Vec<Placed> = Vec::with_capacity(tokens.len());
    for next in tokens {
        if let (Token::Literal(Literal::Text(more)), Some(last)) = (&next.token, joined.last_mut())
            && let Token::Literal(Literal::Text(text)) = &mut last.token
        {
            text.push_str(more);
            last.end = next.end;
            continue;
        }
        joined.push(next);
    }
    joined
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fault(&self, at: usize, reason: impl Into<String>) -> Box<Fault> {
        Fault::new(at as At, reason)
    }

    /// Skips white space and comments.
    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest
                .trim_start_matches(|character: char| character.is_whitespace() || character == '\u{feff}');
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn take_while(&mut self, is_taken: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|character| !is_taken(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn token(&mut self, before: Option<&Placed>) -> Checked<Token> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first.is_ascii_digit() {
            return self.number();
        }
        if let Some(text) = self.string()? {
            return Ok(Token::Literal(Literal::Text(text)));
        }
        if first.is_alphabetic() || first == '_' {
            let word = self.take_while(|character| character.is_alphanumeric() || character == '_');
            let follows = self.rest().trim_start().starts_with('(');
            // `typeof(long)` names a type, and `d.time` a key.
            let is_key = before.is_some_and(|before| before.token == Token::Sign("."));
            return match literal_type(word) {
                Some(kind) if follows && !is_key => self.typed_literal(word, kind),
                _ => Ok(Token::Name(word.to_owned())),
            };
        }
        if let Some(name) = self.bracketed(before)? {
            return Ok(Token::Bracketed(name));
        }
        let sign = SIGNS.iter().chain(&RARE_SIGNS).find(|sign| self.rest().starts_with(**sign));
        match sign {
            Some(sign) => {
                self.at += sign.len();
                Ok(Token::Sign(sign))
            }
            None => Err(self.fault(self.at, "this character has no meaning here")),
        }
    }

    /// A name in brackets, where no value is before it that it could be the index of.
    fn bracketed(&mut self, before: Option<&Placed>) -> Checked<Option<String>> {
        let is_index = before.is_some_and(|before| match &before.token {
            Token::Name(_) | Token::Bracketed(_) => before.end as usize == self.at,
            Token::Sign(sign) => [")", "]"].contains(sign),
            Token::Literal(_) | Token::Now => true,
            Token::End => false,
        });
        let is_name = |rest: &str| rest.trim_start().starts_with(['\'', '"']);
        if is_index || !self.rest().strip_prefix('[').is_some_and(is_name) {
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        self.skip_space();
        let name = self.string()?.unwrap_or_default();
        self.skip_space();
        if self.peek() != Some(']') {
            // A list such as `["a", "b"]` is no name.
            self.at = start;
            return Ok(None);
        }
        self.at += 1;
        if name.is_empty() {
            return Err(self.fault(start, "a name has at least one character"));
        }
        Ok(Some(name))
    }

    /// A string literal of any form, if one begins here.
    fn string(&mut self) -> Checked<Option<String>> {
        let start = self.at;
        let rest = self.rest();
        let unhidden = rest.strip_prefix(['h', 'H']).unwrap_or(rest);
        if let Some(inner) = unhidden.strip_prefix("```") {
            let Some(length) = inner.find("```") else {
                return Err(self.fault(start, "this string has no end: ``` is missing"));
            };
            self.at += rest.len() - inner.len() + length + 3;
            return Ok(Some(inner[..length].to_owned()));
        }
        let verbatim = unhidden.strip_prefix('@');
        let Some(quote @ ('"' | '\'')) = verbatim.unwrap_or(unhidden).chars().next() else { return Ok(None) };
        self.at += rest.len() - verbatim.unwrap_or(unhidden).len() + 1;
        let mut value = String::new();
        loop {
            let at = self.at;
            let Some(character) = self.peek() else {
                return Err(self.fault(start, format!("this string has no end: {quote} is missing")));
            };
            self.at += character.len_utf8();
            match character {
                _ if character == quote => {
                    if verbatim.is_none() || self.peek() != Some(quote) {
                        return Ok(Some(value));
                    }
                    self.at += 1;
                    value.push(quote);
                }
                '\n' | '\r' => {
                    return Err(self
                        .fault(start, "this string has no end on its line")
                        .known("a string over several lines stands between ```"));
                }
                '\\' if verbatim.is_none() => value.push(self.escape(at)?),
                _ => value.push(character),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Checked<char> {
        let character = self.peek().unwrap_or('\n');
        self.at += self.peek().map_or(0, char::len_utf8);
        Ok(match character {
            '\\' | '"' | '\'' => character,
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'u' => {
                let digits = self
                    .rest()
                    .get(..4)
                    .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let code = code.ok_or_else(|| self.fault(at, "\\u needs four hexadecimal digits"))?;
                self.at += 4;
                // Half of a surrogate pair is no character.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => {
                let fault = self.fault(at, "this escape is not known in a string");
                return Err(fault
                    .known("the escapes are \\\\ \\\" \\' \\t \\n \\r \\uXXXX; @\"…\" takes \\ as it is"));
            }
        })
    }

    /// `5`, `0x1F`, `1.5`, `1e5`, `1.5h`.
    fn number(&mut self) -> Checked<Token> {
        let start = self.at;
        let rest = self.rest();
        if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let length =
                digits.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(digits.len());
            self.at += 2 + length;
            let number = u64::from_str_radix(&digits[..length], 16);
            let number = number.map_err(|_| self.fault(start, "a hexadecimal number has 1 to 16 digits"))?;
            return Ok(Token::Literal(Literal::Long(number.cast_signed())));
        }
        self.take_while(|character| character.is_ascii_digit());
        let mut is_real = false;
        let digit_at = |rest: &str, index: usize| rest.as_bytes().get(index).is_some_and(u8::is_ascii_digit);
        if self.rest().starts_with('.') && digit_at(self.rest(), 1) {
            is_real = true;
            self.at += 1;
            self.take_while(|character| character.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            let signs = usize::from(self.rest()[1..].starts_with(['+', '-']));
            if digit_at(self.rest(), 1 + signs) {
                is_real = true;
                self.at += 1 + signs;
                self.take_while(|character| character.is_ascii_digit());
            }
        }
        let number = &self.text[start..self.at];
        let unit_at = self.at;
        let unit = self.take_while(|character| character.is_alphanumeric() || character == '_');
        if !unit.is_empty() {
            let known = "units are d, h, m, s, ms, microsecond, tick; a week is 7d";
            let unit = unit_ticks(unit)
                .ok_or_else(|| self.fault(unit_at, "this unit of time is not known").known(known))?;
            let ticks = ticks_of(number, unit)
                .ok_or_else(|| self.fault(start, "this length of time is too large"))?;
            return Ok(Token::Literal(Literal::Timespan(ticks)));
        }
        if is_real {
            return Ok(Token::Literal(Literal::Real(number.parse().unwrap_or(f64::INFINITY))));
        }
        match number.parse() {
            Ok(number) => Ok(Token::Literal(Literal::Long(number))),
            Err(_) => Err(self.fault(start, format!("a long is at most {}", i64::MAX))),
        }
    }

    /// What is in the parentheses behind the name of a type.
    fn typed_literal(&mut self, word: &str, kind: Type) -> Checked<Token> {
        let start = self.at - word.len();
        self.take_while(char::is_whitespace);
        self.at += 1;
        let inner_at = self.at;
        let length =
            if kind == Type::Dynamic { end_of_json(self.rest()) } else { self.rest().find([')', '\n']) };
        let inner = length.map(|length| &self.rest()[..length]);
        let Some(inner) = inner.filter(|inner| self.text[inner_at + inner.len()..].starts_with(')')) else {
            return Err(self.fault(start, format!("the literal {word}(…) has no end: ) is missing")));
        };
        self.at += inner.len() + 1;
        let inner = inner.trim();
        if inner == "null" {
            return Ok(Token::Literal(Literal::Null(kind)));
        }
        if kind == Type::Datetime && inner.is_empty() {
            return Ok(Token::Now);
        }
        let literal = literal_of(kind, inner);
        let fault = || self.fault(inner_at, format!("this is no {kind}"));
        literal.map(Token::Literal).ok_or_else(|| match kind {
            Type::Datetime => fault().known("write it as datetime(2025-03-03T10:00:00Z)"),
            Type::Timespan => fault().known("write it as timespan(1.02:03:04.5), or as 1.5h"),
            Type::Dynamic => fault().known("JSON stands in dynamic(…)"),
            Type::Bool | Type::Int | Type::Long | Type::Real | Type::String => fault(),
        })
    }
}

fn literal_of(kind: Type, text: &str) -> Option<Literal> {
    let unquoted = || {
        let inner = text.strip_prefix(['"', '\'']).and_then(|text| text.strip_suffix(['"', '\'']));
        inner.unwrap_or(text)
    };
    Some(match kind {
        Type::Bool => match text {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            number => Literal::Bool(number.parse::<i64>().ok()? != 0),
        },
        Type::Int => Literal::Int(i32::try_from(integer(text)?).ok()?),
        Type::Long => Literal::Long(integer(text)?),
        // Of the words that Rust reads as numbers, these three are the language's.
        Type::Real => match text {
            "nan" => Literal::Null(Type::Real),
            "+inf" | "inf" => Literal::Real(f64::INFINITY),
            "-inf" => Literal::Real(f64::NEG_INFINITY),
            number => {
                let is_number = number.bytes().all(|byte| b"0123456789.eE+-".contains(&byte));
                Literal::Real(number.parse().ok().filter(|_| is_number)?)
            }
        },
        Type::Datetime => Literal::Datetime(parse_datetime(unquoted())?),
        Type::Timespan => Literal::Timespan(parse_timespan(unquoted())?),
        Type::Dynamic => json(text)?,
        Type::String => return None,
    })
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

fn json(text: &str) -> Option<Literal> {
    // A text may stand in single quotes, as any other string.
    if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return Some(Literal::Dynamic(serde_json::Value::from(inner).to_string()));
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(if value.is_null() { Literal::Null(Type::Dynamic) } else { Literal::Dynamic(value.to_string()) })
}

/// Bytes before the parenthesis that closes a `dynamic(`.
fn end_of_json(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(at),
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::kql::calendar::DAY;

    fn kinds(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|placed| placed.token).collect()
    }

    fn literal(text: &str) -> Literal {
        match kinds(text).as_slice() {
            [Token::Literal(literal), Token::End] => literal.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn reads_every_form_of_a_string() {
        for (text, value) in [
            (r#""a\"b""#, "a\"b"),
            (r"'\t\n\r\\\'A'", "\t\n\r\\'A"),
            (r#"@"c:\x""#, r"c:\x"),
            ("@'it''s'", "it's"),
            ("'it''s'", "its"),
            ("'a' // comment\n \"b\"", "ab"),
            ("```a\n\\n```", "a\n\\n"),
            ("h\"secret\"", "secret"),
            ("H@'s'", "s"),
        ] {
            assert_eq!(literal(text), Literal::Text(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_strings_without_an_end_and_escapes_that_are_not_known() {
        for (text, at) in
            [("'a", 0), ("'a\nb'", 0), ("  ```a", 2), (r"'a\qb'", 2), (r"'\u12'", 1), ("'\\", 2)]
        {
            let at_fault = tokens(text).unwrap_err().at;
            assert!(at_fault == at || text == "'\\", "{text}: {at_fault}");
        }
    }

    #[test]
    fn reads_numbers_and_lengths_of_time() {
        for (text, value) in [
            ("5", Literal::Long(5)),
            ("0x1F", Literal::Long(31)),
            ("1.5", Literal::Real(1.5)),
            ("1e5", Literal::Real(1e5)),
            ("int(5)", Literal::Int(5)),
            ("long( 5 )", Literal::Long(5)),
            ("real(+inf)", Literal::Real(f64::INFINITY)),
            ("1.5h", Literal::Timespan(54_000_000_000)),
            ("1tick", Literal::Timespan(1)),
            ("timespan(2)", Literal::Timespan(2 * DAY)),
            ("time(00:00:05)", Literal::Timespan(50_000_000)),
            ("timespan(15 seconds)", Literal::Timespan(150_000_000)),
            ("int(null)", Literal::Null(Type::Int)),
            ("dynamic(null)", Literal::Null(Type::Dynamic)),
            (r#"dynamic([1, ")"])"#, Literal::Dynamic(r#"[1,")"]"#.to_owned())),
        ] {
            assert_eq!(literal(text), value, "{text}");
        }
        for text in
            ["1w", "5x", "9223372036854775808", "0x", "0x11111111111111111", "200000000d", "int(3000000000)"]
        {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tells_a_name_in_brackets_from_an_index() {
        assert_eq!(kinds("['a b']")[0], Token::Bracketed("a b".to_owned()));
        assert_eq!(kinds("d['a']")[1], Token::Sign("["));
        assert_eq!(kinds("d.['where']")[2], Token::Bracketed("where".to_owned()));
        assert_eq!(kinds("project ['a']")[1], Token::Bracketed("a".to_owned()));
    }

    #[test]
    fn a_range_of_numbers_is_not_read_as_a_fraction() {
        assert_eq!(kinds("1..5")[1], Token::Sign(".."));
    }
}
