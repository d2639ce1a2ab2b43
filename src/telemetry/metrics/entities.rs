//! Figures by API and by product.

use crate::admission::places::{HolderKind, Places};
use crate::observe::counters::{Dimension as _, Kind};
use crate::observe::entity_cells::{CloseClass, EntityFigures};
use crate::session::{Cause, Leg};
use crate::telemetry::families::{Families, Family};
use crate::telemetry::figures::Observed;
use std::sync::Arc;

/// The label of all entities that have no series of their own. No entity has such a name: a name begins with a letter or a digit.
const OTHERS: &str = "_other";

/// The figures under one name.
struct Named {
    name: String,
    figures: EntityFigures,
    places: Option<Arc<Places>>,
}

/// Every API or product with series of its own, in the order of names, and the sum of all others, if there ever was one.
fn named(observed: &Observed, kind: HolderKind) -> Vec<Named> {
    let published = Arc::clone(&observed.shown.borrow().places);
    let mut others = observed.labels.forgotten_without_series(kind);
    let mut has_others = !others.is_empty();
    let mut all = Vec::new();
    for label in observed.labels.all_of(kind) {
        if label.has_own_series() {
            let places = published.of(kind, label.name()).cloned();
            all.push(Named { name: label.name().to_string(), figures: label.figures(), places });
        } else {
            has_others = true;
            others.add_figures(&label.figures());
        }
    }
    if has_others {
        all.push(Named { name: OTHERS.to_owned(), figures: others, places: None });
    }
    all
}

/// Messages of all APIs that are known, by the leg that sent them, and of those that are not known any more.
pub(super) fn messages_of_all(observed: &Observed) -> [u64; Leg::BOTH.len()] {
    let mut sum = observed.labels.forgotten(HolderKind::Api);
    for label in observed.labels.all_of(HolderKind::Api) {
        sum.add_figures(&label.figures());
    }
    sum.messages
}

/// Adds the families of APIs and of products.
pub(super) fn push_entities(page: &mut Families<'_>, observed: &Observed) {
    for (kind, entity) in [(HolderKind::Api, "api"), (HolderKind::Product, "product")] {
        push_kind(page, entity, &named(observed, kind));
    }
}

fn push_kind(page: &mut Families<'_>, entity: &str, all: &[Named]) {
    let mut push = |name: &str, kind, help: &str, samples: &dyn Fn(&Named, &mut Family<'_>)| {
        let mut family = page.family(&format!("{entity}_{name}"), kind, help);
        all.iter().for_each(|named| samples(named, &mut family));
    };
    push("sessions", Kind::Gauge, "Sessions that are open.", &|named, family| {
        family.sample(&[(entity, &named.name)], named.figures.open());
    });
    push("sessions_opened", Kind::Counter, "Sessions that a relay took over.", &|named, family| {
        family.sample(&[(entity, &named.name)], named.figures.opened);
    });
    let help = "Messages that a leg sent, those of open sessions included; none of opaque ones.";
    push("messages", Kind::Counter, help, &|named, family| {
        by_leg(entity, named, &named.figures.messages, family)
    });
    let help =
        "Bytes that went from a leg to the other one, heads of frames and those of open sessions included.";
    push("bytes", Kind::Counter, help, &|named, family| by_leg(entity, named, &named.figures.bytes, family));
    let help = "Sessions by the code of the first Close frame that an endpoint sent (none: it had no code).";
    push("closes", Kind::Counter, help, &|named, family| {
        for (code, count) in
            CloseClass::NAMES.into_iter().zip(named.figures.closes).filter(|(_, count)| *count > 0)
        {
            family.sample(&[(entity, &named.name), ("code", code)], count);
        }
    });
    let help = "How openings and sessions ended: why.";
    push("terminations", Kind::Counter, help, &|named, family| {
        let counts = Cause::ALL.into_iter().zip(named.figures.terminations);
        for (cause, count) in counts.filter(|(_, count)| *count > 0) {
            family.sample(&[(entity, &named.name), (Cause::KEY, cause.name())], count);
        }
    });
    let is_bounded = |named: &Named| named.places.clone().filter(|places| places.limit() != Places::NO_LIMIT);
    push(
        "places_taken",
        Kind::Gauge,
        "Places of sessions that are taken, where there is a limit.",
        &|named, family| {
            if let Some(places) = is_bounded(named) {
                family.sample(&[(entity, &named.name)], places.taken().into());
            }
        },
    );
    push(
        "places_limit",
        Kind::Gauge,
        "The limit of places of sessions (connections_max).",
        &|named, family| {
            if let Some(places) = is_bounded(named) {
                family.sample(&[(entity, &named.name)], places.limit().into());
            }
        },
    );
}

fn by_leg(entity: &str, named: &Named, numbers: &[u64; Leg::BOTH.len()], family: &mut Family<'_>) {
    for (leg, number) in Leg::BOTH.into_iter().zip(numbers) {
        family.sample(&[(entity, &named.name), (Leg::KEY, leg.name())], *number);
    }
}
