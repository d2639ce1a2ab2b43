//! Figures by API, product and subscription, as lines of the status page.
//!
//! The page of an instance with ten thousand APIs has to stay quick to make and to read: figures of 0 have no line, and of each
//! kind a bounded number of entities is shown ([`ENTITIES_SHOWN_MAX`]), those with the most open sessions first.

use crate::admission::places::HolderKind;
use crate::observe::LabelRegistry;
use crate::observe::counters::{Dimension as _, Kind};
use crate::observe::entity_cells::{CloseClass, EntityFigures};
use crate::session::{Cause, Leg};
use std::cmp::Reverse;
use std::fmt::Write as _;

/// How many APIs, products and subscriptions a page shows, of each kind.
///
/// Raising it makes larger pages, which whoever serves them makes for every reader.
const ENTITIES_SHOWN_MAX: usize = 1_000;

/// Takes each number that stands under one name: a further label, if there is one, and the number.
type Visit<'a> = &'a mut dyn FnMut(Option<(&'static str, &'static str)>, u64);

/// A metric that each entity has. Its name begins with that of the kind.
struct EntityMetric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    unit: &'static str,
    visit: fn(&EntityFigures, Visit<'_>),
}

const ENTITY_METRICS: &[EntityMetric] = &[
    EntityMetric {
        name: "sessions",
        help: "Sessions that are open.",
        kind: Kind::Gauge,
        unit: "sessions",
        visit: |figures, visit| visit(None, figures.open()),
    },
    EntityMetric {
        name: "sessions_opened",
        help: "Sessions that a relay took over.",
        kind: Kind::Counter,
        unit: "sessions",
        visit: |figures, visit| visit(None, figures.opened),
    },
    EntityMetric {
        name: "messages",
        help: "Messages that a leg sent, those of open sessions included; none of opaque ones.",
        kind: Kind::Counter,
        unit: "messages",
        visit: |figures, visit| by_leg(&figures.messages, visit),
    },
    EntityMetric {
        name: "bytes",
        help: "Bytes that went from a leg to the other one, heads of frames and those of open sessions included.",
        kind: Kind::Counter,
        unit: "bytes",
        visit: |figures, visit| by_leg(&figures.bytes, visit),
    },
    EntityMetric {
        name: "closes",
        help: "Sessions by the code of the first Close frame that an endpoint sent (none: it had no code).",
        kind: Kind::Counter,
        unit: "sessions",
        visit: |figures, visit| {
            for (code, count) in CloseClass::NAMES.into_iter().zip(figures.closes) {
                visit(Some(("code", code)), count);
            }
        },
    },
    EntityMetric {
        name: "terminations",
        help: "How openings and sessions ended: why.",
        kind: Kind::Counter,
        unit: "openings and sessions",
        visit: |figures, visit| {
            for (cause, count) in Cause::ALL.into_iter().zip(figures.terminations) {
                visit(Some((Cause::KEY, cause.name())), count);
            }
        },
    },
];

fn by_leg(numbers: &[u64; Leg::BOTH.len()], visit: Visit<'_>) {
    for (leg, number) in Leg::BOTH.into_iter().zip(numbers) {
        visit(Some((Leg::KEY, leg.name())), *number);
    }
}

/// Returns the prefix of a kind's metrics.
fn name_of(kind: HolderKind) -> &'static str {
    match kind {
        HolderKind::Api => "api",
        HolderKind::Product => "product",
        HolderKind::Subscription => "subscription",
    }
}

/// Adds the part of the status page by API, product and subscription.
pub(super) fn push_entities(page: &mut String, labels: &LabelRegistry) {
    page.push_str("# What is not 0, by API, product and subscription.\n");
    for kind in HolderKind::ALL {
        push_kind(page, kind, labels, ENTITIES_SHOWN_MAX);
    }
}

fn push_kind(page: &mut String, kind: HolderKind, labels: &LabelRegistry, shown_max: usize) {
    let entity = name_of(kind);
    let mut all: Vec<_> = labels
        .all_of(kind)
        .into_iter()
        .map(|label| (label.figures(), label))
        .filter(|(figures, _)| !figures.is_empty())
        .collect();
    let counted = all.len();
    if counted > shown_max {
        // Stable, so that of two with as many the first by name is shown.
        let ends = |figures: &EntityFigures| figures.terminations.iter().sum::<u64>();
        all.sort_by_key(|(figures, _)| Reverse((figures.open(), figures.opened, ends(figures))));
        all.truncate(shown_max);
        all.sort_by(|(_, one), (_, other)| one.name().cmp(other.name()));
        push_line(
            page,
            format_args!(
                "# of {counted} with figures the {shown_max} with the most sessions are shown, by {entity}"
            ),
        );
    }
    for EntityMetric { name, help, kind, unit, visit } in ENTITY_METRICS {
        push_line(page, format_args!("# {entity}_{name} ({}, {unit}): {help}", kind.name()));
        for (figures, label) in &all {
            visit(figures, &mut |further, number| {
                if number > 0 {
                    let further =
                        further.map(|(key, value)| format!(",{key}=\"{value}\"")).unwrap_or_default();
                    let of = label.name();
                    push_line(page, format_args!("{entity}_{name}{{{entity}=\"{of}\"{further}}} {number}"));
                }
            });
        }
        page.push('\n');
    }
}

fn push_line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogFiles, Name};
    use crate::compiled::compile;
    use crate::observe::EntityLabel;
    use crate::observe::entity_cells::Writer;
    use crate::session::{Phase, Termination};
    use std::sync::Arc;

    fn label(registry: &LabelRegistry, kind: HolderKind, name: &str) -> Arc<EntityLabel> {
        registry.label_of(kind, &Name::parse(name).unwrap())
    }

    fn numbers(page: &str) -> Vec<&str> {
        page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn what_is_not_0_has_a_line_with_the_sum_of_all_writers() {
        let registry = LabelRegistry::new(2);
        let (chat, echo) =
            (label(&registry, HolderKind::Api, "chat"), label(&registry, HolderKind::Api, "echo"));
        let acme = label(&registry, HolderKind::Subscription, "acme");
        for worker in 0..2 {
            for of in [&chat, &acme] {
                let cells = of.cells(Writer::relay(worker)).unwrap();
                cells.count_open();
                cells.count_relayed(Leg::Downstream, 3, 100);
            }
        }
        chat.cells(Writer::relay(1)).unwrap().count_end(&Termination {
            cause: Cause::Closed,
            phase: Phase::Relay,
            by: None,
            close_code: Some(1001),
        });
        chat.cells(Writer::front(0)).unwrap().count_termination(Cause::BackendRefused);
        let mut page = String::new();
        push_entities(&mut page, &registry);
        assert_eq!(
            numbers(&page),
            [
                "api_sessions{api=\"chat\"} 1",
                "api_sessions_opened{api=\"chat\"} 2",
                "api_messages{api=\"chat\",leg=\"downstream\"} 6",
                "api_bytes{api=\"chat\",leg=\"downstream\"} 200",
                "api_closes{api=\"chat\",code=\"1001\"} 1",
                "api_terminations{api=\"chat\",cause=\"closed\"} 1",
                "api_terminations{api=\"chat\",cause=\"backend_refused\"} 1",
                "subscription_sessions{subscription=\"acme\"} 2",
                "subscription_sessions_opened{subscription=\"acme\"} 2",
                "subscription_messages{subscription=\"acme\",leg=\"downstream\"} 6",
                "subscription_bytes{subscription=\"acme\",leg=\"downstream\"} 200",
            ],
            "nothing of echo, which has no figures: {echo:?}"
        );
    }

    #[test]
    fn of_more_than_are_shown_those_with_the_most_sessions_are_and_the_page_says_so() {
        let registry = LabelRegistry::new(1);
        let mut labels = Vec::new();
        // The last ones have the most.
        for number in 0..12 {
            let label = label(&registry, HolderKind::Api, &format!("api-{number:02}"));
            (0..=number).for_each(|_| label.cells(Writer::relay(0)).unwrap().count_open());
            labels.push(label);
        }
        let mut page = String::new();
        push_kind(&mut page, HolderKind::Api, &registry, 4);
        assert!(
            page.starts_with("# of 12 with figures the 4 with the most sessions are shown, by api\n"),
            "{page}"
        );
        let opened: Vec<_> =
            numbers(&page).into_iter().filter(|line| line.starts_with("api_sessions{")).collect();
        let expected = [
            "api_sessions{api=\"api-08\"} 9",
            "api_sessions{api=\"api-09\"} 10",
            "api_sessions{api=\"api-10\"} 11",
            "api_sessions{api=\"api-11\"} 12",
        ];
        assert_eq!(opened, expected);
    }

    #[test]
    fn ten_thousand_apis_with_figures_make_a_page_of_less_than_a_mebibyte() {
        let mut files = CatalogFiles::default();
        for number in 0..10_000 {
            let text = format!("display_name = \"X\"\nurl = \"ws://h\"\nsuffix = \"a{number}\"\n");
            files.insert(&format!("apis/api-{number}.toml"), text);
        }
        let registry = LabelRegistry::new(1);
        registry.publish(&compile(&files, None).unwrap());
        for label in registry.all_of(HolderKind::Api) {
            label.cells(Writer::relay(0)).unwrap().count_open();
        }
        let mut page = String::new();
        push_entities(&mut page, &registry);
        assert_eq!(numbers(&page).len(), 2 * ENTITIES_SHOWN_MAX);
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
    }
}
