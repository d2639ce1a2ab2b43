//! A query as it is written: statements, operators and expressions, with their places, before any name or type is looked up.

use super::fault::At;
use super::types::{Literal, Type};

/// A name where it is written.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: At,
}

/// A whole query.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) lets: Vec<Let>,
    pub(super) query: Pipeline,
}

/// `let name = …`.
#[derive(Debug)]
pub(super) struct Let {
    pub(super) name: Name,
    pub(super) value: LetValue,
}

#[derive(Debug)]
pub(super) enum LetValue {
    Scalar(Expression),
    Table(Pipeline),
    /// A name alone: which of the two it is shows when it is looked up.
    Name(Name),
}

/// A table and the operators behind it.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) at: At,
    pub(super) head: Head,
    pub(super) operators: Vec<Operator>,
}

/// What a pipeline begins with.
#[derive(Debug)]
pub(super) enum Head {
    Table(Name),
    Within(Box<Pipeline>),
    Union(Union),
    Print(Vec<Named>),
}

/// An operator behind a `|`.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) at: At,
    /// Its name.
    pub(super) name: &'static str,
    pub(super) kind: OperatorKind,
}

#[derive(Debug)]
pub(super) enum OperatorKind {
    Where(Expression),
    Project(Vec<Named>),
    ProjectAway(Vec<Name>),
    Extend(Vec<Named>),
    Summarize { aggregates: Vec<Named>, keys: Vec<Named> },
    Sort(Vec<SortKey>),
    Top { rows: Expression, key: SortKey },
    Take(Expression),
    Count,
    Distinct(Distinct),
    Join { kind: JoinKind, right: Pipeline, keys: Vec<JoinKey> },
    Union(Union),
    Expand { items: Vec<ExpandItem>, index: Option<Name>, limit: Option<Expression>, as_arrays: bool },
    Render,
}

/// An expression and the names that are given to its columns: more than one only for `(a, b) = …`.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) names: Vec<Name>,
    pub(super) expression: Expression,
}

#[derive(Debug)]
pub(super) enum Distinct {
    All,
    Of(Vec<Named>),
}

#[derive(Debug)]
pub(super) struct SortKey {
    pub(super) expression: Expression,
    pub(super) is_ascending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    InnerUnique,
    LeftOuter,
    LeftAnti,
}

/// A column of the left side and one of the right.
#[derive(Debug)]
pub(super) struct JoinKey {
    pub(super) left: Name,
    pub(super) right: Name,
}

#[derive(Debug)]
pub(super) struct Union {
    /// Beginnings of names with `*` are in [`Leg::Tables`].
    pub(super) legs: Vec<Leg>,
    pub(super) with_source: Option<Name>,
    pub(super) is_inner: bool,
}

#[derive(Debug)]
pub(super) enum Leg {
    Within(Pipeline),
    /// Every table whose name this pattern fits.
    Tables(Name),
}

#[derive(Debug)]
pub(super) struct ExpandItem {
    pub(super) name: Option<Name>,
    pub(super) expression: Expression,
    pub(super) cast: Option<Type>,
}

/// An expression. `at` is the place of a value's first token, and that of the sign of an operator.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) at: At,
    pub(super) kind: ExpressionKind,
}

#[derive(Debug)]
pub(super) enum ExpressionKind {
    Literal(Literal),
    Now,
    Name(String),
    /// `*`, in `arg_max(x, *)`.
    Star,
    /// `typeof(long)`.
    TypeOf(Type),
    Member(Box<Expression>, Name),
    Index(Box<Expression>, Box<Expression>),
    Call(Name, Vec<Expression>),
    Minus(Box<Expression>),
    Arithmetic(ArithmeticOperator, Box<Expression>, Box<Expression>),
    Compare(CompareOperator, Box<Expression>, Box<Expression>),
    Text {
        operator: TextOperator,
        is_negated: bool,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    In {
        is_negated: bool,
        ignores_case: bool,
        value: Box<Expression>,
        list: List,
    },
    HasAny {
        value: Box<Expression>,
        list: List,
    },
    Between {
        is_negated: bool,
        value: Box<Expression>,
        low: Box<Expression>,
        high: Box<Expression>,
    },
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

/// What is in the parentheses of `in` and `has_any`.
#[derive(Debug)]
pub(super) enum List {
    Values(Vec<Expression>),
    Table(Box<Pipeline>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArithmeticOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl ArithmeticOperator {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOperator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    EqualIgnoringCase,
    NotEqualIgnoringCase,
}

impl CompareOperator {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::EqualIgnoringCase => "=~",
            Self::NotEqualIgnoringCase => "!~",
        }
    }
}

/// An operator on texts that has a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextOperator {
    Has,
    HasCased,
    Contains,
    ContainsCased,
    StartsWith,
    StartsWithCased,
    EndsWith,
    EndsWithCased,
    MatchesRegex,
}

impl TextOperator {
    pub(super) const WORDS: [(&'static str, Self); 8] = [
        ("has", Self::Has),
        ("has_cs", Self::HasCased),
        ("contains", Self::Contains),
        ("contains_cs", Self::ContainsCased),
        ("startswith", Self::StartsWith),
        ("startswith_cs", Self::StartsWithCased),
        ("endswith", Self::EndsWith),
        ("endswith_cs", Self::EndsWithCased),
    ];

    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, operator)| *operator == self).map_or("matches regex", |(word, _)| word)
    }
}
