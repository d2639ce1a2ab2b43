//! A row of the table of policies: sections, attributes with their defaults, parts, and the function that compiles the policy.

use super::Compiling;
use crate::policy::contract::{Policy, Scope};
use crate::policy::document::Element;
use crate::policy::expression::Section;

/// One policy.
pub(crate) struct PolicyRow {
    pub(crate) shape: Shape,
    pub(crate) sections: &'static [Section],
    pub(crate) scopes: &'static [Scope],
    pub(crate) support: Support,
}

/// The support of a policy in ringgate.
pub(crate) enum Support {
    /// It is one step.
    Leaf(fn(&mut Compiling<'_>, &Element) -> Option<Box<dyn Policy>>),
    /// It adds its steps itself.
    Nested(fn(&mut Compiling<'_>, &Element)),
    /// It applies to no opening handshake.
    NotOnHandshake,
    /// Azure API Management has it, ringgate does not.
    NotYet,
}

/// The shape of an element: attributes and parts.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) attributes: &'static [AttributeRow],
    pub(crate) children: &'static [Shape],
    pub(crate) holds_policies: bool,
    pub(crate) holds_text: bool,
}

/// One attribute.
pub(crate) struct AttributeRow {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) default: Option<&'static str>,
    pub(crate) takes_expression: bool,
}

/// The table of policies, as the compiler knows it.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    /// The row of the policy of this name.
    pub(crate) row: fn(&str) -> Option<&'static PolicyRow>,
    /// Returns the names that may stand in a section in place of an unknown one: the nearest one first, if one is near.
    pub(crate) suggestion: fn(&str, Section) -> String,
}

impl PolicyRow {
    /// In documents of these scopes alone.
    pub(crate) const fn within(self, scopes: &'static [Scope]) -> Self {
        Self { scopes, ..self }
    }
}

/// An attribute that has to be there.
pub(crate) const fn required(name: &'static str) -> AttributeRow {
    AttributeRow { name, is_required: true, default: None, takes_expression: true }
}

/// An attribute that may be there.
pub(crate) const fn optional(name: &'static str) -> AttributeRow {
    AttributeRow { name, is_required: false, default: None, takes_expression: true }
}

impl AttributeRow {
    /// With a default.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Without expressions.
    pub(crate) const fn fixed(self) -> Self {
        Self { takes_expression: false, ..self }
    }
}

impl Shape {
    /// An element that holds nothing.
    pub(crate) const NONE: Self = Self::new("", &[], &[]);

    pub(crate) const fn new(
        name: &'static str,
        attributes: &'static [AttributeRow],
        children: &'static [Self],
    ) -> Self {
        Self { name, attributes, children, holds_policies: false, holds_text: false }
    }

    /// An element that holds text and nothing else.
    pub(crate) const fn of_text(name: &'static str) -> Self {
        Self { holds_text: true, ..Self::new(name, &[], &[]) }
    }

    /// With policies in it.
    pub(crate) const fn with_policies(self) -> Self {
        Self { holds_policies: true, ..self }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&'static AttributeRow> {
        self.attributes.iter().find(|row| row.name == name)
    }

    pub(crate) fn child(&self, name: &str) -> Option<&'static Self> {
        self.children.iter().find(|child| child.name == name)
    }
}
