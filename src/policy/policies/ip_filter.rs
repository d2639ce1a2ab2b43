//! `ip-filter`: lets in clients at these addresses, or all others.
//!
//! The address is that of who connected, never one of X-Forwarded-For: a client writes there what it likes.

use core::net::IpAddr;

use crate::policy::addresses::{AddressRange, Addresses, FilterAction};
use crate::policy::compile::Compiling;
use crate::policy::document::Element;
use crate::policy::expression::{Text, Wanted};
use crate::policy::failure::Failure;
use crate::policy::machine::Running;
use crate::policy::pipeline::{Flow, Policy};
use crate::policy::setting::{Literal, Setting};

struct IpFilter {
    action: Setting<FilterAction>,
    fixed: Addresses,
    /// Addresses that are expressions.
    evaluated: Vec<Setting<Text>>,
}

impl Literal for FilterAction {
    const ALLOWED: &'static str = Self::ALLOWED;
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let action = compiling.setting(element, "action");
    let (mut ranges, mut evaluated) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    if element.children.is_empty() {
        compiling.refuse_missing(element, "address", "one address or address-range, or more");
    }
    compiling.each_child(element, |compiling, child| {
        let range = if child.name == "address" {
            let text: Option<Setting<Text>> = compiling.text(child);
            match &text {
                Some(Setting::Fixed(text, _)) => AddressRange::of_one(text),
                Some(Setting::Evaluated(..)) => return evaluated.extend(text),
                None => return is_whole = false,
            }
        } else {
            let from: Option<Text> = compiling.fixed(child, "from");
            let to: Option<Text> = compiling.fixed(child, "to");
            let Some((from, to)) = from.zip(to) else { return is_whole = false };
            AddressRange::between(&from, &to)
        };
        match range {
            Ok(range) => ranges.push(range),
            Err(fault) => {
                compiling
                    .refuse_element(child, &format!("addresses such as 192.0.2.1 and 2001:db8::1: {fault}"));
                is_whole = false;
            }
        }
    });
    let action = action?;
    is_whole.then(|| {
        Box::new(IpFilter { action, fixed: ranges.into_iter().collect(), evaluated }) as Box<dyn Policy>
    })
}

impl Policy for IpFilter {
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure> {
        let client = running.exchange.client();
        let is_listed = self.fixed.contains(client) || self.is_evaluated(client, running)?;
        match self.action.value(running)?.judge(client, is_listed) {
            Ok(()) => Ok(Flow::Next),
            Err(out) => Err(Failure::new(out.reason(), out.to_string(), 403, "Forbidden")),
        }
    }

    fn describe(&self) -> String {
        let evaluated: Vec<&str> = self.evaluated.iter().map(Setting::shown).collect();
        let between = if self.fixed.is_empty() || evaluated.is_empty() { "" } else { ", " };
        format!("{} {}{between}{}", self.action.shown(), self.fixed, evaluated.join(", "))
    }
}

impl IpFilter {
    fn is_evaluated(&self, client: IpAddr, running: &mut Running<'_>) -> Result<bool, Failure> {
        for address in &self.evaluated {
            let text = address.value(running)?;
            let range = AddressRange::of_one(&text)
                .map_err(|fault| Failure::evaluation(format!("An address of ip-filter: {fault}.")))?;
            if range.contains(client) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
