//! `set-query-parameter`: changes the query that the backend gets.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::fields::ExistsAction;
use crate::policy::exchange::query::changed;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::{Setting, shown_behind_colon};

struct SetQueryParameter {
    name: Setting<Text>,
    action: Setting<ExistsAction>,
    values: Vec<Setting<Text>>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let name: Option<Setting<Text>> = compiling.setting(element, "name");
    if name.as_ref().and_then(Setting::fixed).is_some_and(|name| name.is_empty()) {
        compiling.refuse_value(element, "name", "the name of a parameter");
    }
    let action: Option<Setting<ExistsAction>> = compiling.setting(element, "exists-action");
    let values = compiling.values(element, |_| true, "");
    let is_delete =
        action.as_ref().and_then(Setting::fixed).is_none_or(|action| *action == ExistsAction::Delete);
    if element.children.is_empty() && !is_delete {
        compiling.refuse_missing(element, "value", "add a <value>, or set exists-action to delete");
    }
    Some(Box::new(SetQueryParameter { name: name?, action: action?, values: values? }))
}

impl Policy for SetQueryParameter {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let name = self.name.value(running)?;
        let action = self.action.value(running)?;
        let mut values = Vec::with_capacity(self.values.len());
        for value in &self.values {
            values.extend(value.value_or_null(running)?);
        }
        let query = changed(running.exchange.query(), &name, action, &values);
        running.exchange.set_query(query)?;
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{} {}{}", self.action.shown(), self.name.shown(), shown_behind_colon(&self.values))
    }
}
