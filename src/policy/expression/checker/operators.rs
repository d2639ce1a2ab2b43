//! Operators and casts: the types that they take and return.

use super::{Checked, Checker, hint};
use crate::policy::expression::code::{CallNode, Node, Operator, Relation};
use crate::policy::expression::fault::At;
use crate::policy::expression::lexer::Number;
use crate::policy::expression::members;
use crate::policy::expression::syntax::{Expr, ExprKind, TypeName};
use crate::policy::expression::types::{Kind, Type};
use crate::policy::expression::value::Value;

const BOOL: Type = Type::One(Kind::Bool);
const TEXT: Type = Type::One(Kind::Text);

impl Checker {
    pub(super) fn unary(&mut self, at: At, sign: &str, operand: &Expr) -> Checked {
        // The least int and long are written as the negation of what is no int and no long.
        if sign == "-"
            && let ExprKind::Number(Number::TooLargeByOne(number)) = operand.kind
        {
            return Some(if number == i64::MIN {
                (Node::Constant(Value::Long(i64::MIN)), Type::One(Kind::Long))
            } else {
                (Node::Constant(Value::Int(i32::MIN)), Type::One(Kind::Int))
            });
        }
        if sign == "!" {
            let operand = self.condition(operand)?;
            return Some((self.folded(Node::Not(Box::new(operand))), BOOL));
        }
        let (node, of) = self.value(operand)?;
        let promoted = match of.kind() {
            Some(Kind::Byte | Kind::Char) => Kind::Int,
            Some(kind @ (Kind::Int | Kind::Long | Kind::Double | Kind::TimeSpan)) => kind,
            _ => return self.fault(at, format!("{sign} needs a number, this is {of}{}", hint(of, "(int)"))),
        };
        let to = same_nullness(of, promoted);
        let node = self.converted(node, of, to)?;
        Some(if sign == "-" { (self.folded(Node::Negate(Box::new(node))), to) } else { (node, to) })
    }

    pub(super) fn binary(&mut self, at: At, sign: &str, left: &Expr, right: &Expr) -> Checked {
        match sign {
            "&&" | "||" => {
                let (left, right) = (self.condition(left), self.condition(right));
                let (left, right) = (Box::new(left?), Box::new(right?));
                let node = if sign == "&&" { Node::And(left, right) } else { Node::Or(left, right) };
                Some((self.folded(node), BOOL))
            }
            _ => {
                let (left, right) = (self.value(left), self.value(right));
                self.operated(at, sign, left?, right?)
            }
        }
    }

    /// An operator on two values, also that of `name += value`.
    pub(super) fn operated(
        &mut self,
        at: At,
        sign: &str,
        left: (Node, Type),
        right: (Node, Type),
    ) -> Checked {
        match sign {
            "??" => self.coalesced(at, left, right),
            "==" | "!=" => self.equal(at, sign, left, right),
            "<" | ">" | "<=" | ">=" => self.compared(at, sign, left, right),
            "+" if left.1 == TEXT || right.1 == TEXT => self.joined(at, left, right),
            _ => self.arithmetic(at, sign, left, right),
        }
    }

    fn coalesced(
        &mut self,
        at: At,
        (left, left_type): (Node, Type),
        (right, right_type): (Node, Type),
    ) -> Checked {
        if !left_type.can_be_null() {
            return self.fault(at, format!("?? stands behind what can be null, {left_type} cannot"));
        }
        let bare = left_type.not_null();
        let to = if left_type == Type::Null {
            right_type
        } else if right_type.converts_to(bare) && right_type != Type::Null {
            bare
        } else if right_type.converts_to(left_type) {
            left_type
        } else if bare.converts_to(right_type) {
            right_type
        } else {
            return self.fault(at, format!("?? has {left_type} on its left and {right_type} on its right"));
        };
        let left = if left_type == Type::Null {
            left
        } else {
            self.converted(left, left_type.not_null(), to.not_null())?
        };
        let right = self.converted(right, right_type, to)?;
        Some((self.folded(Node::Coalesce(Box::new(left), Box::new(right))), to))
    }

    fn equal(
        &mut self,
        at: At,
        sign: &str,
        (left, left_type): (Node, Type),
        (right, right_type): (Node, Type),
    ) -> Checked {
        let no = |checker: &mut Self| {
            let object = Type::One(Kind::Object);
            let help = if left_type == object || right_type == object {
                ": an object is compared by reference, so cast it first, (string)…"
            } else {
                ""
            };
            checker.fault(at, format!("{sign} does not compare {left_type} and {right_type}{help}"))
        };
        let (left, right) = match (left_type, right_type) {
            (Type::Null, _) | (_, Type::Null) => (left, right),
            _ if left_type.not_null() == right_type.not_null()
                && left_type.not_null() != Type::One(Kind::Object) =>
            {
                (left, right)
            }
            _ => match common_number(left_type, right_type) {
                Some(kind) => {
                    let left = self.converted(left, left_type, same_nullness(left_type, kind))?;
                    (left, self.converted(right, right_type, same_nullness(right_type, kind))?)
                }
                None => return no(self),
            },
        };
        let node = Node::Equal { is_negated: sign == "!=", left: Box::new(left), right: Box::new(right) };
        Some((self.folded(node), BOOL))
    }

    fn compared(
        &mut self,
        at: At,
        sign: &str,
        (left, left_type): (Node, Type),
        (right, right_type): (Node, Type),
    ) -> Checked {
        let kind = match (left_type.kind(), right_type.kind()) {
            (Some(one @ (Kind::DateTime | Kind::TimeSpan)), Some(two)) if one == two => Some(one),
            _ => common_number(left_type, right_type),
        };
        let Some(kind) = kind else {
            let cast = if left_type == Type::One(Kind::Object) { left_type } else { right_type };
            let help = if left_type == TEXT { ": use string.Compare" } else { "" };
            let hint = hint(cast, "(int)");
            return self
                .fault(at, format!("{sign} does not compare {left_type} and {right_type}{help}{hint}"));
        };
        let left = self.converted(left, left_type, same_nullness(left_type, kind))?;
        let right = self.converted(right, right_type, same_nullness(right_type, kind))?;
        let relation = match sign {
            "<" => Relation::Less,
            "<=" => Relation::LessOrEqual,
            ">" => Relation::Greater,
            _ => Relation::GreaterOrEqual,
        };
        Some((self.folded(Node::Compare { relation, left: Box::new(left), right: Box::new(right) }), BOOL))
    }

    /// `+` with a string on one side.
    fn joined(
        &mut self,
        at: At,
        (left, left_type): (Node, Type),
        (right, right_type): (Node, Type),
    ) -> Checked {
        self.text_of(&left, left_type, at)?;
        self.text_of(&right, right_type, at)?;
        let mut parts = match left {
            // A chain is joined at once. What is in parentheses on the right stays by itself.
            Node::Concat { parts, .. } if left_type == TEXT => parts,
            left => vec![left],
        };
        // Constants that meet are one.
        match (parts.pop(), right) {
            (Some(Node::Constant(one)), Node::Constant(two)) => {
                let both = vec![Node::Constant(one), Node::Constant(two)];
                parts.push(self.folded(Node::Concat { at, parts: both }));
            }
            (last, right) => {
                parts.extend(last);
                parts.push(right);
            }
        }
        match parts.len() {
            1 => Some((parts.pop()?, TEXT)),
            _ => Some((Node::Concat { at, parts }, TEXT)),
        }
    }

    fn arithmetic(
        &mut self,
        at: At,
        sign: &str,
        (left, left_type): (Node, Type),
        (right, right_type): (Node, Type),
    ) -> Checked {
        let operator = match sign {
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "%" => Operator::Remainder,
            "&" => Operator::And,
            "|" => Operator::Or,
            _ => Operator::Xor,
        };
        let is_bitwise = matches!(operator, Operator::And | Operator::Or | Operator::Xor);
        let is_sum = matches!(operator, Operator::Add | Operator::Subtract);
        let is_nullable = matches!(left_type, Type::Nullable(_)) || matches!(right_type, Type::Nullable(_));
        let kinds = (left_type.kind(), right_type.kind());
        let (operands, gives) = match kinds {
            (Some(Kind::Bool), Some(Kind::Bool)) if is_bitwise && !is_nullable => (None, Kind::Bool),
            (Some(Kind::RegexOptions), Some(Kind::RegexOptions)) if operator == Operator::Or => {
                (None, Kind::RegexOptions)
            }
            (Some(Kind::DateTime), Some(Kind::DateTime)) if operator == Operator::Subtract => {
                (None, Kind::TimeSpan)
            }
            (Some(Kind::DateTime), Some(Kind::TimeSpan)) if is_sum => (None, Kind::DateTime),
            (Some(Kind::TimeSpan), Some(Kind::TimeSpan)) if is_sum => (None, Kind::TimeSpan),
            _ => match common_number(left_type, right_type) {
                Some(kind) if !is_bitwise || kind != Kind::Double => (Some(kind), kind),
                _ => {
                    let object = if left_type == Type::One(Kind::Object) { left_type } else { right_type };
                    let hint = hint(object, if operator == Operator::Add { "(string)" } else { "(int)" });
                    return self
                        .fault(at, format!("{sign} does not take {left_type} and {right_type}{hint}"));
                }
            },
        };
        let (left, right) = match operands {
            Some(kind) => {
                let left = self.converted(left, left_type, same_nullness(left_type, kind))?;
                (left, self.converted(right, right_type, same_nullness(right_type, kind))?)
            }
            None => (left, right),
        };
        if let (Node::Constant(left), Node::Constant(right)) = (&left, &right)
            && let Some(what) = constant_fault(operator, left, right)
        {
            return self.fault(at, what);
        }
        let gives = if is_nullable { Type::Nullable(gives) } else { Type::One(gives) };
        Some((
            self.folded(Node::Arithmetic { operator, at, left: Box::new(left), right: Box::new(right) }),
            gives,
        ))
    }

    pub(super) fn conditional(&mut self, at: At, condition: &Expr, then: &Expr, otherwise: &Expr) -> Checked {
        let condition = self.condition(condition);
        let (then, otherwise) = (self.value(then), self.value(otherwise));
        let (condition, (then, then_type), (otherwise, otherwise_type)) = (condition?, then?, otherwise?);
        let Some(of) = then_type.common(otherwise_type) else {
            return self.fault(
                at,
                format!("the branches of ?: have no type in common: {then_type} and {otherwise_type}"),
            );
        };
        let then = Box::new(self.converted(then, then_type, of)?);
        let otherwise = Box::new(self.converted(otherwise, otherwise_type, of)?);
        Some((self.folded(Node::Conditional { condition: Box::new(condition), then, otherwise }), of))
    }

    pub(super) fn cast(&mut self, at: At, to: &TypeName, operand: &Expr) -> Checked {
        let to = self.type_named(to);
        let operand = self.value(operand);
        let (to, (node, from)) = (to?, operand?);
        if from.converts_to(to) {
            return Some((self.converted(node, from, to)?, to));
        }
        let node = Box::new(node);
        let node = match (from, to) {
            (Type::One(Kind::Object), _)
                if to.kind().or(to.element()).is_some_and(Kind::can_be_kept) || to.element().is_some() =>
            {
                Node::Cast { to, at, operand: node }
            }
            (Type::One(from), Type::One(to)) if from.width().is_some() && to.width().is_some() => {
                Node::Number { to, at, is_checked: false, operand: node }
            }
            (Type::Nullable(kind), Type::One(to)) if kind == to => {
                let member = members::of(from).find(|member| member.name == "Value")?;
                let (on, arguments) = (Some(*node), Vec::new());
                Node::Call(Box::new(CallNode {
                    member,
                    at,
                    on,
                    arguments,
                    lambda: None,
                    made: None,
                    out: None,
                }))
            }
            _ => return self.fault(at, format!("{from} cannot be cast to {to}")),
        };
        Some((self.folded(node), to))
    }

    pub(super) fn as_type(&mut self, at: At, operand: &Expr, to: &TypeName) -> Checked {
        let operand = self.value(operand);
        let to = self.type_named(to)?;
        let (node, from) = operand?;
        if !to.can_be_null() {
            return self.fault(at, format!("as gives null for what is none, {to} cannot be null: use {to}?"));
        }
        if from.converts_to(to) {
            return Some((self.converted(node, from, to)?, to));
        }
        if from != Type::One(Kind::Object) {
            return self.fault(at, format!("{from} is never a {to}"));
        }
        Some((self.folded(Node::As { to, operand: Box::new(node) }), to))
    }

    pub(super) fn is_type(&mut self, at: At, operand: &Expr, to: &TypeName, name: Option<&str>) -> Checked {
        let operand = self.value(operand);
        let to = self.type_named(to)?;
        let (node, from) = operand?;
        let bare = to.not_null();
        if from != Type::One(Kind::Object) && from.not_null() != bare {
            return self.fault(at, format!("{from} is always or never a {to}"));
        }
        let slot = name.map(|name| self.declare(at, name, Some(bare)));
        // What is one already is one unless it is null; the parts of the context are not told apart at run time.
        let to = if from.not_null() == bare { Type::One(Kind::Object) } else { bare };
        Some((self.folded(Node::Is { to, slot, operand: Box::new(node) }), BOOL))
    }
}

/// The kind in which two numbers are computed: at least int.
fn common_number(left: Type, right: Type) -> Option<Kind> {
    let (left, right) = (left.kind()?, right.kind()?);
    let wider = if left.width()? >= right.width()? { left } else { right };
    Some(if wider.width() == Some(0) { Kind::Int } else { wider })
}

fn same_nullness(of: Type, kind: Kind) -> Type {
    if matches!(of, Type::Nullable(_)) { Type::Nullable(kind) } else { Type::One(kind) }
}

/// Returns C#'s compile-time error in the computation of a constant.
fn constant_fault(operator: Operator, left: &Value, right: &Value) -> Option<&'static str> {
    let (left, right, range) = match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            (i128::from(*left), i128::from(*right), i128::from(i32::MIN)..=i128::from(i32::MAX))
        }
        (Value::Long(left), Value::Long(right)) => {
            (i128::from(*left), i128::from(*right), i128::from(i64::MIN)..=i128::from(i64::MAX))
        }
        _ => return None,
    };
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide | Operator::Remainder if right == 0 => return Some("this divides by zero"),
        Operator::Divide | Operator::Remainder => left / right,
        Operator::And | Operator::Or | Operator::Xor => return None,
    };
    (!range.contains(&result)).then_some("this constant does not fit its type")
}
