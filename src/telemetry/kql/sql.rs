//! A plan as one SQL statement of SQLite with bound parameters.
//!
//! No text of a query is in it: columns are numbered, and every value that is written out is a parameter. Each operator is a
//! subquery, which SQLite takes apart again where it can. Where a subquery's columns would be copied into ever larger expressions
//! by that, it ends in `LIMIT -1 OFFSET 0`, which SQLite leaves whole.

mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Source;
use super::plan::{Aggregate, AggregateFunction, ColumnId, Expand, Join, Kind, Relation, SortedBy, Value};
use super::syntax::JoinKind;
use super::types::{Literal, Type};
use crate::observe::tables::CONSTANT_COLUMNS;

/// Largest number of parts that a column may have, those of the columns that it is made of included, before it is left whole.
const PARTS_MAX: u64 = 2_000;

/// The same for how deep it is nested. SQLite takes at most 1,000.
const DEPTH_MAX: u64 = 250;

/// A statement and its parameters.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Literal>,
}

/// Translates a plan; the statement's columns are those that are wanted, in their order.
pub(super) fn translate(relation: &Relation, wanted: &[ColumnId], sources: &[Source]) -> Statement {
    let mut translator = Translator { sources, parameters: Vec::new(), keys: 0 };
    let needed = wanted.iter().copied().collect();
    let select = translator.relation(relation, &needed);
    let columns: Vec<String> = wanted.iter().map(|id| column(*id)).collect();
    let order = select.order_by();
    let sql = format!("SELECT {} FROM ({}){order}", columns.join(", "), select.sql);
    Statement { sql, parameters: translator.parameters }
}

/// The name of a column in SQL.
fn column(id: ColumnId) -> String {
    format!("c{}", id.0)
}

/// A column that rows are sorted by, beside the query's own.
#[derive(Clone)]
struct OrderKey {
    name: String,
    is_ascending: bool,
    nulls_first: bool,
}

impl OrderKey {
    fn term(&self) -> String {
        let direction = if self.is_ascending { "ASC" } else { "DESC" };
        let nulls = if self.nulls_first { "FIRST" } else { "LAST" };
        format!("{} {direction} NULLS {nulls}", self.name)
    }
}

/// A subquery.
struct Select {
    sql: String,
    order: Vec<OrderKey>,
    /// What each column is made of, if SQLite copies it to where it is used.
    costs: BTreeMap<ColumnId, Cost>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    parts: u64,
    depth: u64,
}

impl Cost {
    const ONE: Self = Self { parts: 1, depth: 1 };
}

impl Select {
    fn order_by(&self) -> String {
        if self.order.is_empty() {
            return String::new();
        }
        let terms: Vec<String> = self.order.iter().map(OrderKey::term).collect();
        format!(" ORDER BY {}", terms.join(", "))
    }

    /// The columns that it is sorted by, to be handed on.
    fn order_columns(&self) -> String {
        self.order.iter().map(|key| format!(", {}", key.name)).collect()
    }

    /// What a value costs over these columns.
    fn cost(&self, value: &Value) -> Cost {
        if let Kind::Column(id) = value.kind {
            return self.costs.get(&id).copied().unwrap_or(Cost::ONE);
        }
        let mut cost = Cost::ONE;
        value.each_part(&mut |part| {
            let part = self.cost(part);
            cost.parts = cost.parts.saturating_add(part.parts);
            cost.depth = cost.depth.max(part.depth + 1);
        });
        cost
    }

    /// Keeps its columns whole, if one of these values would be too large otherwise.
    fn fenced<'v>(mut self, values: impl IntoIterator<Item = &'v Value>) -> Self {
        let (mut parts, mut depth) = (0, 0);
        for value in values {
            let cost = self.cost(value);
            parts += cost.parts;
            depth = depth.max(cost.depth);
        }
        if parts > PARTS_MAX || depth > DEPTH_MAX {
            self.sql = format!("SELECT * FROM ({}) LIMIT -1 OFFSET 0", self.sql);
            self.costs.values_mut().for_each(|cost| *cost = Cost::ONE);
        }
        self
    }
}

struct Translator<'s> {
    sources: &'s [Source],
    parameters: Vec<Literal>,
    /// How many columns have been made to sort by.
    keys: u32,
}

impl Translator<'_> {
    /// A parameter's place.
    fn parameter(&mut self, literal: &Literal) -> String {
        self.parameters.push(literal.clone());
        format!("?{}", self.parameters.len())
    }

    /// `value AS name, …`, in order; at least one column.
    fn columns(
        &mut self,
        columns: &[(ColumnId, &Value)],
        costs: &mut BTreeMap<ColumnId, Cost>,
        input: &Select,
    ) -> String {
        let mut text = Vec::new();
        for (id, value) in columns {
            text.push(format!("{} AS {}", self.value(value), column(*id)));
            costs.insert(*id, input.cost(value));
        }
        if text.is_empty() {
            text.push("1".to_owned());
        }
        text.join(", ")
    }

    /// The subquery of a relation, with the columns that are needed of it.
    fn relation(&mut self, relation: &Relation, needed: &BTreeSet<ColumnId>) -> Select {
        match relation {
            Relation::Source { source, columns } => self.source(*source, columns, needed),
            Relation::Single => {
                Select { sql: "SELECT 1".to_owned(), order: Vec::new(), costs: BTreeMap::new() }
            }
            Relation::Filter(input, condition) => {
                let mut inner_needed = needed.clone();
                condition.each_column(&mut |id| {
                    inner_needed.insert(id);
                });
                let input = self.relation(input, &inner_needed).fenced([condition]);
                let condition = self.condition(condition);
                let sql = format!("SELECT * FROM ({}) WHERE {condition}", input.sql);
                Select { sql, ..input }
            }
            Relation::Project(input, columns) => self.project(input, columns, needed),
            Relation::Sort(input, keys) => self.sort(input, keys, needed),
            Relation::Take(input, rows) => {
                let mut select = self.relation(input, needed);
                let rows = self.parameter(&Literal::Long(*rows));
                select.sql = format!("SELECT * FROM ({}){} LIMIT {rows}", select.sql, select.order_by());
                select.costs.values_mut().for_each(|cost| *cost = Cost::ONE);
                select
            }
            Relation::Summarize { input, keys, aggregates } => {
                self.summarize(input, keys, aggregates, needed)
            }
            Relation::Join(join) => self.join(join, needed),
            Relation::Union { columns, legs } => self.union(columns, legs, needed),
            Relation::Expand(expand) => self.expand(expand, needed),
        }
    }

    fn source(&mut self, index: usize, columns: &[ColumnId], needed: &BTreeSet<ColumnId>) -> Select {
        let source = &self.sources[index];
        let constants = CONSTANT_COLUMNS(source.table);
        let mut text = Vec::new();
        let mut costs = BTreeMap::new();
        for (place, id) in columns.iter().enumerate() {
            if !needed.contains(id) {
                continue;
            }
            costs.insert(*id, Cost::ONE);
            // The names are the program's own.
            let value = match source.table.columns.get(place) {
                Some(stored) => format!("\"{}\"", stored.name),
                None => {
                    let constant = constants.get(place - source.table.columns.len());
                    self.parameter(&Literal::Text(constant.map_or("", |constant| constant.text).to_owned()))
                }
            };
            text.push(format!("{value} AS {}", column(*id)));
        }
        if text.is_empty() {
            text.push("1".to_owned());
        }
        let sql = format!("SELECT {} FROM temp.\"{}\"", text.join(", "), self.sources[index].view);
        Select { sql, order: Vec::new(), costs }
    }

    fn project(
        &mut self,
        input: &Relation,
        columns: &[(ColumnId, Value)],
        needed: &BTreeSet<ColumnId>,
    ) -> Select {
        let columns: Vec<(ColumnId, &Value)> =
            columns.iter().filter(|(id, _)| needed.contains(id)).map(|(id, value)| (*id, value)).collect();
        let mut inner_needed = BTreeSet::new();
        for (_, value) in &columns {
            value.each_column(&mut |id| {
                inner_needed.insert(id);
            });
        }
        let input = self.relation(input, &inner_needed).fenced(columns.iter().map(|(_, value)| *value));
        let mut costs = BTreeMap::new();
        let text = self.columns(&columns, &mut costs, &input);
        let sql = format!("SELECT {text}{} FROM ({})", input.order_columns(), input.sql);
        Select { sql, order: input.order, costs }
    }

    fn sort(&mut self, input: &Relation, keys: &[SortedBy], needed: &BTreeSet<ColumnId>) -> Select {
        let mut inner_needed = needed.clone();
        for key in keys {
            key.value.each_column(&mut |id| {
                inner_needed.insert(id);
            });
        }
        let input = self.relation(input, &inner_needed).fenced(keys.iter().map(|key| &key.value));
        let columns: Vec<String> = inner_needed.iter().map(|id| format!("{}, ", column(*id))).collect();
        let mut order = Vec::new();
        let mut text = Vec::new();
        for key in keys {
            self.keys += 1;
            let name = format!("o{}", self.keys);
            text.push(format!("{} AS {name}", self.value(&key.value)));
            order.push(OrderKey { name, is_ascending: key.is_ascending, nulls_first: key.nulls_first });
        }
        let sql = format!("SELECT {}{} FROM ({})", columns.concat(), text.join(", "), input.sql);
        Select { sql, order, costs: input.costs }
    }

    fn summarize(
        &mut self,
        input: &Relation,
        keys: &[(ColumnId, Value)],
        aggregates: &[(ColumnId, Aggregate)],
        needed: &BTreeSet<ColumnId>,
    ) -> Select {
        let aggregates: Vec<_> = aggregates.iter().filter(|(id, _)| needed.contains(id)).collect();
        let arguments = |(_, aggregate): &&(ColumnId, Aggregate)| {
            aggregate.arguments.iter().chain(&aggregate.condition).cloned().collect::<Vec<Value>>()
        };
        let values: Vec<Value> = keys
            .iter()
            .map(|(_, value)| value.clone())
            .chain(aggregates.iter().flat_map(arguments))
            .collect();
        let mut inner_needed = BTreeSet::new();
        for value in &values {
            value.each_column(&mut |id| {
                inner_needed.insert(id);
            });
        }
        let input = self.relation(input, &inner_needed).fenced(&values);
        let mut text = Vec::new();
        for (id, key) in keys {
            text.push(format!("{} AS {}", self.value(key), column(*id)));
        }
        for (id, aggregate) in &aggregates {
            text.push(format!("{} AS {}", self.aggregate(aggregate, &input), column(*id)));
        }
        // Without keys there is one group, even of no rows.
        if keys.is_empty() && aggregates.is_empty() {
            text.push("count(*)".to_owned());
        }
        let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
        let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) };
        let ids = keys.iter().map(|(id, _)| *id).chain(aggregates.iter().map(|(id, _)| *id));
        let costs = ids.map(|id| (id, Cost::ONE)).collect();
        Select {
            sql: format!("SELECT {} FROM ({}){group}", text.join(", "), input.sql),
            order: Vec::new(),
            costs,
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, input: &Select) -> String {
        let arguments: Vec<String> = aggregate.arguments.iter().map(|value| self.value(value)).collect();
        let first = arguments.first().map_or("*", String::as_str);
        let of = aggregate.arguments.first().map_or(Type::Long, |value| value.of);
        let filter = match &aggregate.condition {
            Some(condition) => format!(" FILTER (WHERE {})", self.condition(condition)),
            None => String::new(),
        };
        // The order of a sorted input decides what these make.
        let order = input.order_by();
        match &aggregate.function {
            AggregateFunction::Count => format!("count(*){filter}"),
            AggregateFunction::Sum if of == Type::Real => format!("coalesce(sum({first}){filter}, 0.0)"),
            AggregateFunction::Sum => format!("kql_sum({first}){filter}"),
            AggregateFunction::Average if of.is_number() => format!("avg({first}){filter}"),
            AggregateFunction::Average => format!("kql_average_time({first}){filter}"),
            AggregateFunction::Minimum if of == Type::String => format!("coalesce(min({first}){filter}, '')"),
            AggregateFunction::Maximum if of == Type::String => format!("coalesce(max({first}){filter}, '')"),
            AggregateFunction::Minimum => format!("min({first}){filter}"),
            AggregateFunction::Maximum => format!("max({first}){filter}"),
            AggregateFunction::Deviation => format!("kql_deviation({first}){filter}"),
            AggregateFunction::CountDistinct => format!("count(DISTINCT {first}){filter}"),
            AggregateFunction::Percentiles(wanted) => {
                let wanted: Vec<String> =
                    wanted.iter().map(|percentile| self.parameter(&Literal::Real(*percentile))).collect();
                format!("kql_percentiles({first}, {}){filter}", wanted.join(", "))
            }
            AggregateFunction::List(most) => format!("kql_list({first}, {most}{order}){filter}"),
            AggregateFunction::Set(most) => format!("kql_set({first}, {most}{order}){filter}"),
            AggregateFunction::Row { is_largest } => {
                let function = if *is_largest { "kql_row_of_largest" } else { "kql_row_of_smallest" };
                format!("{function}({}){filter}", arguments.join(", "))
            }
            AggregateFunction::Any if of == Type::String => {
                format!("coalesce(kql_any({first}{order}){filter}, '')")
            }
            AggregateFunction::Any => format!("kql_any({first}{order}){filter}"),
        }
    }

    fn join(&mut self, join: &Join, needed: &BTreeSet<ColumnId>) -> Select {
        let left_columns: Vec<_> = join.left_columns.iter().filter(|(id, _)| needed.contains(id)).collect();
        let right_columns: Vec<_> =
            join.right_columns.iter().filter(|(id, _, _)| needed.contains(id)).collect();
        let left_needed: BTreeSet<ColumnId> = left_columns
            .iter()
            .map(|(_, own)| *own)
            .chain(join.keys.iter().map(|(left, _, _)| *left))
            .collect();
        let right_needed: BTreeSet<ColumnId> = right_columns
            .iter()
            .map(|(_, own, _)| *own)
            .chain(join.keys.iter().map(|(_, right, _)| *right))
            .collect();
        let mut left = self.relation(&join.left, &left_needed).sql;
        let mut right = self.relation(&join.right, &right_needed).sql;
        let names = |ids: &[ColumnId]| ids.iter().map(|id| column(*id)).collect::<Vec<_>>().join(", ");
        if join.kind == JoinKind::InnerUnique {
            // One row for each key; which one is not defined.
            let keys: Vec<ColumnId> = join.keys.iter().map(|(left, _, _)| *left).collect();
            let all: Vec<ColumnId> = left_needed.iter().copied().collect();
            left = format!("SELECT {} FROM ({left}) GROUP BY {}", names(&all), names(&keys));
        }
        if join.kind == JoinKind::LeftAnti {
            let keys: Vec<ColumnId> = join.keys.iter().map(|(_, right, _)| *right).collect();
            right = format!("SELECT DISTINCT {}, 1 AS is_there FROM ({right})", names(&keys));
        }
        let on: Vec<String> = join
            .keys
            .iter()
            .map(|(left, right, is_whole)| {
                // A null is the same key as a null.
                let sign = if *is_whole { "=" } else { "IS" };
                format!("l.{} {sign} r.{}", column(*left), column(*right))
            })
            .collect();
        let mut text: Vec<String> =
            left_columns.iter().map(|(id, own)| format!("l.{} AS {}", column(*own), column(*id))).collect();
        text.extend(right_columns.iter().map(|(id, own, is_text)| {
            let is_outer_text = *is_text && join.kind == JoinKind::LeftOuter;
            let own = column(*own);
            if is_outer_text {
                format!("coalesce(r.{own}, '') AS {}", column(*id))
            } else {
                format!("r.{own} AS {}", column(*id))
            }
        }));
        if text.is_empty() {
            text.push("1".to_owned());
        }
        let (word, condition) = match join.kind {
            JoinKind::Inner | JoinKind::InnerUnique => ("JOIN", ""),
            JoinKind::LeftOuter => ("LEFT JOIN", ""),
            JoinKind::LeftAnti => ("LEFT JOIN", " WHERE r.is_there IS NULL"),
        };
        let sql = format!(
            "SELECT {} FROM ({left}) AS l {word} ({right}) AS r ON {}{condition}",
            text.join(", "),
            on.join(" AND ")
        );
        // What comes of a join is a copy of its sides' columns.
        let costs = needed.iter().map(|id| (*id, Cost { parts: PARTS_MAX / 4, depth: 1 })).collect();
        Select { sql, order: Vec::new(), costs }
    }

    fn union(
        &mut self,
        columns: &[ColumnId],
        legs: &[(Rc<Relation>, Vec<Value>)],
        needed: &BTreeSet<ColumnId>,
    ) -> Select {
        let mut texts = Vec::new();
        let mut costs = BTreeMap::new();
        for (relation, values) in legs {
            let wanted: Vec<(ColumnId, &Value)> =
                columns.iter().copied().zip(values).filter(|(id, _)| needed.contains(id)).collect();
            let mut inner_needed = BTreeSet::new();
            for (_, value) in &wanted {
                value.each_column(&mut |id| {
                    inner_needed.insert(id);
                });
            }
            let input = self.relation(relation, &inner_needed);
            let text = self.columns(&wanted, &mut costs, &input);
            texts.push(format!("SELECT {text} FROM ({})", input.sql));
        }
        let sql = format!("SELECT * FROM ({}) LIMIT -1 OFFSET 0", texts.join(" UNION ALL "));
        Select { sql, order: Vec::new(), costs: columns.iter().map(|id| (*id, Cost::ONE)).collect() }
    }

    fn expand(&mut self, expand: &Expand, needed: &BTreeSet<ColumnId>) -> Select {
        let kept: Vec<_> = expand.kept.iter().filter(|(id, _)| needed.contains(id)).collect();
        let mut inner_needed: BTreeSet<ColumnId> = kept.iter().map(|(_, own)| *own).collect();
        for (_, value, _) in &expand.items {
            value.each_column(&mut |id| {
                inner_needed.insert(id);
            });
        }
        let input = self
            .relation(&expand.input, &inner_needed)
            .fenced(expand.items.iter().map(|(_, value, _)| value));
        let values: Vec<String> = expand.items.iter().map(|(_, value, _)| self.value(value)).collect();
        let limit = expand.limit.unwrap_or(i64::from(i32::MAX));
        let rows = format!("kql_rows({}, {limit}, {})", i32::from(expand.as_arrays), values.join(", "));
        let mut text: Vec<String> =
            kept.iter().map(|(id, own)| format!("{} AS {}", column(*own), column(*id))).collect();
        for (place, (id, _, cast)) in expand.items.iter().enumerate() {
            if needed.contains(id) {
                let cast = cast.map_or("", Type::name);
                text.push(format!("kql_cell(j.value, {place}, '{cast}') AS {}", column(*id)));
            }
        }
        if let Some(id) = expand.index.filter(|id| needed.contains(id)) {
            text.push(format!("j.key AS {}", column(id)));
        }
        let mut order = input.order.clone();
        if order.is_empty() {
            if text.is_empty() {
                text.push("1".to_owned());
            }
        } else {
            // Elements stay in their order within their row.
            text.extend(order.iter().map(|key| key.name.clone()));
            self.keys += 1;
            let name = format!("o{}", self.keys);
            text.push(format!("j.key AS {name}"));
            order.push(OrderKey { name, is_ascending: true, nulls_first: true });
        }
        let sql = format!("SELECT {} FROM ({}) AS i, json_each({rows}) AS j", text.join(", "), input.sql);
        let costs =
            needed.iter().map(|id| (*id, Cost { parts: PARTS_MAX / 4, depth: DEPTH_MAX / 2 })).collect();
        Select { sql, order, costs }
    }
}
