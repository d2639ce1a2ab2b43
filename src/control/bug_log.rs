//! Logs sessions that were ended for a broken invariant, from the reports of the relays.
//!
//! Not here: counting them, which a relay does itself (`broken_invariants`, and `bug` among the terminations).

use crate::admission::places::HolderKind;
use crate::process::log::limited;
use crate::relay::{BugReport, BugReports};

/// Logs reports until the last relay is gone.
pub(super) async fn log_bugs(mut reports: BugReports) {
    while let Some(report) = reports.next().await {
        log_bug(&report);
    }
}

fn log_bug(report: &BugReport) {
    let name = |kind| {
        let holder = report.holders.iter().find(|holder| holder.kind == kind)?;
        Some(holder.name.as_str())
    };
    limited!(
        ERROR,
        name(HolderKind::Api),
        "a bug of ringgate's ended a session (and no other): please report this line",
        id = %report.id,
        product = name(HolderKind::Product),
        subscription = name(HolderKind::Subscription),
        broken = report.broken.to_string(),
        state = ?report.state
    );
}
