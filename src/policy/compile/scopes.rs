//! The scopes: global, product, onHandshake. The narrowest document says, at its `<base/>`, where the next one comes in.
//!
//! A section without `<base/>` leaves the broader scopes out. A section that is not written counts as `<base/>` alone. Where
//! there is no global document, its backend section forwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{CompiledDocument, Part, compile_document, read_fragment};
use crate::catalog::named_value::NamedValues;
use crate::catalog::policy_documents::PolicyDocuments;
use crate::catalog::{Api, Fault, Name};
use crate::policy::compiling::References;
use crate::policy::contract::{Action, Scope, Step, StepPlace};
use crate::policy::expression::Section;
use crate::policy::pipeline::Pipeline;
use crate::policy::policies::forward_request::ForwardRequest;

/// Every document of a catalogue, compiled, faults or not.
#[derive(Debug, Default)]
pub struct Compiled {
    global: Option<CompiledDocument>,
    of_products: BTreeMap<Name, CompiledDocument>,
    of_apis: BTreeMap<Name, CompiledDocument>,
    /// Notes on documents without faults: policies that are skipped.
    pub notes: Vec<String>,
}

/// Compiles every document. `faults` gets what is wrong with any of them.
pub fn compile_policies(
    documents: &PolicyDocuments,
    named_values: &NamedValues,
    faults: &mut Vec<Fault>,
) -> Compiled {
    let fragments = documents
        .fragments
        .iter()
        .map(|(name, text)| {
            let file = format!("policies/fragments/{name}.xml");
            (name.clone(), read_fragment(file.into(), text, faults))
        })
        .collect();
    let references = References { fragments: &fragments, named_values };
    let mut notes = Vec::new();
    let mut compile = |file: &str, text: &Arc<str>, scope| {
        compile_document(&file.into(), text, scope, &references, faults, &mut notes)
    };
    let global = documents.global.as_ref().map(|text| compile("policies/global.xml", text, Scope::Global));
    let mut all = |texts: &BTreeMap<Name, Arc<str>>, folder: &str, scope| {
        texts
            .iter()
            .map(|(name, text)| {
                (name.clone(), compile(&format!("policies/{folder}/{name}.xml"), text, scope))
            })
            .collect()
    };
    let of_products = all(&documents.of_products, "products", Scope::Product);
    let of_apis = all(&documents.of_apis, "apis", Scope::Operation);
    Compiled { global, of_products, of_apis, notes }
}

/// The pipelines of a snapshot.
#[derive(Debug, Default)]
pub struct Policies {
    /// By API, and by the product in whose context the handshake is.
    pipelines: HashMap<Name, OfApi>,
}

#[derive(Debug, Default)]
struct OfApi {
    without_product: Option<Arc<Pipeline>>,
    of_products: Vec<(Name, Arc<Pipeline>)>,
}

impl Policies {
    /// Joins documents into what applies to each of `apis`. Where no document does, there is no pipeline.
    pub fn of(compiled: &Compiled, apis: &[Arc<Api>]) -> Self {
        let mut made = Made::default();
        let mut pipelines = HashMap::new();
        for api in apis {
            let own = compiled.of_apis.get_key_value(&api.name);
            let without_product = made.pipeline(compiled.global.as_ref(), None, own);
            let of_product = |name: &Name| {
                let product = compiled.of_products.get_key_value(name);
                Some((name.clone(), made.pipeline(compiled.global.as_ref(), product, own)?))
            };
            let of_products: Vec<_> = api.products.iter().filter_map(of_product).collect();
            if without_product.is_some() || !of_products.is_empty() {
                pipelines.insert(api.name.clone(), OfApi { without_product, of_products });
            }
        }
        Self { pipelines }
    }

    /// Whether a policy may send sessions of `api` elsewhere.
    pub fn may_change_backend(&self, api: &Name) -> bool {
        self.pipelines.get(api).is_some_and(|of_api| {
            let of_products = of_api.of_products.iter().map(|(_, pipeline)| pipeline);
            of_api.without_product.iter().chain(of_products).any(|pipeline| pipeline.may_change_backend())
        })
    }

    /// Returns the pipeline for handshakes of `api` in the context of `product`. `None`: no policy applies, and it costs nothing.
    pub fn of_handshake(&self, api: &Name, product: Option<&Name>) -> Option<&Arc<Pipeline>> {
        let of_api = self.pipelines.get(api)?;
        match product {
            None => of_api.without_product.as_ref(),
            Some(product) => {
                of_api.of_products.iter().find(|(name, _)| name == product).map(|(_, pipeline)| pipeline)
            }
        }
    }
}

/// Pipelines by the product and the API whose documents went into them: those of others are the same.
#[derive(Default)]
struct Made<'c>(HashMap<(Option<&'c Name>, Option<&'c Name>), Arc<Pipeline>>);

impl<'c> Made<'c> {
    fn pipeline(
        &mut self,
        global: Option<&'c CompiledDocument>,
        product: Option<(&'c Name, &'c CompiledDocument)>,
        api: Option<(&'c Name, &'c CompiledDocument)>,
    ) -> Option<Arc<Pipeline>> {
        if global.is_none() && product.is_none() && api.is_none() {
            return None;
        }
        let key = (product.map(|(name, _)| name), api.map(|(name, _)| name));
        let make = || {
            let scopes = [global, product.map(|(_, document)| document), api.map(|(_, document)| document)];
            Arc::new(Pipeline::new(Section::ALL.map(|section| join(&scopes, section))))
        };
        Some(Arc::clone(self.0.entry(key).or_insert_with(make)))
    }
}

/// One section of all the scopes, of which the last is the narrowest.
fn join(scopes: &[Option<&CompiledDocument>], section: Section) -> Vec<Arc<Step>> {
    let Some((narrowest, broader)) = scopes.split_last() else { return Vec::new() };
    let parts = narrowest.and_then(|document| document.sections[section as usize].as_ref());
    let Some(parts) = parts else {
        let is_global = broader.is_empty();
        return if is_global { default_section(section) } else { join(broader, section) };
    };
    let mut steps = Vec::new();
    for part in parts {
        match part {
            Part::Step(step) => steps.push(Arc::clone(step)),
            // Nothing is broader than global.
            Part::Base => steps.extend(join(broader, section)),
        }
    }
    steps
}

/// A section of Azure API Management's own global document.
fn default_section(section: Section) -> Vec<Arc<Step>> {
    match section {
        Section::Backend => vec![Arc::new(Step {
            place: StepPlace {
                policy: "forward-request",
                scope: Scope::Global,
                section,
                path: "forward-request[1]".into(),
                id: None,
                secrets: Box::default(),
            },
            action: Action::Run(Box::new(ForwardRequest::default())),
        })],
        Section::Inbound | Section::Outbound | Section::OnError => Vec::new(),
    }
}
