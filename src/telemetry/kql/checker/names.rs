//! The names of columns that a query does not name.

use super::super::plan::ColumnId;
use super::super::syntax::{Expression, ExpressionKind};
use super::super::types::Literal;
use super::Field;
use super::aggregates::AGGREGATES;

/// Functions whose column is named as their first argument's.
const NAMED_AS_ARGUMENT: [&str; 18] = [
    "bin",
    "floor",
    "ceiling",
    "round",
    "abs",
    "startofday",
    "toint",
    "tolong",
    "todouble",
    "toreal",
    "tobool",
    "todatetime",
    "totimespan",
    "tostring",
    "parse_json",
    "todynamic",
    "split",
    "format_datetime",
];

/// Functions whose column is named by themselves and their first argument.
const NAMED_WITH_ARGUMENT: [&str; 1] = ["strlen"];

/// The name of an expression's column: `x` of `bin(x, 1h)`, `d_Host` of `d.Host`. `None`: it gets a number.
pub(super) fn name_of(expression: &Expression) -> Option<String> {
    match &expression.kind {
        ExpressionKind::Name(name) => Some(name.clone()),
        ExpressionKind::Member(value, key) => Some(format!("{}_{}", name_of(value)?, key.text)),
        ExpressionKind::Index(value, index) => match &index.kind {
            ExpressionKind::Literal(Literal::Text(key)) => Some(format!("{}_{key}", name_of(value)?)),
            ExpressionKind::Literal(literal) => Some(format!("{}_{}", name_of(value)?, literal.integer()?)),
            _ => None,
        },
        ExpressionKind::Call(function, arguments) => {
            let name = function.text.as_str();
            let first = arguments.first();
            if let Some(naming) = AGGREGATES.iter().find(|known| known.name == name) {
                let of = first.and_then(name_of).unwrap_or_default();
                return Some(match naming.prefix {
                    "" if !of.is_empty() => of,
                    "" if name == "take_any" => "any_arg0".to_owned(),
                    "" if name == "take_anyif" => return None,
                    "" => name.strip_prefix("arg_").unwrap_or(name).to_owned() + "_",
                    "percentile_" => format!("percentile_{of}{}", percentile_suffix(arguments.get(1))),
                    prefix => format!("{prefix}{of}"),
                });
            }
            if NAMED_AS_ARGUMENT.contains(&name) {
                return first.and_then(name_of);
            }
            if NAMED_WITH_ARGUMENT.contains(&name) {
                return Some(format!("{name}_{}", first.and_then(name_of).unwrap_or_default()));
            }
            None
        }
        _ => None,
    }
}

/// `_99_9` of 99.9.
pub(super) fn percentile_suffix(percentile: Option<&Expression>) -> String {
    match percentile.map(|percentile| &percentile.kind) {
        Some(ExpressionKind::Literal(Literal::Real(number))) => format!("_{number}").replace('.', "_"),
        Some(ExpressionKind::Literal(literal)) => {
            literal.integer().map_or_else(String::new, |number| format!("_{number}"))
        }
        _ => String::new(),
    }
}

/// Whether a name fits a pattern with `*` in it.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Columns of a result, with names that are made so that no two are the same.
#[derive(Default)]
pub(super) struct Names {
    pub(super) fields: Vec<Field>,
    pub(super) unnamed: usize,
}

impl Names {
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// A name that is free: itself, or with the first number behind it that makes it so.
    pub(super) fn free(&self, name: &str) -> String {
        if !self.has(name) {
            return name.to_owned();
        }
        let mut number = 1;
        loop {
            let numbered = format!("{name}{number}");
            if !self.has(&numbered) {
                return numbered;
            }
            number += 1;
        }
    }

    /// `Column1`, `Column2`, and so on.
    pub(super) fn unnamed(&mut self) -> String {
        self.unnamed += 1;
        let name = format!("Column{}", self.unnamed);
        self.free(&name)
    }

    pub(super) fn push(&mut self, name: String, id: ColumnId, value: &super::Value) {
        self.fields.push(Field { name, id, of: value.of, may_be_null: value.may_be_null });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_fits_any_part_of_a_name() {
        for (pattern, name, is_fit) in [
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("*", "", true),
            ("*b*", "abc", true),
            ("a*b*c", "axbxc", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*a", "a", false),
            ("*x*", "abc", false),
        ] {
            assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
        }
    }
}
