//! A step of a compiled document: where it stands, and what it does.

use core::fmt;

use super::Policy;
use crate::policy::document::{Origin, masked};
use crate::policy::expression::{Expression, Section};

/// Whose document a policy stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// That of every API.
    Global,
    /// That of a product.
    Product,
    /// That of an API's onHandshake operation.
    Operation,
}

impl Scope {
    /// As `LastError.Scope` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Product => "product",
            Self::Operation => "operation",
        }
    }
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Where it stands.
    pub(crate) place: StepPlace,
    /// The action of the step.
    pub(crate) action: Action,
}

/// Where a step stands in its document.
#[derive(Clone, Debug)]
pub(crate) struct StepPlace {
    pub(crate) policy: &'static str,
    pub(crate) scope: Scope,
    pub(crate) section: Section,
    /// `choose[1]/when[2]/check-header[1]`: counted from 1 among those of the same name.
    pub(crate) path: Box<str>,
    pub(crate) id: Option<Box<str>>,
    /// The secrets that stand in the policy, and are masked where it is shown.
    pub(crate) secrets: Box<[Box<str>]>,
}

impl Step {
    /// Where it stands in its section: `choose[1]/when[2]/check-header[1]`.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Whose document it is in.
    pub fn scope(&self) -> Scope {
        self.place.scope
    }

    /// In which section.
    pub fn section(&self) -> Section {
        self.place.section
    }

    /// Whether it decides about nothing: it only leads on to another step.
    pub(crate) fn is_jump(&self) -> bool {
        matches!(self.action, Action::Skip(_))
    }

    /// Whether it may send the session to another backend than the API's.
    pub(crate) fn may_change_backend(&self) -> bool {
        match &self.action {
            Action::Run(policy) => policy.may_change_backend(),
            Action::Unless { .. } | Action::Skip(_) => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.place.scope.name(), self.place.path)?;
        if let Some(id) = &self.place.id {
            write!(formatter, " id={id}")?;
        }
        let what = match &self.action {
            Action::Run(policy) => policy.describe(),
            Action::Unless { condition, skip } => {
                format!("skips {skip} step{} unless {}", plural(*skip), condition.shown)
            }
            Action::Skip(skip) => format!("skips {skip} step{}", plural(*skip)),
        };
        let what = masked(what, &self.place.secrets);
        formatter.write_str(":")?;
        // An expression may stand on several lines of a document; a step stands on one.
        what.lines().try_for_each(|line| write!(formatter, " {}", line.trim()))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The action of a step.
#[derive(Debug)]
pub(crate) enum Action {
    /// Runs a policy.
    Run(Box<dyn Policy>),
    /// Skips so many steps, unless the condition holds.
    Unless { condition: Evaluation, skip: usize },
    /// Skips so many steps.
    Skip(usize),
}

/// An expression of a document.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) expression: Expression,
    /// Its text, secrets masked.
    pub(crate) shown: Box<str>,
    /// Where it stands.
    pub(crate) origin: Origin,
}
