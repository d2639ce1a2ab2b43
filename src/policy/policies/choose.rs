//! `choose`: the policies of the first `when` whose condition holds, or those of `otherwise`.
//!
//! ```text
//! unless A skip ──┐   when A
//! …               │
//! skip ───────────│─┐
//! unless B skip ◄─┘ │ when B
//! …            ───┐ │
//! skip ───────────│─│
//! …            ◄──┘ │ otherwise
//!              ◄────┘
//! ```

use crate::policy::compiling::Compiling;
use crate::policy::contract::Action;
use crate::policy::document::Element;

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) {
    if !element.children.iter().any(|child| child.name == "when") {
        compiling.refuse_missing(element, "when", "add a <when> with its condition");
    }
    let last = element.children.last().map(|child| child.at);
    // The skips at the ends of branches go behind the last one, whose end is not known yet.
    let mut ends = Vec::new();
    compiling.each_child(element, |compiling, child| {
        let is_last = last == Some(child.at);
        let branch = match child.name.as_str() {
            "when" => compiling
                .condition(child, "condition")
                .map(|condition| compiling.push(Action::Unless { condition, skip: 0 })),
            _ if is_last => None,
            _ => {
                compiling.refuse_element(child, "it may stand once, behind every <when>: move or remove it");
                None
            }
        };
        compiling.policies(child);
        if !is_last {
            ends.push(compiling.push(Action::Skip(0)));
        }
        if let Some(branch) = branch {
            compiling.close(branch);
        }
    });
    for end in ends {
        compiling.close(end);
    }
}
