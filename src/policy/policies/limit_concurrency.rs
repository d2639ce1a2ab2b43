//! `limit-concurrency`: lets in no more sessions at once than `max-count` under a key, and runs the policies in it.
//!
//! Azure API Management counts a request as long as the policies in the element run. A handshake runs them once, and what
//! it opens goes on: the slot is held from here until the session ends, or until the client is answered otherwise. Policies
//! that give the same key share its slots, each with its own `max-count`, and a session counts once under each key.
//!
//! Azure API Management documents 429, and neither a body nor a reason: both are in the manner of `rate-limit`.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Action, Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::expression::{Text, Wanted};
use crate::policy::failure::{Failure, INTERNAL};
use crate::policy::setting::{Literal, Setting};
use crate::policy::slot::SlotsAreTaken;

/// Slots of `limit-concurrency`, each under another key, that one session may hold. Over it: the policy fails, and the client
/// gets a 500. Each takes some 50 bytes as long as the session lives.
const SLOTS_PER_SESSION_MAX: usize = 8;

struct LimitConcurrency {
    key: Setting<Text>,
    most: u32,
}

/// How many may be in at once.
#[derive(Clone, Copy)]
struct MaxCount(u32);

impl Literal for MaxCount {
    const ALLOWED: &'static str = "a number from 1 to 4294967295";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|most| *most > 0).map(Self)
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) {
    let key = compiling.setting(element, "key");
    let most = compiling.fixed(element, "max-count");
    if let (Some(key), Some(MaxCount(most))) = (key, most) {
        compiling.push(Action::Run(Box::new(LimitConcurrency { key, most })));
    }
    compiling.policies(element);
}

impl Policy for LimitConcurrency {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let key = self.key.value(running)?;
        let Running { exchange, outside, .. } = running;
        match outside.guards().slots.take_slot(&key, self.most, exchange.slots()) {
            Ok(None) => Ok(StepOutcome::Next),
            Ok(Some(_)) if exchange.slots().len() >= SLOTS_PER_SESSION_MAX => {
                let message = format!("A session holds at most {SLOTS_PER_SESSION_MAX} slots.");
                Err(Failure::new("TooManySlots", message, 500, INTERNAL))
            }
            Ok(Some(slot)) => {
                exchange.hold(slot);
                Ok(StepOutcome::Next)
            }
            Err(SlotsAreTaken) => Err(Failure::refused(
                "ConcurrencyLimitExceeded",
                429,
                "Concurrency limit is exceeded. Try again later.",
            )),
        }
    }

    fn describe(&self) -> String {
        format!("at most {} under {}", self.most, self.key.shown())
    }
}
