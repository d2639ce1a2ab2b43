//! `set-status`: sets the status of the client's answer.
//!
//! Before there is an answer, it makes one, which the backend's answer replaces: a status that is to stay belongs into
//! `return-response`, outbound or on-error.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::Response;
use crate::policy::exchange::fields::is_value;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::{Setting, Status, shown_or};

/// The policy, and the child of `return-response`.
pub(crate) struct SetStatus {
    code: Setting<Status>,
    reason: Option<Setting<Text>>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    Some(Box::new(SetStatus::compile(compiling, element)?))
}

impl SetStatus {
    pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Self> {
        let code = compiling.setting(element, "code");
        let reason: Option<Setting<Text>> = compiling.setting(element, "reason");
        if reason.as_ref().and_then(Setting::fixed).is_some_and(|reason| !is_value(reason)) {
            compiling.refuse_value(element, "reason", "a reason without line ends and control characters");
        }
        Some(Self { code: code?, reason })
    }

    /// Sets the status of `response`, or of the answer so far.
    pub(crate) fn apply(
        &self,
        running: &mut Running<'_>,
        response: Option<&mut Response>,
    ) -> Result<(), Failure> {
        let Status(code) = self.code.value(running)?;
        let reason = self.reason.as_ref().map(|reason| reason.value(running)).transpose()?;
        if reason.as_deref().is_some_and(|reason| !is_value(reason)) {
            return Err(Failure::evaluation("The reason of a status has control characters."));
        }
        let response = match response {
            Some(response) => response,
            None => running.response(),
        };
        response.set_status(code, reason.as_deref());
        Ok(())
    }
}

impl Policy for SetStatus {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        self.apply(running, None).map(|()| StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{} {}", self.code.shown(), shown_or(self.reason.as_ref(), "with its own reason"))
    }
}
