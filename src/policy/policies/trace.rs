//! `trace`: a line in the log of the process, and a record in the row of the opening.

use crate::policy::compiling::Compiling;
use crate::policy::contract::{Policy, Running, Severity, StepOutcome, TraceLine};
use crate::policy::document::Element;
use crate::policy::expression::{Text, Wanted};
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting};

struct Trace {
    source: Text,
    severity: Severity,
    message: Setting<Text>,
    metadata: Vec<(Text, Setting<Text>)>,
}

impl Literal for Severity {
    const ALLOWED: &'static str = "verbose, information or error";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "verbose" => Some(Self::Verbose),
            "information" => Some(Self::Information),
            "error" => Some(Self::Error),
            _ => None,
        }
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let source = compiling.fixed(element, "source");
    let severity = compiling.fixed(element, "severity");
    let (mut message, mut metadata) = (None, Vec::new());
    if !element.children.iter().any(|child| child.name == "message") {
        compiling.refuse_missing(element, "message", "add a <message> with the text to log");
    }
    compiling.each_child(element, |compiling, child| match child.name.as_str() {
        "message" => message = compiling.text(child),
        _ => {
            let name = compiling.fixed(child, "name");
            let value = compiling.setting(child, "value");
            metadata.extend(name.zip(value));
        }
    });
    Some(Box::new(Trace { source: source?, severity: severity?, message: message?, metadata }))
}

impl Policy for Trace {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let message = self.message.value(running)?.to_string();
        let mut metadata = Vec::with_capacity(self.metadata.len());
        for (name, value) in &self.metadata {
            metadata.push((name.clone(), value.value(running)?.to_string()));
        }
        let (severity, source) = (self.severity, self.source.clone());
        running.outside.log(TraceLine { severity, source, message, metadata });
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        let metadata: String =
            self.metadata.iter().map(|(name, value)| format!(", {name}={}", value.shown())).collect();
        format!("{} from {}: {}{metadata}", self.severity.name(), self.source, self.message.shown())
    }
}
