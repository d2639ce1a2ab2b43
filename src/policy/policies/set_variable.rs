//! `set-variable`: keeps a value for the policies behind it.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::expression::{Text, Value, Wanted};
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting};

struct SetVariable {
    name: Text,
    value: Setting<Kept>,
}

/// Any value that a variable may have.
#[derive(Clone, Debug)]
struct Kept(Value);

impl Literal for Kept {
    const ALLOWED: &'static str = "text, or an expression";
    const WANTED: Wanted = Wanted::Kept;

    fn parse(text: &str) -> Option<Self> {
        Some(Self(Value::Text(text.into())))
    }

    fn of(value: Value) -> Option<Self> {
        Some(Self(value))
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let name = compiling.fixed(element, "name");
    let value = compiling.setting(element, "value");
    Some(Box::new(SetVariable { name: name?, value: value? }))
}

impl Policy for SetVariable {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let Kept(value) = self.value.value(running)?;
        running.exchange.variables.set(&self.name, value);
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{} = {}", self.name, self.value.shown())
    }
}
