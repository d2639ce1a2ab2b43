//! Calls of members: chooses the member and the overload, and converts the arguments.

use super::names::nearest;
use super::{Checked, Checker, Section};
use crate::policy::expression::code::{CallNode, Lambda, Node};
use crate::policy::expression::fault::At;
use crate::policy::expression::members::{self, Member, Takes, default_of_type};
use crate::policy::expression::pattern::Pattern;
use crate::policy::expression::syntax::{Expr, ExprKind, TypeName};
use crate::policy::expression::types::{Kind, Type};
use crate::policy::expression::value::{Inner, Value};

use std::sync::Arc;

/// An argument before its member is known.
enum Argument<'e> {
    Value(Node, Type),
    /// Its parameter's type comes from the member.
    Lambda {
        parameter: &'e str,
        body: &'e Expr,
    },
    Out {
        of: Option<Type>,
        name: &'e str,
    },
}

/// The distance that arguments add that become `params`. Each conversion counts for more.
const EXPANDED: u32 = 1;

/// The distance that a conversion adds for each step of its own distance.
const CONVERSION: u32 = 2;

impl Checker {
    /// `target.name`, not called.
    pub(super) fn member(&mut self, at: At, target: &Expr, name: &str, types: &[TypeName]) -> Checked {
        if let Some(kind) = self.class(target) {
            return self.property(at, None, Type::Class(kind), name);
        }
        let (node, of) = self.value(target)?;
        if !types.is_empty() {
            return self.fault(at, format!("{name}<…> is called: {name}<…>(…)"));
        }
        self.property(at, Some(node), of, name)
    }

    fn property(&mut self, at: At, on: Option<Node>, of: Type, name: &str) -> Checked {
        let Some(member) = members::of(of).find(|member| member.name == name && member.takes.is_none())
        else {
            if members::of(of).any(|member| member.name == name) {
                return self.fault(at, format!("{of}.{name} is a method: call it, {name}(…)"));
            }
            return self.unknown(at, of, name);
        };
        if of == Type::One(Kind::Context)
            && name == "Response"
            && matches!(self.section, Section::Inbound | Section::Backend)
        {
            return self.fault(at, "context.Response exists in outbound and on-error only");
        }
        let element = of.element().or(of.kind());
        let gives = member.gives.filled(element, None);
        let node = CallNode { member, at, on, arguments: Vec::new(), lambda: None, made: None, out: None };
        Some((self.folded(Node::Call(Box::new(node))), gives))
    }

    fn unknown(&mut self, at: At, of: Type, name: &str) -> Checked {
        if let Type::Nullable(kind) = of
            && members::of(Type::One(kind)).any(|member| member.name == name)
        {
            return self.fault(at, format!("{of} can be null: use .Value.{name} or ?.{name}"));
        }
        if of == Type::One(Kind::Object) {
            return self.fault(at, format!("an object has no {name}: cast it first, ((string)…).{name}"));
        }
        let nearest = nearest(name, members::of(of).map(|member| member.name));
        let what = if name == "[]" { "an index".to_owned() } else { name.to_owned() };
        self.fault(at, format!("{of} has no {what}{nearest}"))
    }

    /// `target(arguments)`.
    pub(super) fn call(&mut self, at: At, target: &Expr, arguments: &[Expr]) -> Checked {
        match &target.kind {
            ExprKind::Member { target: on, name, types } => {
                if let Some(kind) = self.class(on) {
                    return self.call_static(at, kind, name, arguments);
                }
                let on = self.value(on)?;
                self.call_of(at, on, name, types, arguments)
            }
            ExprKind::Name(name) => {
                self.fault(at, format!("there is no function {name}: members are called on something"))
            }
            _ => self.fault(at, "only a member can be called"),
        }
    }

    pub(super) fn call_static(&mut self, at: At, class: Kind, name: &str, arguments: &[Expr]) -> Checked {
        self.overloaded(at, None, Type::Class(class), name, &[], arguments)
    }

    pub(super) fn call_of(
        &mut self,
        at: At,
        (on, of): (Node, Type),
        name: &str,
        types: &[TypeName],
        arguments: &[Expr],
    ) -> Checked {
        self.overloaded(at, Some(on), of, name, types, arguments)
    }

    fn overloaded(
        &mut self,
        at: At,
        on: Option<Node>,
        of: Type,
        name: &str,
        types: &[TypeName],
        arguments: &[Expr],
    ) -> Checked {
        let given = self.arguments(arguments)?;
        let named = match types {
            [] => None,
            [one] => match self.type_named(one)? {
                Type::One(kind) => Some(kind),
                of => return self.fault(one.at, format!("{of} is not supported here")),
            },
            [_, more, ..] => return self.fault(more.at, "one type is expected here"),
        };
        if !members::of(of).any(|member| member.name == name && member.takes.is_some()) {
            if name == "new" {
                return self.fault(at, format!("{of} has no constructor here"));
            }
            if members::of(of).any(|member| member.name == name) {
                return self.fault(at, format!("{of}.{name} is a property: leave out the ()"));
            }
            return self.unknown(at, of, name);
        }
        let element = of.element().or(of.kind());
        let candidates = members::of(of).filter(|member| member.name == name);
        let fits = candidates.filter_map(|member| Some((distance(member, &given, element, named)?, member)));
        let Some((_, member)) = fits.min_by_key(|(distance, _)| *distance) else {
            return self.no_overload(at, of, name, &given);
        };
        self.chosen(at, on, member, element, named, arguments, given)
    }

    fn no_overload(&mut self, at: At, of: Type, name: &str, given: &[Argument<'_>]) -> Checked {
        let given: Vec<String> = given.iter().map(Argument::shown).collect();
        let known: Vec<String> = members::of(of)
            .filter(|member| member.name == name && member.takes.is_some())
            .map(Member::to_string)
            .collect();
        let generic = if name == "GetValueOrDefault" && of == Type::One(Kind::Variables) {
            "; write the type, GetValueOrDefault<string>(…)"
        } else {
            ""
        };
        self.fault(
            at,
            format!("no {name} takes ({}); known is {}{generic}", given.join(", "), known.join(" and ")),
        )
    }

    fn arguments<'e>(&mut self, arguments: &'e [Expr]) -> Option<Vec<Argument<'e>>> {
        let checked: Vec<Option<Argument<'e>>> = arguments
            .iter()
            .map(|argument| match &argument.kind {
                ExprKind::Lambda { parameter, body } => Some(Argument::Lambda { parameter, body }),
                ExprKind::Out { of, name } => {
                    let of = match of {
                        Some(named) => Some(self.type_named(named)?),
                        None => None,
                    };
                    Some(Argument::Out { of, name })
                }
                _ => self.value(argument).map(|(node, of)| Argument::Value(node, of)),
            })
            .collect();
        checked.into_iter().collect()
    }

    /// The call of `member`, every argument converted to what it takes.
    #[expect(clippy::too_many_arguments, reason = "all that was found out about one call")]
    fn chosen(
        &mut self,
        at: At,
        on: Option<Node>,
        member: &'static Member,
        element: Option<Kind>,
        named: Option<Kind>,
        written: &[Expr],
        given: Vec<Argument<'_>>,
    ) -> Checked {
        let takes = member.takes.unwrap_or_default();
        let is_generic = takes.contains(&Takes::A(Type::One(Kind::Made)));
        let mut call =
            CallNode { member, at, on, arguments: Vec::new(), lambda: None, made: named, out: None };
        let mut given = given.into_iter().zip(written);
        let mut patterns = Vec::new();
        for takes in takes {
            if let Takes::Rest(of) = takes {
                let rest = self.rest(at, *of, &mut given)?;
                call.arguments.push(rest);
                continue;
            }
            let (argument, written) = given.next()?;
            match (takes, argument) {
                (Takes::A(to), Argument::Value(node, from)) => {
                    if is_generic && *to == Type::One(Kind::Made) && call.made.is_none() {
                        call.made = from.kind();
                    }
                    let to = to.filled(element.or(from.element()), call.made);
                    call.arguments.push(self.converted(node, from, to)?);
                }
                (Takes::Pattern, Argument::Value(node, _)) => {
                    patterns.push((call.arguments.len(), written.at));
                    call.arguments.push(node);
                }
                (Takes::Lambda(wanted), Argument::Lambda { parameter, body }) => {
                    let (lambda, made) = self.lambda(written.at, parameter, body, element?, *wanted)?;
                    if *wanted == Kind::Made {
                        call.made = Some(made);
                    }
                    call.lambda = Some(lambda);
                }
                (Takes::Out(given), Argument::Out { of, name }) => {
                    call.out = Some((self.out(written.at, *given, of, name)?, default_of_type(*given)));
                }
                _ => return None,
            }
        }
        for (index, at) in patterns {
            self.pattern(&mut call, index, at)?;
        }
        self.check_constants(&call)?;
        call.made = call.made.or(element);
        let gives =
            if call.out.is_some() { Type::One(Kind::Bool) } else { member.gives.filled(element, call.made) };
        Some((self.folded(Node::Call(Box::new(call))), gives))
    }

    /// The array that the rest of the arguments make, or the array that was given for them.
    fn rest<'e>(
        &mut self,
        at: At,
        of: Type,
        given: &mut impl Iterator<Item = (Argument<'e>, &'e Expr)>,
    ) -> Option<Node> {
        let mut elements = Vec::new();
        for (argument, _) in given {
            let Argument::Value(node, from) = argument else { return None };
            if is_array_of(from, of) {
                return Some(node);
            }
            elements.push(self.converted(node, from, of)?);
        }
        Some(self.folded(Node::List { at, elements }))
    }

    fn lambda(
        &mut self,
        at: At,
        parameter: &str,
        body: &Expr,
        element: Kind,
        wanted: Kind,
    ) -> Option<(Lambda, Kind)> {
        let before = self.locals.len();
        let slot = self.declare(at, parameter, Some(Type::One(element)));
        let checked = self.value(body);
        self.locals.truncate(before);
        let (node, of) = checked?;
        match of {
            Type::One(made) if wanted == Kind::Made || wanted == made => {
                Some((Lambda { slot, body: node }, made))
            }
            Type::Never if wanted == Kind::Bool => Some((Lambda { slot, body: node }, wanted)),
            _ if wanted == Kind::Bool => {
                self.fault(body.at, format!("this lambda gives a bool, here it is {of}"))
            }
            _ => self.fault(body.at, format!("a lambda that gives {of} is not supported")),
        }
    }

    /// The slot of an `out` variable, which is of type `given`.
    fn out(&mut self, at: At, given: Type, of: Option<Type>, name: &str) -> Option<usize> {
        if let Some(of) = of.filter(|of| *of != given) {
            return self.fault(at, format!("{given} is given back here, not {of}"));
        }
        let known = self.locals.iter().find(|local| local.name == name).map(|local| (local.slot, local.of));
        match known {
            // `out name`, of a variable that there is.
            Some((slot, Some(known))) if of.is_none() && known == given => Some(slot),
            Some((_, None)) => None,
            _ => Some(self.declare(at, name, Some(given))),
        }
    }

    /// Makes the argument at `index` a compiled regular expression.
    fn pattern(&mut self, call: &mut CallNode, index: usize, at: At) -> Option<()> {
        let is_options = |node: &Node| matches!(node, Node::Constant(Value::Inner(Inner::RegexOptions(_))));
        let takes_options =
            call.member.takes.unwrap_or_default().contains(&Takes::A(Type::One(Kind::RegexOptions)));
        let options = match call.arguments.last() {
            Some(Node::Constant(Value::Inner(Inner::RegexOptions(options)))) if takes_options => *options,
            Some(node) if takes_options && !is_options(node) => {
                return self.fault(at, "RegexOptions are written out here");
            }
            Some(_) | None => 0,
        };
        let text = std::mem::replace(call.arguments.get_mut(index)?, Node::Constant(Value::Null));
        let node = match text {
            Node::Constant(Value::Text(text)) => match Pattern::written_out(&text, options) {
                Ok(pattern) => Node::Constant(Value::Inner(Inner::Pattern(Arc::new(pattern)))),
                Err(what) => return self.fault(at, format!("in this regular expression: {what}")),
            },
            text => {
                let options = Box::new(Node::Constant(Value::Inner(Inner::RegexOptions(options))));
                Node::Pattern { at, text: Box::new(text), options }
            }
        };
        *call.arguments.get_mut(index)? = node;
        Some(())
    }

    /// Says what is wrong with arguments that are written out.
    fn check_constants(&mut self, call: &CallNode) -> Option<()> {
        let Some(check) = call.member.check else { return Some(()) };
        let known = |node: &Node| if let Node::Constant(value) = node { value.clone() } else { Value::Null };
        let known: Vec<Value> = call.arguments.iter().map(known).collect();
        match check(&known) {
            Ok(()) => Some(()),
            Err(what) => self.fault(call.at, what),
        }
    }

    /// `target?.rest`.
    pub(super) fn access(&mut self, target: &Expr, rest: &Expr) -> Checked {
        let (node, of) = self.value(target)?;
        if !of.can_be_null() || of == Type::Null {
            return self.fault(rest.at, format!("?. stands behind what can be null, {of} cannot: use ."));
        }
        let slot = self.slot();
        self.it.push((slot, of.not_null()));
        let checked = self.expression(rest);
        self.it.pop();
        let (rest, gives) = checked?;
        let node = Node::Access { target: Box::new(node), slot, rest: Box::new(rest) };
        Some((node, gives.or_null()))
    }
}

impl Argument<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Value(_, of) => of.to_string(),
            Self::Lambda { .. } => "lambda".to_owned(),
            Self::Out { name, .. } => format!("out {name}"),
        }
    }
}

fn is_array_of(from: Type, of: Type) -> bool {
    match (from, of) {
        (Type::Array(element), Type::One(kind)) => {
            element == kind || kind == Kind::Object && !element.is_struct()
        }
        _ => false,
    }
}

/// How far `given` is from what `member` takes. `None`: it does not take them.
fn distance(
    member: &Member,
    given: &[Argument<'_>],
    element: Option<Kind>,
    named: Option<Kind>,
) -> Option<u32> {
    let takes = member.takes?;
    // A type in <…> belongs to a member that makes something of it.
    if named.is_some() && member.gives != Type::One(Kind::Made) {
        return None;
    }
    let mut made = named;
    let mut distance = 0;
    let mut given = given.iter();
    for takes in takes {
        if let Takes::Rest(of) = takes {
            return Some(distance + rest_distance(*of, given.as_slice())?);
        }
        distance += match (takes, given.next()?) {
            // Of a class, which has no elements: a sequence of whatever it is.
            (Takes::A(Type::Sequence(Kind::Element)), Argument::Value(_, from)) if element.is_none() => {
                from.element()?;
                1
            }
            (Takes::A(Type::One(Kind::Made)), Argument::Value(_, Type::One(kind))) if made.is_none() => {
                made = Some(*kind);
                0
            }
            (Takes::A(to), Argument::Value(_, from)) => {
                CONVERSION * u32::from(from.distance(to.filled(element, made))?)
            }
            (Takes::Pattern, Argument::Value(_, from)) => {
                CONVERSION * u32::from(from.distance(Type::One(Kind::Text))?)
            }
            (Takes::Lambda(_), Argument::Lambda { .. }) | (Takes::Out(_), Argument::Out { .. }) => 0,
            _ => return None,
        };
    }
    let is_inferred = member.gives != Type::One(Kind::Made)
        || made.is_some()
        || takes.iter().any(|takes| matches!(takes, Takes::Lambda(_)));
    (given.next().is_none() && is_inferred).then_some(distance)
}

/// How far the arguments are from `params of[]`.
fn rest_distance(of: Type, given: &[Argument<'_>]) -> Option<u32> {
    if let [Argument::Value(_, from)] = given
        && is_array_of(*from, of)
    {
        return Some(0);
    }
    given.iter().try_fold(EXPANDED, |sum, argument| match argument {
        Argument::Value(_, from) => Some(sum + CONVERSION * u32::from(from.distance(of)?)),
        Argument::Lambda { .. } | Argument::Out { .. } => None,
    })
}
