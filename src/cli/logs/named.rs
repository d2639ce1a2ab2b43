//! Queries with a name, for questions that operators ask most.
//!
//! Not here: running them (`cli::logs`).

/// A query with a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedQuery {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// The question that it answers.
    pub(super) question: &'static str,
    /// Its text.
    pub(super) text: &'static str,
}

/// What `ringgate logs` shows without a query: the newest openings, the last one at the end.
pub(super) const NEWEST: NamedQuery = NamedQuery {
    name: "newest",
    question: "what the newest openings became",
    text: "\
ApiManagementGatewayLogs
| top 20 by TimeGenerated
| sort by TimeGenerated asc
| project TimeGenerated, ClientIpAddress, ApiId, Url, ResponseCode, Cause, TotalTime, CorrelationId",
};

/// What `ringgate logs -f` shows of new openings without a query.
pub(super) const FOLLOWED: &str = "\
ApiManagementGatewayLogs
| project TimeGenerated, ClientIpAddress, ApiId, Url, ResponseCode, Cause, TotalTime, CorrelationId";

/// Every named query.
pub(super) const ALL: [NamedQuery; 7] = [
    NEWEST,
    NamedQuery {
        name: "opened",
        question: "which openings were answered with 101",
        text: "\
ApiManagementGatewayLogs
| where ResponseCode == 101
| sort by TimeGenerated asc
| project TimeGenerated, ClientIpAddress, ApiId, ProductId, ApimSubscriptionId, Url, TotalTime, CorrelationId",
    },
    NamedQuery {
        name: "refusals",
        question: "by which rule openings were refused, and how often",
        text: "\
ApiManagementGatewayLogs
| where IsRequestSuccess == false
| summarize Refusals = count(), Last = max(TimeGenerated) by ApiId, ResponseCode, Cause, LastErrorReason
| sort by Refusals desc",
    },
    NamedQuery {
        name: "shortest",
        question: "which sessions were the shortest, and why they ended",
        text: "\
ApiManagementWebSocketConnectionLogs
| where EventName == \"terminated\" and Phase == \"relay\"
| top 50 by DurationMs asc
| project TimeGenerated, DurationMs, ApiId, ClientIpAddress, Cause, EndedBy, ClientCloseCode, BackendCloseCode, CorrelationId",
    },
    NamedQuery {
        name: "close-codes",
        question: "with which close codes sessions ended, and who ended them",
        text: "\
ApiManagementWebSocketConnectionLogs
| where EventName == \"terminated\" and Phase == \"relay\"
| summarize Sessions = count() by ApiId, EndedBy, ClientCloseCode, BackendCloseCode, Cause
| sort by Sessions desc",
    },
    NamedQuery {
        name: "cut",
        question: "which sessions ringgate ended itself, and why",
        text: "\
ApiManagementWebSocketConnectionLogs
| where EventName == \"terminated\" and Phase == \"relay\" and EndedBy == \"gateway\"
| sort by TimeGenerated asc
| project TimeGenerated, ApiId, ProductId, ApimSubscriptionId, ClientIpAddress, Cause, Error, DurationMs, CorrelationId",
    },
    NamedQuery {
        name: "slowest",
        question: "which openings took longest, and in which stage (microseconds)",
        text: "\
ApiManagementGatewayLogs
| where isnotnull(TotalTimeUs)
| top 50 by TotalTimeUs
| project TimeGenerated, ApiId, ResponseCode, TotalTimeUs, TlsTimeUs, HeadTimeUs, PolicyTimeUs, DialTimeUs, BackendTimeUs, BackendAddress, CorrelationId",
    },
];

/// The list of them: a line each.
pub(super) fn list() -> String {
    let line = |query: &NamedQuery| format!("{:<12} {}\n", query.name, query.question);
    ALL.iter().map(line).collect::<String>() + "\nringgate logs --name NAME runs one.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::Ticks;
    use crate::telemetry::kql::{Query, QueryLimits};
    use crate::telemetry::store::json_lines::JsonLines;
    use crate::telemetry::store::reader::SourceView;

    #[test]
    fn every_named_query_parses_and_runs() {
        for named in ALL {
            let query = Query::parse(named.text, Ticks::UNIX_EPOCH)
                .unwrap_or_else(|fault| panic!("{}: {fault}", named.name));
            let sources: Vec<_> = query
                .sources()
                .iter()
                .map(|source| SourceView {
                    table: source.table,
                    view: &source.view,
                    from: source.from,
                    to: source.to,
                })
                .collect();
            let mut connection = JsonLines::new().unwrap().connect(&sources).unwrap();
            query
                .run(&mut connection, &QueryLimits::default(), &mut |_| {})
                .unwrap_or_else(|fault| panic!("{}: {fault}", named.name));
        }
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        assert_eq!(list().lines().count(), ALL.len() + 2);
    }
}
