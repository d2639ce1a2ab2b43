//! What documents come to: four lists of steps, ready to run, shared by workers, never changed.
//!
//! A step that chooses skips steps behind it, so where a run stands is one number (`machine`).
//!
//! Not here: what the steps do (`policies`), where they come from (`compile`).

use core::fmt;
use std::sync::Arc;

use super::document::masked;
use super::exchange::Response;
use super::expression::{Expression, Section};
use super::failure::Failure;
use super::machine::Running;
use super::policies::forward_request::ForwardRequest;
use super::policies::set_backend_service;

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

impl Section {
    /// Every section, in the order of a document.
    pub const ALL: [Self; 4] = [Self::Inbound, Self::Backend, Self::Outbound, Self::OnError];

    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Backend => "backend",
            Self::Outbound => "outbound",
            Self::OnError => "on-error",
        }
    }
}

/// The policies of the handshakes of one API in one product's context.
#[derive(Debug, Default)]
pub struct Pipeline {
    sections: [Box<[Arc<Step>]>; 4],
}

impl Pipeline {
    pub(crate) fn new(sections: [Vec<Arc<Step>>; 4]) -> Self {
        Self { sections: sections.map(Vec::into_boxed_slice) }
    }

    /// Whether one of its policies may send the session elsewhere.
    pub(crate) fn may_change_backend(&self) -> bool {
        self.sections.iter().flatten().any(|step| step.place.policy == set_backend_service::NAME)
    }

    /// The steps of a section.
    pub(crate) fn steps(&self, section: Section) -> &[Arc<Step>] {
        &self.sections[section as usize]
    }
}

/// The compiled form, a line for a step; it shows no secret.
impl fmt::Display for Pipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in Section::ALL {
            writeln!(formatter, "{}", section.name())?;
            for (index, step) in self.steps(section).iter().enumerate() {
                writeln!(formatter, "  {index}: {step}")?;
            }
        }
        Ok(())
    }
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Where it stands.
    pub(crate) place: StepPlace,
    /// What it does.
    pub(crate) action: Action,
}

/// Where a step stands in its document.
#[derive(Clone, Debug)]
pub struct StepPlace {
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
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.place.scope.name(), self.place.path)?;
        if let Some(id) = &self.place.id {
            write!(formatter, " id={id}")?;
        }
        let what = match &self.action {
            Action::Run(policy) => policy.describe(),
            Action::Unless { condition, skip } => format!("unless {} skip {skip}", condition.shown),
            Action::Skip(skip) => format!("skip {skip}"),
            Action::Dial(dial) => dial.describe(),
        };
        let what = masked(what, &self.place.secrets);
        formatter.write_str(":")?;
        // An expression may stand on several lines of a document; a step stands on one.
        what.lines().try_for_each(|line| write!(formatter, " {}", line.trim()))
    }
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Runs a policy.
    Run(Box<dyn Policy>),
    /// Skips so many steps, unless the condition holds.
    Unless { condition: Condition, skip: usize },
    /// Skips so many steps.
    Skip(usize),
    /// Yields: the backend is dialled.
    Dial(ForwardRequest),
}

/// The condition of a branch.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) expression: Expression,
    /// Its text, secrets masked.
    pub(crate) shown: String,
}

/// A policy that needs nothing but the exchange.
pub(crate) trait Policy: Send + Sync {
    /// Runs it.
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure>;

    /// What it was compiled to, in one line, without secrets.
    fn describe(&self) -> String;
}

impl fmt::Debug for dyn Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

/// How a run goes on.
#[derive(Debug)]
pub(crate) enum Flow {
    /// With the next step.
    Next,
    /// Not at all: the client is answered.
    Respond(Response),
}
