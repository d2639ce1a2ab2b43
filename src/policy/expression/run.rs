//! Evaluates a checked expression.
//!
//! Every node is a step, work in proportion to a text's length counts as further steps, and allocations are counted: so one
//! evaluation is bounded whatever its input. Arithmetic wraps like C#'s unchecked; nothing here panics.

use core::cmp::Ordering;
use std::sync::Arc;

use super::code::{CallNode, Lambda, Node, Operator, Relation, Step};
use super::context::{Context, ExpressionHost};
use super::fault::{Exception, Raised};
use super::members::Call;
use super::number;
use super::pattern::Pattern;
use super::types::{Kind, Type};
use super::value::{Inner, Text, Value};
use crate::limits::EXPRESSION_BYTES_PER_STEP;

/// Steps that it costs to compile a regular expression at a handshake, one that is not written out in the policy.
const EXPRESSION_PATTERN_STEPS: u32 = 2_000;

pub(super) type Outcome = Result<Value, Raised>;

/// One evaluation.
pub(super) struct Run<'r> {
    pub(super) context: &'r Context<'r>,
    pub(super) outside: &'r mut dyn ExpressionHost,
    locals: Vec<Value>,
    steps_left: u32,
    bytes_left: usize,
}

/// How a list of statements ended.
enum StepOutcome {
    Next,
    Return(Value),
}

impl<'r> Run<'r> {
    pub(super) fn new(
        context: &'r Context<'r>,
        outside: &'r mut dyn ExpressionHost,
        slots: usize,
        (steps, bytes): (u32, usize),
    ) -> Self {
        Self { context, outside, locals: vec![Value::Null; slots], steps_left: steps, bytes_left: bytes }
    }

    /// Takes so many steps.
    pub(super) fn take_steps(&mut self, steps: u32) -> Result<(), Raised> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(Raised::new(Exception::Budget, "the expression takes too many steps"))
            }
        }
    }

    /// Takes the steps of looking at so many bytes.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Raised> {
        self.take_steps(u32::try_from(bytes / EXPRESSION_BYTES_PER_STEP).unwrap_or(u32::MAX))
    }

    /// Takes so many bytes of memory, before they are allocated, and the steps of writing them.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), Raised> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                self.read(bytes)
            }
            None => {
                self.bytes_left = 0;
                Err(Raised::new(Exception::Budget, "the expression takes too much memory"))
            }
        }
    }

    /// Steps and bytes that are left.
    pub(super) fn left(&self) -> (u32, usize) {
        (self.steps_left, self.bytes_left)
    }

    /// Bytes that may still be allocated.
    pub(super) fn bytes_left(&self) -> usize {
        self.bytes_left
    }

    pub(super) fn text(&mut self, text: &str) -> Outcome {
        self.take_bytes(text.len())?;
        Ok(Value::text(text))
    }

    pub(super) fn list(&mut self, elements: Vec<Value>) -> Outcome {
        self.take_bytes(elements.len() * size_of::<Value>())?;
        Ok(Value::List(elements.into()))
    }

    /// `value` as text.
    pub(super) fn written(&mut self, value: &Value) -> Result<Text, Raised> {
        if let Value::Text(text) = value {
            return Ok(Arc::clone(text));
        }
        let written = value.written();
        let text = written
            .ok_or_else(|| Raised::new(Exception::NotSupported, "this object has no text of its own"))?;
        self.take_bytes(text.len())?;
        Ok(text)
    }

    /// Applies `lambda` to `argument`.
    pub(super) fn apply(&mut self, lambda: &Lambda, argument: Value) -> Outcome {
        self.set(lambda.slot, argument);
        self.value(&lambda.body)
    }

    fn set(&mut self, slot: usize, value: Value) {
        if let Some(local) = self.locals.get_mut(slot) {
            *local = value;
        }
    }

    /// Runs statements to their `return`; the checker knows that there is one.
    pub(super) fn block(&mut self, steps: &[Step]) -> Outcome {
        match self.steps(steps)? {
            StepOutcome::Return(value) => Ok(value),
            StepOutcome::Next => Ok(Value::Null),
        }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<StepOutcome, Raised> {
        for step in steps {
            self.take_steps(1)?;
            match step {
                Step::Set(slot, node) => {
                    let value = self.value(node)?;
                    self.set(*slot, value);
                }
                Step::Do(node) => {
                    self.value(node)?;
                }
                Step::Return(node) => return self.value(node).map(StepOutcome::Return),
                Step::If { condition, then, otherwise } => {
                    let branch = if self.is_true(condition)? { then } else { otherwise };
                    if let returned @ StepOutcome::Return(_) = self.steps(branch)? {
                        return Ok(returned);
                    }
                }
                Step::ForEach { at, slot, list, body } => {
                    let Value::List(elements) = self.value(list)? else {
                        return Err(Raised::null_reference().at(*at));
                    };
                    for element in elements.iter() {
                        self.take_steps(1).map_err(|raised| raised.at(*at))?;
                        self.set(*slot, element.clone());
                        if let returned @ StepOutcome::Return(_) = self.steps(body)? {
                            return Ok(returned);
                        }
                    }
                }
            }
        }
        Ok(StepOutcome::Next)
    }

    fn is_true(&mut self, node: &Node) -> Result<bool, Raised> {
        Ok(matches!(self.value(node)?, Value::Bool(true)))
    }

    pub(super) fn value(&mut self, node: &Node) -> Outcome {
        self.take_steps(1)?;
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Local(slot) => Ok(self.locals.get(*slot).cloned().unwrap_or(Value::Null)),
            Node::Call(call) => self.call(call),
            Node::Not(operand) => Ok(Value::Bool(!self.is_true(operand)?)),
            Node::Negate(operand) => Ok(match self.value(operand)? {
                Value::Int(number) => Value::Int(number.wrapping_neg()),
                Value::Long(number) => Value::Long(number.wrapping_neg()),
                Value::Double(number) => Value::Double(-number),
                Value::TimeSpan(span) => {
                    Value::TimeSpan(crate::policy::date_time::TimeSpan(span.0.wrapping_neg()))
                }
                other => other,
            }),
            Node::And(left, right) => Ok(Value::Bool(self.is_true(left)? && self.is_true(right)?)),
            Node::Or(left, right) => Ok(Value::Bool(self.is_true(left)? || self.is_true(right)?)),
            Node::Arithmetic { operator, at, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                arithmetic(*operator, &left, &right).map_err(|raised| raised.at(*at))
            }
            Node::Compare { relation, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                Ok(Value::Bool(order(&left, &right).is_some_and(|order| relation.holds(order))))
            }
            Node::Equal { is_negated, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                if let Value::Text(text) = &left {
                    self.read(text.len())?;
                }
                Ok(Value::Bool(left.equals(&right) != *is_negated))
            }
            Node::Coalesce(left, right) => match self.value(left)? {
                Value::Null => self.value(right),
                value => Ok(value),
            },
            Node::Conditional { condition, then, otherwise } => {
                if self.is_true(condition)? {
                    self.value(then)
                } else {
                    self.value(otherwise)
                }
            }
            Node::Number { to, at, is_checked, operand } => {
                let value = self.value(operand)?;
                number_as(*to, value, *is_checked).map_err(|raised| raised.at(*at))
            }
            Node::Cast { to, at, operand } => {
                let value = self.value(operand)?;
                cast(*to, value).map_err(|raised| raised.at(*at))
            }
            Node::As { to, operand } => {
                let value = self.value(operand)?;
                Ok(if is_of(*to, &value) { value } else { Value::Null })
            }
            Node::Is { to, slot, operand } => {
                let value = self.value(operand)?;
                let is_one = is_of(*to, &value);
                if let Some(slot) = slot.filter(|_| is_one) {
                    self.set(slot, value);
                }
                Ok(Value::Bool(is_one))
            }
            Node::Access { target, slot, rest } => match self.value(target)? {
                Value::Null => Ok(Value::Null),
                value => {
                    self.set(*slot, value);
                    self.value(rest)
                }
            },
            Node::Concat { at, parts } => self.concat(parts).map_err(|raised| raised.at(*at)),
            Node::Formatted { at, value, alignment, format } => {
                let value = self.value(value)?;
                self.formatted(&value, *alignment, format).map(Value::Text).map_err(|raised| raised.at(*at))
            }
            Node::ToText { at, operand } => match self.value(operand)? {
                Value::Null => Ok(Value::Null),
                value => self.written(&value).map(Value::Text).map_err(|raised| raised.at(*at)),
            },
            Node::List { at, elements } => {
                let mut values = Vec::with_capacity(elements.len());
                for element in elements {
                    values.push(self.value(element)?);
                }
                self.list(values).map_err(|raised| raised.at(*at))
            }
            Node::Pattern { at, text, options } => {
                let (text, options) = (self.value(text)?, self.value(options)?);
                self.pattern(&text, &options).map_err(|raised| raised.at(*at))
            }
            Node::Throw { exception, at, message } => {
                let message = match self.value(message)? {
                    Value::Text(text) => text.to_string(),
                    _ => String::new(),
                };
                Err(Raised::new(*exception, message).at(*at))
            }
        }
    }

    fn call(&mut self, node: &CallNode) -> Outcome {
        let on = match &node.on {
            None => Value::Null,
            Some(on) => match self.value(on)? {
                Value::Null if !node.member.takes_null => return Err(Raised::null_reference().at(node.at)),
                value => value,
            },
        };
        let mut arguments = Vec::with_capacity(node.arguments.len());
        for argument in &node.arguments {
            arguments.push(self.value(argument)?);
        }
        let call = Call { on, arguments, lambda: node.lambda.as_ref(), made: node.made };
        let value = (node.member.run)(self, &call).map_err(|raised| raised.at(node.at))?;
        match &node.out {
            None => Ok(value),
            Some((slot, absent)) => {
                let is_there = !value.is_null();
                self.set(*slot, if is_there { value } else { absent.clone() });
                Ok(Value::Bool(is_there))
            }
        }
    }

    fn concat(&mut self, parts: &[Node]) -> Outcome {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            let value = self.value(part)?;
            texts.push(self.written(&value)?);
        }
        let bytes = texts.iter().map(|text| text.len()).sum();
        self.take_bytes(bytes)?;
        let mut joined = String::with_capacity(bytes);
        texts.iter().for_each(|text| joined.push_str(text));
        Ok(Value::Text(joined.into()))
    }

    /// `value` as `{value,alignment:format}` writes it.
    pub(super) fn formatted(&mut self, value: &Value, alignment: i32, format: &str) -> Result<Text, Raised> {
        let text = if format.is_empty() {
            self.written(value)?
        } else {
            let text = formatted(value, format).map_err(|what| Raised::new(Exception::Format, what))?;
            self.take_bytes(text.len())?;
            text.into()
        };
        let width = alignment.unsigned_abs() as usize;
        let length = text.encode_utf16().count();
        if length >= width {
            return Ok(text);
        }
        self.take_bytes(text.len() + width)?;
        let blanks = " ".repeat(width - length);
        Ok(if alignment < 0 { format!("{text}{blanks}") } else { format!("{blanks}{text}") }.into())
    }

    fn pattern(&mut self, text: &Value, options: &Value) -> Outcome {
        let Value::Text(text) = text else { return Err(Raised::argument_null("pattern")) };
        self.take_steps(EXPRESSION_PATTERN_STEPS)?;
        let options = if let Value::Inner(Inner::RegexOptions(options)) = options { *options } else { 0 };
        let pattern = Pattern::made_at_run_time(text, options)
            .map_err(|what| Raised::new(Exception::Argument, what))?;
        Ok(Value::Inner(Inner::Pattern(Arc::new(pattern))))
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// `value.ToString(format)` where a format is given.
pub(super) fn formatted(value: &Value, format: &str) -> Result<String, String> {
    match value {
        Value::Byte(number) => number::formatted(number::Formatted::Int(i32::from(*number)), format),
        Value::Int(number) => number::formatted(number::Formatted::Int(*number), format),
        Value::Long(number) => number::formatted(number::Formatted::Whole(*number), format),
        Value::Double(number) => number::formatted(number::Formatted::Real(*number), format),
        Value::DateTime(time) => time.written(format),
        Value::Guid(guid) => guid.written(format).ok_or_else(|| format!("'{format}' is no format of Guid")),
        Value::TimeSpan(span) if matches!(format, "c" | "t" | "T") => Ok(span.written()),
        Value::TimeSpan(_) => Err(format!("'{format}' is not supported as a format of TimeSpan: use c")),
        // What is no number and no moment does not look at the format.
        other => Ok(other.written().unwrap_or_default().to_string()),
    }
}

/// How two values of one kind stand to each other; `None` if one is null or not a number.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Long(left), Value::Long(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::DateTime(left), Value::DateTime(right)) => Some(left.ticks().cmp(&right.ticks())),
        (Value::TimeSpan(left), Value::TimeSpan(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Outcome {
    let overflow =
        || Raised::new(Exception::ArgumentOutOfRange, "the result is no date between the years 1 and 9999");
    let by_zero = || Raised::new(Exception::DivideByZero, "attempted to divide by zero");
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Value::Int(match operator {
            Operator::Add => left.wrapping_add(*right),
            Operator::Subtract => left.wrapping_sub(*right),
            Operator::Multiply => left.wrapping_mul(*right),
            Operator::Divide | Operator::Remainder if *right == 0 => return Err(by_zero()),
            Operator::Divide | Operator::Remainder if *left == i32::MIN && *right == -1 => {
                return Err(quotient());
            }
            Operator::Divide => left.wrapping_div(*right),
            Operator::Remainder => left.wrapping_rem(*right),
            Operator::And => left & right,
            Operator::Or => left | right,
            Operator::Xor => left ^ right,
        }),
        (Value::Long(left), Value::Long(right)) => Value::Long(match operator {
            Operator::Add => left.wrapping_add(*right),
            Operator::Subtract => left.wrapping_sub(*right),
            Operator::Multiply => left.wrapping_mul(*right),
            Operator::Divide | Operator::Remainder if *right == 0 => return Err(by_zero()),
            Operator::Divide | Operator::Remainder if *left == i64::MIN && *right == -1 => {
                return Err(quotient());
            }
            Operator::Divide => left.wrapping_div(*right),
            Operator::Remainder => left.wrapping_rem(*right),
            Operator::And => left & right,
            Operator::Or => left | right,
            Operator::Xor => left ^ right,
        }),
        (Value::Double(left), Value::Double(right)) => Value::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            Operator::Remainder => left % right,
            Operator::And | Operator::Or | Operator::Xor => return Ok(Value::Null),
        }),
        (Value::Bool(left), Value::Bool(right)) => Value::Bool(match operator {
            Operator::And => left & right,
            Operator::Or => left | right,
            _ => left ^ right,
        }),
        (Value::Inner(Inner::RegexOptions(left)), Value::Inner(Inner::RegexOptions(right))) => {
            Value::Inner(Inner::RegexOptions(left | right))
        }
        (Value::DateTime(left), Value::DateTime(right)) => {
            Value::TimeSpan(crate::policy::date_time::TimeSpan(left.ticks() - right.ticks()))
        }
        (Value::DateTime(left), Value::TimeSpan(right)) => {
            let ticks = if operator == Operator::Add { Some(right.0) } else { right.0.checked_neg() };
            Value::DateTime(ticks.and_then(|ticks| left.plus(ticks)).ok_or_else(overflow)?)
        }
        (Value::TimeSpan(left), Value::TimeSpan(right)) => {
            let ticks = if operator == Operator::Add {
                left.0.checked_add(right.0)
            } else {
                left.0.checked_sub(right.0)
            };
            let too_long = || Raised::new(Exception::Overflow, "the TimeSpan is too long");
            Value::TimeSpan(crate::policy::date_time::TimeSpan(ticks.ok_or_else(too_long)?))
        }
        // A lifted operator of nothing is nothing.
        _ => Value::Null,
    })
}

fn quotient() -> Raised {
    Raised::new(Exception::Overflow, "arithmetic operation resulted in an overflow")
}

/// A number as `to`. Unchecked, it is cut as C# cuts it; a double beyond the range is the end of the range.
pub(super) fn number_as(to: Kind, value: Value, is_checked: bool) -> Outcome {
    let whole = match &value {
        Value::Byte(number) => i64::from(*number),
        Value::Int(number) => i64::from(*number),
        Value::Long(number) => *number,
        Value::Char(character) => i64::from(u32::from(*character)),
        Value::Double(number) => {
            let number = *number;
            if is_checked && to != Kind::Double && !(number.is_finite() && number.abs() < 9.2e18) {
                return Err(Raised::new(Exception::Overflow, "the number does not fit"));
            }
            return match to {
                Kind::Double => Ok(Value::Double(number)),
                // C#'s Convert rounds halves to even, its casts cut.
                _ if is_checked => number_as(to, Value::Long(number.round_ties_even() as i64), true),
                Kind::Int => Ok(Value::Int(number as i32)),
                Kind::Long => Ok(Value::Long(number as i64)),
                _ => number_as(to, Value::Long(number as i64), false),
            };
        }
        _ => return Ok(value),
    };
    let overflow = || Raised::new(Exception::Overflow, "the number does not fit");
    Ok(match to {
        Kind::Byte if is_checked => Value::Byte(u8::try_from(whole).map_err(|_| overflow())?),
        Kind::Byte => Value::Byte(whole as u8),
        Kind::Int if is_checked => Value::Int(i32::try_from(whole).map_err(|_| overflow())?),
        Kind::Int => Value::Int(whole as i32),
        Kind::Long => Value::Long(whole),
        Kind::Double => Value::Double(whole as f64),
        Kind::Char => {
            Value::Char(char::from_u32(whole as u32 & 0xffff).ok_or_else(|| {
                Raised::new(Exception::NotSupported, "half a pair of UTF-16 is no char here")
            })?)
        }
        _ => value,
    })
}

/// An object as `to`, as unboxing and casts of classes have it.
pub(super) fn cast(to: Type, value: Value) -> Outcome {
    match value {
        Value::Null if to.can_be_null() => Ok(Value::Null),
        Value::Null => Err(Raised::null_reference()),
        value if is_of(to, &value) => Ok(value),
        value => {
            let message = format!("unable to cast object of type '{}' to type '{to}'", name_of(&value));
            Err(Raised::new(Exception::InvalidCast, message))
        }
    }
}

/// Whether `value`, which is not null, is a `to`.
pub(super) fn is_of(to: Type, value: &Value) -> bool {
    match to {
        Type::One(Kind::Object) => !value.is_null(),
        Type::One(kind) | Type::Nullable(kind) => kind_of(value) == Some(kind),
        Type::Array(element) | Type::List(element) | Type::Sequence(element) => match value {
            Value::List(elements) => {
                elements.iter().all(|value| value.is_null() || is_of(Type::One(element), value))
            }
            _ => false,
        },
        Type::Null | Type::Void | Type::Never | Type::Class(_) => false,
    }
}

fn kind_of(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Bool(_) => Kind::Bool,
        Value::Byte(_) => Kind::Byte,
        Value::Int(_) => Kind::Int,
        Value::Long(_) => Kind::Long,
        Value::Double(_) => Kind::Double,
        Value::Char(_) => Kind::Char,
        Value::Text(_) => Kind::Text,
        Value::DateTime(_) => Kind::DateTime,
        Value::TimeSpan(_) => Kind::TimeSpan,
        Value::Guid(_) => Kind::Guid,
        Value::Uri(_) => Kind::Uri,
        Value::Jwt(_) => Kind::Jwt,
        Value::Basic(_) => Kind::Basic,
        Value::Inner(Inner::Comparison(_)) => Kind::Comparison,
        Value::Inner(Inner::DayOfWeek(_)) => Kind::DayOfWeek,
        Value::Inner(Inner::Match(_)) => Kind::Match,
        Value::Inner(Inner::Pattern(_)) => Kind::Regex,
        Value::Null | Value::List(_) | Value::Inner(_) => return None,
    })
}

fn name_of(value: &Value) -> &'static str {
    match (value, kind_of(value)) {
        (_, Some(kind)) => kind.name(),
        (Value::List(_), None) => "array",
        (_, None) => "object",
    }
}
