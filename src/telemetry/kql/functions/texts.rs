//! Functions of texts.

use regex::Regex;
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::Value;
use std::sync::Arc;

use super::super::text_match;
use super::{Answer, Exceeded, VALUE_BYTES_MAX, bool_or_null, long, long_or_null, made, scalar, text};

/// The compiled form of a pattern, which SQLite keeps from row to row.
fn pattern(context: &Context<'_>, index: i32) -> rusqlite::Result<Arc<Regex>> {
    context.get_or_create_aux(index, |value| -> Result<Regex, Box<dyn core::error::Error + Send + Sync>> {
        Ok(text_match::compile(value.as_str()?)?)
    })
}

/// A test of a text by another one: false where either is null.
fn test(connection: &Connection, name: &str, holds: fn(&str, &str) -> bool) -> rusqlite::Result<()> {
    scalar(connection, name, 2, move |context| {
        let both = text(context, 0).zip(text(context, 1));
        bool_or_null(Some(both.is_some_and(|(text, needle)| holds(text, needle))))
    })
}

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    test(connection, "kql_has", |text, needle| text_match::has(text, needle, true))?;
    test(connection, "kql_has_cs", |text, needle| text_match::has(text, needle, false))?;
    test(connection, "kql_contains", text_match::contains)?;
    test(connection, "kql_contains_cs", |text, needle| text.contains(needle))?;
    test(connection, "kql_startswith", text_match::starts_with)?;
    test(connection, "kql_startswith_cs", |text, needle| text.starts_with(needle))?;
    test(connection, "kql_endswith", text_match::ends_with)?;
    test(connection, "kql_endswith_cs", |text, needle| text.ends_with(needle))?;
    scalar(connection, "kql_same_ignoring_case", 2, |context| match (text(context, 0), text(context, 1)) {
        (Some(left), Some(right)) => bool_or_null(Some(text_match::is_same(left, right))),
        (None, None) => Ok(Value::Null),
        _ => bool_or_null(Some(false)),
    })?;
    scalar(connection, "kql_matches", 2, |context| {
        let Some(text) = text(context, 0) else { return bool_or_null(Some(false)) };
        bool_or_null(Some(pattern(context, 1)?.is_match(text)))
    })?;
    scalar(connection, "kql_coalesce_text", -1, |context| {
        let mut all = (0..context.len()).filter_map(|index| text(context, index));
        made(all.find(|text| !text.is_empty()).unwrap_or_default().to_owned())
    })?;
    scalar(connection, "kql_fold", 1, |context| of_text(context, text_match::fold))?;
    scalar(connection, "kql_upper", 1, |context| of_text(context, str::to_uppercase))?;
    scalar(connection, "kql_strlen", 1, |context| {
        long_or_null(Some(text(context, 0).unwrap_or_default().chars().count() as i64))
    })?;
    scalar(connection, "kql_strcat", -1, |context| {
        let length: usize = (0..context.len()).filter_map(|index| text(context, index)).map(str::len).sum();
        if length > VALUE_BYTES_MAX {
            return Err(Exceeded::Value.into());
        }
        made((0..context.len()).filter_map(|index| text(context, index)).collect())
    })?;
    scalar(connection, "kql_substring", 3, |context| {
        let (Some(text), Some(start), Some(length)) = (text(context, 0), long(context, 1), long(context, 2))
        else {
            return made(String::new());
        };
        // From the end, if it is negative.
        let start =
            if start < 0 { (text.chars().count() as i64).saturating_add(start).max(0) } else { start };
        let (start, length) = (usize::try_from(start), usize::try_from(length).unwrap_or(0));
        made(text.chars().skip(start.unwrap_or(usize::MAX)).take(length).collect())
    })?;
    scalar(connection, "kql_indexof", 2, |context| {
        let (Some(text), Some(needle)) = (text(context, 0), text(context, 1)) else {
            return long_or_null(Some(-1));
        };
        let at = text.find(needle).map_or(-1, |at| text[..at].chars().count() as i64);
        long_or_null(Some(at))
    })?;
    scalar(connection, "kql_split", -1, |context| {
        let (Some(source), Some(by)) = (text(context, 0), text(context, 1)) else { return Ok(Value::Null) };
        let parts: Vec<&str> = if by.is_empty() { vec![source] } else { source.split(by).collect() };
        let parts = match (context.len(), long(context, 2.min(context.len() - 1))) {
            (3, wanted) => {
                let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
                wanted.and_then(|wanted| parts.get(wanted).copied()).into_iter().collect()
            }
            _ => parts,
        };
        made(serde_json::Value::from(parts).to_string())
    })?;
    scalar(connection, "kql_replace", 3, |context| {
        let (Some(source), Some(from), Some(to)) = (text(context, 0), text(context, 1), text(context, 2))
        else {
            return made(String::new());
        };
        if from.is_empty() {
            return made(source.to_owned());
        }
        let growth = to.len().saturating_sub(from.len());
        if growth > 0 && source.len() + source.matches(from).count().saturating_mul(growth) > VALUE_BYTES_MAX
        {
            return Err(Exceeded::Value.into());
        }
        made(source.replace(from, to))
    })?;
    scalar(connection, "kql_replace_regex", 3, |context| {
        let (Some(source), Some(to)) = (text(context, 0), text(context, 2)) else {
            return made(String::new());
        };
        let pattern = pattern(context, 1)?;
        let mut text = String::new();
        let mut end = 0;
        for captures in pattern.captures_iter(source) {
            let Some(whole) = captures.get(0) else { continue };
            text.push_str(&source[end..whole.start()]);
            expand(&captures, to, &mut text);
            end = whole.end();
            if text.len() > VALUE_BYTES_MAX {
                return Err(Exceeded::Value.into());
            }
        }
        text.push_str(&source[end..]);
        made(text)
    })?;
    scalar(connection, "kql_trim", 2, |context| {
        let Some(mut source) = text(context, 1) else { return made(String::new()) };
        let pattern = pattern(context, 0)?;
        if let Some(found) = pattern.find(source).filter(|found| found.start() == 0) {
            source = &source[found.end()..];
        }
        // The last match that reaches the end.
        let end = pattern.find_iter(source).find(|found| found.end() == source.len() && !found.is_empty());
        made(source[..end.map_or(source.len(), |found| found.start())].to_owned())
    })?;
    scalar(connection, "kql_extract", 3, |context| {
        let Some(source) = text(context, 2) else { return made(String::new()) };
        let group = long(context, 1).and_then(|group| usize::try_from(group).ok());
        let captures = pattern(context, 0)?.captures(source);
        let found = captures
            .zip(group)
            .and_then(|(captures, group)| captures.get(group).map(|found| found.as_str().to_owned()));
        made(found.unwrap_or_default())
    })?;
    scalar(connection, "kql_url_decode", 1, |context| of_text(context, url_decoded))
}

fn of_text(context: &Context<'_>, change: impl Fn(&str) -> String) -> Answer {
    made(change(text(context, 0).unwrap_or_default()))
}

/// Writes a replacement, in which `\1` is the first group and `\0` the whole match.
fn expand(captures: &regex::Captures<'_>, replacement: &str, text: &mut String) {
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        let group = characters.peek().and_then(|next| next.to_digit(10));
        match group {
            Some(group) if character == '\\' => {
                characters.next();
                text.push_str(captures.get(group as usize).map_or("", |found| found.as_str()));
            }
            _ => text.push(character),
        }
    }
}

fn url_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let code = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ if *first == b'+' => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
