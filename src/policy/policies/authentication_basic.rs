//! `authentication-basic`: shows the backend a user's name and password (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::catalog::Fault;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::fields::ExistsAction;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::Setting;

struct AuthenticationBasic {
    username: Setting<Text>,
    password: Setting<Text>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let username: Option<Setting<Text>> = compiling.setting(element, "username");
    if username.as_ref().and_then(Setting::fixed).is_some_and(|name| name.contains(':')) {
        compiling.refuse_value(element, "username", "a name without a colon");
    }
    let password = compiling.setting(element, "password");
    Some(Box::new(AuthenticationBasic { username: username?, password: password? }))
}

impl Policy for AuthenticationBasic {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let username = self.username.value(running)?;
        if username.contains(':') {
            return Err(Failure::evaluation("The name of a user has a colon."));
        }
        let password = self.password.value(running)?;
        let value = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let set = running.exchange.request.change("Authorization", ExistsAction::Override, &[value]);
        set.map_err(|fault| Failure::evaluation(fault.message()))?;
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{} {}", self.username.shown(), Fault::MASKED)
    }
}
