//! Members of `string`, `char` and `StringComparison`.
//!
//! Lengths and indices count units of UTF-16, as C#'s do. Text itself is UTF-8, so half a pair of UTF-16 cannot be cut off:
//! that throws. All cultures are the invariant one, and it compares like ordinals.

use std::borrow::Cow;

use super::short::{BOOL, CHAR, COMPARISON, INT, OBJECT, TEXT, TEXTS};
use super::{Call, Inner, Kind, Member, Raised, Run, Takes, Type, method, property};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::run::{Outcome, formatted};
use crate::policy::expression::value::{Comparison, Value};

const CLASS: Type = Type::Class(Kind::Text);
const CHARS: Type = Type::Class(Kind::Char);
const COMPARISONS: Type = Type::Class(Kind::Comparison);

pub(super) const MEMBERS: &[Member] = &[
    property(TEXT, "Length", INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(Value::Int(length(text)))
    }),
    method(TEXT, "[]", &[Takes::A(INT)], CHAR, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        let index = call.int(0)?;
        let found = offset(text, index)
            .and_then(|at| text[at..].chars().next())
            .filter(|found| found.len_utf16() == 1);
        let outside =
            || Raised::new(Exception::IndexOutOfRange, "index was outside the bounds of the string");
        found.map(Value::Char).ok_or_else(outside)
    }),
    method(TEXT, "ToString", &[], TEXT, |_, call| Ok(call.on.clone())),
    method(TEXT, "ToLower", &[], TEXT, |run, call| mapped(run, call, lower)),
    method(TEXT, "ToLowerInvariant", &[], TEXT, |run, call| mapped(run, call, lower)),
    method(TEXT, "ToUpper", &[], TEXT, |run, call| mapped(run, call, upper)),
    method(TEXT, "ToUpperInvariant", &[], TEXT, |run, call| mapped(run, call, upper)),
    method(TEXT, "Trim", &[], TEXT, |run, call| {
        let text = call.on_text()?;
        run.text(text.trim())
    }),
    method(TEXT, "TrimStart", &[], TEXT, |run, call| {
        let text = call.on_text()?;
        run.text(text.trim_start())
    }),
    method(TEXT, "TrimEnd", &[], TEXT, |run, call| {
        let text = call.on_text()?;
        run.text(text.trim_end())
    }),
    method(TEXT, "Trim", &[Takes::Rest(CHAR)], TEXT, |run, call| {
        let text = call.on_text()?;
        let characters = characters(call)?;
        run.read(text.len())?;
        run.text(text.trim_matches(&*characters))
    }),
    method(TEXT, "TrimStart", &[Takes::Rest(CHAR)], TEXT, |run, call| {
        let text = call.on_text()?;
        let characters = characters(call)?;
        run.read(text.len())?;
        run.text(text.trim_start_matches(&*characters))
    }),
    method(TEXT, "TrimEnd", &[Takes::Rest(CHAR)], TEXT, |run, call| {
        let text = call.on_text()?;
        let characters = characters(call)?;
        run.read(text.len())?;
        run.text(text.trim_end_matches(&*characters))
    }),
    method(TEXT, "Contains", &[Takes::A(TEXT)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.contains(&*wanted)))
    }),
    method(TEXT, "Contains", &[Takes::A(CHAR)], BOOL, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(Value::Bool(text.contains(call.char(0)?)))
    }),
    method(TEXT, "Contains", &[Takes::A(TEXT), Takes::A(COMPARISON)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.contains(&*wanted)))
    }),
    method(TEXT, "StartsWith", &[Takes::A(TEXT)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.starts_with(&*wanted)))
    }),
    method(TEXT, "StartsWith", &[Takes::A(TEXT), Takes::A(COMPARISON)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.starts_with(&*wanted)))
    }),
    method(TEXT, "EndsWith", &[Takes::A(TEXT)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.ends_with(&*wanted)))
    }),
    method(TEXT, "EndsWith", &[Takes::A(TEXT), Takes::A(COMPARISON)], BOOL, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(Value::Bool(text.ends_with(&*wanted)))
    }),
    method(TEXT, "IndexOf", &[Takes::A(TEXT)], INT, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(index(&text, text.find(&*wanted)))
    }),
    method(TEXT, "IndexOf", &[Takes::A(TEXT), Takes::A(COMPARISON)], INT, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(index(&text, text.find(&*wanted)))
    }),
    method(TEXT, "IndexOf", &[Takes::A(CHAR)], INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(index(text, text.find(call.char(0)?)))
    }),
    method(TEXT, "IndexOf", &[Takes::A(CHAR), Takes::A(INT)], INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        let start = within(text, call.int(1)?)?;
        Ok(index(text, text[start..].find(call.char(0)?).map(|at| start + at)))
    }),
    method(TEXT, "IndexOf", &[Takes::A(TEXT), Takes::A(INT)], INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        let start = within(text, call.int(1)?)?;
        Ok(index(text, text[start..].find(&**call.text(0)?).map(|at| start + at)))
    }),
    method(TEXT, "LastIndexOf", &[Takes::A(CHAR)], INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(index(text, text.rfind(call.char(0)?)))
    }),
    method(TEXT, "LastIndexOf", &[Takes::A(TEXT)], INT, |run, call| {
        let (text, wanted) = searched(run, call)?;
        Ok(index(&text, text.rfind(&*wanted)))
    }),
    method(TEXT, "Substring", &[Takes::A(INT)], TEXT, |run, call| {
        let text = call.on_text()?;
        let start = within(text, call.int(0)?)?;
        run.read(text.len())?;
        run.text(&text[start..])
    }),
    method(TEXT, "Substring", &[Takes::A(INT), Takes::A(INT)], TEXT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        let end =
            call.int(0)?.checked_add(call.int(1)?).filter(|_| call.int(1).is_ok_and(|length| length >= 0));
        let start = within(text, call.int(0)?)?;
        let end = end.and_then(|end| offset(text, end)).ok_or_else(out_of_range)?;
        run.text(&text[start..end])
    }),
    method(TEXT, "Remove", &[Takes::A(INT)], TEXT, |run, call| {
        let text = call.on_text()?;
        let start = within(text, call.int(0)?)?;
        run.text(&text[..start])
    }),
    method(TEXT, "Remove", &[Takes::A(INT), Takes::A(INT)], TEXT, |run, call| {
        let text = call.on_text()?;
        let count = call.int(1)?;
        let end = call.int(0)?.checked_add(count).filter(|_| count >= 0);
        let start = within(text, call.int(0)?)?;
        let end = end.and_then(|end| offset(text, end)).ok_or_else(out_of_range)?;
        run.take_bytes(text.len())?;
        run.text(&[&text[..start], &text[end..]].concat())
    }),
    method(TEXT, "Insert", &[Takes::A(INT), Takes::A(TEXT)], TEXT, |run, call| {
        let text = call.on_text()?;
        let start = within(text, call.int(0)?)?;
        run.take_bytes(text.len() + call.text(1)?.len())?;
        run.text(&[&text[..start], call.text(1)?, &text[start..]].concat())
    }),
    method(TEXT, "Replace", &[Takes::A(TEXT), Takes::A(TEXT)], TEXT, |run, call| {
        let wanted = call.text(0)?;
        let by = call.text_or_null(1).map_or("", |by| by);
        replaced(run, call.on_text()?, wanted, by)
    }),
    method(TEXT, "Replace", &[Takes::A(CHAR), Takes::A(CHAR)], TEXT, |run, call| {
        let (wanted, by) = (call.char(0)?.to_string(), call.char(1)?.to_string());
        replaced(run, call.on_text()?, &wanted, &by)
    }),
    method(TEXT, "PadLeft", &[Takes::A(INT)], TEXT, |run, call| padded(run, call, ' ', true)),
    method(TEXT, "PadLeft", &[Takes::A(INT), Takes::A(CHAR)], TEXT, |run, call| {
        padded(run, call, call.char(1)?, true)
    }),
    method(TEXT, "PadRight", &[Takes::A(INT)], TEXT, |run, call| padded(run, call, ' ', false)),
    method(TEXT, "PadRight", &[Takes::A(INT), Takes::A(CHAR)], TEXT, |run, call| {
        padded(run, call, call.char(1)?, false)
    }),
    method(TEXT, "Split", &[Takes::Rest(CHAR)], TEXTS, |run, call| {
        let text = call.on_text()?;
        let separators = characters(call)?;
        let blanks = separators.is_empty();
        let is_separator =
            |next: char| if blanks { next.is_whitespace() } else { separators.contains(&next) };
        pieces(run, text.len(), text.split(is_separator))
    }),
    method(TEXT, "Split", &[Takes::A(TEXT)], TEXTS, |run, call| {
        let text = call.on_text()?;
        match call.text_or_null(0).filter(|separator| !separator.is_empty()) {
            Some(separator) => pieces(run, text.len(), text.split(&**separator)),
            None => pieces(run, text.len(), text.split(char::is_whitespace)),
        }
    }),
    method(TEXT, "Split", &[Takes::A(CHAR), Takes::A(INT)], TEXTS, |run, call| {
        let text = call.on_text()?;
        let count = usize::try_from(call.int(1)?).map_err(|_| out_of_range())?;
        pieces(run, text.len(), text.splitn(count, call.char(0)?))
    }),
    method(TEXT, "Equals", &[Takes::A(TEXT)], BOOL, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(Value::Bool(call.text_or_null(0) == Some(text)))
    }),
    method(TEXT, "Equals", &[Takes::A(TEXT), Takes::A(COMPARISON)], BOOL, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        let other = call.text_or_null(0);
        Ok(Value::Bool(other.is_some_and(|other| equal(text, other, call.comparison(1)))))
    }),
    method(TEXT, "Equals", &[Takes::A(OBJECT)], BOOL, |_, call| {
        Ok(Value::Bool(call.on.equals(call.argument(0))))
    }),
    method(TEXT, "CompareTo", &[Takes::A(TEXT)], INT, |run, call| {
        let text = call.on_text()?;
        run.read(text.len())?;
        Ok(Value::Int(compared(Some(text), call.text_or_null(0), Comparison::Exact)))
    }),
    method(CLASS, "IsNullOrEmpty", &[Takes::A(TEXT)], BOOL, |_, call| {
        Ok(Value::Bool(call.text_or_null(0).is_none_or(|text| text.is_empty())))
    }),
    method(CLASS, "IsNullOrWhiteSpace", &[Takes::A(TEXT)], BOOL, |run, call| {
        let text = call.text_or_null(0);
        run.read(text.map_or(0, |text| text.len()))?;
        Ok(Value::Bool(text.is_none_or(|text| text.trim().is_empty())))
    }),
    property(CLASS, "Empty", TEXT, |_, _| Ok(Value::text(""))),
    method(CLASS, "Equals", &[Takes::A(TEXT), Takes::A(TEXT)], BOOL, |run, call| {
        run.read(call.text_or_null(0).map_or(0, |text| text.len()))?;
        Ok(Value::Bool(call.argument(0).equals(call.argument(1))))
    }),
    method(CLASS, "Equals", &[Takes::A(TEXT), Takes::A(TEXT), Takes::A(COMPARISON)], BOOL, |run, call| {
        run.read(call.text_or_null(0).map_or(0, |text| text.len()))?;
        Ok(Value::Bool(match (call.text_or_null(0), call.text_or_null(1)) {
            (Some(one), Some(two)) => equal(one, two, call.comparison(2)),
            (one, two) => one.is_none() && two.is_none(),
        }))
    }),
    method(CLASS, "Compare", &[Takes::A(TEXT), Takes::A(TEXT), Takes::A(COMPARISON)], INT, |run, call| {
        run.read(call.text_or_null(0).map_or(0, |text| text.len()))?;
        Ok(Value::Int(compared(call.text_or_null(0), call.text_or_null(1), call.comparison(2))))
    }),
    method(CLASS, "CompareOrdinal", &[Takes::A(TEXT), Takes::A(TEXT)], INT, |run, call| {
        run.read(call.text_or_null(0).map_or(0, |text| text.len()))?;
        Ok(Value::Int(compared(call.text_or_null(0), call.text_or_null(1), Comparison::Exact)))
    }),
    method(CLASS, "Join", &[Takes::A(TEXT), Takes::Rest(OBJECT)], TEXT, joined),
    method(CLASS, "Join", &[Takes::A(TEXT), Takes::A(Type::Sequence(Kind::Element))], TEXT, joined),
    method(CLASS, "Concat", &[Takes::Rest(OBJECT)], TEXT, |run, call| {
        let values = call.list(0)?.clone();
        join(run, "", &values)
    }),
    method(CLASS, "Concat", &[Takes::A(Type::Sequence(Kind::Element))], TEXT, |run, call| {
        let values = call.list(0)?.clone();
        join(run, "", &values)
    }),
    method(CLASS, "Format", &[Takes::A(TEXT), Takes::Rest(OBJECT)], TEXT, |run, call| {
        let (format, values) = (call.text(0)?.clone(), call.list(1)?.clone());
        composed(run, &format, &values)
    })
    .checked(check_format),
    method(CLASS, "new", &[Takes::A(CHAR), Takes::A(INT)], TEXT, |run, call| {
        let character = call.char(0)?;
        let count = usize::try_from(call.int(1)?).map_err(|_| out_of_range())?;
        run.take_bytes(count.saturating_mul(character.len_utf8()))?;
        Ok(Value::text(&character.to_string().repeat(count)))
    }),
    method(CHAR, "ToString", &[], TEXT, |run, call| run.written(&call.on).map(Value::Text)),
    method(CHARS, "IsDigit", &[Takes::A(CHAR)], BOOL, |_, call| Ok(Value::Bool(call.char(0)?.is_numeric()))),
    method(CHARS, "IsLetter", &[Takes::A(CHAR)], BOOL, |_, call| {
        Ok(Value::Bool(call.char(0)?.is_alphabetic()))
    }),
    method(CHARS, "IsLetterOrDigit", &[Takes::A(CHAR)], BOOL, |_, call| {
        Ok(Value::Bool(call.char(0)?.is_alphanumeric()))
    }),
    method(CHARS, "IsWhiteSpace", &[Takes::A(CHAR)], BOOL, |_, call| {
        Ok(Value::Bool(call.char(0)?.is_whitespace()))
    }),
    method(CHARS, "IsUpper", &[Takes::A(CHAR)], BOOL, |_, call| {
        Ok(Value::Bool(call.char(0)?.is_uppercase()))
    }),
    method(CHARS, "IsLower", &[Takes::A(CHAR)], BOOL, |_, call| {
        Ok(Value::Bool(call.char(0)?.is_lowercase()))
    }),
    method(CHARS, "ToLower", &[Takes::A(CHAR)], CHAR, |_, call| Ok(Value::Char(lower(call.char(0)?)))),
    method(CHARS, "ToUpper", &[Takes::A(CHAR)], CHAR, |_, call| Ok(Value::Char(upper(call.char(0)?)))),
    property(COMPARISONS, "Ordinal", COMPARISON, |_, _| exact()),
    property(COMPARISONS, "CurrentCulture", COMPARISON, |_, _| exact()),
    property(COMPARISONS, "InvariantCulture", COMPARISON, |_, _| exact()),
    property(COMPARISONS, "OrdinalIgnoreCase", COMPARISON, |_, _| ignoring_case()),
    property(COMPARISONS, "CurrentCultureIgnoreCase", COMPARISON, |_, _| ignoring_case()),
    property(COMPARISONS, "InvariantCultureIgnoreCase", COMPARISON, |_, _| ignoring_case()),
];

fn exact() -> Outcome {
    Ok(Value::Inner(Inner::Comparison(Comparison::Exact)))
}

fn ignoring_case() -> Outcome {
    Ok(Value::Inner(Inner::Comparison(Comparison::IgnoreCase)))
}

fn out_of_range() -> Raised {
    Raised::out_of_range("index and length must refer to a location within the string")
}

/// Units of UTF-16.
pub(super) fn length(text: &str) -> i32 {
    let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    i32::try_from(units).unwrap_or(i32::MAX)
}

/// Bytes before the unit of UTF-16 at `index`, which may be the end. `None` outside, and within a pair.
fn offset(text: &str, index: i32) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    if text.is_ascii() {
        return (index <= text.len()).then_some(index);
    }
    let mut units = 0;
    for (at, character) in text.char_indices() {
        if units >= index {
            return (units == index).then_some(at);
        }
        units += character.len_utf16();
    }
    (units == index).then_some(text.len())
}

fn within(text: &str, index: i32) -> Result<usize, Raised> {
    offset(text, index).ok_or_else(out_of_range)
}

/// The index of what was found `at` so many bytes; -1 for nothing.
fn index(text: &str, at: Option<usize>) -> Value {
    Value::Int(at.map_or(-1, |at| length(&text[..at])))
}

/// One character for one, as .NET's invariant culture has it.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    lower.next().filter(|_| lower.next().is_none()).unwrap_or(character)
}

fn upper(character: char) -> char {
    let mut upper = character.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(character)
}

fn mapped(run: &mut Run<'_>, call: &Call<'_>, map: fn(char) -> char) -> Outcome {
    let text = call.on_text()?;
    // Another case may take a byte more.
    run.take_bytes(text.len() * 2)?;
    Ok(Value::Text(text.chars().map(map).collect::<String>().into()))
}

fn equal(one: &str, two: &str, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Exact => one == two,
        Comparison::IgnoreCase if one.is_ascii() && two.is_ascii() => one.eq_ignore_ascii_case(two),
        Comparison::IgnoreCase => one.chars().map(upper).eq(two.chars().map(upper)),
    }
}

fn compared(one: Option<&super::Text>, two: Option<&super::Text>, comparison: Comparison) -> i32 {
    let (Some(one), Some(two)) = (one, two) else {
        return i32::from(one.is_some()) - i32::from(two.is_some());
    };
    let order = match comparison {
        Comparison::Exact => one.encode_utf16().cmp(two.encode_utf16()),
        Comparison::IgnoreCase => one.chars().map(upper).cmp(two.chars().map(upper)),
    };
    order as i32
}

/// Where to search and for what, in upper case if case does not count. Texts keep their lengths in UTF-16 by that.
fn searched<'c>(run: &mut Run<'_>, call: &'c Call<'_>) -> Result<(Cow<'c, str>, Cow<'c, str>), Raised> {
    let (text, wanted) = (call.on_text()?, call.text(0)?);
    run.read(text.len() + wanted.len())?;
    Ok(match call.comparison(1) {
        Comparison::Exact => (Cow::Borrowed(text), Cow::Borrowed(wanted)),
        Comparison::IgnoreCase => {
            run.take_bytes(2 * (text.len() + wanted.len()))?;
            (text.chars().map(upper).collect(), wanted.chars().map(upper).collect())
        }
    })
}

/// The characters of a `params char[]`.
fn characters(call: &Call<'_>) -> Result<Vec<char>, Raised> {
    let list = call.list(0)?;
    Ok(list
        .iter()
        .filter_map(|value| if let Value::Char(character) = value { Some(*character) } else { None })
        .collect())
}

fn pieces<'t>(run: &mut Run<'_>, bytes: usize, pieces: impl Iterator<Item = &'t str>) -> Outcome {
    run.take_bytes(bytes)?;
    let mut values = Vec::new();
    for piece in pieces {
        // A piece has a counter and a place of its own.
        run.take_bytes(2 * size_of::<Value>())?;
        values.push(Value::text(piece));
    }
    Ok(Value::List(values.into()))
}

fn replaced(run: &mut Run<'_>, text: &str, wanted: &str, by: &str) -> Outcome {
    if wanted.is_empty() {
        return Err(Raised::new(Exception::Argument, "string cannot be of zero length"));
    }
    run.read(text.len())?;
    let count = text.matches(wanted).count();
    run.take_bytes(text.len().saturating_add(count.saturating_mul(by.len())))?;
    Ok(Value::text(&text.replace(wanted, by)))
}

fn padded(run: &mut Run<'_>, call: &Call<'_>, by: char, is_left: bool) -> Outcome {
    let text = call.on_text()?;
    let width =
        usize::try_from(call.int(0)?).map_err(|_| Raised::out_of_range("non-negative number required"))?;
    let missing = width.saturating_sub(length(text) as usize);
    run.take_bytes(text.len().saturating_add(missing.saturating_mul(by.len_utf8())))?;
    let padding = by.to_string().repeat(missing);
    Ok(Value::Text(if is_left { padding + text } else { format!("{text}{padding}") }.into()))
}

fn joined(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let separator = call.text_or_null(0).map_or("", |separator| separator);
    let values = call.list(1)?.clone();
    join(run, separator, &values)
}

fn join(run: &mut Run<'_>, separator: &str, values: &[Value]) -> Outcome {
    let mut made = String::new();
    for (index, value) in values.iter().enumerate() {
        let text = run.written(value)?;
        run.take_bytes(text.len() + separator.len())?;
        if index > 0 {
            made.push_str(separator);
        }
        made.push_str(&text);
    }
    Ok(Value::Text(made.into()))
}

/// `string.Format`: `{index,alignment:format}`, and braces doubled.
fn composed(run: &mut Run<'_>, format: &str, values: &[Value]) -> Outcome {
    let wrong = || Raised::new(Exception::Format, "input string was not in a correct format");
    let mut made = String::new();
    for piece in format_pieces(format).ok_or_else(wrong)? {
        let text = match piece {
            Piece::Text(text) => text.into(),
            Piece::Hole { index, alignment, format } => {
                let value = values.get(index).ok_or_else(wrong)?;
                run.formatted(value, alignment, format)?
            }
        };
        run.take_steps(1)?;
        run.take_bytes(text.len())?;
        made.push_str(&text);
    }
    Ok(Value::Text(made.into()))
}

enum Piece<'f> {
    Text(&'f str),
    Hole { index: usize, alignment: i32, format: &'f str },
}

fn format_pieces(format: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(&rest[..at]));
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            pieces.push(Piece::Text(brace));
            rest = behind;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{")?;
        let (place, format) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        let (index, alignment) = place.split_once(',').unwrap_or((place, "0"));
        let alignment =
            alignment.trim().parse().ok().filter(|alignment: &i32| alignment.unsigned_abs() <= 1000)?;
        pieces.push(Piece::Hole { index: index.trim().parse().ok()?, alignment, format });
        rest = &rest[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Some(pieces)
}

fn check_format(arguments: &[Value]) -> Result<(), String> {
    let [Value::Text(format), Value::List(values)] = arguments else { return Ok(()) };
    let pieces = format_pieces(format).ok_or("this is no format: {0}, {1,10}, {2:D3}")?;
    for piece in pieces {
        let Piece::Hole { index, format, .. } = piece else { continue };
        let value = values.get(index).ok_or_else(|| format!("there is no argument {{{index}}}"))?;
        formatted(value, format)?;
    }
    Ok(())
}
