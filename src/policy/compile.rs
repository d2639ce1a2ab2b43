//! Compiles policy documents to pipelines, once at publish: all faults of all documents are returned, with their positions.
//!
//! ```text
//! document ─► tree ─► sections, each a list of steps with `<base/>` between them ─┐  once per document
//!                                                                                 ▼
//!            global ─► product ─► onHandshake, for each API and product: a pipeline   (steps are shared)
//! ```
//!
//! Not here: the tree (`document`), the rows of policies (`table`), what each is compiled to (`policies`).

mod scopes;

pub use scopes::{Compiled, Policies, compile_policies};

use std::sync::Arc;

use super::compiling::row::Table;
use super::compiling::{Compiling, Fragment, References};
use super::contract::{Scope, Step};
use super::document::{self, Element, NoDocument, Place};
use super::expression::Section;
use super::table::{policy_row, suggestion};
use crate::catalog::Fault;
use crate::limits::POLICY_FAULTS_MAX;

/// A document, compiled. A section that it does not have is as if it held `<base/>` alone.
#[derive(Debug, Default)]
pub(crate) struct CompiledDocument {
    sections: [Option<Vec<Part>>; 4],
}

/// A part of a section.
#[derive(Clone, Debug)]
enum Part {
    Step(Arc<Step>),
    /// The same section of the broader scope.
    Base,
}

/// The compiler's table of policies.
const TABLE: Table = Table { row: policy_row, suggestion };

/// Compiles one document. Faults come in the order of its lines, without those that were told before.
pub(crate) fn compile_document(
    file: &Arc<str>,
    source: &Arc<str>,
    scope: Scope,
    references: &References<'_>,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<String>,
) -> CompiledDocument {
    let mut compiled = CompiledDocument::default();
    let root = match document::parse(source) {
        Ok(root) => root,
        Err(refused) => {
            faults.push(fault_of(file, source, refused));
            return compiled;
        }
    };
    let mut own = Vec::new();
    let mut compiling = Compiling::new(file, source, scope, TABLE, references, &mut own, notes);
    if root.name != "policies" {
        compiling.refuse_element(&root, "the outermost element of a policy document is <policies>");
    }
    for child in &root.children {
        let section = Section::ALL.into_iter().find(|section| section.name() == child.name);
        let Some(section) = section else {
            compiling.refuse_element(
                child,
                "in <policies> stand the sections inbound, backend, outbound and on-error: move it into one",
            );
            continue;
        };
        if compiled.sections[section as usize].is_some() {
            compiling.refuse_element(child, "each section may stand once: join the two");
        }
        compiled.sections[section as usize] = Some(section_of(&mut compiling, child, section));
    }
    // One thing is told once: a fragment is compiled wherever it is included.
    let mut told: Vec<Fault> = Vec::new();
    for fault in own {
        if told.len() < POLICY_FAULTS_MAX && !told.contains(&fault) {
            told.push(fault);
        }
    }
    faults.extend(told);
    compiled
}

fn section_of(compiling: &mut Compiling<'_>, element: &Element, section: Section) -> Vec<Part> {
    compiling.check_section(element);
    if section == Section::Backend && element.children.len() > 1 {
        compiling.refuse_element(&element.children[1], "backend may hold one policy: remove the others");
    }
    let mut parts = Vec::new();
    let mut has_base = false;
    compiling.section(element, section, |steps, is_at_base| {
        parts.extend(steps.into_iter().map(|step| Part::Step(Arc::new(step))));
        if is_at_base && has_base {
            return Err("<base/> may stand once in a section: remove one of them");
        }
        if is_at_base {
            has_base = true;
            parts.push(Part::Base);
        }
        Ok(())
    });
    parts
}

/// Reads a fragment; what stands in it is compiled where it is included.
pub(crate) fn read_fragment(file: Arc<str>, source: &Arc<str>, faults: &mut Vec<Fault>) -> Fragment {
    let root = match document::parse(source) {
        Ok(root) if root.name == "fragment" => Some(root),
        Ok(root) => {
            let act = "the outermost element of a fragment is <fragment>".to_owned();
            faults.push(fault_of(
                &file,
                source,
                NoDocument { at: root.at, matter: format!("<{}>", root.name), act },
            ));
            None
        }
        Err(refused) => {
            faults.push(fault_of(&file, source, refused));
            None
        }
    };
    Fragment { file, source: Arc::clone(source), root }
}

fn fault_of(file: &str, source: &str, refused: NoDocument) -> Fault {
    let place = Place::within(source, refused.at);
    let mut fault = Fault::of_file(file, Some(place.line), &refused.matter, &refused.act);
    fault.column = Some(place.column);
    fault
}
