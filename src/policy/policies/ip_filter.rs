//! `ip-filter`: lets in clients at these addresses, or all others.
//!
//! The address is that of the peer, never one of X-Forwarded-For: a client can write any address there.

use core::net::IpAddr;

use crate::policy::addresses::{AddressRange, Addresses, FilterAction};
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::expression::Wanted;
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting};

struct IpFilter {
    action: Setting<FilterAction>,
    fixed: Addresses,
    /// Addresses that are expressions.
    evaluated: Vec<Setting<IpAddr>>,
    /// The list, as it is shown.
    shown: String,
}

impl Literal for FilterAction {
    const ALLOWED: &'static str = Self::ALLOWED;
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Literal for IpAddr {
    /// Azure API Management takes no networks.
    const ALLOWED: &'static str =
        "an address such as 192.0.2.1 or 2001:db8::1; a network is written as an address-range";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let action = compiling.setting(element, "action");
    let (mut fixed, mut evaluated, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_whole = true;
    if element.children.is_empty() {
        compiling.refuse_missing(element, "address", "add an <address> or an <address-range>");
    }
    compiling.each_child(element, |compiling, child| {
        if child.name == "address" {
            let address: Option<Setting<IpAddr>> = compiling.text(child);
            let Some(address) = address else { return is_whole = false };
            shown.push(address.shown().to_owned());
            return match address.fixed() {
                Some(address) => fixed.push(AddressRange::of_one(*address)),
                None => evaluated.push(address),
            };
        }
        let from: Option<Setting<IpAddr>> = compiling.setting(child, "from");
        let to: Option<Setting<IpAddr>> = compiling.setting(child, "to");
        let Some((from, to)) = from.zip(to) else { return is_whole = false };
        shown.push(format!("{}-{}", from.shown(), to.shown()));
        let Some((from, to)) = from.fixed().zip(to.fixed()) else { return is_whole = false };
        match AddressRange::between(*from, *to) {
            Ok(range) => fixed.push(range),
            Err(fault) => {
                compiling.refuse_element(child, &format!("from and to do not make a range: {fault}"));
                is_whole = false;
            }
        }
    });
    let action = action?;
    is_whole.then(|| {
        let (fixed, shown) = (fixed.into_iter().collect(), shown.join(", "));
        Box::new(IpFilter { action, fixed, evaluated, shown }) as Box<dyn Policy>
    })
}

impl Policy for IpFilter {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let client = running.exchange.client();
        let is_listed = self.fixed.contains(client) || self.is_evaluated(client, running)?;
        match self.action.value(running)?.judge(client, is_listed) {
            Ok(()) => Ok(StepOutcome::Next),
            Err(out) => Err(Failure::new(out.reason(), out.to_string(), 403, "Forbidden")),
        }
    }

    fn describe(&self) -> String {
        format!("{} {}", self.action.shown(), self.shown)
    }
}

impl IpFilter {
    fn is_evaluated(&self, client: IpAddr, running: &mut Running<'_>) -> Result<bool, Failure> {
        for address in &self.evaluated {
            if AddressRange::of_one(address.value(running)?).contains(client) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
