//! The compiled form of documents: four lists of steps, ready to run, shared by workers, immutable.
//!
//! A step that chooses skips steps behind it, so the position of a run is one number (`machine`).
//!
//! Not here: the form of a step (`contract`), the policies (`policies`), the source of the steps (`compile`).

use core::fmt;
use std::sync::Arc;

use super::contract::Step;
use super::expression::Section;

/// The policies of the handshakes of one API in one product's context.
#[derive(Debug, Default)]
pub struct Pipeline {
    sections: [Box<[Arc<Step>]>; 4],
    /// The secrets that stand in its steps.
    secrets: Box<[Box<str>]>,
}

impl Pipeline {
    pub(crate) fn new(sections: [Vec<Arc<Step>>; 4]) -> Self {
        let mut secrets: Vec<_> =
            sections.iter().flatten().flat_map(|step| step.place.secrets.iter().cloned()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        Self { sections: sections.map(Vec::into_boxed_slice), secrets: secrets.into() }
    }

    /// The values of secret named values that stand in its documents: masked in whatever they say.
    pub fn secrets(&self) -> &[Box<str>] {
        &self.secrets
    }

    /// Whether one of its policies may send the session elsewhere.
    pub(crate) fn may_change_backend(&self) -> bool {
        self.sections.iter().flatten().any(|step| step.may_change_backend())
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
