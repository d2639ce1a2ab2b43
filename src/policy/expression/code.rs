//! A checked expression: every name is a slot or a row of the table of members, every conversion is written out.
//!
//! The evaluation walks this tree. It is plain data: shared between workers, never changed.

use super::fault::{At, Exception};
use super::members::Member;
use super::types::{Kind, Type};
use super::value::Value;

#[derive(Debug)]
pub(super) enum Node {
    Constant(Value),
    Local(usize),
    Call(Box<CallNode>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    /// Of two numbers of one kind, two bools, or moments and spans.
    Arithmetic {
        operator: Operator,
        at: At,
        left: Box<Node>,
        right: Box<Node>,
    },
    Compare {
        relation: Relation,
        left: Box<Node>,
        right: Box<Node>,
    },
    Equal {
        is_negated: bool,
        left: Box<Node>,
        right: Box<Node>,
    },
    Coalesce(Box<Node>, Box<Node>),
    Conditional {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    /// A number as another kind of number; `null` stays.
    Number {
        to: Kind,
        at: At,
        is_checked: bool,
        operand: Box<Node>,
    },
    /// An object as what it is taken for, or an exception.
    Cast {
        to: Type,
        at: At,
        operand: Box<Node>,
    },
    /// The same, or `null`.
    As {
        to: Type,
        operand: Box<Node>,
    },
    /// Whether it is one; where a slot is given, it is put there.
    Is {
        to: Type,
        slot: Option<usize>,
        operand: Box<Node>,
    },
    /// `target?.rest`, with what is not null in the slot.
    Access {
        target: Box<Node>,
        slot: usize,
        rest: Box<Node>,
    },
    Concat {
        at: At,
        parts: Vec<Node>,
    },
    /// A hole of an interpolated string.
    Formatted {
        at: At,
        value: Box<Node>,
        alignment: i32,
        format: String,
    },
    ToText {
        at: At,
        operand: Box<Node>,
    },
    List {
        at: At,
        elements: Vec<Node>,
    },
    /// A regular expression that is not written out.
    Pattern {
        at: At,
        text: Box<Node>,
        options: Box<Node>,
    },
    Throw {
        exception: Exception,
        at: At,
        message: Box<Node>,
    },
}

/// A use of a member.
#[derive(Debug)]
pub(super) struct CallNode {
    pub(super) member: &'static Member,
    pub(super) at: At,
    /// `None` for static members.
    pub(super) on: Option<Node>,
    pub(super) arguments: Vec<Node>,
    pub(super) lambda: Option<Lambda>,
    /// The type in `<…>`, or that of the lambda's result.
    pub(super) made: Option<Kind>,
    /// Where an `out` argument goes, and what it is when there is no result.
    pub(super) out: Option<(usize, Value)>,
}

#[derive(Debug)]
pub(super) struct Lambda {
    pub(super) slot: usize,
    pub(super) body: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Puts a value into a slot.
    Set(usize, Node),
    Do(Node),
    If {
        condition: Node,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    ForEach {
        at: At,
        slot: usize,
        list: Node,
        body: Vec<Step>,
    },
    Return(Node),
}
