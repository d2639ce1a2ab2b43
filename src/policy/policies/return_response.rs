//! `return-response`: ends the run with an answer of its own, 200 and empty unless its children say otherwise.

use super::set_header::SetHeader;
use super::set_status::SetStatus;
use crate::catalog::fault::Remedy;
use crate::limits::POLICY_TEXT_BYTES_MAX;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::{Body, Response};
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::{Setting, shown_or};

struct ReturnResponse {
    status: Option<SetStatus>,
    headers: Vec<SetHeader>,
    body: Option<Setting<Text>>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    if element.attribute("response-variable-name").is_some() {
        let act =
            "no policy puts a response into a variable yet: put set-status, set-header and set-body into it";
        compiling.refuse_value(element, "response-variable-name", Remedy::act(act));
    }
    let (mut status, mut headers, mut body) = (None, Vec::new(), None);
    compiling.each_child(element, |compiling, child| match child.name.as_str() {
        "set-header" => headers.extend(SetHeader::compile(compiling, child)),
        name => {
            let first = element.children.iter().find(|other| other.name == name);
            if first.is_some_and(|first| first.at != child.at) {
                compiling.refuse_element(child, "it may stand once in return-response: remove one of them");
            }
            match name {
                "set-status" => status = SetStatus::compile(compiling, child),
                _ => body = compiling.text(child),
            }
        }
    });
    Some(Box::new(ReturnResponse { status, headers, body }))
}

impl Policy for ReturnResponse {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let mut response = Response::new(200);
        if let Some(status) = &self.status {
            status.apply(running, Some(&mut response))?;
        }
        for header in &self.headers {
            header.apply(running, Some(&mut response))?;
        }
        if let Some(body) = &self.body {
            let text = body.value(running)?;
            if text.len() > POLICY_TEXT_BYTES_MAX {
                return Err(Failure::evaluation("The body of a response is too long."));
            }
            response.body = Body::Text(text.as_ref().to_owned());
        }
        Ok(StepOutcome::Respond(response))
    }

    fn describe(&self) -> String {
        let status = self.status.as_ref().map_or("200".to_owned(), SetStatus::describe);
        let headers: Vec<String> = self.headers.iter().map(SetHeader::describe).collect();
        let headers = if headers.is_empty() { "none".to_owned() } else { headers.join("; ") };
        format!("{status}, headers: {headers}, body: {}", shown_or(self.body.as_ref(), "empty"))
    }
}
