//! The syntax tree of an expression: the parser's result, before names and types are resolved.

use super::fault::At;
use super::lexer::Number;

/// An expression and where it stands.
#[derive(Debug)]
pub(super) struct Expr {
    /// Where its faults are shown: its operator, or its beginning.
    pub(super) at: At,
    /// Levels below it, itself included.
    pub(super) depth: usize,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Char(char),
    Interpolated(Vec<InterpolatedPiece>),
    Name(String),
    /// `target.name<types>`.
    Member {
        target: Box<Expr>,
        name: String,
        types: Vec<TypeName>,
    },
    /// `target(arguments)`, `target` being a `Member` or a `Name`.
    Call {
        target: Box<Expr>,
        arguments: Vec<Expr>,
    },
    Index {
        target: Box<Expr>,
        arguments: Vec<Expr>,
    },
    /// `target?.rest`, whose innermost target is `It`.
    Access {
        target: Box<Expr>,
        rest: Box<Expr>,
    },
    /// The value before `?.`, known not to be null.
    It,
    /// `!`, `-`, `+`.
    Unary {
        sign: &'static str,
        operand: Box<Expr>,
    },
    Binary {
        sign: &'static str,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Conditional {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Cast {
        to: TypeName,
        operand: Box<Expr>,
    },
    As {
        operand: Box<Expr>,
        to: TypeName,
    },
    /// `operand is to name`.
    Is {
        operand: Box<Expr>,
        to: TypeName,
        name: Option<String>,
    },
    IsNull {
        operand: Box<Expr>,
    },
    Lambda {
        parameter: String,
        body: Box<Expr>,
    },
    New {
        of: TypeName,
        arguments: Vec<Expr>,
    },
    /// `new[] { … }`, `new string[] { … }`.
    NewArray {
        of: Option<TypeName>,
        elements: Vec<Expr>,
    },
    /// `out T name`; `out var name` without a type.
    Out {
        of: Option<TypeName>,
        name: String,
    },
    /// `throw new E(message)`.
    Throw {
        exception: TypeName,
        arguments: Vec<Expr>,
    },
}

#[derive(Debug)]
pub(super) enum InterpolatedPiece {
    Text(String),
    Hole { value: Expr, alignment: i32, format: Option<String> },
}

/// A type as it is written: `System.Guid`, `string[]`, `DateTime?`, `IEnumerable<string>`.
#[derive(Clone, Debug)]
pub(super) struct TypeName {
    pub(super) at: At,
    /// With its namespace, if it was written.
    pub(super) name: String,
    pub(super) parameters: Vec<TypeName>,
    pub(super) is_nullable: bool,
    pub(super) is_array: bool,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) at: At,
    pub(super) depth: usize,
    pub(super) kind: StatementKind,
}

#[derive(Debug)]
pub(super) enum StatementKind {
    /// `var name = value;`, `T name;`: `of` is `None` for `var`.
    Declare {
        of: Option<TypeName>,
        names: Vec<(At, String, Option<Expr>)>,
    },
    /// `name = value;`, or with an operator: `name += value;`.
    Assign {
        name: String,
        sign: Option<&'static str>,
        value: Expr,
    },
    Do(Expr),
    If {
        condition: Expr,
        then: Box<Statement>,
        otherwise: Option<Box<Statement>>,
    },
    ForEach {
        of: Option<TypeName>,
        name: String,
        list: Expr,
        body: Box<Statement>,
    },
    Return(Expr),
    Block(Vec<Statement>),
}
