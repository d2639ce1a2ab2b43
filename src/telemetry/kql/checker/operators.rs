//! Operators: what they make of a table's columns.

use std::collections::BTreeMap;

use super::super::fault::{At, Checked, Fault};
use super::super::plan::{Aggregate, AggregateFunction, Expand, Join, Relation, SortedBy, Value};
use super::super::syntax::{
    Distinct, ExpandItem, Expression, JoinKey, JoinKind, Name, Named, Operator, OperatorKind, Pipeline,
    SortKey,
};
use super::super::types::{Literal, Type};
use super::aggregates::{add_named, check_order};
use super::names::{Names, fits};
use super::{Checker, Field, Rc, Scope, Shape};

/// Most rows that `take` and `top` can ask for.
const ROWS_MAX: i64 = i32::MAX as i64;

impl<'q> Checker<'q> {
    pub(super) fn operator(&mut self, input: Shape, operator: &'q Operator) -> Checked<Shape> {
        match &operator.kind {
            OperatorKind::Where(condition) => {
                let condition = self.condition(condition, &mut Scope::of(&input.fields))?;
                if let Some((source, time)) = input.source {
                    self.narrow(source, time, &condition);
                }
                Ok(Shape { relation: Rc::new(Relation::Filter(input.relation, condition)), ..input })
            }
            OperatorKind::Project(columns) => self.project(input, columns),
            OperatorKind::ProjectAway(patterns) => self.project_away(input, patterns),
            OperatorKind::Extend(columns) => self.extend(input, columns),
            OperatorKind::Summarize { aggregates, keys } => self.summarize(input, aggregates, keys),
            OperatorKind::Sort(keys) => {
                let keys = self.sort_keys(keys, &input.fields)?;
                Ok(Shape {
                    relation: Rc::new(Relation::Sort(input.relation, keys)),
                    fields: input.fields,
                    source: None,
                })
            }
            OperatorKind::Top { rows, key } => {
                let rows = self.row_count(rows)?;
                let keys = self.sort_keys(core::slice::from_ref(key), &input.fields)?;
                let sorted = Rc::new(Relation::Sort(input.relation, keys));
                Ok(Shape {
                    relation: Rc::new(Relation::Take(sorted, rows)),
                    fields: input.fields,
                    source: None,
                })
            }
            OperatorKind::Take(rows) => {
                let rows = self.row_count(rows)?;
                Ok(Shape {
                    relation: Rc::new(Relation::Take(input.relation, rows)),
                    fields: input.fields,
                    source: None,
                })
            }
            OperatorKind::Count => {
                let id = self.new_column();
                let count =
                    Aggregate { function: AggregateFunction::Count, arguments: Vec::new(), condition: None };
                let relation = Relation::Summarize {
                    input: input.relation,
                    keys: Vec::new(),
                    aggregates: vec![(id, count)],
                };
                let field = Field { name: "Count".to_owned(), id, of: Type::Long, may_be_null: false };
                Ok(Shape { relation: Rc::new(relation), fields: vec![field], source: None })
            }
            OperatorKind::Distinct(Distinct::All) => {
                let keys = input
                    .fields
                    .iter()
                    .map(|field| (field.name.clone(), field.value(), operator.at))
                    .collect();
                self.grouped(input, keys)
            }
            OperatorKind::Distinct(Distinct::Of(columns)) => self.summarize(input, &[], columns),
            OperatorKind::Join { kind, right, keys } => self.join(input, *kind, right, keys),
            OperatorKind::Union(union) => self.union(Some(input), union, operator.at),
            OperatorKind::Expand { items, index, limit, as_arrays } => {
                self.expand(input, items, index.as_ref(), limit.as_ref(), *as_arrays)
            }
            OperatorKind::Render => Ok(input),
        }
    }

    fn project(&mut self, input: Shape, columns: &'q [Named]) -> Checked<Shape> {
        let mut names = Names::default();
        let mut made = Vec::new();
        for column in columns {
            let value = self.value(&column.expression, &mut Scope::of(&input.fields))?;
            let (name, is_given) = self.column_name(column)?;
            let id = self.new_column();
            add_named(&mut names, name, is_given, place(column), id, &value)?;
            made.push((id, value));
        }
        Ok(Shape {
            relation: Rc::new(Relation::Project(input.relation, made)),
            fields: names.fields,
            source: None,
        })
    }

    /// The name that a column gets, and whether it may not be changed: it is given, or is a column's own.
    fn column_name(&self, column: &Named) -> Checked<(Option<String>, bool)> {
        match column.names.as_slice() {
            [] => {
                let is_own = matches!(column.expression.kind, super::super::syntax::ExpressionKind::Name(_));
                Ok((self.name_of(&column.expression), is_own))
            }
            [name] => Ok((Some(name.text.clone()), true)),
            [_, second, ..] => Err(Fault::new(second.at, "a column has one name")),
        }
    }

    fn project_away(&mut self, input: Shape, patterns: &[Name]) -> Checked<Shape> {
        for pattern in patterns {
            if !pattern.text.contains('*') {
                self.field(pattern, &input.fields)?;
            } else if !input.fields.iter().any(|field| fits(&pattern.text, &field.name)) {
                return Err(Fault::new(pattern.at, format!("no column has a name like `{}`", pattern.text)));
            }
        }
        let is_gone = |field: &Field| patterns.iter().any(|pattern| fits(&pattern.text, &field.name));
        let fields: Vec<Field> = input.fields.into_iter().filter(|field| !is_gone(field)).collect();
        if fields.is_empty() {
            return Err(Fault::new(patterns[0].at, "no column is left"));
        }
        Ok(Shape { fields, ..Shape { fields: Vec::new(), ..input } })
    }

    fn extend(&mut self, input: Shape, columns: &'q [Named]) -> Checked<Shape> {
        let mut made: Vec<(Field, Value)> = Vec::new();
        let mut unnamed = Names { fields: input.fields.clone(), ..Names::default() };
        for column in columns {
            let value = self.value(&column.expression, &mut Scope::of(&input.fields))?;
            let (name, is_given) = self.column_name(column)?;
            let mut name = name.unwrap_or_else(|| unnamed.unnamed());
            let is_made = |name: &str| made.iter().any(|(field, _)| field.name == name);
            if is_given && is_made(&name) {
                return Err(Fault::new(place(column), format!("two columns are named `{name}`")));
            }
            let stem = name.clone();
            let mut number = 0;
            while is_made(&name) {
                number += 1;
                name = format!("{stem}{number}");
            }
            let id = self.new_column();
            let field = Field { name, id, of: value.of, may_be_null: value.may_be_null };
            unnamed.fields.push(field.clone());
            made.push((field, value));
        }
        // A column that is there keeps its place.
        let mut fields = input.fields;
        let mut projected: Vec<_> = fields.iter().map(|field| (field.id, field.value())).collect();
        for (field, value) in made {
            projected.push((field.id, value));
            match fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => *known = field,
                None => fields.push(field),
            }
        }
        projected.retain(|(id, _)| fields.iter().any(|field| field.id == *id));
        Ok(Shape { relation: Rc::new(Relation::Project(input.relation, projected)), fields, source: None })
    }

    fn summarize(&mut self, input: Shape, aggregates: &'q [Named], keys: &'q [Named]) -> Checked<Shape> {
        let mut names = Names::default();
        let mut key_columns = Vec::new();
        for key in keys {
            let value = self.value(&key.expression, &mut Scope::of(&input.fields))?;
            if value.of == Type::Dynamic {
                return Err(Fault::new(key.expression.at, "dynamic values cannot be grouped")
                    .known("tostring(X), tolong(X) or todouble(X) can"));
            }
            let (name, is_given) = self.column_name(key)?;
            let id = self.new_column();
            add_named(&mut names, name, is_given, place(key), id, &value)?;
            key_columns.push((id, value));
        }
        let key_names: Vec<String> = names.fields.iter().map(|field| field.name.clone()).collect();
        let mut found = Vec::new();
        let mut results: Vec<_> = names.fields.iter().map(|field| (field.id, field.value())).collect();
        for item in aggregates {
            for (index, (name, value)) in
                self.aggregate_item(item, &input.fields, &mut found, &key_names)?.into_iter().enumerate()
            {
                let id = self.new_column();
                add_named(&mut names, name, index < item.names.len(), place(item), id, &value)?;
                results.push((id, value));
            }
        }
        let grouped = Relation::Summarize { input: input.relation, keys: key_columns, aggregates: found };
        let relation = Rc::new(Relation::Project(Rc::new(grouped), results));
        Ok(Shape { relation, fields: names.fields, source: None })
    }

    /// One row for each combination of values.
    fn grouped(&mut self, input: Shape, keys: Vec<(String, Value, At)>) -> Checked<Shape> {
        let mut names = Names::default();
        let mut columns = Vec::new();
        for (name, value, at) in keys {
            if value.of == Type::Dynamic {
                return Err(Fault::new(
                    at,
                    format!("`{name}` is dynamic, and dynamic values cannot be grouped"),
                )
                .known("name the columns that are meant"));
            }
            let id = self.new_column();
            names.push(name, id, &value);
            columns.push((id, value));
        }
        let relation = Relation::Summarize { input: input.relation, keys: columns, aggregates: Vec::new() };
        Ok(Shape { relation: Rc::new(relation), fields: names.fields, source: None })
    }

    fn sort_keys(&mut self, keys: &'q [SortKey], fields: &[Field]) -> Checked<Vec<SortedBy>> {
        let mut sorted_by = Vec::new();
        for key in keys {
            let value = self.value(&key.expression, &mut Scope::of(fields))?;
            check_order(&value, key.expression.at)?;
            sorted_by.push(SortedBy { value, is_ascending: key.is_ascending, nulls_first: key.nulls_first });
        }
        Ok(sorted_by)
    }

    fn row_count(&mut self, rows: &'q Expression) -> Checked<i64> {
        let count = self.value(rows, &mut Scope::of(&[]))?;
        let count =
            count.as_literal().and_then(Literal::integer).filter(|count| (0..=ROWS_MAX).contains(count));
        count.ok_or_else(|| {
            Fault::new(rows.at, format!("the number of rows is a whole number from 0 to {ROWS_MAX}"))
        })
    }

    fn join(&mut self, left: Shape, kind: JoinKind, right: &'q Pipeline, keys: &[JoinKey]) -> Checked<Shape> {
        let right = self.pipeline(right)?;
        let mut pairs = Vec::new();
        for key in keys {
            let left = self.field(&key.left, &left.fields).map_err(|fault| side(fault, "left"))?;
            let right = self.field(&key.right, &right.fields).map_err(|fault| side(fault, "right"))?;
            let is_alike = left.of == right.of || (left.of.is_integer() && right.of.is_integer());
            if !is_alike || left.of == Type::Dynamic {
                let reason = format!(
                    "keys of a join have one type, not dynamic; these are {} and {}",
                    left.of, right.of
                );
                return Err(Fault::new(key.right.at, reason));
            }
            pairs.push((left.id, right.id, !left.may_be_null && !right.may_be_null));
        }
        let mut names = Names::default();
        let mut copy = |names: &mut Names, name: String, value: &Value| {
            let id = self.new_column();
            names.push(name, id, value);
            id
        };
        let mut left_columns = Vec::new();
        for field in &left.fields {
            left_columns.push((copy(&mut names, field.name.clone(), &field.value()), field.id));
        }
        let mut right_columns = Vec::new();
        if kind != JoinKind::LeftAnti {
            // Names of the right side's own are not given to others: `A1` stays, and a taken `A` becomes `A2`.
            let taken: Vec<&str> = right.fields.iter().map(|field| field.name.as_str()).collect();
            for field in &right.fields {
                let mut name = field.name.clone();
                let mut number = 0;
                while names.has(&name) || (number > 0 && taken.contains(&name.as_str())) {
                    number += 1;
                    name = format!("{}{number}", field.name);
                }
                let may_be_null = field.may_be_null || kind == JoinKind::LeftOuter;
                let value = Value::column(field.id, field.of, may_be_null);
                right_columns.push((copy(&mut names, name, &value), field.id, field.of == Type::String));
            }
        }
        let join = Join {
            kind,
            left: left.relation,
            right: right.relation,
            keys: pairs,
            left_columns,
            right_columns,
        };
        Ok(Shape { relation: Rc::new(Relation::Join(join)), fields: names.fields, source: None })
    }

    /// Tables below each other: the columns of all, or those that all have.
    pub(super) fn united(
        &mut self,
        legs: Vec<(String, Shape)>,
        with_source: Option<&Name>,
        is_inner: bool,
        _at: At,
    ) -> Shape {
        // Each name with its types, in the order in which they are first met.
        let mut order: Vec<(&str, Vec<Type>)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for field in legs.iter().flat_map(|(_, leg)| &leg.fields) {
            let place = *places.entry(&field.name).or_insert_with(|| {
                order.push((&field.name, Vec::new()));
                order.len() - 1
            });
            if !order[place].1.contains(&field.of) {
                order[place].1.push(field.of);
            }
        }
        if is_inner {
            let has = |leg: &Shape, name: &str, of: Type| {
                leg.fields.iter().any(|field| field.name == name && field.of == of)
            };
            order.retain(|(name, types)| {
                types.len() == 1 && legs.iter().all(|(_, leg)| has(leg, name, types[0]))
            });
        }
        let mut names = Names::default();
        let mut wanted: Vec<(Option<&str>, Type)> = Vec::new();
        if let Some(name) = with_source {
            wanted.push((None, Type::String));
            let id = self.new_column();
            names.push(name.text.clone(), id, &Value::text(""));
        }
        for (name, types) in &order {
            for of in types {
                let own = if types.len() == 1 { (*name).to_owned() } else { format!("{name}_{of}") };
                let id = self.new_column();
                let own = names.free(&own);
                names.push(own, id, &Value::literal(Literal::Null(*of)));
                wanted.push((Some(name), *of));
            }
        }
        let columns = names.fields.iter().map(|field| field.id).collect();
        let legs = legs.iter().map(|(source, leg)| {
            let value = |(name, of): &(Option<&str>, Type)| match name {
                None => Value::text(source),
                Some(name) => {
                    let own = leg.fields.iter().find(|field| field.name == *name && field.of == *of);
                    own.map_or_else(|| Value::literal(Literal::Null(*of)), Field::value)
                }
            };
            (Rc::clone(&leg.relation), wanted.iter().map(value).collect())
        });
        let relation = Rc::new(Relation::Union { columns, legs: legs.collect() });
        Shape { relation, fields: names.fields, source: None }
    }

    fn expand(
        &mut self,
        input: Shape,
        items: &'q [ExpandItem],
        index: Option<&Name>,
        limit: Option<&'q Expression>,
        as_arrays: bool,
    ) -> Checked<Shape> {
        let mut expanded: Vec<(Field, Value, Option<Type>)> = Vec::new();
        for item in items {
            let value = self.value(&item.expression, &mut Scope::of(&input.fields))?;
            if value.of != Type::Dynamic {
                return Err(Fault::new(
                    item.expression.at,
                    format!("only dynamic values are expanded, this is {}", value.of),
                )
                .known("parse_json(X) and split(X, Y) make one"));
            }
            let name =
                item.name.as_ref().map(|name| name.text.clone()).or_else(|| self.name_of(&item.expression));
            let name = name.unwrap_or_else(|| format!("Column{}", expanded.len() + 1));
            if expanded.iter().any(|(field, _, _)| field.name == name) {
                return Err(Fault::new(item.expression.at, format!("two columns are named `{name}`")));
            }
            let id = self.new_column();
            let of = item.cast.unwrap_or(Type::Dynamic);
            expanded.push((Field { name, id, of, may_be_null: of != Type::String }, value, item.cast));
        }
        let limit = match limit {
            Some(limit) => Some(self.row_count(limit)?),
            None => None,
        };
        let mut fields = Vec::new();
        let mut kept = Vec::new();
        let mut items = Vec::new();
        for field in &input.fields {
            match expanded.iter().find(|(new, _, _)| new.name == field.name) {
                Some((new, _, _)) => fields.push(new.clone()),
                None => {
                    let id = self.new_column();
                    kept.push((id, field.id));
                    fields.push(Field { id, ..field.clone() });
                }
            }
        }
        for (field, value, cast) in expanded {
            if !fields.iter().any(|known| known.id == field.id) {
                fields.push(field.clone());
            }
            items.push((field.id, value, cast));
        }
        let mut index_id = None;
        if let Some(name) = index {
            let id = self.new_column();
            index_id = Some(id);
            let mut names = Names { fields, unnamed: 0 };
            let own = names.free(&name.text);
            names.fields.push(Field { name: own, id, of: Type::Long, may_be_null: false });
            fields = names.fields;
        }
        let expand = Expand { input: input.relation, kept, items, index: index_id, limit, as_arrays };
        Ok(Shape { relation: Rc::new(Relation::Expand(expand)), fields, source: None })
    }
}

/// Says on which side of a join a column is missing.
fn side(mut fault: Box<Fault>, side: &str) -> Box<Fault> {
    fault.reason = format!("{} on the {side} side", fault.reason);
    fault
}

/// Where a column is written: its name, or its expression.
fn place(column: &Named) -> At {
    column.names.first().map_or(column.expression.at, |name| name.at)
}
