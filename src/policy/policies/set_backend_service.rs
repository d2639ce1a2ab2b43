//! `set-backend-service`: sends the session to another backend, whose URL takes the place of the API's.

use crate::catalog::BackendUrl;
use crate::catalog::fault::Remedy;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::expression::Wanted;
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting};

struct SetBackendService {
    url: Setting<BackendUrl>,
}

impl Literal for BackendUrl {
    const ALLOWED: &'static str = "the url of a backend, ws://host[:port][/path] or wss://…";
    const WANTED: Wanted = Wanted::Text;

    /// `http` and `https` mean `ws` and `wss`: a handshake begins as HTTP, and documents say either.
    fn parse(text: &str) -> Option<Self> {
        let as_websocket = |scheme: &str, websocket: &str| {
            let (given, rest) = text.split_at_checked(scheme.len())?;
            given.eq_ignore_ascii_case(scheme).then(|| format!("{websocket}{rest}"))
        };
        let text = as_websocket("https:", "wss:")
            .or_else(|| as_websocket("http:", "ws:"))
            .unwrap_or_else(|| text.to_owned());
        Self::parse(&text).ok()
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let url = compiling.setting(element, "base-url");
    if element.attribute("backend-id").is_some() {
        compiling.refuse_value(
            element,
            "backend-id",
            Remedy::act("ringgate has no backends by id yet: use base-url"),
        );
    } else if element.attribute("base-url").is_none() {
        compiling.refuse_missing(element, "base-url", "add this attribute");
    }
    Some(Box::new(SetBackendService { url: url? }))
}

impl Policy for SetBackendService {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let url = self.url.value(running)?;
        running.exchange.set_backend(url)?;
        Ok(StepOutcome::Next)
    }

    fn may_change_backend(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.url.shown().to_owned()
    }
}
