//! Values as SQL. Where SQLite's rules are those of the language, its own operators are used, which are faster than functions.

use super::super::plan::{Comparison, Kind, Value};
use super::super::syntax::ArithmeticOperator;
use super::super::types::{Literal, Type};
use super::{Translator, column};
use std::collections::BTreeSet;

impl Translator<'_> {
    /// A condition of rows: what is null counts as false, so simpler SQL does.
    pub(super) fn condition(&mut self, value: &Value) -> String {
        match &value.kind {
            Kind::And(terms) => {
                let terms = terms.iter().map(|term| self.condition(term)).collect();
                balanced(terms, "AND")
            }
            Kind::Or(terms) => {
                let terms = terms.iter().map(|term| self.condition(term)).collect();
                balanced(terms, "OR")
            }
            Kind::Compare(comparison, left, right) => {
                let may_be_null = left.may_be_null || right.may_be_null;
                let sign = if *comparison == Comparison::NotEqual && may_be_null {
                    "IS NOT"
                } else {
                    comparison.sql()
                };
                format!("({} {sign} {})", self.value(left), self.value(right))
            }
            _ => self.value(value),
        }
    }

    pub(super) fn value(&mut self, value: &Value) -> String {
        match &value.kind {
            Kind::Column(id) => column(*id),
            Kind::Literal(literal) => self.literal(literal),
            Kind::And(terms) => {
                let terms = terms.iter().map(|term| self.value(term)).collect();
                balanced(terms, "AND")
            }
            Kind::Or(terms) => {
                let terms = terms.iter().map(|term| self.value(term)).collect();
                balanced(terms, "OR")
            }
            Kind::Not(inner) => format!("(NOT {})", self.value(inner)),
            Kind::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Kind::Arithmetic(operator, left, right) => self.arithmetic(*operator, left, right, value.of),
            Kind::Call(function, arguments) => self.call(function, arguments),
            Kind::Case(branches, otherwise) => {
                let mut text = "CASE".to_owned();
                for (condition, value) in branches {
                    let (condition, value) = (self.condition(condition), self.value(value));
                    text.push_str(&format!(" WHEN {condition} THEN {value}"));
                }
                format!("{text} ELSE {} END", self.value(otherwise))
            }
            Kind::In(value, items) => {
                let text = self.value(value);
                let items: Vec<String> = items.iter().map(|item| self.value(item)).collect();
                let found = format!("({text} IN ({}))", items.join(", "));
                // A null is in no list.
                if value.may_be_null { format!("coalesce({found}, 0)") } else { found }
            }
            Kind::InTable(value, relation, id) => {
                let text = self.value(value);
                let inner = self.relation(relation, &BTreeSet::from([*id])).sql;
                let name = column(*id);
                format!("coalesce(({text} IN (SELECT {name} FROM ({inner}) WHERE {name} IS NOT NULL)), 0)")
            }
            Kind::ListOf(relation, id) => {
                let inner = self.relation(relation, &BTreeSet::from([*id])).sql;
                format!("(SELECT kql_list(kql_dynamic('string', {}), 1048576) FROM ({inner}))", column(*id))
            }
            Kind::IsNull(inner) if inner.may_be_null => format!("({} IS NULL)", self.value(inner)),
            Kind::IsNull(_) => "0".to_owned(),
            Kind::ToReal(inner) => format!("CAST({} AS REAL)", self.value(inner)),
        }
    }

    fn literal(&mut self, literal: &Literal) -> String {
        match literal {
            Literal::Null(_) => "NULL".to_owned(),
            Literal::Bool(is) => i32::from(*is).to_string(),
            _ => self.parameter(literal),
        }
    }

    /// `==` is false and `!=` is true where one side is null; all are null where both are.
    fn compare(&mut self, comparison: Comparison, left: &Value, right: &Value) -> String {
        let (one, other) = (self.value(left), self.value(right));
        let sign = match comparison {
            Comparison::Equal if left.may_be_null || right.may_be_null => "IS",
            Comparison::NotEqual if left.may_be_null || right.may_be_null => "IS NOT",
            _ => return format!("({one} {} {other})", comparison.sql()),
        };
        if !(left.may_be_null && right.may_be_null) {
            return format!("({one} {sign} {other})");
        }
        if left.is_plain() && right.is_plain() {
            return format!(
                "CASE WHEN {one} IS NULL AND {other} IS NULL THEN NULL ELSE {one} {sign} {other} END"
            );
        }
        let function = if comparison == Comparison::Equal { "kql_equal" } else { "kql_not_equal" };
        format!("{function}({one}, {other})")
    }

    fn arithmetic(&mut self, operator: ArithmeticOperator, left: &Value, right: &Value, of: Type) -> String {
        use ArithmeticOperator::{Add, Divide, Modulo, Multiply, Subtract};
        let (one, other) = (self.value(left), self.value(right));
        let sign = operator.sign();
        let divisor = right.as_literal().and_then(Literal::units);
        match (operator, of) {
            (Add | Subtract | Multiply, Type::Real) => format!("(CAST({one} AS REAL) {sign} {other})"),
            (Divide, Type::Real) => match right.as_literal() {
                Some(Literal::Real(number)) if *number != 0.0 => format!("({one} / {other})"),
                _ => format!("kql_divide({one}, {other})"),
            },
            (Modulo, Type::Real) => format!("kql_modulo_real({one}, {other})"),
            // Small divisors cannot overflow here.
            (Modulo, _) => match divisor {
                Some(divisor) if (1..1 << 31).contains(&divisor) => {
                    format!("((({one} % {other}) + {other}) % {other})")
                }
                _ => format!("kql_modulo({one}, {other})"),
            },
            (Divide, _) => match divisor {
                Some(divisor) if divisor > 0 => format!("({one} / {other})"),
                _ => format!("kql_divide_integer({one}, {other})"),
            },
            (Multiply, Type::Timespan) => format!("kql_multiply({one}, {other})"),
            (Add | Subtract, _) if left.is_plain() && right.is_constant() && of != Type::Long => {
                format!("({one} {sign} {other})")
            }
            (Add, _) => format!("kql_add({one}, {other})"),
            (Subtract, _) => format!("kql_subtract({one}, {other})"),
            (Multiply, _) => format!("kql_multiply({one}, {other})"),
        }
    }

    fn call(&mut self, function: &str, arguments: &[Value]) -> String {
        let texts: Vec<String> = arguments.iter().map(|argument| self.value(argument)).collect();
        match (function, arguments, texts.as_slice()) {
            // Rounding down by a size that is known: times since the year one are not negative.
            ("kql_bin", [value, size], [text, size_text]) if value.is_plain() => {
                match size.as_literal().and_then(Literal::units) {
                    Some(units) if units > 0 && value.of == Type::Datetime => {
                        format!("({text} - {text} % {size_text})")
                    }
                    Some(1) => text.clone(),
                    _ => format!("kql_bin({text}, {size_text})"),
                }
            }
            ("kql_text_of_integer", _, [text]) => format!("coalesce(CAST({text} AS TEXT), '')"),
            _ => format!("{function}({})", texts.join(", ")),
        }
    }
}

/// Terms joined in pairs, so that many of them are not nested deeply.
fn balanced(mut terms: Vec<String>, word: &str) -> String {
    while terms.len() > 1 {
        let mut joined = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(one) = rest.next() {
            joined.push(match rest.next() {
                Some(other) => format!("({one} {word} {other})"),
                None => one,
            });
        }
        terms = joined;
    }
    terms.pop().unwrap_or_else(|| "1".to_owned())
}
