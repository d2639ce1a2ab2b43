//! Gives every name of an expression its meaning and every part its type, at publish.
//!
//! An expression that passes cannot meet an unknown member, a wrong number of arguments or a value of the wrong type at a
//! handshake. Parts without context become constants. Faults are collected: a part with a fault is left out, and parts that use
//! it report no fault of their own.
//!
//! Not here: what the members are (`members`), which type converts to which (`types`).

mod calls;
mod names;
mod operators;
mod statements;

use super::code::{Node, Step};
use super::context::{Context, ExpressionHost};
use super::fault::{At, Exception, Fault};
use super::lexer::Number;
use super::members::default_of;
use super::parser::Syntax;
use super::run::{self, Run};
use super::syntax::{Expr, ExprKind, InterpolatedPiece, TypeName};
use super::types::{Kind, Type};
use super::value::{Part, Value};
use super::{Section, Wanted};
use crate::limits::{EXPRESSION_FAULTS_MAX, EXPRESSION_MEMORY_BYTES_MAX, EXPRESSION_STEPS_MAX};

/// A checked part; `None` if it has a fault.
type Checked = Option<(Node, Type)>;

/// A checked expression.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) body: Body,
    /// Variables, parameters of lambdas and what stands before `?.`.
    pub(super) slots: usize,
}

#[derive(Debug)]
pub(super) enum Body {
    Single(Node),
    Block(Vec<Step>),
}

/// Checks `syntax`, whose value is `wanted` in `section`.
pub(super) fn check(syntax: &Syntax, wanted: Wanted, section: Section) -> Result<Program, Vec<Fault>> {
    let mut checker = Checker {
        section,
        wanted,
        faults: Vec::new(),
        locals: Vec::new(),
        slots: 0,
        it: Vec::new(),
        folding: (EXPRESSION_STEPS_MAX, EXPRESSION_MEMORY_BYTES_MAX),
    };
    let body = match syntax {
        Syntax::Single(expression) => {
            let checked = checker.expression(expression);
            checked.and_then(|checked| checker.result(checked, expression.at)).map(Body::Single)
        }
        Syntax::Block(statements) => checker.body(statements).map(Body::Block),
    };
    match body {
        Some(body) if checker.faults.is_empty() => Ok(Program { body, slots: checker.slots }),
        _ => {
            debug_assert!(!checker.faults.is_empty(), "a part is left out although no fault says so");
            if checker.faults.is_empty() {
                checker.fault::<()>(0, "this expression cannot be checked");
            }
            checker.faults.sort_by_key(|fault| fault.at);
            checker.faults.truncate(EXPRESSION_FAULTS_MAX);
            Err(checker.faults)
        }
    }
}

struct Checker {
    section: Section,
    wanted: Wanted,
    faults: Vec<Fault>,
    /// The variables in scope, the innermost last.
    locals: Vec<Local>,
    slots: usize,
    /// The values of `It`, the innermost last.
    it: Vec<(usize, Type)>,
    /// Steps and bytes that are left for constants.
    folding: (u32, usize),
}

struct Local {
    name: String,
    slot: usize,
    /// `None`: its declaration has a fault.
    of: Option<Type>,
}

/// Nothing comes from outside while constants are computed.
struct Nothing;

impl ExpressionHost for Nothing {
    fn random_bits(&mut self) -> u64 {
        0
    }

    fn trace(&mut self, _: &str) {}
}

impl Checker {
    fn fault<T>(&mut self, at: At, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(at, message));
        None
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    /// Declares a variable.
    fn declare(&mut self, at: At, name: &str, of: Option<Type>) -> usize {
        if self.locals.iter().any(|local| local.name == name) {
            self.fault::<()>(at, format!("{name} is declared already"));
        }
        let slot = self.slot();
        self.locals.push(Local { name: name.to_owned(), slot, of });
        slot
    }

    /// The value of the whole expression as it is wanted.
    fn result(&mut self, (node, of): (Node, Type), at: At) -> Option<Node> {
        if of == Type::Never {
            return Some(node);
        }
        match self.wanted {
            Wanted::Bool if of == Type::One(Kind::Bool) => Some(node),
            Wanted::Bool => {
                self.fault(at, format!("a bool is wanted here, this is {}{}", of, hint(of, "(bool)")))
            }
            Wanted::Int if of.converts_to(Type::One(Kind::Int)) => {
                self.converted(node, of, Type::One(Kind::Int))
            }
            Wanted::Int => {
                self.fault(at, format!("an int is wanted here, this is {}{}", of, hint(of, "(int)")))
            }
            Wanted::Text if matches!(of, Type::One(Kind::Text) | Type::Null) => Some(node),
            Wanted::Text => {
                self.text_of(&node, of, at)?;
                Some(self.folded(Node::ToText { at, operand: Box::new(node) }))
            }
            Wanted::Kept => {
                let can_be_kept =
                    of == Type::Null || of.kind().or(of.element()).is_some_and(Kind::can_be_kept);
                let is_value = !matches!(of, Type::Void | Type::Class(_));
                if can_be_kept && is_value {
                    return Some(node);
                }
                self.fault(at, format!("{of} cannot be kept in a variable: keep a member of it"))
            }
        }
    }

    /// Says that `of` has no text, if it has none.
    fn text_of(&mut self, node: &Node, of: Type, at: At) -> Option<()> {
        use Kind::{
            Bool, Byte, Char, DateTime, DayOfWeek, Double, Group, Guid, Int, Long, Match, Object, Regex,
            Text, TimeSpan, Uri,
        };
        // Null has none, and is written as nothing.
        if of == Type::Null || matches!(node, Node::Constant(Value::Text(_))) {
            return Some(());
        }
        let kind = of.kind();
        let is_written = kind.is_some_and(|kind| {
            matches!(
                kind,
                Bool | Byte
                    | Char
                    | DateTime
                    | DayOfWeek
                    | Double
                    | Group
                    | Guid
                    | Int
                    | Long
                    | Match
                    | Object
                    | Regex
                    | Text
                    | TimeSpan
                    | Uri
            )
        });
        if is_written {
            return Some(());
        }
        let help = if of.element().is_some() { ": use string.Join(\",\", …)" } else { "" };
        self.fault(at, format!("{of} has no text of its own{help}"))
    }

    fn expression(&mut self, expression: &Expr) -> Checked {
        let at = expression.at;
        let one = |kind| Type::One(kind);
        match &expression.kind {
            ExprKind::Null => Some((Node::Constant(Value::Null), Type::Null)),
            ExprKind::Bool(value) => Some((Node::Constant(Value::Bool(*value)), one(Kind::Bool))),
            ExprKind::Text(text) => Some((Node::Constant(Value::text(text)), one(Kind::Text))),
            ExprKind::Char(character) => Some((Node::Constant(Value::Char(*character)), one(Kind::Char))),
            ExprKind::Number(Number::Int(number)) => {
                Some((Node::Constant(Value::Int(*number)), one(Kind::Int)))
            }
            ExprKind::Number(Number::Double(number)) => {
                Some((Node::Constant(Value::Double(*number)), one(Kind::Double)))
            }
            ExprKind::Number(Number::TooLargeByOne(i64::MIN)) => {
                self.fault(at, "this number does not fit a long")
            }
            ExprKind::Number(Number::Long(number) | Number::TooLargeByOne(number)) => {
                Some((Node::Constant(Value::Long(*number)), one(Kind::Long)))
            }
            ExprKind::Interpolated(pieces) => self.interpolated(at, pieces),
            ExprKind::Name(name) => self.name(at, name),
            ExprKind::Member { target, name, types } => self.member(at, target, name, types),
            ExprKind::Call { target, arguments } => self.call(at, target, arguments),
            ExprKind::Index { target, arguments } => {
                let target = self.expression(target)?;
                self.call_of(at, target, "[]", &[], arguments)
            }
            ExprKind::Access { target, rest } => self.access(target, rest),
            ExprKind::It => self.it.last().map(|(slot, of)| (Node::Local(*slot), *of)),
            ExprKind::Unary { sign, operand } => self.unary(at, sign, operand),
            ExprKind::Binary { sign, left, right } => self.binary(at, sign, left, right),
            ExprKind::Conditional { condition, then, otherwise } => {
                self.conditional(at, condition, then, otherwise)
            }
            ExprKind::Cast { to, operand } => self.cast(at, to, operand),
            ExprKind::As { operand, to } => self.as_type(at, operand, to),
            ExprKind::Is { operand, to, name } => self.is_type(at, operand, to, name.as_deref()),
            ExprKind::IsNull { operand } => {
                let (operand, _) = self.value(operand)?;
                let (left, right) = (Box::new(operand), Box::new(Node::Constant(Value::Null)));
                Some((self.folded(Node::Equal { is_negated: false, left, right }), one(Kind::Bool)))
            }
            ExprKind::Lambda { .. } => self.fault(at, "a lambda stands only where a member takes one"),
            ExprKind::Out { .. } => {
                self.fault(at, "out stands only where a member gives something back there")
            }
            ExprKind::New { of, arguments } => {
                let Type::One(kind) = self.type_named(of)? else {
                    return self.fault(at, "only a type with a constructor can be made");
                };
                self.call_static(of.at, kind, "new", arguments)
            }
            ExprKind::NewArray { of, elements } => self.array(at, of.as_ref(), elements),
            ExprKind::Throw { exception, arguments } => self.throw(at, exception, arguments),
        }
    }

    /// An expression that has a value.
    fn value(&mut self, expression: &Expr) -> Checked {
        let (node, of) = self.expression(expression)?;
        match of {
            Type::Void => self.fault(expression.at, "this call has no value"),
            Type::Class(kind) => {
                self.fault(expression.at, format!("{} is a type, a value is wanted here", kind.name()))
            }
            _ => Some((node, of)),
        }
    }

    /// An expression that is true or false.
    fn condition(&mut self, expression: &Expr) -> Option<Node> {
        let (node, of) = self.value(expression)?;
        if matches!(of, Type::One(Kind::Bool) | Type::Never) {
            return Some(node);
        }
        self.fault(expression.at, format!("a bool is wanted here, this is {}{}", of, hint(of, "(bool)")))
    }

    fn interpolated(&mut self, at: At, pieces: &[InterpolatedPiece]) -> Checked {
        let mut parts = Vec::with_capacity(pieces.len());
        let mut is_whole = true;
        for piece in pieces {
            let part = match piece {
                InterpolatedPiece::Text(text) => Some(Node::Constant(Value::text(text))),
                InterpolatedPiece::Hole { value, alignment, format } => {
                    self.hole(value, *alignment, format.as_deref())
                }
            };
            is_whole &= part.is_some();
            parts.extend(part);
        }
        is_whole.then_some(())?;
        Some((self.folded(Node::Concat { at, parts }), Type::One(Kind::Text)))
    }

    fn hole(&mut self, value: &Expr, alignment: i32, format: Option<&str>) -> Option<Node> {
        let at = value.at;
        let (node, of) = self.value(value)?;
        self.text_of(&node, of, at)?;
        let format = format.unwrap_or_default();
        if alignment == 0 && format.is_empty() {
            return Some(node);
        }
        let like = of.kind().map_or(Value::Null, default_of);
        if let Some(what) = Some(format)
            .filter(|format| !format.is_empty())
            .and_then(|format| run::formatted(&like, format).err())
        {
            return self.fault(at, what);
        }
        Some(self.folded(Node::Formatted { at, value: Box::new(node), alignment, format: format.to_owned() }))
    }

    fn array(&mut self, at: At, of: Option<&TypeName>, elements: &[Expr]) -> Checked {
        let checked: Vec<Checked> = elements.iter().map(|element| self.value(element)).collect();
        let checked = checked.into_iter().collect::<Option<Vec<_>>>()?;
        let of = match of {
            Some(named) => self.type_named(named)?,
            None => {
                let mut types = checked.iter().map(|(_, of)| *of);
                let first = types.next();
                match types.try_fold(first?, Type::common) {
                    Some(of) => of,
                    None => {
                        return self
                            .fault(at, "the elements have no type in common: write it, new object[] { … }");
                    }
                }
            }
        };
        let Type::One(kind) = of else { return self.fault(at, format!("an array of {of} is not supported")) };
        let mut nodes = Vec::with_capacity(checked.len());
        for ((node, from), element) in checked.into_iter().zip(elements) {
            match self.converted(node, from, of) {
                Some(node) => nodes.push(node),
                None => return self.fault(element.at, format!("{from} does not convert to {of}")),
            }
        }
        Some((self.folded(Node::List { at, elements: nodes }), Type::Array(kind)))
    }

    fn throw(&mut self, at: At, exception: &TypeName, arguments: &[Expr]) -> Checked {
        let short = exception.name.rsplit('.').next().unwrap_or_default();
        let Some(known) = Exception::THROWABLE.into_iter().find(|known| known.name() == short) else {
            let known = Exception::THROWABLE.map(Exception::name).join(", ");
            return self.fault(exception.at, format!("{short} cannot be thrown here; known are {known}"));
        };
        let message = match arguments {
            [] => Node::Constant(Value::text("")),
            [message] => {
                let (node, of) = self.value(message)?;
                if !of.converts_to(Type::One(Kind::Text)) {
                    return self
                        .fault(message.at, format!("the message of an exception is a string, this is {of}"));
                }
                node
            }
            [_, more, ..] => return self.fault(more.at, "an exception takes its message and nothing else"),
        };
        Some((Node::Throw { exception: known, at, message: Box::new(message) }, Type::Never))
    }

    /// `node` with the conversion written out; `None` if there is none.
    fn converted(&mut self, node: Node, from: Type, to: Type) -> Option<Node> {
        from.distance(to)?;
        let wider =
            to.kind().filter(|to| to.width().is_some() && from.kind() != Some(*to) && from.kind().is_some());
        Some(match wider {
            Some(to) => self.folded(Node::Number { to, at: 0, is_checked: false, operand: Box::new(node) }),
            None => node,
        })
    }

    /// `node` as a constant, if all it is made of is.
    fn folded(&mut self, node: Node) -> Node {
        if !is_foldable(&node) {
            return node;
        }
        let context = Context::default();
        let mut nothing = Nothing;
        let mut run = Run::new(&context, &mut nothing, 0, self.folding);
        let value = run.value(&node);
        self.folding = run.left();
        match value {
            Ok(value) => Node::Constant(value),
            // It throws when it gets there, as it would in C#.
            Err(_) => node,
        }
    }
}

/// Returns a hint for an object where another type is wanted.
fn hint(of: Type, cast: &str) -> String {
    if of == Type::One(Kind::Object) { format!(": cast it, {cast}…") } else { String::new() }
}

/// `context`, which is a value like others.
fn context() -> (Node, Type) {
    (Node::Constant(Value::part(Part::Context)), Type::One(Kind::Context))
}

/// Whether a node can be computed at publish: its parts are constants, and nothing in it varies.
fn is_foldable(node: &Node) -> bool {
    let is_constant = |node: &Node| matches!(node, Node::Constant(_));
    match node {
        Node::Constant(_)
        | Node::Local(_)
        | Node::Access { .. }
        | Node::Throw { .. }
        | Node::Pattern { .. } => false,
        Node::Is { slot, operand, .. } => slot.is_none() && is_constant(operand),
        Node::Call(call) => {
            call.member.is_pure
                && call.lambda.is_none()
                && call.out.is_none()
                && call.on.iter().chain(&call.arguments).all(is_constant)
        }
        Node::Not(operand)
        | Node::Negate(operand)
        | Node::Number { operand, .. }
        | Node::Cast { operand, .. }
        | Node::As { operand, .. }
        | Node::ToText { operand, .. }
        | Node::Formatted { value: operand, .. } => is_constant(operand),
        Node::And(left, right)
        | Node::Or(left, right)
        | Node::Arithmetic { left, right, .. }
        | Node::Compare { left, right, .. }
        | Node::Equal { left, right, .. }
        | Node::Coalesce(left, right) => is_constant(left) && is_constant(right),
        Node::Conditional { condition, then, otherwise } => {
            [condition, then, otherwise].into_iter().all(|node| is_constant(node))
        }
        Node::Concat { parts, .. } | Node::List { elements: parts, .. } => parts.iter().all(is_constant),
    }
}
