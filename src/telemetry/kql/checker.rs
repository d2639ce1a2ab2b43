//! Statements to a plan: tables, columns and functions are looked up, types are checked, the names of columns are made.
//!
//! What `let` names is checked anew at each use, under one bound for the whole query ([`PARTS_MAX`]), so nothing grows by being
//! named.

mod aggregates;
mod calls;
mod names;
mod operators;
mod values;

use std::rc::Rc;

use super::Source;
use super::fault::{At, Checked, Fault, did_you_mean};
use super::plan::{ColumnId, Comparison, Kind, Relation, Value};
use super::syntax::{Expression, Head, Leg, Let, LetValue, Name, Named, Pipeline, Statements, Union};
use super::types::{Literal, Type};
use crate::observe::tables::{CONSTANT_COLUMNS, TABLES, Table, Ticks};

/// Most parts of a query, those of `let` counted at each use. Over it: a fault.
const PARTS_MAX: u32 = 20_000;

/// Most operators and tables of a query, counted in the same way. Over it: a fault. It bounds how deep SQL is nested.
const OPERATORS_MAX: u32 = 100;

/// Deepest expression, that of `let` included. Over it: a fault.
const DEPTH_MAX: u32 = 150;

/// Most columns of a table within a query. Over it: a fault.
const COLUMNS_MAX: usize = 500;

/// A column that a query can name.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) id: ColumnId,
    pub(super) of: Type,
    pub(super) may_be_null: bool,
}

impl Field {
    fn value(&self) -> Value {
        Value::column(self.id, self.of, self.may_be_null)
    }
}

/// A table between two operators, as the checker knows it.
pub(super) struct Shape {
    pub(super) relation: Rc<Relation>,
    pub(super) fields: Vec<Field>,
    /// The source that it is, if nothing but `where` is behind it.
    source: Option<(usize, ColumnId)>,
}

/// A checked query.
pub(super) struct Plan {
    pub(super) relation: Rc<Relation>,
    pub(super) fields: Vec<Field>,
    pub(super) sources: Vec<Source>,
}

pub(super) fn check(statements: &Statements, now: Ticks) -> Checked<Plan> {
    let mut checker = Checker {
        now: now.0,
        lets: &statements.lets,
        visible: 0,
        sources: Vec::new(),
        columns: 0,
        parts_left: PARTS_MAX,
        operators_left: OPERATORS_MAX,
        depth: 0,
    };
    for (index, one) in statements.lets.iter().enumerate() {
        checker.visible = index;
        checker.check_let(one).map_err(|fault| fault.within("let"))?;
    }
    checker.visible = statements.lets.len();
    checker.sources.clear();
    let shape = checker.pipeline(&statements.query)?;
    Ok(Plan { relation: shape.relation, fields: shape.fields, sources: checker.sources })
}

struct Checker<'q> {
    now: i64,
    lets: &'q [Let],
    /// How many of them can be named here.
    visible: usize,
    sources: Vec<Source>,
    columns: u32,
    parts_left: u32,
    operators_left: u32,
    depth: u32,
}

/// What an expression can name.
struct Scope<'f> {
    fields: &'f [Field],
    /// In `summarize`, outside of an aggregate: those found so far.
    aggregates: Option<Vec<(ColumnId, super::plan::Aggregate)>>,
}

impl<'f> Scope<'f> {
    fn of(fields: &'f [Field]) -> Self {
        Self { fields, aggregates: None }
    }
}

impl<'q> Checker<'q> {
    fn new_column(&mut self) -> ColumnId {
        self.columns += 1;
        ColumnId(self.columns)
    }

    fn count_operator(&mut self, at: At) -> Checked<()> {
        let left = self.operators_left.checked_sub(1).ok_or_else(|| {
            Fault::new(
                at,
                format!("a query has at most {OPERATORS_MAX} operators and tables, those of let at each use"),
            )
        })?;
        self.operators_left = left;
        Ok(())
    }

    fn check_let(&mut self, one: &'q Let) -> Checked<()> {
        let is_known = |name: &str| TABLES.iter().any(|table| table.name == name);
        if is_known(&one.name.text) {
            return Err(Fault::new(one.name.at, "a table has this name"));
        }
        match &one.value {
            LetValue::Scalar(expression) => self.value(expression, &mut Scope::of(&[])).map(drop),
            LetValue::Table(pipeline) => self.pipeline(pipeline).map(drop),
            LetValue::Name(name) if self.is_table(&name.text) => self.table(name).map(drop),
            LetValue::Name(name) => match self.named_value(name)? {
                Some(_) => Ok(()),
                None => Err(self.unknown_value(name, &[])),
            },
        }
    }

    /// The `let` that a name means: the last one before this place.
    fn find_let(&self, name: &str) -> Option<(usize, &'q Let)> {
        self.lets[..self.visible].iter().enumerate().rev().find(|(_, one)| one.name.text == name)
    }

    /// Checks what a `let` names, where only those before it can be named.
    fn within_let<T>(&mut self, index: usize, check: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        let visible = core::mem::replace(&mut self.visible, index);
        let checked = check(self);
        self.visible = visible;
        checked
    }

    fn is_table(&self, name: &str) -> bool {
        match self.find_let(name) {
            Some((_, Let { value: LetValue::Scalar(_), .. })) => false,
            Some((_, Let { value: LetValue::Table(_), .. })) => true,
            Some((index, Let { value: LetValue::Name(inner), .. })) => {
                // Names lead to earlier ones only.
                let before = Checker { visible: index, sources: Vec::new(), ..*self };
                before.is_table(&inner.text)
            }
            None => TABLES.iter().any(|table| table.name == name),
        }
    }

    /// The value that a `let` names.
    fn named_value(&mut self, name: &Name) -> Checked<Option<Value>> {
        let Some((index, one)) = self.find_let(&name.text) else { return Ok(None) };
        match &one.value {
            LetValue::Scalar(expression) => {
                self.within_let(index, |checker| checker.value(expression, &mut Scope::of(&[]))).map(Some)
            }
            LetValue::Name(inner) if !self.is_table(&name.text) => {
                self.within_let(index, |checker| checker.named_value(inner))
            }
            LetValue::Table(_) | LetValue::Name(_) => {
                Err(Fault::new(name.at, format!("`{}` is a table, not a value", name.text)))
            }
        }
    }

    fn pipeline(&mut self, pipeline: &'q Pipeline) -> Checked<Shape> {
        let mut shape = match &pipeline.head {
            Head::Table(name) => self.table(name)?,
            Head::Within(inner) => self.pipeline(inner)?,
            Head::Union(union) => {
                self.count_operator(pipeline.at)?;
                self.union(None, union, pipeline.at).map_err(|fault| fault.within("union"))?
            }
            Head::Print(values) => {
                self.count_operator(pipeline.at)?;
                self.print(values).map_err(|fault| fault.within("print"))?
            }
        };
        for operator in &pipeline.operators {
            self.count_operator(operator.at)?;
            shape = self.operator(shape, operator).map_err(|fault| fault.within(operator.name))?;
            if shape.fields.len() > COLUMNS_MAX {
                let reason = format!("a table has at most {COLUMNS_MAX} columns, not {}", shape.fields.len());
                return Err(Fault::new(operator.at, reason).within(operator.name));
            }
        }
        Ok(shape)
    }

    /// The table of this name: one that `let` names, or one of the log.
    fn table(&mut self, name: &Name) -> Checked<Shape> {
        self.count_operator(name.at)?;
        if let Some((index, one)) = self.find_let(&name.text) {
            return match &one.value {
                LetValue::Table(pipeline) => self.within_let(index, |checker| checker.pipeline(pipeline)),
                LetValue::Name(inner) => self.within_let(index, |checker| checker.table(inner)),
                LetValue::Scalar(_) => {
                    Err(Fault::new(name.at, format!("`{}` is a value, not a table", name.text)))
                }
            };
        }
        match TABLES.iter().find(|table| table.name == name.text) {
            Some(table) => Ok(self.source(table)),
            None => Err(Fault::new(name.at, format!("there is no table `{}`", name.text))
                .known(self.known_tables(&name.text))),
        }
    }

    fn known_tables(&self, name: &str) -> String {
        let lets = self.lets[..self.visible].iter().map(|one| one.name.text.as_str());
        let nearest = did_you_mean(name, TABLES.iter().map(|table| table.name).chain(lets));
        if !nearest.is_empty() {
            return nearest;
        }
        let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        format!("tables are {}", names.join(", "))
    }

    fn source(&mut self, table: &'static Table) -> Shape {
        let index = self.sources.len();
        self.sources.push(Source { table, view: format!("source_{index}"), from: None, to: None });
        let constants = CONSTANT_COLUMNS(table);
        let columns = table.columns.iter().chain(constants.iter().map(|constant| &constant.column));
        let fields: Vec<Field> = columns
            .enumerate()
            .map(|(place, column)| Field {
                name: column.name.to_owned(),
                id: self.new_column(),
                of: column.kind.into(),
                may_be_null: place > 0,
            })
            .collect();
        let columns = fields.iter().map(|field| field.id).collect();
        let relation = Rc::new(Relation::Source { source: index, columns });
        let source = fields.first().map(|time| (index, time.id));
        Shape { relation, fields, source }
    }

    /// Narrows the times of a source by a condition that every row has to meet.
    fn narrow(&mut self, source: usize, time: ColumnId, condition: &Value) {
        match &condition.kind {
            Kind::And(parts) => parts.iter().for_each(|part| self.narrow(source, time, part)),
            Kind::Compare(comparison, left, right) => {
                let is_time = |value: &Value| matches!(value.kind, Kind::Column(id) if id == time);
                let (comparison, moment) = match (is_time(left), is_time(right)) {
                    (true, false) => (*comparison, right),
                    (false, true) => (comparison.mirrored(), left),
                    _ => return,
                };
                let Some(Literal::Datetime(moment)) = moment.as_literal() else { return };
                let moment = Ticks(*moment);
                let source = &mut self.sources[source];
                let from = matches!(
                    comparison,
                    Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Equal
                );
                let to = matches!(comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::Equal);
                if from {
                    source.from = source.from.max(Some(moment));
                }
                if to {
                    source.to = Some(source.to.map_or(moment, |to| to.min(moment)));
                }
            }
            _ => {}
        }
    }

    fn print(&mut self, values: &'q [Named]) -> Checked<Shape> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for (index, named) in values.iter().enumerate() {
            let value = self.value(&named.expression, &mut Scope::of(&[]))?;
            let name = match named.names.as_slice() {
                [] => format!("print_{index}"),
                [name] => name.text.clone(),
                [_, second, ..] => return Err(Fault::new(second.at, "a value has one name")),
            };
            if fields.iter().any(|field: &Field| field.name == name) {
                return Err(Fault::new(named.expression.at, format!("two columns are named `{name}`")));
            }
            let id = self.new_column();
            fields.push(Field { name, id, of: value.of, may_be_null: value.may_be_null });
            columns.push((id, value));
        }
        let relation = Rc::new(Relation::Project(Rc::new(Relation::Single), columns));
        Ok(Shape { relation, fields, source: None })
    }

    fn union(&mut self, input: Option<Shape>, union: &'q Union, at: At) -> Checked<Shape> {
        let mut legs: Vec<(String, Shape)> = Vec::new();
        let add = |legs: &mut Vec<(String, Shape)>, name: Option<&str>, shape: Shape| {
            let name = name.map_or_else(|| format!("union_arg{}", legs.len()), str::to_owned);
            legs.push((name, shape));
        };
        if let Some(input) = input {
            let name = input.source.map(|(source, _)| self.sources[source].table.name);
            add(&mut legs, name, input);
        }
        for leg in &union.legs {
            match leg {
                Leg::Within(pipeline) => {
                    let shape = self.pipeline(pipeline)?;
                    add(&mut legs, None, shape);
                }
                Leg::Tables(pattern) if pattern.text.contains('*') => {
                    let fitting: Vec<_> =
                        TABLES.iter().filter(|table| names::fits(&pattern.text, table.name)).collect();
                    if fitting.is_empty() {
                        return Err(Fault::new(pattern.at, "no table has such a name")
                            .known(self.known_tables(&pattern.text)));
                    }
                    for table in fitting {
                        self.count_operator(pattern.at)?;
                        let shape = self.source(table);
                        add(&mut legs, Some(table.name), shape);
                    }
                }
                Leg::Tables(name) => {
                    let shape = self.table(name)?;
                    add(&mut legs, Some(&name.text), shape);
                }
            }
        }
        Ok(self.united(legs, union.with_source.as_ref(), union.is_inner, at))
    }

    /// The name of an expression's column, if it has one by itself.
    fn name_of(&self, expression: &Expression) -> Option<String> {
        names::name_of(expression)
    }
}
