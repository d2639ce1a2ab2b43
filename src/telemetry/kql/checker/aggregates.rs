//! Aggregates of `summarize`.

use super::super::fault::{At, Checked, Fault};
use super::super::plan::{Aggregate, AggregateFunction, Value};
use super::super::syntax::{Expression, ExpressionKind, Name, Named};
use super::super::types::{Literal, Type};
use super::names::{Names, name_of, percentile_suffix};
use super::{Checker, Field, Scope};

/// Most values of a list that an aggregate makes.
const LIST_VALUES_MAX: i64 = 1_048_576;

/// An aggregate, and how its column is named.
pub(super) struct AggregateName {
    pub(super) name: &'static str,
    /// What stands before the argument's name.
    pub(super) prefix: &'static str,
    /// Arguments, the condition included.
    least: usize,
    most: usize,
    is_conditional: bool,
}

const fn named(name: &'static str, prefix: &'static str, least: usize, most: usize) -> AggregateName {
    AggregateName { name, prefix, least, most, is_conditional: false }
}

const fn conditional(name: &'static str, prefix: &'static str, least: usize, most: usize) -> AggregateName {
    AggregateName { name, prefix, least, most, is_conditional: true }
}

pub(super) const AGGREGATES: [AggregateName; 27] = [
    named("count", "count_", 0, 0),
    conditional("countif", "countif_", 1, 1),
    named("sum", "sum_", 1, 1),
    conditional("sumif", "sumif_", 2, 2),
    named("avg", "avg_", 1, 1),
    conditional("avgif", "avgif_", 2, 2),
    named("min", "min_", 1, 1),
    conditional("minif", "minif_", 2, 2),
    named("max", "max_", 1, 1),
    conditional("maxif", "maxif_", 2, 2),
    named("stdev", "stdev_", 1, 1),
    conditional("stdevif", "stdevif_", 2, 2),
    named("dcount", "dcount_", 1, 2),
    conditional("dcountif", "dcountif_", 2, 3),
    named("percentile", "percentile_", 2, 2),
    named("percentiles", "percentile_", 2, 20),
    named("make_list", "list_", 1, 2),
    conditional("make_list_if", "list_", 2, 3),
    named("makelist", "list_", 1, 2),
    named("make_set", "set_", 1, 2),
    conditional("make_set_if", "set_", 2, 3),
    named("makeset", "set_", 1, 2),
    named("arg_max", "", 1, 100),
    named("arg_min", "", 1, 100),
    named("take_any", "", 1, 100),
    conditional("take_anyif", "", 2, 2),
    named("any", "any_", 1, 100),
];

impl<'q> Checker<'q> {
    /// An aggregate somewhere in an expression of `summarize`.
    pub(super) fn aggregate_within(
        &mut self,
        name: &'q Name,
        arguments: &'q [Expression],
        scope: &mut Scope<'_>,
    ) -> Checked<Value> {
        let Some(mut found) = scope.aggregates.take() else {
            return Err(Fault::new(
                name.at,
                format!("the aggregate `{}` stands outside of summarize, or within another", name.text),
            ));
        };
        let columns = self.aggregate(name, arguments, scope)?;
        let (_, aggregate, column) = single(columns, name.at)?;
        let id = self.new_column();
        found.push((id, aggregate));
        scope.aggregates = Some(found);
        let read = Value::column(id, column.of, column.may_be_null);
        Ok(column.read(read))
    }

    /// An item of `summarize`: its columns, which may be several.
    pub(super) fn aggregate_item(
        &mut self,
        item: &'q Named,
        fields: &[Field],
        found: &mut Vec<(super::ColumnId, Aggregate)>,
        keys: &[String],
    ) -> Checked<Vec<(Option<String>, Value)>> {
        if let ExpressionKind::Call(name, arguments) = &item.expression.kind
            && ["arg_max", "arg_min", "take_any", "any", "percentiles"].contains(&name.text.as_str())
        {
            let mut scope = Scope::of(fields);
            let mut columns = self.aggregate_with_star(name, arguments, &mut scope, keys)?;
            if item.names.len() > columns.len() {
                let reason = format!("`{}` gives {} columns here", name.text, columns.len());
                return Err(Fault::new(item.names[columns.len()].at, reason));
            }
            let mut results = Vec::new();
            for (index, (own_name, aggregate, column)) in columns.drain(..).enumerate() {
                // Columns of one row or of one sorted list share their aggregate.
                let id = match found.iter().find(|(_, known)| is_same(known, &aggregate)) {
                    Some((id, _)) => *id,
                    None => {
                        let id = self.new_column();
                        found.push((id, aggregate));
                        id
                    }
                };
                let given = item.names.get(index).map(|name| name.text.clone());
                let read = column.read(Value::column(id, column.of, column.may_be_null));
                results.push((given.or(own_name), read));
            }
            return Ok(results);
        }
        if let [_, second, ..] = item.names.as_slice() {
            return Err(Fault::new(second.at, "this has one name"));
        }
        let mut scope = Scope { fields, aggregates: Some(core::mem::take(found)) };
        let value = self.value(&item.expression, &mut scope);
        *found = scope.aggregates.unwrap_or_default();
        let value = value?;
        let name =
            item.names.first().map(|name| name.text.clone()).or_else(|| self.name_of(&item.expression));
        Ok(vec![(name, value)])
    }

    fn aggregate_with_star(
        &mut self,
        name: &'q Name,
        arguments: &'q [Expression],
        scope: &mut Scope<'_>,
        keys: &[String],
    ) -> Checked<Vec<Column>> {
        let star = arguments.iter().position(|argument| matches!(argument.kind, ExpressionKind::Star));
        let Some(star) = star else { return self.aggregate(name, arguments, scope) };
        let takes_star = ["arg_max", "arg_min"].contains(&name.text.as_str());
        if !takes_star || star != 1 || arguments.len() != 2 {
            return Err(Fault::new(
                arguments[star].at,
                "`*` stands behind the value of arg_max and arg_min only",
            ));
        }
        let sorted_by = self.value(&arguments[0], scope)?;
        check_order(&sorted_by, arguments[0].at)?;
        let own_name = name_of(&arguments[0]);
        let mut columns = vec![(Some(row_name(name, &arguments[0])), sorted_by)];
        for field in scope.fields {
            if own_name.as_ref() != Some(&field.name) && !keys.contains(&field.name) {
                columns.push((Some(field.name.clone()), field.value()));
            }
        }
        Ok(row(name, columns))
    }

    /// The columns that an aggregate makes.
    fn aggregate(
        &mut self,
        name: &'q Name,
        written: &'q [Expression],
        scope: &mut Scope<'_>,
    ) -> Checked<Vec<Column>> {
        use AggregateFunction as Function;
        let Some(known) = AGGREGATES.iter().find(|known| known.name == name.text) else {
            return Err(Fault::new(name.at, "this is no aggregate"));
        };
        if !(known.least..=known.most).contains(&written.len()) {
            let wanted = if known.least == known.most {
                known.least.to_string()
            } else {
                format!("{} to {}", known.least, known.most)
            };
            return Err(Fault::new(
                name.at,
                format!("`{}` takes {wanted} arguments, not {}", known.name, written.len()),
            ));
        }
        let mut written: Vec<&'q Expression> = written.iter().collect();
        let mut condition = None;
        if known.is_conditional {
            // It stands last, but before the number of a list's values.
            let index = if known.name == "countif" { 0 } else { 1 };
            condition = Some(self.condition(written.remove(index), scope)?);
        }
        let mut values = Vec::new();
        for argument in &written {
            values.push((self.value(argument, scope)?, argument.at));
        }
        let base = known.name.trim_end_matches("_if");
        let base = if known.is_conditional { base.trim_end_matches("if") } else { base };
        let name_text = name_of_call(name, &written);
        let one = |function: Function, arguments: Vec<Value>, of: Type, may_be_null: bool| {
            let aggregate = Aggregate { function, arguments, condition: condition.clone() };
            vec![(Some(name_text.clone()), aggregate, Read { of, may_be_null, element: None })]
        };
        if base == "count" {
            return Ok(one(Function::Count, Vec::new(), Type::Long, false));
        }
        let (first, at) = (values[0].0.clone(), values[0].1);
        let of = first.of;
        let additive = || {
            let is_additive = of.is_number() || of == Type::Timespan;
            let fault = || Fault::new(at, format!("`{}` takes numbers or timespans, not {of}", known.name));
            match of {
                _ if is_additive => Ok(()),
                Type::Dynamic => Err(fault().known("tolong(X), todouble(X) and totimespan(X) give one")),
                _ => Err(fault()),
            }
        };
        let real = |value: Value| super::calls::widened(value, Type::Real);
        Ok(match base {
            "sum" => {
                additive()?;
                let of = if first.of == Type::Int { Type::Long } else { first.of };
                one(Function::Sum, vec![first], of, false)
            }
            "avg" => {
                if of != Type::Datetime {
                    additive()?;
                }
                let of = if of.is_number() { Type::Real } else { of };
                one(Function::Average, vec![first], of, true)
            }
            "min" | "max" => {
                check_order(&first, at)?;
                let function = if base == "min" { Function::Minimum } else { Function::Maximum };
                one(function, vec![first], of, true)
            }
            "stdev" => {
                additive()?;
                if of == Type::Timespan {
                    return Err(Fault::new(at, "`stdev` takes numbers, not timespan"));
                }
                one(Function::Deviation, vec![real(first)], Type::Real, false)
            }
            "dcount" => {
                if let Some((accuracy, at)) = values.get(1) {
                    let known = accuracy.as_literal().and_then(Literal::integer);
                    if !known.is_some_and(|accuracy| (0..=4).contains(&accuracy)) {
                        return Err(Fault::new(
                            *at,
                            "the accuracy of dcount is 0 to 4; it counts exactly in any case",
                        ));
                    }
                }
                one(Function::CountDistinct, vec![first], Type::Long, false)
            }
            "percentile" | "percentiles" => {
                let is_sorted = of.is_number() || [Type::Datetime, Type::Timespan].contains(&of);
                if !is_sorted {
                    return Err(Fault::new(at, format!("`{}` takes numbers or times, not {of}", known.name)));
                }
                let mut wanted = Vec::new();
                for (value, at) in &values[1..] {
                    let percentile = match value.as_literal() {
                        Some(Literal::Real(percentile)) => Some(*percentile),
                        Some(literal) => literal.integer().map(|number| number as f64),
                        None => None,
                    };
                    let percentile = percentile.filter(|percentile| (0.0..=100.0).contains(percentile));
                    wanted.push(
                        percentile
                            .ok_or_else(|| Fault::new(*at, "a percentile is a number from 0 to 100"))?,
                    );
                }
                let of = if of == Type::Int { Type::Long } else { of };
                let column_name = written.first().and_then(|first| name_of(first)).unwrap_or_default();
                let function = Function::Percentiles(wanted);
                let names = written[1..].iter().map(|percentile| {
                    format!("percentile_{column_name}{}", percentile_suffix(Some(percentile)))
                });
                names
                    .enumerate()
                    .map(|(index, name)| {
                        let aggregate = Aggregate {
                            function: function.clone(),
                            arguments: vec![first.clone()],
                            condition: None,
                        };
                        (Some(name), aggregate, Read { of, may_be_null: true, element: Some(index) })
                    })
                    .collect()
            }
            "make_list" | "makelist" | "make_set" | "makeset" => {
                let most = match values.get(1) {
                    None if known.name == "makelist" || known.name == "makeset" => 128,
                    None => LIST_VALUES_MAX,
                    Some((most, at)) => {
                        let most = most.as_literal().and_then(Literal::integer).filter(|most| *most > 0);
                        most.ok_or_else(|| Fault::new(*at, "the number of values is a whole number above 0"))?
                            .min(LIST_VALUES_MAX)
                    }
                };
                let function =
                    if base.ends_with("list") { Function::List(most) } else { Function::Set(most) };
                one(function, vec![super::values::dynamic_of(first)], Type::Dynamic, false)
            }
            "take_any" | "any" => {
                let mut columns = Vec::new();
                for (index, (value, _)) in values.into_iter().enumerate() {
                    let column_name = name_of(written[index]);
                    let column_name = match known.name {
                        "any" => Some(format!("any_{}", column_name.unwrap_or_default())),
                        "take_any" => column_name.or_else(|| Some(format!("any_arg{index}"))),
                        _ => column_name,
                    };
                    let (of, may_be_null) = (value.of, true);
                    let aggregate = Aggregate {
                        function: Function::Any,
                        arguments: vec![value],
                        condition: condition.clone(),
                    };
                    columns.push((column_name, aggregate, Read { of, may_be_null, element: None }));
                }
                columns
            }
            _ => {
                check_order(&first, at)?;
                let mut columns = Vec::new();
                for (index, (value, _)) in values.into_iter().enumerate() {
                    let sorted_by = row_name(name, written[0]);
                    let column_name = match (index, name_of(written[index])) {
                        (0, _) => sorted_by,
                        (_, Some(own)) => own,
                        (_, None) => {
                            format!("{}_{sorted_by}_arg{index}", name.text.trim_start_matches("arg_"))
                        }
                    };
                    columns.push((Some(column_name), value));
                }
                row(name, columns)
            }
        })
    }
}

/// A column of an aggregate: its name, the aggregate, and how it is read from what that gives.
type Column = (Option<String>, Aggregate, Read);

struct Read {
    of: Type,
    may_be_null: bool,
    /// Which of the packed values it is.
    element: Option<usize>,
}

impl Read {
    fn read(&self, value: Value) -> Value {
        match self.element {
            Some(index) => Value::call(
                if self.of == Type::String { "kql_packed_text" } else { "kql_packed" },
                vec![value, Value::long(index as i64)],
                self.of,
            ),
            None => value,
        }
    }
}

fn name_of_call(name: &Name, arguments: &[&Expression]) -> String {
    let of = arguments.first().and_then(|first| name_of(first)).unwrap_or_default();
    let prefix = AGGREGATES.iter().find(|known| known.name == name.text).map_or("", |known| known.prefix);
    // A countif has no argument beside its condition.
    if prefix == "countif_" { prefix.to_owned() } else { format!("{prefix}{of}") }
}

/// `x` of `arg_max(x, …)`; `max_` of an expression.
fn row_name(name: &Name, sorted_by: &Expression) -> String {
    name_of(sorted_by).unwrap_or_else(|| name.text.trim_start_matches("arg_").to_owned() + "_")
}

fn row(name: &Name, columns: Vec<(Option<String>, Value)>) -> Vec<Column> {
    let arguments: Vec<Value> = columns.iter().map(|(_, value)| value.clone()).collect();
    let is_largest = name.text == "arg_max";
    let made = columns.into_iter().enumerate().map(|(index, (column_name, value))| {
        let aggregate = Aggregate {
            function: AggregateFunction::Row { is_largest },
            arguments: arguments.clone(),
            condition: None,
        };
        (column_name, aggregate, Read { of: value.of, may_be_null: true, element: Some(index) })
    });
    made.collect()
}

/// Whether two columns are parts of one aggregate.
fn is_same(one: &Aggregate, other: &Aggregate) -> bool {
    matches!(one.function, AggregateFunction::Row { .. } | AggregateFunction::Percentiles(_))
        && one.function == other.function
        && one.arguments.len() == other.arguments.len()
        && one
            .arguments
            .iter()
            .zip(&other.arguments)
            .all(|(one, other)| format!("{one:?}") == format!("{other:?}"))
}

fn single(mut columns: Vec<Column>, at: At) -> Checked<Column> {
    match (columns.pop(), columns.is_empty()) {
        (Some(column), true) => Ok(column),
        _ => Err(Fault::new(
            at,
            "this aggregate gives several columns, so it cannot be part of a larger expression",
        )),
    }
}

/// Whether values of this type have an order.
pub(super) fn check_order(value: &Value, at: At) -> Checked<()> {
    match value.of {
        Type::Dynamic => Err(Fault::new(at, "dynamic values have no order")
            .known("tostring(X), tolong(X) or todouble(X) give one")),
        _ => Ok(()),
    }
}

/// The columns of a result with the names that they get.
pub(super) fn add_named(
    names: &mut Names,
    name: Option<String>,
    is_given: bool,
    at: At,
    id: super::ColumnId,
    value: &Value,
) -> Checked<()> {
    let name = match name {
        Some(name) if is_given && names.has(&name) => {
            return Err(Fault::new(at, format!("two columns are named `{name}`")));
        }
        Some(name) => names.free(&name),
        None => names.unnamed(),
    };
    names.push(name, id, value);
    Ok(())
}
