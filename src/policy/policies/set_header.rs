//! `set-header`: changes the request until the backend answers, and the answer from then on.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::Response;
use crate::policy::exchange::fields::{ExistsAction, FieldFault, Fields, is_name, is_owned, is_value};
use crate::policy::expression::{Section, Text};
use crate::policy::failure::Failure;
use crate::policy::setting::{Setting, shown_behind_colon};

/// The policy, and the child of `return-response`.
pub(crate) struct SetHeader {
    name: Setting<Text>,
    action: Setting<ExistsAction>,
    values: Vec<Setting<Text>>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    Some(Box::new(SetHeader::compile(compiling, element)?))
}

impl SetHeader {
    pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Self> {
        let name: Option<Setting<Text>> = compiling.setting(element, "name");
        let action: Option<Setting<ExistsAction>> = compiling.setting(element, "exists-action");
        let fixed_action = action.as_ref().and_then(Setting::fixed).copied();
        if let Some(name) = name.as_ref().and_then(Setting::fixed) {
            if !is_name(name) {
                compiling.refuse_value(element, "name", "the name of a header");
            } else if is_owned(name) {
                let allowed = "a header other than Host, those of a connection (Connection, Upgrade, Content-Length, \
                               Transfer-Encoding and their like) and those of the opening handshake (Sec-WebSocket-…)";
                compiling.refuse_value(element, "name", allowed);
            } else if fixed_action == Some(ExistsAction::Delete) && name.eq_ignore_ascii_case("server") {
                compiling.refuse_value(
                    element,
                    "name",
                    "a header other than Server, which cannot be deleted",
                );
            }
        }
        let values = compiling.values(
            element,
            |text: &Text| is_value(text),
            "a value without line ends and control characters",
        );
        if element.children.is_empty() && fixed_action.is_some_and(|action| action != ExistsAction::Delete) {
            compiling.refuse_missing(element, "value", "add a <value>, or set exists-action to delete");
        }
        Some(Self { name: name?, action: action?, values: values? })
    }

    /// Changes `response` if there is one to change, else the request.
    pub(crate) fn apply(
        &self,
        running: &mut Running<'_>,
        response: Option<&mut Response>,
    ) -> Result<(), Failure> {
        let name = self.name.value(running)?;
        let action = self.action.value(running)?;
        let mut values = Vec::with_capacity(self.values.len());
        for value in &self.values {
            values.extend(value.value_or_null(running)?);
        }
        let changed = |fields: &mut Fields| {
            fields
                .change(&name, action, &values)
                .map_err(|fault: FieldFault| Failure::evaluation(fault.message()))
        };
        match (response, running.section) {
            (Some(response), _) => changed(&mut response.fields),
            (None, Section::Inbound | Section::Backend) => changed(&mut running.exchange.request),
            (None, Section::Outbound | Section::OnError) => changed(&mut running.response().fields),
        }
    }
}

impl Policy for SetHeader {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        self.apply(running, None).map(|()| StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{} {}{}", self.action.shown(), self.name.shown(), shown_behind_colon(&self.values))
    }
}
