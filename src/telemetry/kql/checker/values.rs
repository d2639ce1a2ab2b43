//! Expressions to values: names and types of what operators and literals make.

use super::super::fault::{At, Checked, Fault, did_you_mean};
use super::super::plan::{Comparison, Kind, Value};
use super::super::syntax::{
    ArithmeticOperator, CompareOperator, Expression, ExpressionKind, List, Name, TextOperator,
};
use super::super::types::{Literal, Type};
use super::super::{calendar, text_match};
use super::aggregates::AGGREGATES;
use super::{Checker, DEPTH_MAX, Field, PARTS_MAX, Scope};

impl<'q> Checker<'q> {
    /// Checks an expression and finds its type.
    pub(super) fn value(&mut self, expression: &'q Expression, scope: &mut Scope<'_>) -> Checked<Value> {
        let Some(left) = self.parts_left.checked_sub(1) else {
            let reason = format!("a query has at most {PARTS_MAX} parts, those of let at each use");
            return Err(Fault::new(expression.at, reason));
        };
        self.parts_left = left;
        if self.depth == DEPTH_MAX {
            let reason = format!("an expression is at most {DEPTH_MAX} deep, with what let names");
            return Err(Fault::new(expression.at, reason));
        }
        self.depth += 1;
        let value = self.value_of(expression, scope);
        self.depth -= 1;
        value
    }

    fn value_of(&mut self, expression: &'q Expression, scope: &mut Scope<'_>) -> Checked<Value> {
        let at = expression.at;
        match &expression.kind {
            ExpressionKind::Literal(literal) => Ok(Value::literal(literal.clone())),
            ExpressionKind::Now => Ok(Value::literal(Literal::Datetime(self.now))),
            ExpressionKind::Name(name) => self.named(&Name { text: name.clone(), at }, scope),
            ExpressionKind::Star => Err(Fault::new(at, "`*` is no value")),
            ExpressionKind::TypeOf(_) => Err(Fault::new(at, "a type is no value")),
            ExpressionKind::Member(object, key) => {
                let object = self.value(object, scope)?;
                self.element(object, Value::text(&key.text), at)
            }
            ExpressionKind::Index(object, index) => {
                let object = self.value(object, scope)?;
                let index_at = index.at;
                let index = self.value(index, scope)?;
                if index.of != Type::String && !index.of.is_integer() {
                    return Err(Fault::new(
                        index_at,
                        format!("an index is a string or a whole number, not {}", index.of),
                    ));
                }
                self.element(object, index, at)
            }
            ExpressionKind::Call(name, arguments) => {
                if AGGREGATES.iter().any(|known| known.name == name.text) {
                    return self.aggregate_within(name, arguments, scope);
                }
                self.call(name, arguments, scope)
            }
            ExpressionKind::Minus(inner) => {
                let inner = self.value(inner, scope)?;
                let zero = match inner.of {
                    Type::Dynamic => Value::literal(Literal::Dynamic("0".to_owned())),
                    Type::Timespan => Value::literal(Literal::Timespan(0)),
                    Type::Real => Value::literal(Literal::Real(0.0)),
                    _ => Value::long(0),
                };
                match inner.as_literal() {
                    Some(Literal::Long(number)) => Ok(Value::long(number.wrapping_neg())),
                    Some(Literal::Real(number)) => Ok(Value::literal(Literal::Real(-number))),
                    _ if !inner.of.is_number() && ![Type::Timespan, Type::Dynamic].contains(&inner.of) => {
                        Err(Fault::new(at, format!("`-` does not go with {}", inner.of)))
                    }
                    _ => self.arithmetic(ArithmeticOperator::Subtract, zero, inner, at),
                }
            }
            ExpressionKind::Arithmetic(operator, left, right) => {
                let left = self.value(left, scope)?;
                let right = self.value(right, scope)?;
                self.arithmetic(*operator, left, right, at)
            }
            ExpressionKind::Compare(operator, left, right) => {
                let left = self.value(left, scope)?;
                let right = self.value(right, scope)?;
                self.compare(*operator, left, right, at)
            }
            ExpressionKind::Text { operator, is_negated, left, right } => {
                let right_at = right.at;
                let left = self.value(left, scope)?;
                let right = self.value(right, scope)?;
                text_operator(*operator, left, right, at, right_at).map(|value| value.negated(*is_negated))
            }
            ExpressionKind::In { is_negated, ignores_case, value, list } => {
                let value = self.value(value, scope)?;
                let found = self.is_in(value, list, *ignores_case, at, scope)?;
                Ok(found.negated(*is_negated))
            }
            ExpressionKind::HasAny { value, list } => {
                let value = self.value(value, scope)?;
                self.has_any(value, list, at, scope)
            }
            ExpressionKind::Between { is_negated, value, low, high } => {
                let low_at = low.at;
                let value = self.value(value, scope)?;
                let low = self.value(low, scope)?;
                if low.of == Type::Dynamic && value.of == Type::Dynamic {
                    return Err(no_order(low_at));
                }
                let mut high = self.value(high, scope)?;
                if [value.of, low.of, high.of].contains(&Type::Bool) {
                    return Err(Fault::new(at, "`between` is not defined for bool"));
                }
                if low.of == Type::Datetime && high.of == Type::Timespan {
                    high = self.arithmetic(ArithmeticOperator::Add, low.clone(), high, at)?;
                }
                let is_not_below = self.compare(CompareOperator::GreaterOrEqual, value.clone(), low, at)?;
                let is_not_above = self.compare(CompareOperator::LessOrEqual, value, high, at)?;
                let may_be_null = is_not_below.may_be_null || is_not_above.may_be_null;
                let both = Value::new(Kind::And(vec![is_not_below, is_not_above]), Type::Bool, may_be_null);
                Ok(both.negated(*is_negated))
            }
            ExpressionKind::And(terms) => self
                .terms(terms, scope)
                .map(|(terms, may_be_null)| Value::new(Kind::And(terms), Type::Bool, may_be_null)),
            ExpressionKind::Or(terms) => self
                .terms(terms, scope)
                .map(|(terms, may_be_null)| Value::new(Kind::Or(terms), Type::Bool, may_be_null)),
        }
    }

    fn terms(&mut self, terms: &'q [Expression], scope: &mut Scope<'_>) -> Checked<(Vec<Value>, bool)> {
        let mut values = Vec::with_capacity(terms.len());
        for term in terms {
            // Between `and` and `or`, a dynamic value is one that is true or false.
            let value = self.value(term, scope)?;
            let value = if value.of == Type::Dynamic { convert_dynamic(value, Type::Bool) } else { value };
            values.push(as_condition(value, term.at)?);
        }
        let may_be_null = values.iter().any(|value| value.may_be_null);
        Ok((values, may_be_null))
    }

    /// An expression that has to be true or false.
    pub(super) fn condition(&mut self, expression: &'q Expression, scope: &mut Scope<'_>) -> Checked<Value> {
        let value = self.value(expression, scope)?;
        as_condition(value, expression.at)
    }

    fn named(&mut self, name: &Name, scope: &Scope<'_>) -> Checked<Value> {
        if let Some(field) = scope.fields.iter().find(|field| field.name == name.text) {
            if scope.aggregates.is_some() {
                return Err(Fault::new(
                    name.at,
                    format!("the column `{}` is outside of an aggregate: use it as the argument of one, such as max(X)", name.text),
                )
                .known("take_any(X) gives one of its values"));
            }
            return Ok(field.value());
        }
        if let Some(value) = self.named_value(name)? {
            return Ok(value);
        }
        Err(self.unknown_value(name, scope.fields))
    }

    pub(super) fn unknown_value(&self, name: &Name, fields: &[Field]) -> Box<Fault> {
        let fault = Fault::new(name.at, format!("there is no column or value `{}`", name.text));
        if self.is_table(&name.text) {
            return fault.known("a table is no value");
        }
        if name.text == "null" {
            return fault.known("a null has a type: int(null), datetime(null)");
        }
        let lets = self.lets[..self.visible].iter().map(|one| one.name.text.as_str());
        fault.known(did_you_mean(&name.text, fields.iter().map(|field| field.name.as_str()).chain(lets)))
    }

    /// A column by its name alone.
    pub(super) fn field<'f>(&self, name: &Name, fields: &'f [Field]) -> Checked<&'f Field> {
        fields.iter().find(|field| field.name == name.text).ok_or_else(|| {
            Fault::new(name.at, format!("there is no column `{}`", name.text))
                .known(did_you_mean(&name.text, fields.iter().map(|field| field.name.as_str())))
        })
    }

    fn element(&self, object: Value, index: Value, at: At) -> Checked<Value> {
        if object.of != Type::Dynamic {
            return Err(Fault::new(at, format!("only dynamic values have parts, this is {}", object.of))
                .known("parse_json(X) makes a dynamic of a string"));
        }
        Ok(Value::call("kql_element", vec![object, index], Type::Dynamic))
    }

    pub(super) fn arithmetic(
        &self,
        operator: ArithmeticOperator,
        left: Value,
        right: Value,
        at: At,
    ) -> Checked<Value> {
        use ArithmeticOperator::{Add, Divide, Modulo, Multiply, Subtract};
        use Type::{Datetime, Dynamic, Long, Real, Timespan};
        let undefined = |left: Type, right: Type| {
            let fault =
                Fault::new(at, format!("`{}` is not defined for {left} and {right}", operator.sign()));
            if left == Type::String || right == Type::String {
                fault.known("strcat joins strings")
            } else {
                fault
            }
        };
        let (left, right) = match (left.of, right.of) {
            (Dynamic, Dynamic) => {
                return Ok(Value::call(
                    "kql_dynamic_arithmetic",
                    vec![Value::text(operator.sign()), left, right],
                    Dynamic,
                ));
            }
            (Dynamic, Timespan) | (Timespan, Dynamic) if !matches!(operator, Add | Subtract) => {
                return Err(undefined(left.of, right.of).known("totimespan(X) and todouble(X) convert"));
            }
            (Dynamic, other) => (convert_dynamic(left, other), right),
            (other, Dynamic) => (left, convert_dynamic(right, other)),
            _ => (left, right),
        };
        let of = match (left.of, operator, right.of) {
            (a, _, b) if a.is_number() && b.is_number() => {
                if a == Real || b == Real {
                    Real
                } else {
                    Long
                }
            }
            (Timespan, Add | Subtract | Modulo, Timespan) => Timespan,
            (Timespan, Divide, Timespan) => Real,
            (Timespan, Multiply | Divide, b) if b.is_number() => Timespan,
            (Timespan, Modulo, b) if b.is_integer() => Timespan,
            (a, Multiply, Timespan) if a.is_number() => Timespan,
            (Datetime, Add | Subtract, Timespan) => Datetime,
            (Timespan, Add, Datetime) => Datetime,
            (Datetime, Subtract, Datetime) => Timespan,
            (a, _, b) => return Err(undefined(a, b)),
        };
        if let Some(folded) = fold(operator, &left, &right, of) {
            return Ok(folded);
        }
        let may_be_null =
            left.may_be_null || right.may_be_null || matches!(operator, Divide | Modulo) || of == Real;
        Ok(Value::new(Kind::Arithmetic(operator, Box::new(left), Box::new(right)), of, may_be_null))
    }

    pub(super) fn compare(
        &self,
        operator: CompareOperator,
        left: Value,
        right: Value,
        at: At,
    ) -> Checked<Value> {
        let undefined = |left: Type, right: Type| {
            Fault::new(at, format!("`{}` is not defined for {left} and {right}", operator.sign()))
        };
        if matches!(operator, CompareOperator::EqualIgnoringCase | CompareOperator::NotEqualIgnoringCase) {
            let is_text = |of: Type| matches!(of, Type::String | Type::Dynamic);
            if !is_text(left.of) || !is_text(right.of) {
                return Err(undefined(left.of, right.of));
            }
            let same = Value::new(
                Kind::Call("kql_same_ignoring_case", vec![text_of_dynamic(left), text_of_dynamic(right)]),
                Type::Bool,
                true,
            );
            return Ok(same.negated(operator == CompareOperator::NotEqualIgnoringCase));
        }
        let comparison = match operator {
            CompareOperator::Equal | CompareOperator::EqualIgnoringCase => Comparison::Equal,
            CompareOperator::NotEqual | CompareOperator::NotEqualIgnoringCase => Comparison::NotEqual,
            CompareOperator::Less => Comparison::Less,
            CompareOperator::LessOrEqual => Comparison::LessOrEqual,
            CompareOperator::Greater => Comparison::Greater,
            CompareOperator::GreaterOrEqual => Comparison::GreaterOrEqual,
        };
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let (left, right) = match (left.of, right.of) {
            (Type::Dynamic, Type::Dynamic) => {
                let function = "kql_compare_dynamic";
                let order = Value::call(function, vec![left.clone(), right.clone()], Type::Long);
                if is_equality {
                    // Equal texts of JSON are equal values, once both are written in one way.
                    let one_way = |value| Value::call("kql_canonical", vec![value], Type::Dynamic);
                    (one_way(left), one_way(right))
                } else {
                    (order, Value::long(0))
                }
            }
            (Type::Dynamic, other) | (other, Type::Dynamic) if !is_equality && !other.is_number() => {
                return Err(undefined(left.of, right.of).known("todatetime(X) and totimespan(X) convert"));
            }
            (Type::Dynamic, other) => (convert_dynamic(left, other), right),
            (other, Type::Dynamic) => (left, convert_dynamic(right, other)),
            (Type::Datetime, Type::String) if is_equality => (left, datetime_of(right)),
            (Type::String, Type::Datetime) if is_equality => (datetime_of(left), right),
            _ => (left, right),
        };
        let is_defined = match (left.of, right.of) {
            (a, b) if a.is_number() && b.is_number() => true,
            // True is 1.
            (Type::Bool, b) => b == Type::Bool || b.is_number(),
            (a, Type::Bool) => a.is_number(),
            (Type::String, Type::String) => is_equality,
            (a, b) => a == b,
        };
        if !is_defined {
            let fault = undefined(left.of, right.of);
            return Err(match (left.of, right.of) {
                (Type::Datetime, Type::String) | (Type::String, Type::Datetime) => {
                    fault.known("write a point in time as datetime(2025-03-03)")
                }
                (Type::String, Type::String) => {
                    fault.known("strings are compared by == and != only; strcmp is not supported")
                }
                (Type::String, _) | (_, Type::String) => {
                    fault.known("tolong, todouble, todatetime and tostring convert")
                }
                _ => fault,
            });
        }
        let may_be_null = if is_equality {
            left.may_be_null && right.may_be_null
        } else {
            left.may_be_null || right.may_be_null
        };
        Ok(Value::new(Kind::Compare(comparison, Box::new(left), Box::new(right)), Type::Bool, may_be_null))
    }

    fn is_in(
        &mut self,
        value: Value,
        list: &'q List,
        ignores_case: bool,
        at: At,
        scope: &mut Scope<'_>,
    ) -> Checked<Value> {
        let items = match self.list(list, scope)? {
            Items::Values(items) => items,
            Items::Table(relation, field) => {
                let value = if ignores_case { text_of_dynamic(value) } else { value };
                let value = if value.of == Type::Dynamic { convert_dynamic(value, field.of) } else { value };
                let are_alike = value.of == field.of || (value.of.is_number() && field.of.is_number());
                if !are_alike || field.of == Type::Dynamic || (ignores_case && field.of != Type::String) {
                    return Err(Fault::new(at, format!("this compares {} with {}", value.of, field.of)));
                }
                let fold =
                    |value: Value| Value::new(Kind::Call("kql_fold", vec![value]), Type::String, false);
                let (value, relation, id) = if ignores_case {
                    let id = self.new_column();
                    let folded = super::Relation::Project(relation, vec![(id, fold(field.value()))]);
                    (fold(value), super::Rc::new(folded), id)
                } else {
                    (value, relation, field.id)
                };
                return Ok(Value::new(Kind::InTable(Box::new(value), relation, id), Type::Bool, false));
            }
        };
        // One dynamic array: its elements.
        if let [only] = items.as_slice()
            && only.of == Type::Dynamic
        {
            let value = dynamic_of(value);
            let function = if ignores_case { "kql_in_array_ignoring_case" } else { "kql_in_array" };
            return Ok(Value::new(Kind::Call(function, vec![value, only.clone()]), Type::Bool, false));
        }
        if !ignores_case
            && items.iter().all(|item| item.is_constant() && !item.may_be_null)
            && value.of != Type::Dynamic
        {
            let are_alike =
                |item: &Value| item.of == value.of || (item.of.is_number() && value.of.is_number());
            if items.iter().all(are_alike) {
                return Ok(Value::new(Kind::In(Box::new(value), items), Type::Bool, false));
            }
        }
        let mut terms = Vec::with_capacity(items.len());
        let operator = if ignores_case { CompareOperator::EqualIgnoringCase } else { CompareOperator::Equal };
        for item in items {
            let is_same = self.compare(operator, value.clone(), item, at)?;
            // A null is in no list.
            terms.push(Value::new(
                Kind::Call("coalesce", vec![is_same, Value::literal(Literal::Bool(false))]),
                Type::Bool,
                false,
            ));
        }
        Ok(Value::new(Kind::Or(terms), Type::Bool, false))
    }

    fn has_any(&mut self, value: Value, list: &'q List, at: At, scope: &mut Scope<'_>) -> Checked<Value> {
        let value = haystack(value, "has_any", at)?;
        let needles = match self.list(list, scope)? {
            Items::Values(items) => items,
            Items::Table(relation, field) => {
                if field.of != Type::String {
                    return Err(Fault::new(at, format!("`has_any` takes strings, not {}", field.of)));
                }
                let list = Value::new(Kind::ListOf(relation, field.id), Type::Dynamic, false);
                return Ok(Value::new(Kind::Call("kql_has_any", vec![value, list]), Type::Bool, false));
            }
        };
        if let [only] = needles.as_slice()
            && only.of == Type::Dynamic
        {
            return Ok(Value::new(Kind::Call("kql_has_any", vec![value, only.clone()]), Type::Bool, false));
        }
        let mut terms = Vec::with_capacity(needles.len());
        for needle in needles {
            if needle.of != Type::String {
                return Err(Fault::new(at, format!("`has_any` takes strings, not {}", needle.of)));
            }
            terms.push(Value::new(Kind::Call("kql_has", vec![value.clone(), needle]), Type::Bool, false));
        }
        Ok(Value::new(Kind::Or(terms), Type::Bool, false))
    }

    fn list(&mut self, list: &'q List, scope: &mut Scope<'_>) -> Checked<Items> {
        let shape = match list {
            List::Table(pipeline) => self.pipeline(pipeline)?,
            List::Values(values) => {
                if let [Expression { kind: ExpressionKind::Name(name), at }] = values.as_slice()
                    && !scope.fields.iter().any(|field| field.name == *name)
                    && self.is_table(name)
                {
                    self.table(&Name { text: name.clone(), at: *at })?
                } else {
                    let mut items = Vec::with_capacity(values.len());
                    for value in values {
                        items.push(self.value(value, scope)?);
                    }
                    return Ok(Items::Values(items));
                }
            }
        };
        // A table always has a column.
        let first = shape.fields.into_iter().next();
        first
            .map(|first| Items::Table(shape.relation, first))
            .ok_or_else(|| Fault::new(0, "this table has no column"))
    }
}

enum Items {
    Values(Vec<Value>),
    Table(super::Rc<super::Relation>, Field),
}

/// Calculates what is known before the query runs, where it is exact.
fn fold(operator: ArithmeticOperator, left: &Value, right: &Value, of: Type) -> Option<Value> {
    let (left, right) = (left.as_literal()?.units()?, right.as_literal()?.units()?);
    let units = match operator {
        ArithmeticOperator::Add => left.checked_add(right)?,
        ArithmeticOperator::Subtract => left.checked_sub(right)?,
        ArithmeticOperator::Multiply => left.checked_mul(right)?,
        ArithmeticOperator::Divide | ArithmeticOperator::Modulo => return None,
    };
    Some(Value::literal(match of {
        Type::Long => Literal::Long(units),
        Type::Timespan => Literal::Timespan(units),
        Type::Datetime if calendar::is_within(units) => Literal::Datetime(units),
        _ => return None,
    }))
}

fn no_order(at: At) -> Box<Fault> {
    Fault::new(at, "dynamic values have no order").known("tolong(X) and todouble(X) give one")
}

fn as_condition(value: Value, at: At) -> Checked<Value> {
    match value.of {
        Type::Bool => Ok(value),
        Type::Dynamic => {
            Err(Fault::new(at, "this has to be true or false, it is dynamic").known("tobool(X) makes it so"))
        }
        other => Err(Fault::new(at, format!("this has to be true or false, it is {other}"))),
    }
}

/// A dynamic value as one of the type that it meets.
pub(super) fn convert_dynamic(value: Value, to: Type) -> Value {
    let function = match to {
        Type::Bool => "kql_dynamic_bool",
        Type::Int | Type::Long => "kql_dynamic_number",
        Type::Real => "kql_dynamic_real",
        Type::Datetime => "kql_dynamic_datetime",
        Type::Timespan => "kql_dynamic_timespan",
        Type::String => return text_of_dynamic(value),
        Type::Dynamic => return value,
    };
    Value::call(function, vec![value], to)
}

/// The text of a dynamic value; a null stays one, for the rules of comparisons.
fn text_of_dynamic(value: Value) -> Value {
    if value.of != Type::Dynamic {
        return value;
    }
    Value { kind: Kind::Call("kql_dynamic_text", vec![value]), of: Type::String, may_be_null: true }
}

fn datetime_of(value: Value) -> Value {
    match value.as_literal() {
        Some(Literal::Text(text)) => Value::literal(
            calendar::parse_datetime(text).map_or(Literal::Null(Type::Datetime), Literal::Datetime),
        ),
        _ => Value::call("kql_datetime", vec![value], Type::Datetime),
    }
}

/// Any value as a dynamic one.
pub(super) fn dynamic_of(value: Value) -> Value {
    let kind = Value::text(value.of.name());
    if value.of == Type::Dynamic {
        value
    } else {
        Value::call("kql_dynamic", vec![kind, value], Type::Dynamic)
    }
}

fn haystack(value: Value, operator: &str, at: At) -> Checked<Value> {
    match value.of {
        Type::String => Ok(value),
        Type::Dynamic => Ok(text_of_dynamic(value)),
        other => Err(Fault::new(at, format!("`{operator}` is not defined for {other}"))
            .known("tostring(X) makes a string")),
    }
}

fn text_operator(operator: TextOperator, left: Value, right: Value, at: At, right_at: At) -> Checked<Value> {
    let left = haystack(left, operator.word(), at)?;
    let right = haystack(right, operator.word(), at)?;
    if operator == TextOperator::MatchesRegex {
        check_pattern(&right, right_at)?;
    }
    let function = match operator {
        TextOperator::Has => "kql_has",
        TextOperator::HasCased => "kql_has_cs",
        TextOperator::Contains => "kql_contains",
        TextOperator::ContainsCased => "kql_contains_cs",
        TextOperator::StartsWith => "kql_startswith",
        TextOperator::StartsWithCased => "kql_startswith_cs",
        TextOperator::EndsWith => "kql_endswith",
        TextOperator::EndsWithCased => "kql_endswith_cs",
        TextOperator::MatchesRegex => "kql_matches",
    };
    Ok(Value::new(Kind::Call(function, vec![left, right]), Type::Bool, false))
}

/// A regular expression has to be known before the query runs, and to be one.
pub(super) fn check_pattern(pattern: &Value, at: At) -> Checked<()> {
    let Some(Literal::Text(text)) = pattern.as_literal() else {
        return Err(Fault::new(at, "a regular expression has to be a string literal"));
    };
    text_match::compile(text)
        .map(drop)
        .map_err(|reason| Fault::new(at, format!("this is no regular expression: {reason}")))
}
