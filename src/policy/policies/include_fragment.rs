//! `include-fragment`: the policies of a fragment, in its place.

use crate::catalog::fault::Remedy;
use crate::policy::compiling::Compiling;
use crate::policy::document::Element;
use crate::policy::expression::Text;

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) {
    let Some(id) = compiling.fixed::<Text>(element, "fragment-id") else { return };
    match compiling.fragment(&id) {
        Some(fragment) => compiling.include(element, fragment),
        None => compiling.refuse_value(
            element,
            "fragment-id",
            Remedy::act(format!("there is no policies/fragments/{id}.xml: add it, or name another fragment")),
        ),
    }
}
