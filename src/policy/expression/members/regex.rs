//! Members of `Regex`, `Match` and `Group`.

use std::sync::Arc;

use super::short::{BOOL, INT, TEXT, TEXTS};
use super::{Call, Inner, Kind, Member, Raised, Run, Takes, Type, method, mistyped, property};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::pattern::{
    COMPILED, CULTURE_INVARIANT, Found, IGNORE_CASE, IGNORE_PATTERN_WHITESPACE, MULTILINE, Pattern,
    Replacement, SINGLELINE,
};
use crate::policy::expression::run::Outcome;
use crate::policy::expression::value::Value;

const CLASS: Type = Type::Class(Kind::Regex);
const REGEX: Type = Type::One(Kind::Regex);
const MATCH: Type = Type::One(Kind::Match);
const GROUP: Type = Type::One(Kind::Group);
const GROUPS: Type = Type::One(Kind::Groups);
const OPTIONS: Type = Type::One(Kind::RegexOptions);
const OPTION_NAMES: Type = Type::Class(Kind::RegexOptions);

pub(super) const MEMBERS: &[Member] = &[
    method(CLASS, "IsMatch", &[Takes::A(TEXT), Takes::Pattern], BOOL, |run, call| is_match(run, call, 1)),
    method(CLASS, "IsMatch", &[Takes::A(TEXT), Takes::Pattern, Takes::A(OPTIONS)], BOOL, |run, call| {
        is_match(run, call, 1)
    }),
    method(CLASS, "Match", &[Takes::A(TEXT), Takes::Pattern], MATCH, |run, call| first(run, call, 1)),
    method(CLASS, "Match", &[Takes::A(TEXT), Takes::Pattern, Takes::A(OPTIONS)], MATCH, |run, call| {
        first(run, call, 1)
    }),
    method(CLASS, "Matches", &[Takes::A(TEXT), Takes::Pattern], Type::Sequence(Kind::Match), |run, call| {
        every(run, call, 1)
    }),
    method(CLASS, "Replace", &[Takes::A(TEXT), Takes::Pattern, Takes::A(TEXT)], TEXT, |run, call| {
        replaced(run, call, 2)
    })
    .checked(|arguments| check_replacement(arguments, 2)),
    method(
        CLASS,
        "Replace",
        &[Takes::A(TEXT), Takes::Pattern, Takes::A(TEXT), Takes::A(OPTIONS)],
        TEXT,
        |run, call| replaced(run, call, 2),
    )
    .checked(|arguments| check_replacement(arguments, 2)),
    method(CLASS, "Split", &[Takes::A(TEXT), Takes::Pattern], TEXTS, |run, call| {
        let (pattern, input) = (pattern(call, 1)?, call.text(0)?);
        run.take_bytes(2 * input.len())?;
        let mut pieces = Vec::new();
        for piece in pattern.split(input) {
            run.take_bytes(2 * size_of::<Value>())?;
            pieces.push(Value::text(piece));
        }
        Ok(Value::List(pieces.into()))
    }),
    method(CLASS, "Escape", &[Takes::A(TEXT)], TEXT, |run, call| {
        let text = call.text(0)?;
        run.take_bytes(2 * text.len())?;
        let mut made = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '\n' => made.push_str("\\n"),
                '\r' => made.push_str("\\r"),
                '\t' => made.push_str("\\t"),
                '\u{c}' => made.push_str("\\f"),
                _ if "\\*+?|{[()^$.# ".contains(character) => made.extend(['\\', character]),
                _ => made.push(character),
            }
        }
        Ok(Value::Text(made.into()))
    }),
    method(CLASS, "new", &[Takes::Pattern], REGEX, |_, call| Ok(call.argument(0).clone())),
    method(CLASS, "new", &[Takes::Pattern, Takes::A(OPTIONS)], REGEX, |_, call| Ok(call.argument(0).clone())),
    method(REGEX, "IsMatch", &[Takes::A(TEXT)], BOOL, |run, call| is_match(run, call, usize::MAX)),
    method(REGEX, "Match", &[Takes::A(TEXT)], MATCH, |run, call| first(run, call, usize::MAX)),
    method(REGEX, "Matches", &[Takes::A(TEXT)], Type::Sequence(Kind::Match), |run, call| {
        every(run, call, usize::MAX)
    }),
    method(REGEX, "Replace", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, |run, call| replaced(run, call, 1))
        .checked(|arguments| check_replacement(arguments, 1)),
    method(REGEX, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    property(MATCH, "Success", BOOL, |_, call| Ok(Value::Bool(found(call)?.is_success))),
    property(MATCH, "Value", TEXT, |_, call| Ok(Value::Text(found(call)?.text()))),
    property(MATCH, "Index", INT, |_, call| Ok(Value::Int(found(call)?.index))),
    property(MATCH, "Length", INT, |_, call| Ok(Value::Int(super::text::length(&found(call)?.text())))),
    property(MATCH, "Groups", GROUPS, |_, call| Ok(Value::Inner(Inner::Groups(found(call)?.clone())))),
    method(MATCH, "ToString", &[], TEXT, |_, call| Ok(Value::Text(found(call)?.text()))),
    property(GROUPS, "Count", INT, |_, call| {
        // A match without success has the whole match as its one group.
        Ok(Value::Int(i32::try_from(groups(call)?.groups.len().max(1)).unwrap_or(i32::MAX)))
    }),
    method(GROUPS, "[]", &[Takes::A(INT)], GROUP, |_, call| {
        let found = groups(call)?;
        let index = usize::try_from(call.int(0)?).unwrap_or(usize::MAX);
        Ok(Value::Inner(Inner::Group(found.groups.get(index).cloned().flatten())))
    }),
    method(GROUPS, "[]", &[Takes::A(TEXT)], GROUP, |_, call| {
        let (found, name) = (groups(call)?, call.text(0)?);
        let by_name = found.names.iter().find(|(known, _)| **known == **name).map(|(_, index)| *index);
        let index = by_name.or_else(|| name.parse().ok()).unwrap_or(usize::MAX);
        Ok(Value::Inner(Inner::Group(found.groups.get(index).cloned().flatten())))
    }),
    property(GROUP, "Success", BOOL, |_, call| {
        Ok(Value::Bool(matches!(&call.on, Value::Inner(Inner::Group(Some(_))))))
    }),
    property(GROUP, "Value", TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    property(GROUP, "Length", INT, |run, call| Ok(Value::Int(super::text::length(&run.written(&call.on)?)))),
    method(GROUP, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    property(OPTION_NAMES, "None", OPTIONS, |_, _| option(0)),
    property(OPTION_NAMES, "IgnoreCase", OPTIONS, |_, _| option(IGNORE_CASE)),
    property(OPTION_NAMES, "Multiline", OPTIONS, |_, _| option(MULTILINE)),
    property(OPTION_NAMES, "Singleline", OPTIONS, |_, _| option(SINGLELINE)),
    property(OPTION_NAMES, "IgnorePatternWhitespace", OPTIONS, |_, _| option(IGNORE_PATTERN_WHITESPACE)),
    property(OPTION_NAMES, "Compiled", OPTIONS, |_, _| option(COMPILED)),
    property(OPTION_NAMES, "CultureInvariant", OPTIONS, |_, _| option(CULTURE_INVARIANT)),
];

fn option(option: u8) -> Outcome {
    Ok(Value::Inner(Inner::RegexOptions(option)))
}

/// The regular expression at `index` of the arguments; what it is called on, beyond them.
fn pattern<'c>(call: &'c Call<'_>, index: usize) -> Result<&'c Arc<Pattern>, Raised> {
    let value = if index == usize::MAX { &call.on } else { call.argument(index) };
    if let Value::Inner(Inner::Pattern(pattern)) = value { Ok(pattern) } else { Err(mistyped()) }
}

fn found<'c>(call: &'c Call<'_>) -> Result<&'c Arc<Found>, Raised> {
    if let Value::Inner(Inner::Match(found)) = &call.on { Ok(found) } else { Err(mistyped()) }
}

fn groups<'c>(call: &'c Call<'_>) -> Result<&'c Arc<Found>, Raised> {
    if let Value::Inner(Inner::Groups(found)) = &call.on { Ok(found) } else { Err(mistyped()) }
}

/// Takes the steps of looking through `input`.
fn look(run: &mut Run<'_>, pattern: &Pattern, input: &str) -> Result<(), Raised> {
    run.read(pattern.bytes_to_look_through(input))
}

fn is_match(run: &mut Run<'_>, call: &Call<'_>, index: usize) -> Outcome {
    let (pattern, input) = (pattern(call, index)?, call.text(0)?);
    look(run, pattern, input)?;
    Ok(Value::Bool(pattern.is_match(input)))
}

fn first(run: &mut Run<'_>, call: &Call<'_>, index: usize) -> Outcome {
    let (pattern, input) = (pattern(call, index)?, call.text(0)?);
    look(run, pattern, input)?;
    let found = pattern.first(input);
    take_found(run, &found)?;
    Ok(Value::Inner(Inner::Match(Arc::new(found))))
}

fn take_found(run: &mut Run<'_>, found: &Found) -> Result<(), Raised> {
    let texts: usize = found.groups.iter().flatten().map(|text| text.len()).sum();
    run.take_bytes(texts + found.groups.len() * size_of::<Value>())
}

fn every(run: &mut Run<'_>, call: &Call<'_>, index: usize) -> Outcome {
    let (pattern, input) = (pattern(call, index)?, call.text(0)?);
    look(run, pattern, input)?;
    let mut values = Vec::new();
    for found in pattern.all(input) {
        take_found(run, &found)?;
        run.take_bytes(2 * size_of::<Value>())?;
        values.push(Value::Inner(Inner::Match(Arc::new(found))));
    }
    Ok(Value::List(values.into()))
}

/// Replaces; the replacement is at `index` of the arguments, and the pattern before it or what it is called on.
fn replaced(run: &mut Run<'_>, call: &Call<'_>, index: usize) -> Outcome {
    let (pattern, input) = (pattern(call, if index == 2 { 1 } else { usize::MAX })?, call.text(0)?);
    look(run, pattern, input)?;
    let replacement = call.text(index)?;
    run.read(replacement.len())?;
    let replacement =
        Replacement::parse(replacement).map_err(|what| Raised::new(Exception::Argument, what))?;
    let bytes_left = run.bytes_left();
    match pattern.replace(input, &replacement, bytes_left) {
        Some(made) => run.text(&made),
        None => run.take_bytes(bytes_left.saturating_add(1)).map(|()| Value::Null),
    }
}

fn check_replacement(arguments: &[Value], index: usize) -> Result<(), String> {
    match arguments.get(index) {
        Some(Value::Text(text)) => Replacement::parse(text).map(|_| ()),
        Some(_) | None => Ok(()),
    }
}
