//! Calls of scalar functions: their arguments and their types.

use super::super::calendar::{self, Period};
use super::super::fault::{At, Checked, Fault, did_you_mean};
use super::super::plan::{Kind, Value};
use super::super::syntax::{ArithmeticOperator, Expression, ExpressionKind, Name};
use super::super::types::{Literal, Type};
use super::aggregates::AGGREGATES;
use super::values::{check_pattern, dynamic_of};
use super::{Checker, Scope};

/// The functions, with the least and the largest number of arguments.
const FUNCTIONS: [(&str, usize, usize); 58] = [
    ("abs", 1, 1),
    ("ago", 1, 1),
    ("array_length", 1, 1),
    ("bag_keys", 1, 1),
    ("bin", 2, 2),
    ("case", 3, 100),
    ("ceiling", 1, 1),
    ("coalesce", 2, 64),
    ("datetime_diff", 3, 3),
    ("dayofweek", 1, 1),
    ("extract", 3, 4),
    ("floor", 2, 2),
    ("format_datetime", 2, 2),
    ("hourofday", 1, 1),
    ("iff", 3, 3),
    ("iif", 3, 3),
    ("indexof", 2, 2),
    ("isempty", 1, 1),
    ("isfinite", 1, 1),
    ("isinf", 1, 1),
    ("isnan", 1, 1),
    ("isnotempty", 1, 1),
    ("isnotnull", 1, 1),
    ("isnull", 1, 1),
    ("max_of", 2, 64),
    ("min_of", 2, 64),
    ("not", 1, 1),
    ("notempty", 1, 1),
    ("notnull", 1, 1),
    ("now", 0, 1),
    ("parse_json", 1, 1),
    ("parsejson", 1, 1),
    ("replace_regex", 3, 3),
    ("replace_string", 3, 3),
    ("round", 1, 2),
    ("split", 2, 3),
    ("startofday", 1, 2),
    ("startofmonth", 1, 2),
    ("startofweek", 1, 2),
    ("startofyear", 1, 2),
    ("strcat", 1, 64),
    ("strlen", 1, 1),
    ("substring", 2, 3),
    ("tobool", 1, 1),
    ("toboolean", 1, 1),
    ("todatetime", 1, 1),
    ("todouble", 1, 1),
    ("todynamic", 1, 1),
    ("toint", 1, 1),
    ("tolong", 1, 1),
    ("tolower", 1, 1),
    ("toobject", 1, 1),
    ("toreal", 1, 1),
    ("tostring", 1, 1),
    ("totimespan", 1, 1),
    ("toupper", 1, 1),
    ("trim", 2, 2),
    ("url_decode", 1, 1),
];

/// The arguments of a call, checked, with their places.
struct Arguments<'a> {
    name: &'a Name,
    values: Vec<Value>,
    places: Vec<At>,
}

impl Arguments<'_> {
    fn fault(&self, index: usize, wanted: &str) -> Box<Fault> {
        let of = self.values[index].of;
        Fault::new(self.places[index], format!("`{}` takes {wanted} here, not {of}", self.name.text))
    }

    /// Takes an argument out; its place stays.
    fn take(&mut self, index: usize) -> Value {
        core::mem::replace(&mut self.values[index], Value::long(0))
    }

    /// The argument as a text; a dynamic one is taken as its text.
    fn text(&mut self, index: usize) -> Checked<Value> {
        match self.values[index].of {
            Type::String => Ok(self.take(index)),
            Type::Dynamic => Ok(text(self.take(index))),
            _ => Err(self.fault(index, "a string").known("tostring(X) makes one")),
        }
    }

    fn of(&mut self, index: usize, wanted: Type) -> Checked<Value> {
        let of = self.values[index].of;
        if of == wanted || (wanted == Type::Long && of == Type::Int) {
            return Ok(self.take(index));
        }
        let fault = self.fault(index, wanted.name());
        Err(if of == Type::Dynamic { fault.known(format!("to{wanted}(X) makes one")) } else { fault })
    }

    fn number(&mut self, index: usize) -> Checked<Value> {
        match self.values[index].of {
            Type::Dynamic => Err(self.fault(index, "a number").known("todouble(X) makes one")),
            of if of.is_number() => Ok(self.take(index)),
            _ => Err(self.fault(index, "a number")),
        }
    }

    /// A text that is written out.
    fn constant_text(&self, index: usize) -> Checked<&str> {
        match self.values[index].as_literal() {
            Some(Literal::Text(text)) => Ok(text),
            _ => Err(self.fault(index, "a string literal")),
        }
    }
}

impl<'q> Checker<'q> {
    pub(super) fn call(
        &mut self,
        name: &'q Name,
        written: &'q [Expression],
        scope: &mut Scope<'_>,
    ) -> Checked<Value> {
        let Some((known, least, most)) = FUNCTIONS.iter().find(|(known, _, _)| *known == name.text) else {
            let known =
                FUNCTIONS.iter().map(|(known, _, _)| *known).chain(AGGREGATES.iter().map(|one| one.name));
            return Err(Fault::new(name.at, format!("there is no function `{}`", name.text))
                .known(did_you_mean(&name.text, known)));
        };
        if !(*least..=*most).contains(&written.len()) {
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(Fault::new(
                name.at,
                format!("`{known}` takes {wanted} arguments, not {}", written.len()),
            ));
        }
        // The type behind `extract`.
        let (mut values, mut places, mut cast) = (Vec::new(), Vec::new(), None);
        for (index, argument) in written.iter().enumerate() {
            match argument.kind {
                ExpressionKind::TypeOf(of) if *known == "extract" && index == 3 => cast = Some(of),
                _ => {
                    values.push(self.value(argument, scope)?);
                    places.push(argument.at);
                }
            }
        }
        let arguments = Arguments { name, values, places };
        match *known {
            "now" | "ago" => self.moment(known, arguments),
            "iff" | "iif" | "case" => self.branches(arguments),
            "coalesce" | "min_of" | "max_of" => self.one_of(known, arguments),
            "bin" | "floor" => self.rounded_down(arguments),
            "extract" => {
                let value = extract(arguments)?;
                Ok(match cast {
                    Some(of) if of != Type::String => converted(value, of),
                    _ => value,
                })
            }
            _ => self.simple(known, arguments),
        }
    }

    fn moment(&self, name: &str, mut arguments: Arguments<'_>) -> Checked<Value> {
        let now = Value::literal(Literal::Datetime(self.now));
        if arguments.values.is_empty() {
            return Ok(now);
        }
        let offset = arguments.of(0, Type::Timespan)?;
        let operator = if name == "ago" { ArithmeticOperator::Subtract } else { ArithmeticOperator::Add };
        self.arithmetic(operator, now, offset, arguments.places[0])
    }

    /// `iff(condition, a, b)` and `case(condition, a, condition, b, otherwise)`.
    fn branches(&self, mut arguments: Arguments<'_>) -> Checked<Value> {
        let count = arguments.values.len();
        if count.is_multiple_of(2) {
            return Err(Fault::new(
                arguments.name.at,
                "`case` takes pairs of a condition and a value, and one value at the end",
            ));
        }
        for index in (0..count - 1).step_by(2) {
            let condition = arguments.of(index, Type::Bool).map_err(|_| arguments.fault(index, "a bool"))?;
            arguments.values[index] = condition;
        }
        let results: Vec<usize> = (1..count).step_by(2).chain([count - 1]).collect();
        let of = common_type(&arguments, &results, true)?;
        let otherwise = widened(arguments.take(count - 1), of);
        let mut branches = Vec::new();
        for index in (0..count - 1).step_by(2) {
            let condition = arguments.take(index);
            branches.push((condition, widened(arguments.take(index + 1), of)));
        }
        let may_be_null = otherwise.may_be_null || branches.iter().any(|(_, value)| value.may_be_null);
        Ok(Value::new(Kind::Case(branches, Box::new(otherwise)), of, may_be_null))
    }

    fn one_of(&self, name: &str, mut arguments: Arguments<'_>) -> Checked<Value> {
        let all: Vec<usize> = (0..arguments.values.len()).collect();
        let of = common_type(&arguments, &all, false)?;
        if name != "coalesce" && [Type::String, Type::Dynamic, Type::Bool].contains(&of) {
            return Err(arguments.fault(0, "numbers or times"));
        }
        let values: Vec<Value> = all.iter().map(|index| widened(arguments.take(*index), of)).collect();
        let may_be_null = values.iter().all(|value| value.may_be_null);
        let function = match (name, of) {
            // An empty string counts as none.
            ("coalesce", Type::String) => "kql_coalesce_text",
            ("coalesce", _) => "coalesce",
            ("min_of", _) => "kql_least",
            _ => "kql_greatest",
        };
        Ok(Value::new(Kind::Call(function, values), of, may_be_null))
    }

    fn rounded_down(&self, mut arguments: Arguments<'_>) -> Checked<Value> {
        let of = match (arguments.values[0].of, arguments.values[1].of) {
            (Type::Datetime | Type::Timespan, Type::Timespan) => arguments.values[0].of,
            (value, size) if value.is_number() && size.is_number() => {
                if value == Type::Real || size == Type::Real { Type::Real } else { Type::Long }
            }
            (Type::Datetime | Type::Timespan, _) => return Err(arguments.fault(1, "a timespan such as 5m")),
            _ => return Err(arguments.fault(0, "a number or a time")),
        };
        let (value, size) = (arguments.take(0), arguments.take(1));
        if let (Some(Literal::Datetime(ticks)), Some(Literal::Timespan(size))) =
            (value.as_literal(), size.as_literal())
            && *size > 0
        {
            return Ok(Value::literal(Literal::Datetime(ticks - ticks.rem_euclid(*size))));
        }
        let function = if of == Type::Real { "kql_bin_real" } else { "kql_bin" };
        Ok(Value::call(function, vec![value, size], of))
    }

    fn simple(&self, name: &str, mut arguments: Arguments<'_>) -> Checked<Value> {
        let call = Value::call;
        let is = |function, values| Value::new(Kind::Call(function, values), Type::Bool, false);
        Ok(match name {
            "tostring" => text(arguments.take(0)),
            "strcat" => {
                let all = 0..arguments.values.len();
                let texts = all.map(|index| text(arguments.take(index))).collect();
                call("kql_strcat", texts, Type::String)
            }
            "toint" | "tolong" | "todouble" | "toreal" | "tobool" | "toboolean" | "todatetime"
            | "totimespan" => {
                let to = match name {
                    "toint" => Type::Int,
                    "tolong" => Type::Long,
                    "todouble" | "toreal" => Type::Real,
                    "tobool" | "toboolean" => Type::Bool,
                    "todatetime" => Type::Datetime,
                    _ => Type::Timespan,
                };
                converted(arguments.take(0), to)
            }
            "parse_json" | "parsejson" | "todynamic" | "toobject" => match arguments.values[0].of {
                Type::Dynamic => arguments.take(0),
                Type::String => call("kql_parse_json", vec![arguments.take(0)], Type::Dynamic),
                _ => return Err(arguments.fault(0, "a string")),
            },
            "isnull" | "isnotnull" | "notnull" => {
                let value = arguments.take(0);
                Value::new(Kind::IsNull(Box::new(value)), Type::Bool, false).negated(name != "isnull")
            }
            "isempty" | "isnotempty" | "notempty" => {
                let value = arguments.take(0);
                let is_empty = match value.of {
                    Type::String => {
                        let empty = Value::text("");
                        Value::new(
                            Kind::Compare(super::Comparison::Equal, Box::new(value), Box::new(empty)),
                            Type::Bool,
                            false,
                        )
                    }
                    Type::Dynamic => is("kql_dynamic_is_empty", vec![value]),
                    _ => Value::new(Kind::IsNull(Box::new(value)), Type::Bool, false),
                };
                is_empty.negated(name != "isempty")
            }
            "not" => {
                let value = arguments.of(0, Type::Bool)?;
                value.negated(true)
            }
            "abs" => {
                let of = arguments.values[0].of;
                let function = if of == Type::Real { "abs" } else { "kql_abs" };
                let value = if of == Type::Timespan { arguments.take(0) } else { arguments.number(0)? };
                let of = if of == Type::Int { Type::Long } else { of };
                call(function, vec![value], of)
            }
            "round" => {
                let digits =
                    if arguments.values.len() > 1 { arguments.of(1, Type::Long)? } else { Value::long(0) };
                let value = arguments.number(0)?;
                let of = value.of;
                call("kql_round", vec![value, digits], of)
            }
            "ceiling" => {
                let value = arguments.number(0)?;
                let of = value.of;
                if of == Type::Real { call("kql_ceiling", vec![value], of) } else { value }
            }
            "isnan" | "isinf" | "isfinite" => {
                let value = to_real(arguments.number(0)?);
                let function = match name {
                    "isnan" => "kql_is_nan",
                    "isinf" => "kql_is_infinite",
                    _ => "kql_is_finite",
                };
                is(function, vec![value])
            }
            "tolower" => call("kql_fold", vec![text(arguments.take(0))], Type::String),
            "toupper" => call("kql_upper", vec![text(arguments.take(0))], Type::String),
            "strlen" => call("kql_strlen", vec![arguments.text(0)?], Type::Long),
            "substring" => {
                let length = match arguments.values.len() {
                    3 => arguments.of(2, Type::Long)?,
                    _ => Value::long(i64::MAX),
                };
                let start = arguments.of(1, Type::Long)?;
                call("kql_substring", vec![arguments.text(0)?, start, length], Type::String)
            }
            "split" => {
                let mut values = vec![arguments.text(0)?, arguments.text(1)?];
                if arguments.values.len() == 3 {
                    values.push(arguments.of(2, Type::Long)?);
                }
                call("kql_split", values, Type::Dynamic)
            }
            "indexof" => call("kql_indexof", vec![arguments.text(0)?, arguments.text(1)?], Type::Long),
            "replace_string" => {
                let values = vec![arguments.text(0)?, arguments.text(1)?, arguments.text(2)?];
                call("kql_replace", values, Type::String)
            }
            "replace_regex" => {
                check_pattern(&arguments.values[1], arguments.places[1])?;
                let values = vec![arguments.text(0)?, arguments.take(1), arguments.text(2)?];
                call("kql_replace_regex", values, Type::String)
            }
            "trim" => {
                check_pattern(&arguments.values[0], arguments.places[0])?;
                call("kql_trim", vec![arguments.take(0), arguments.text(1)?], Type::String)
            }
            "url_decode" => call("kql_url_decode", vec![arguments.text(0)?], Type::String),
            "array_length" => call("kql_array_length", vec![arguments.of(0, Type::Dynamic)?], Type::Long),
            "bag_keys" => call("kql_bag_keys", vec![arguments.of(0, Type::Dynamic)?], Type::Dynamic),
            "startofday" | "startofweek" | "startofmonth" | "startofyear" => {
                let period = match name {
                    "startofday" => Period::Day,
                    "startofweek" => Period::Week,
                    "startofmonth" => Period::Month,
                    _ => Period::Year,
                };
                let offset =
                    if arguments.values.len() > 1 { arguments.of(1, Type::Long)? } else { Value::long(0) };
                let value = arguments.of(0, Type::Datetime)?;
                if let (Some(Literal::Datetime(ticks)), Some(offset)) =
                    (value.as_literal(), offset.as_literal().and_then(Literal::integer))
                    && let Some(start) = calendar::start_of(period, *ticks, offset)
                {
                    return Ok(Value::literal(Literal::Datetime(start)));
                }
                call("kql_start_of", vec![Value::long(period as i64), value, offset], Type::Datetime)
            }
            "dayofweek" => call("kql_day_of_week", vec![arguments.of(0, Type::Datetime)?], Type::Timespan),
            "hourofday" => call("kql_hour_of_day", vec![arguments.of(0, Type::Datetime)?], Type::Int),
            "datetime_diff" => {
                let named = arguments.constant_text(0)?;
                let Some(period) = Period::named(named) else {
                    return Err(Fault::new(arguments.places[0], format!("`{named}` is no period"))
                        .known(format!("periods are {}", Period::NAMES.join(", "))));
                };
                let (a, b) = (arguments.of(1, Type::Datetime)?, arguments.of(2, Type::Datetime)?);
                call("kql_datetime_diff", vec![Value::long(period as i64), a, b], Type::Long)
            }
            "format_datetime" => {
                if let Err(piece) = calendar::check_format(arguments.constant_text(1)?) {
                    let known = "fields are d dd f…fffffff F…FFFFFFF h hh H HH m mm M MM s ss y yy yyyy tt";
                    return Err(Fault::new(
                        arguments.places[1],
                        format!("`{piece}` is no field of a format"),
                    )
                    .known(known));
                }
                let value = arguments.of(0, Type::Datetime)?;
                call("kql_format_datetime", vec![value, arguments.take(1)], Type::String)
            }
            other => {
                let reason = format!("`{other}` is not supported");
                return Err(Fault::new(arguments.name.at, reason));
            }
        })
    }
}

fn extract(mut arguments: Arguments<'_>) -> Checked<Value> {
    check_pattern(&arguments.values[0], arguments.places[0])?;
    let group = arguments.of(1, Type::Long)?;
    let source = arguments.text(2)?;
    Ok(Value::call("kql_extract", vec![arguments.take(0), group, source], Type::String))
}

/// The one type that these arguments have, or that they widen to. Dynamic ones may be taken as what the others are.
fn common_type(arguments: &Arguments<'_>, indexes: &[usize], converts_dynamic: bool) -> Checked<Type> {
    let mut of = arguments.values[indexes[0]].of;
    for index in &indexes[1..] {
        let next = arguments.values[*index].of;
        of = match (of, next) {
            _ if of == next => of,
            (Type::Real, other) | (other, Type::Real) if other.is_number() => Type::Real,
            (a, b) if a.is_integer() && b.is_integer() => Type::Long,
            (Type::Dynamic, other) | (other, Type::Dynamic) if converts_dynamic => other,
            _ => {
                return Err(arguments
                    .fault(*index, of.name())
                    .known("tostring, tolong and the like convert"));
            }
        };
    }
    Ok(of)
}

fn to_real(value: Value) -> Value {
    if value.of == Type::Real {
        return value;
    }
    let may_be_null = value.may_be_null;
    Value::new(Kind::ToReal(Box::new(value)), Type::Real, may_be_null)
}

pub(super) fn widened(value: Value, of: Type) -> Value {
    match of {
        _ if value.of == Type::Dynamic => converted(value, of),
        Type::Real => to_real(value),
        _ => Value { of, ..value },
    }
}

/// A value's text, as `tostring` makes it.
pub(super) fn text(value: Value) -> Value {
    let function = match value.of {
        Type::String => return value,
        Type::Int | Type::Long => "kql_text_of_integer",
        Type::Real => "kql_text_of_real",
        Type::Bool => "kql_text_of_bool",
        Type::Datetime => "kql_text_of_datetime",
        Type::Timespan => "kql_text_of_timespan",
        Type::Dynamic => "kql_text_of_dynamic",
    };
    Value::call(function, vec![value], Type::String)
}

/// A value as another type; null if it cannot be.
pub(super) fn converted(value: Value, to: Type) -> Value {
    if let (Type::Datetime, Some(Literal::Text(written))) = (to, value.as_literal()) {
        return Value::literal(
            calendar::parse_datetime(written).map_or(Literal::Null(to), Literal::Datetime),
        );
    }
    match to {
        _ if value.of == to => value,
        Type::String => text(value),
        Type::Dynamic => dynamic_of(value),
        Type::Real if value.of.is_integer() => to_real(value),
        Type::Long if value.of == Type::Int => Value { of: to, ..value },
        _ => {
            let from = Value::text(value.of.name());
            Value::call("kql_convert", vec![Value::text(to.name()), from, value], to)
        }
    }
}
