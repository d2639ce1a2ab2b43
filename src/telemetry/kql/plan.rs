//! A query whose names and types are checked, as a tree that is translated to SQL.

use std::rc::Rc;

use super::syntax::{ArithmeticOperator, JoinKind};
use super::types::{Literal, Type};

/// A column of an intermediate result. Each operator gives its new columns new numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ColumnId(pub(super) u32);

/// A table as it is between two operators.
#[derive(Debug)]
pub(super) enum Relation {
    /// A table of the store: which source, and the columns' ids in the order of the table's, then those of the constant ones.
    Source {
        source: usize,
        columns: Vec<ColumnId>,
    },
    /// One row without a column.
    Single,
    Filter(Rc<Relation>, Value),
    Project(Rc<Relation>, Vec<(ColumnId, Value)>),
    Sort(Rc<Relation>, Vec<SortedBy>),
    Take(Rc<Relation>, i64),
    Summarize {
        input: Rc<Relation>,
        keys: Vec<(ColumnId, Value)>,
        aggregates: Vec<(ColumnId, Aggregate)>,
    },
    Join(Join),
    Union {
        columns: Vec<ColumnId>,
        legs: Vec<(Rc<Relation>, Vec<Value>)>,
    },
    Expand(Expand),
}

#[derive(Debug)]
pub(super) struct SortedBy {
    pub(super) value: Value,
    pub(super) is_ascending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Debug)]
pub(super) struct Join {
    pub(super) kind: JoinKind,
    pub(super) left: Rc<Relation>,
    pub(super) right: Rc<Relation>,
    /// Equal columns; whether both sides are free of nulls.
    pub(super) keys: Vec<(ColumnId, ColumnId, bool)>,
    pub(super) left_columns: Vec<(ColumnId, ColumnId)>,
    /// The result's column, the side's, and whether it is text.
    pub(super) right_columns: Vec<(ColumnId, ColumnId, bool)>,
}

#[derive(Debug)]
pub(super) struct Expand {
    pub(super) input: Rc<Relation>,
    /// Columns that go on.
    pub(super) kept: Vec<(ColumnId, ColumnId)>,
    /// The new column, the dynamic value, and the type that its elements are cast to.
    pub(super) items: Vec<(ColumnId, Value, Option<Type>)>,
    pub(super) index: Option<ColumnId>,
    pub(super) limit: Option<i64>,
    pub(super) as_arrays: bool,
}

/// A scalar value with its type. What it weighs bounds how large SQL can get.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) of: Type,
    pub(super) may_be_null: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Column(ColumnId),
    Literal(Literal),
    And(Vec<Value>),
    Or(Vec<Value>),
    Not(Box<Value>),
    Compare(Comparison, Box<Value>, Box<Value>),
    Arithmetic(ArithmeticOperator, Box<Value>, Box<Value>),
    /// A function of the language, by its name in SQL (`functions`).
    Call(&'static str, Vec<Value>),
    Case(Vec<(Value, Value)>, Box<Value>),
    /// Whether the value is one of a list; values of the list are not null.
    In(Box<Value>, Vec<Value>),
    /// Whether the value is one of a column of a table.
    InTable(Box<Value>, Rc<Relation>, ColumnId),
    /// All texts of a column of a table, as a dynamic array.
    ListOf(Rc<Relation>, ColumnId),
    /// Whether it is null.
    IsNull(Box<Value>),
    /// An integer as a real.
    ToReal(Box<Value>),
}

/// How two values of one type, or two numbers, are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The same with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// An aggregate, over the rows of a group that `condition` holds for.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) function: AggregateFunction,
    pub(super) arguments: Vec<Value>,
    pub(super) condition: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum AggregateFunction {
    Count,
    Sum,
    Average,
    Minimum,
    Maximum,
    Deviation,
    CountDistinct,
    /// Gives a packed list of values: by nearest rank.
    Percentiles(Vec<f64>),
    /// Of at most so many values.
    List(i64),
    Set(i64),
    /// Gives a packed row: that with the largest or the smallest first argument.
    Row {
        is_largest: bool,
    },
    Any,
}

impl Value {
    pub(super) fn new(kind: Kind, of: Type, may_be_null: bool) -> Self {
        Self { kind, of, may_be_null: may_be_null && of != Type::String }
    }

    pub(super) fn literal(literal: Literal) -> Self {
        let of = literal.kind();
        match literal {
            // A string is never null.
            Literal::Null(Type::String) => Self::new(Kind::Literal(Literal::Text(String::new())), of, false),
            Literal::Null(_) => Self::new(Kind::Literal(literal), of, true),
            _ => Self::new(Kind::Literal(literal), of, false),
        }
    }

    pub(super) fn text(text: &str) -> Self {
        Self::literal(Literal::Text(text.to_owned()))
    }

    pub(super) fn long(number: i64) -> Self {
        Self::literal(Literal::Long(number))
    }

    pub(super) fn column(id: ColumnId, of: Type, may_be_null: bool) -> Self {
        Self::new(Kind::Column(id), of, may_be_null)
    }

    pub(super) fn call(function: &'static str, arguments: Vec<Self>, of: Type) -> Self {
        Self::new(Kind::Call(function, arguments), of, true)
    }

    pub(super) fn negated(self, is_negated: bool) -> Self {
        let may_be_null = self.may_be_null;
        if is_negated { Self::new(Kind::Not(Box::new(self)), Type::Bool, may_be_null) } else { self }
    }

    pub(super) fn as_literal(&self) -> Option<&Literal> {
        match &self.kind {
            Kind::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// Whether it is the same for every row.
    pub(super) fn is_constant(&self) -> bool {
        matches!(self.kind, Kind::Literal(_))
    }

    /// Whether its SQL may stand twice in a text: it is a column or a literal.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Literal(_) | Kind::Column(_))
    }

    /// Shows each value that it is made of directly.
    pub(super) fn each_part<'v>(&'v self, visit: &mut dyn FnMut(&'v Value)) {
        match &self.kind {
            Kind::Column(_) | Kind::Literal(_) | Kind::ListOf(..) => {}
            Kind::And(parts) | Kind::Or(parts) | Kind::Call(_, parts) => parts.iter().for_each(visit),
            Kind::Not(part) | Kind::IsNull(part) | Kind::ToReal(part) => visit(part),
            Kind::InTable(part, _, _) => visit(part),
            Kind::Compare(_, left, right) | Kind::Arithmetic(_, left, right) => {
                visit(left);
                visit(right);
            }
            Kind::Case(branches, otherwise) => {
                for (condition, value) in branches {
                    visit(condition);
                    visit(value);
                }
                visit(otherwise);
            }
            Kind::In(value, list) => {
                visit(value);
                list.iter().for_each(visit);
            }
        }
    }

    /// Shows each column that it is made of.
    pub(super) fn each_column(&self, visit: &mut dyn FnMut(ColumnId)) {
        if let Kind::Column(id) = self.kind {
            visit(id);
        }
        self.each_part(&mut |part| part.each_column(visit));
    }
}
