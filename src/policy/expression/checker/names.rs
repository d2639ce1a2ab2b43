//! Resolves names: variables, `context`, types and their namespaces; and suggests the name that a wrong one may have been meant
//! to be.

use super::{Checked, Checker, context};
use crate::policy::expression::code::Node;
use crate::policy::expression::fault::At;
use crate::policy::expression::syntax::{Expr, ExprKind, TypeName};
use crate::policy::expression::types::{Kind, NAMED, NAMESPACES, Type, UNSUPPORTED};

impl Checker {
    /// A name on its own.
    pub(super) fn name(&mut self, at: At, name: &str) -> Checked {
        if let Some(local) = self.locals.iter().rev().find(|local| local.name == name) {
            return Some((Node::Local(local.slot), local.of?));
        }
        if name == "context" {
            return Some(context());
        }
        if let Some(kind) = kind_named(name) {
            return self.fault(at, format!("{} is a type, a value is wanted here", kind.name()));
        }
        if UNSUPPORTED.contains(&name) {
            return self.fault(at, format!("{name} is not supported"));
        }
        let known = self.locals.iter().map(|local| local.name.as_str()).chain(["context"]);
        let known = known.chain(NAMED.iter().map(|(name, _)| *name));
        let nearest = nearest(name, known);
        self.fault(at, format!("{name} is not known{nearest}"))
    }

    /// The class that `expression` names: `Guid`, `System.Guid`.
    pub(super) fn class(&self, expression: &Expr) -> Option<Kind> {
        let path = path(expression)?;
        let first = path.split('.').next()?;
        if self.locals.iter().any(|local| local.name == first) {
            return None;
        }
        kind_named(&path)
    }

    /// The type that is written there.
    pub(super) fn type_named(&mut self, named: &TypeName) -> Option<Type> {
        let at = named.at;
        let short = named.name.rsplit('.').next().unwrap_or_default();
        let of = match (short, named.parameters.as_slice()) {
            (_, []) => match kind_named(&named.name) {
                Some(kind) => Type::One(kind),
                None if UNSUPPORTED.contains(&short) => {
                    return self.fault(at, format!("{short} is not supported"));
                }
                None => {
                    let nearest = nearest(short, NAMED.iter().map(|(name, _)| *name));
                    return self.fault(at, format!("the type {} is not known{nearest}", named.name));
                }
            },
            ("IEnumerable" | "IReadOnlyCollection" | "ICollection", [element]) => {
                Type::Sequence(self.element_named(element)?)
            }
            ("List" | "IList" | "IReadOnlyList", [element]) => Type::List(self.element_named(element)?),
            ("Nullable", [element]) => Type::One(self.element_named(element)?).or_null(),
            _ => {
                return self.fault(
                    at,
                    format!("the type {short}<…> is not supported: declare the variable with var"),
                );
            }
        };
        match of {
            Type::One(kind) if named.is_nullable && !kind.is_struct() => {
                self.fault(at, format!("{of} can be null by itself: leave out the ?"))
            }
            Type::One(kind) if named.is_nullable && !named.is_array => Some(Type::Nullable(kind)),
            Type::One(kind) if named.is_array && !named.is_nullable => Some(Type::Array(kind)),
            _ if named.is_array || named.is_nullable => self.fault(at, "this type is not supported"),
            of => Some(of),
        }
    }

    fn element_named(&mut self, named: &TypeName) -> Option<Kind> {
        match self.type_named(named)? {
            Type::One(kind) => Some(kind),
            of => self.fault(named.at, format!("a collection of {of} is not supported")),
        }
    }
}

/// A chain of names, with dots.
fn path(expression: &Expr) -> Option<String> {
    match &expression.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Member { target, name, types } if types.is_empty() => {
            Some(format!("{}.{name}", path(target)?))
        }
        _ => None,
    }
}

/// The kind of a type's name, with or without its namespace.
fn kind_named(name: &str) -> Option<Kind> {
    let (namespace, short) = name.rsplit_once('.').unwrap_or(("System", name));
    let is_known = NAMESPACES.contains(&namespace);
    NAMED.iter().find(|(known, _)| is_known && *known == short).map(|(_, kind)| *kind)
}

/// `: did you mean …`, if one of `known` is like `name`.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let name = name.to_ascii_lowercase();
    let likeness = |known: &str| strsim::damerau_levenshtein(&name, &known.to_ascii_lowercase());
    // A name has one wrong letter in three, at most. Long ones are no slips, and would take long to compare.
    let most = (name.len() / 3).max(1);
    if name.len() > 64 {
        return String::new();
    }
    let nearest = known.filter(|known| known.len() > 1).map(|known| (likeness(known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= most => format!(": did you mean {known}?"),
        Some(_) | None => String::new(),
    }
}
