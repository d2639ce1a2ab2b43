//! Queries that are refused: where, and what is said.

use super::*;

fn fault(text: &str) -> QueryFault {
    match Query::parse(text, now()) {
        Ok(query) => panic!("{text}\nis not refused: {:?}", query.columns()),
        Err(fault) => fault,
    }
}

/// Query, line, column, operator, a part of the reason, a part of what is known instead.
const REFUSED: &[(&str, usize, usize, &str, &str, &str)] = &[
    ("", 1, 1, "", "no query", "table"),
    ("// nothing", 1, 11, "", "no query", ""),
    ("let x = 1", 1, 10, "", "no query", ""),
    (".drop table X", 1, 1, "", "commands are not supported", ""),
    ("X", 1, 1, "", "no table `X`", "tables are"),
    ("RinggateUsge | count", 1, 1, "", "no table", "did you mean `RinggateUsage`?"),
    ("ringgateusage | count", 1, 1, "", "no table", "did you mean `RinggateUsage`?"),
    ("RinggateUsage | WHERE Sessions > 1", 1, 17, "", "no operator", "`where`"),
    ("RinggateUsage\n| where Sesions > 1", 2, 9, "where", "no column or value `Sesions`", "`Sessions`"),
    ("RinggateUsage | where Sessions = 1", 1, 32, "where", "`=` does not compare", "`==`"),
    ("RinggateUsage | where Sessions", 1, 23, "where", "true or false", ""),
    ("RinggateUsage | where ApiId", 1, 23, "where", "true or false", ""),
    ("RinggateUsage | where Sessions == 1 && true", 1, 37, "", "no meaning", ""),
    ("RinggateUsage | where !true", 1, 23, "where", "cannot stand before an expression", "not(x)"),
    (
        "RinggateUsage | where TimeGenerated > \"2025-03-03\"",
        1,
        37,
        "where",
        "not defined for datetime and string",
        "datetime(2025-03-03)",
    ),
    ("RinggateUsage | where TimeGenerated > datetime(2025-13-03)", 1, 48, "", "no datetime", ""),
    (
        "RinggateUsage | where TimeGenerated + TimeGenerated > now()",
        1,
        37,
        "where",
        "`+` is not defined for datetime and datetime",
        "",
    ),
    ("RinggateUsage | where Sessions == \"1\"", 1, 32, "where", "not defined for long and string", "tolong"),
    ("RinggateUsage | where ApiId < \"a\"", 1, 29, "where", "not defined for string and string", ""),
    ("RinggateUsage | where ApiId between (\"a\" .. \"b\")", 1, 29, "where", "not defined", ""),
    ("RinggateUsage | where Sessions has \"1\"", 1, 32, "where", "`has` is not defined for long", "tostring"),
    ("RinggateUsage | where ApiId matches regex \"(\"", 1, 43, "where", "no regular expression", ""),
    ("RinggateUsage | where ApiId matches regex ApiId", 1, 43, "where", "string literal", ""),
    ("RinggateUsage | where ApiId like \"a\"", 1, 29, "where", "`like` is not supported", "contains"),
    ("RinggateUsage | where ApiId has_all (\"a\")", 1, 29, "where", "not supported", "has_any"),
    ("RinggateUsage | where Sessions in ()", 1, 36, "where", "empty", ""),
    ("RinggateUsage | where 1 < Sessions < 3", 1, 36, "where", "not chained", "and"),
    ("RinggateUsage | project x = 1, x = 2", 1, 32, "project", "two columns are named `x`", ""),
    ("RinggateUsage | project ApiId, ApiId", 1, 32, "project", "two columns", ""),
    ("RinggateUsage | extend x = 1, x = 2", 1, 31, "extend", "two columns", ""),
    ("RinggateUsage | project kind = 1", 1, 25, "project", "only in brackets", "['kind']"),
    ("RinggateUsage | project ApiId + \"x\"", 1, 31, "project", "not defined", "strcat"),
    ("RinggateUsage | project a = null", 1, 29, "project", "`null`", "int(null)"),
    ("RinggateUsage | project ToLower(ApiId)", 1, 25, "project", "no function `ToLower`", "`tolower`"),
    ("RinggateUsage | project startofhour(TimeGenerated)", 1, 25, "project", "no function", ""),
    ("RinggateUsage | project ago('1h')", 1, 29, "project", "takes timespan", ""),
    ("RinggateUsage | project bin(TimeGenerated, 5)", 1, 44, "project", "timespan such as 5m", ""),
    ("RinggateUsage | project substring(ApiId)", 1, 25, "project", "takes 2 to 3 arguments, not 1", ""),
    ("RinggateUsage | project datetime_diff('eon', now(), now())", 1, 39, "project", "no period", "year"),
    ("RinggateUsage | project format_datetime(now(), 'Q')", 1, 48, "project", "no field", "yyyy"),
    ("RinggateUsage | project iff(1, 2, 3)", 1, 29, "project", "takes a bool", ""),
    ("RinggateUsage | project iff(true, 2, 'x')", 1, 38, "project", "takes long", ""),
    ("RinggateUsage | project ApiId.x", 1, 25, "project", "only dynamic values have parts", "parse_json"),
    ("RinggateUsage | project count()", 1, 25, "project", "outside of summarize", ""),
    ("RinggateUsage | project 1w", 1, 26, "", "unit of time", "7d"),
    ("RinggateUsage | project-away Foo", 1, 30, "project-away", "no column `Foo`", ""),
    ("RinggateUsage | project-away Foo*", 1, 30, "project-away", "no column has a name like", ""),
    (
        "RinggateUsage | project-rename a = ApiId",
        1,
        17,
        "",
        "`project-rename` is not supported",
        "project-away",
    ),
    ("RinggateUsage | parse ApiId with \"a\" b", 1, 17, "", "`parse` is not supported", "extend"),
    ("search \"x\"", 1, 1, "", "`search` is not supported", ""),
    ("range x from 1 to 3 step 1", 1, 1, "", "`range` is not supported", ""),
    ("RinggateUsage | summarize", 1, 26, "summarize", "nothing to summarize", "count()"),
    (
        "RinggateUsage | summarize Sessions by ApiId",
        1,
        27,
        "summarize",
        "outside of an aggregate",
        "take_any",
    ),
    (
        "RinggateUsage | summarize strcat(ApiId, count()) by ApiId",
        1,
        34,
        "summarize",
        "outside of an aggregate",
        "",
    ),
    ("RinggateUsage | summarize sum(count())", 1, 31, "summarize", "within another", ""),
    ("RinggateUsage | summarize sum(ApiId)", 1, 31, "summarize", "numbers or timespans", ""),
    ("RinggateUsage | summarize x = count() by x = ApiId", 1, 27, "summarize", "two columns", ""),
    ("RinggateUsage | summarize percentile(Sessions, 101)", 1, 48, "summarize", "from 0 to 100", ""),
    ("RinggateUsage | summarize arg_max(*, Sessions)", 1, 35, "summarize", "`*`", ""),
    (
        "ApiManagementGatewayLogs | summarize count() by Errors",
        1,
        49,
        "summarize",
        "cannot be grouped",
        "tostring",
    ),
    ("ApiManagementGatewayLogs | distinct *", 1, 28, "distinct", "dynamic", ""),
    ("ApiManagementGatewayLogs | sort by Errors", 1, 36, "sort", "no order", "tostring"),
    ("ApiManagementGatewayLogs | summarize min(Errors)", 1, 42, "summarize", "no order", ""),
    ("RinggateUsage | sort ApiId", 1, 22, "sort", "`by` is missing", ""),
    ("RinggateUsage | top 5 by Sessions, ApiId", 1, 34, "", "not understood", ""),
    ("RinggateUsage | take -1", 1, 22, "take", "whole number", ""),
    ("RinggateUsage | take Sessions", 1, 22, "take", "no column", ""),
    ("RinggateUsage | join RinggateUsage", 1, 35, "join", "`on` is missing", ""),
    (
        "RinggateUsage | join kind=fullouter (RinggateUsage) on ApiId",
        1,
        27,
        "join",
        "the join kind `fullouter` is not supported",
        "innerunique",
    ),
    ("RinggateUsage | join (RinggateUsage | count) on ApiId", 1, 49, "join", "on the right side", ""),
    ("RinggateUsage | join (RinggateUsage | extend ApiId = 1) on ApiId", 1, 60, "join", "one type", ""),
    (
        "RinggateUsage | join (RinggateUsage) on $left.ApiId == $left.ApiId",
        1,
        62,
        "join",
        "a column of each side",
        "$right",
    ),
    ("RinggateUsage | mv-expand ApiId", 1, 27, "mv-expand", "only dynamic", "split"),
    ("RinggateUsage | union Foo*", 1, 23, "union", "no table has such a name", ""),
    ("RinggateUsage | render pie", 1, 24, "render", "not known", "piechart"),
    ("RinggateUsage | render table | count", 1, 32, "", "nothing follows render", ""),
    ("RinggateUsage | ", 1, 17, "", "operator is missing", ""),
    ("RinggateUsage | where (true", 1, 28, "where", "`)` is missing", ""),
    ("RinggateUsage count", 1, 15, "", "not understood", "`|`"),
    ("let f = (x: long) { x }; RinggateUsage", 1, 9, "let", "functions are not supported", ""),
    ("let x = y; let y = 1; print x", 1, 9, "let", "no column or value `y`", ""),
    ("let t = RinggateUsage; print t", 1, 30, "print", "a table, not a value", ""),
    ("let x = 1; x | count", 1, 12, "", "a value, not a table", ""),
    ("let to = 1; print 1", 1, 5, "let", "only in brackets", ""),
    ("print a = 'x\\q'", 1, 13, "", "escape is not known", "takes \\ as it is"),
    ("print a = 'x", 1, 11, "", "no end", ""),
];

#[test]
fn refuses_with_operator_place_reason_and_what_is_known_instead() {
    let mut wrong = Vec::new();
    for (text, line, column, operator, reason, known) in REFUSED {
        let fault = fault(text);
        let is_right = (fault.line, fault.column, fault.operator) == (*line, *column, *operator)
            && fault.reason.contains(reason)
            && fault.known.contains(known);
        if !is_right {
            wrong.push(format!("{text}\n{fault}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_fault_is_one_line_that_quotes_the_piece() {
    let shown = fault("RinggateUsage\n| where Sesions > 1").to_string();
    assert_eq!(
        shown,
        "line 2, column 9: where: there is no column or value `Sesions`, at `Sesions`; did you mean `Sessions`?"
    );
    assert!(!fault("print '\u{7}\n").to_string().contains(char::is_control));
}
