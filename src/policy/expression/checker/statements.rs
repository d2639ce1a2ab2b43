//! Statements of a block: variables and their scopes, and the check that every path returns.

use super::{Checker, Type};
use crate::policy::expression::code::{Node, Step};
use crate::policy::expression::fault::At;
use crate::policy::expression::members::default_of_type;
use crate::policy::expression::syntax::{Expr, ExprKind, Statement, StatementKind, TypeName};

impl Checker {
    /// The statements of the whole expression.
    pub(super) fn body(&mut self, statements: &[Statement]) -> Option<Vec<Step>> {
        let steps = self.block(statements);
        if !returns_always(statements) {
            let at = statements.last().map_or(2, |last| last.at);
            return self.fault(at, "not every way through the block returns a value");
        }
        steps
    }

    /// Statements in a scope of their own.
    fn block(&mut self, statements: &[Statement]) -> Option<Vec<Step>> {
        let before = self.locals.len();
        let mut steps = Vec::with_capacity(statements.len());
        let mut is_whole = true;
        for statement in statements {
            is_whole &= self.statement(statement, &mut steps).is_some();
        }
        self.locals.truncate(before);
        is_whole.then_some(steps)
    }

    fn statement(&mut self, statement: &Statement, steps: &mut Vec<Step>) -> Option<()> {
        let at = statement.at;
        match &statement.kind {
            StatementKind::Declare { of, names } => {
                let mut is_whole = true;
                for (at, name, value) in names {
                    is_whole &= self.declaration(*at, of.as_ref(), name, value.as_ref(), steps).is_some();
                }
                is_whole.then_some(())
            }
            StatementKind::Assign { name, sign, value } => self.assignment(at, name, *sign, value, steps),
            StatementKind::Do(expression) => {
                if !matches!(
                    expression.kind,
                    ExprKind::Call { .. } | ExprKind::Access { .. } | ExprKind::Throw { .. }
                ) {
                    return self.fault(at, "this does nothing: only a call stands by itself");
                }
                steps.push(Step::Do(self.expression(expression)?.0));
                Some(())
            }
            StatementKind::If { condition, then, otherwise } => {
                let condition = self.condition(condition);
                let then = self.branch(then);
                let otherwise = match otherwise {
                    Some(otherwise) => self.branch(otherwise),
                    None => Some(Vec::new()),
                };
                steps.push(Step::If { condition: condition?, then: then?, otherwise: otherwise? });
                Some(())
            }
            StatementKind::ForEach { of, name, list, body } => {
                self.for_each(at, of.as_ref(), name, list, body, steps)
            }
            StatementKind::Return(value) => {
                let checked = self.value(value)?;
                steps.push(Step::Return(self.result(checked, value.at)?));
                Some(())
            }
            StatementKind::Block(statements) => {
                steps.extend(self.block(statements)?);
                Some(())
            }
        }
    }

    /// Checks the body of an `if`, an `else` or a loop.
    fn branch(&mut self, statement: &Statement) -> Option<Vec<Step>> {
        if matches!(statement.kind, StatementKind::Declare { .. }) {
            return self.fault(statement.at, "a declaration stands in braces here");
        }
        let before = self.locals.len();
        let mut steps = Vec::new();
        let checked = self.statement(statement, &mut steps);
        self.locals.truncate(before);
        checked.map(|()| steps)
    }

    fn declaration(
        &mut self,
        at: At,
        of: Option<&TypeName>,
        name: &str,
        value: Option<&Expr>,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        let declared = of.map(|of| self.type_named(of));
        let value_at = value.map_or(at, |value| value.at);
        let value = value.map(|value| self.value(value));
        let (of, node) = match (declared, value) {
            // Its faults are told; what uses it is not to be blamed.
            (Some(None), _) | (_, Some(None)) => {
                self.declare(at, name, None);
                return None;
            }
            (Some(Some(of)), None) => (of, Node::Constant(default_of_type(of))),
            (Some(Some(of)), Some(Some((node, from)))) => match self.converted(node, from, of) {
                Some(node) => (of, node),
                None => {
                    self.declare(at, name, Some(of));
                    let hint = super::hint(from, &format!("({of})"));
                    return self.fault(value_at, format!("{from} does not convert to {of}{hint}"));
                }
            },
            (None, Some(Some((_, Type::Null | Type::Never)))) => {
                self.declare(at, name, None);
                return self.fault(at, format!("var needs a value with a type: string {name} = …"));
            }
            (None, Some(Some((node, of)))) => (of, node),
            (None, None) => {
                self.declare(at, name, None);
                return self.fault(at, format!("var needs a value: var {name} = …"));
            }
        };
        let slot = self.declare(at, name, Some(of));
        steps.push(Step::Set(slot, node));
        Some(())
    }

    fn assignment(
        &mut self,
        at: At,
        name: &str,
        sign: Option<&'static str>,
        value: &Expr,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        let known =
            self.locals.iter().rev().find(|local| local.name == name).map(|local| (local.slot, local.of));
        let value_at = value.at;
        let value = self.value(value);
        let Some((slot, of)) = known else {
            return self.fault(at, format!("there is no variable {name}: declare it, var {name} = …"));
        };
        let (of, value) = (of?, value?);
        let (node, from) = match sign {
            Some(sign) => self.operated(at, sign, (Node::Local(slot), of), value)?,
            None => value,
        };
        match self.converted(node, from, of) {
            Some(node) => {
                steps.push(Step::Set(slot, node));
                Some(())
            }
            None => self.fault(value_at, format!("{from} does not convert to {of}, the type of {name}")),
        }
    }

    fn for_each(
        &mut self,
        at: At,
        of: Option<&TypeName>,
        name: &str,
        list: &Expr,
        body: &Statement,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        let declared = of.map(|of| self.type_named(of));
        let list_at = list.at;
        let list = self.value(list);
        let element = match &list {
            Some((_, of)) => match of.element() {
                Some(element) => Some(Type::One(element)),
                None => self.fault(list_at, format!("foreach goes through a collection, this is {of}")),
            },
            None => None,
        };
        if let (Some(Some(declared)), Some(element)) = (declared, element)
            && declared != element
        {
            self.fault::<()>(at, format!("the elements are {element}, not {declared}"));
        }
        let before = self.locals.len();
        let slot = self.declare(at, name, element);
        let body = self.branch(body);
        self.locals.truncate(before);
        element?;
        steps.push(Step::ForEach { at, slot, list: list?.0, body: body? });
        Some(())
    }
}

fn returns_always(statements: &[Statement]) -> bool {
    statements.iter().any(|statement| match &statement.kind {
        StatementKind::Return(_) => true,
        StatementKind::Do(expression) => matches!(expression.kind, ExprKind::Throw { .. }),
        StatementKind::Block(statements) => returns_always(statements),
        StatementKind::If { then, otherwise: Some(otherwise), .. } => {
            returns_always(core::slice::from_ref(then)) && returns_always(core::slice::from_ref(otherwise))
        }
        StatementKind::If { otherwise: None, .. }
        | StatementKind::ForEach { .. }
        | StatementKind::Declare { .. }
        | StatementKind::Assign { .. } => false,
    })
}
