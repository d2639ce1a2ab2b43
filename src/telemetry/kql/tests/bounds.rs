//! What a query may take, and that it can only read.

use std::time::Duration;

use super::*;

fn refused(text: &str, reason: &str) {
    let fault = Query::parse(text, now()).unwrap_err();
    assert!(fault.reason.contains(reason), "{fault}");
}

fn many(piece: &str, count: usize, between: &str) -> String {
    vec![piece; count].join(between)
}

#[test]
fn refuses_a_text_that_is_too_long() {
    refused(&format!("RinggateUsage // {}", "x".repeat(QUERY_BYTES_MAX)), "bytes");
}

#[test]
fn refuses_what_is_nested_too_deep_and_takes_what_is_not() {
    let nested = |depth: usize| format!("print {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Query::parse(&nested(40), now()).is_ok());
    refused(&nested(60), "nested");
    refused(&format!("print {}1", "-".repeat(100)), "nested");
    refused(&format!("{}RinggateUsage{}", "(".repeat(60), ")".repeat(60)), "nested");
}

#[test]
fn refuses_too_many_words_terms_items_and_operators() {
    refused(&format!("RinggateUsage | project {}", many("1", 6_000, ",")), "words and signs");
    refused(&format!("print {}", many("1", 101, "+")), "terms");
    assert!(Query::parse(&format!("print {}", many("1", 100, "+")), now()).is_ok());
    refused(&format!("RinggateUsage | where {}", many("Sessions==1", 1_001, " or ")), "terms");
    refused(
        &format!("RinggateUsage | where Sessions in ({})", many("1", 1_001, ",")),
        "list has at most 1000",
    );
    refused(&format!("RinggateUsage {}", many("| count", 101, "")), "operators and tables");
    refused(
        &format!(
            "RinggateUsage | project {}",
            (0..501).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join(",")
        ),
        "columns",
    );
}

#[test]
fn what_let_names_is_counted_at_each_use() {
    let doubled: String = (1..40).map(|n| format!("let a{n} = a{} + a{};", n - 1, n - 1)).collect();
    refused(&format!("let a0 = 1; {doubled} print a39"), "parts");
    let doubled: String = (1..40).map(|n| format!("let t{n} = union t{}, t{};", n - 1, n - 1)).collect();
    refused(&format!("let t0 = RinggateUsage | count; {doubled} t39"), "operators and tables");
}

#[test]
fn the_largest_queries_that_are_taken_run() {
    let mut connection = store();
    let limits = QueryLimits::default();
    let doubled: String = (1..60).map(|n| format!("| extend a{n} = a{} * a{} + 1", n - 1, n - 1)).collect();
    for text in [
        format!("RinggateUsage | where {}", many("Sessions==1", 1_000, " or ")),
        format!("RinggateUsage | where {}", many("Sessions!=1", 1_000, " and ")),
        format!("RinggateUsage | where Sessions in ({})", many("1", 1_000, ",")),
        format!("RinggateUsage | where ApiId in~ ({})", many("'x'", 1_000, ",")),
        format!("RinggateUsage {}", many("| where Sessions > 1", 98, "")),
        format!("RinggateUsage {}", many("| extend Sessions = Sessions % 7", 98, "")),
        format!("RinggateUsage {}", many("| summarize Sessions = sum(Sessions) by ApiId", 98, "")),
        format!("RinggateUsage | extend a0 = Sessions {doubled}"),
        format!("union {}", many("RinggateUsage", 98, ",")),
        format!(
            "RinggateUsage | project {}",
            (0..500).map(|n| format!("a{n}=Sessions")).collect::<Vec<_>>().join(",")
        ),
        format!("RinggateUsage | project x = {}", many("Sessions", 100, "+")),
        format!("RinggateUsage | project x = {}", many("dynamic(1)", 100, "-")),
        format!(
            "RinggateUsage | project x = {}{}",
            "strcat(ApiId, ".repeat(45),
            ")".repeat(45).replacen(')', "'x')", 1)
        ),
        format!(
            "RinggateUsage | take 1 {}",
            many("| join kind=inner (RinggateUsage | take 1 | project ApiId) on ApiId", 20, "")
        ),
    ] {
        run_within(&text, &mut connection, &limits)
            .unwrap_or_else(|fault| panic!("{fault}\n{}", &text[..200.min(text.len())]));
    }
}

#[test]
fn a_query_ends_at_its_deadline() {
    let mut connection = store();
    let limits = QueryLimits { time: Duration::from_millis(50), ..QueryLimits::default() };
    let many_rows = "let t = RinggateUsage | extend k = 1; t ".to_owned()
        + &many("| join kind=inner t on k | project k", 18, " ")
        + " | count";
    let fault = run_within(&many_rows, &mut connection, &limits).unwrap_err();
    assert!(matches!(fault, RunFault::TookTooLong(_)), "{fault}");
    // The connection can be used again.
    assert_eq!(
        run_within("RinggateUsage | count", &mut connection, &QueryLimits::default()).unwrap(),
        [["4"]]
    );
}

#[test]
fn a_query_can_be_interrupted() {
    let mut connection = store();
    let query = Query::parse("RinggateUsage | project ApiId", now()).unwrap();
    make_views(&query, &connection);
    let handle = connection.get_interrupt_handle();
    let mut rows = 0;
    let fault = query.run(&mut connection, &QueryLimits::default(), &mut |_| {
        rows += 1;
        handle.interrupt();
    });
    assert!(matches!(fault, Err(RunFault::Interrupted)), "{fault:?}");
    assert_eq!(rows, 1);
}

#[test]
fn a_result_has_at_most_so_many_rows_and_bytes() {
    let mut connection = store();
    let limits = QueryLimits { rows: 3, ..QueryLimits::default() };
    assert!(matches!(run_within("RinggateUsage", &mut connection, &limits), Err(RunFault::TooManyRows(3))));
    assert_eq!(run_within("RinggateUsage | take 3", &mut connection, &limits).unwrap().len(), 3);
    let limits = QueryLimits { bytes: 20, ..QueryLimits::default() };
    let fault = run_within("RinggateUsage | project ApiId, Sessions", &mut connection, &limits);
    assert!(matches!(fault, Err(RunFault::TooManyBytes(20))));
}

#[test]
fn aggregates_hold_at_most_so_much_memory() {
    let limits = QueryLimits { aggregate_bytes: 10_000, ..QueryLimits::default() };
    let mut connection = store();
    let many_rows = "let t = RinggateUsage | extend k = 1; t ".to_owned()
        + &many("| join kind=inner t on k | project k, TimeGenerated", 5, " ");
    for aggregate in ["make_list(TimeGenerated)", "percentile(TimeGenerated, 50)"] {
        let fault = run_within(&format!("{many_rows} | summarize {aggregate}"), &mut connection, &limits);
        assert!(matches!(fault, Err(RunFault::TooMuchMemory(_))), "{aggregate}: {fault:?}");
    }
    for aggregate in ["arg_max(1, x)", "make_set(x)", "take_any(x)"] {
        let text = format!("print x = '{}' | summarize {aggregate}", "x".repeat(20_000));
        let fault = run_within(&text, &mut connection, &limits);
        assert!(matches!(fault, Err(RunFault::TooMuchMemory(_))), "{aggregate}: {fault:?}");
    }
    // What is held is given back from group to group.
    let groups = format!("{many_rows} | summarize make_set(k) by TimeGenerated");
    assert_eq!(run_within(&groups, &mut connection, &limits).unwrap().len(), 3);
}

#[test]
fn a_value_has_at_most_so_many_bytes() {
    let mut connection = store();
    let doubled = many("| extend x = strcat(x, x)", 40, " ");
    let replaced = many("| extend x = replace_string(x, 'x', x)", 8, " ");
    for text in [format!("print x = 'xx' {doubled}"), format!("print x = 'xxxxxxxx' {replaced}")] {
        let fault = run_within(&text, &mut connection, &QueryLimits::default());
        assert!(matches!(fault, Err(RunFault::TooMuchMemory(_))), "{fault:?}");
    }
}

#[test]
fn a_query_can_only_read() {
    let mut connection = store();
    let query = Query::parse("RinggateUsage | count", now()).unwrap();
    make_views(&query, &connection);
    for sql in [
        "DELETE FROM RinggateUsage",
        "ATTACH ':memory:' AS x",
        "PRAGMA user_version = 1",
        "DROP TABLE RinggateUsage",
    ] {
        let forged = Query {
            statement: sql::Statement { sql: sql.to_owned(), parameters: Vec::new() },
            columns: Vec::new(),
            sources: Vec::new(),
        };
        let fault = forged.run(&mut connection, &QueryLimits::default(), &mut |_| {});
        assert!(matches!(fault, Err(RunFault::Store(_))), "{sql}: {fault:?}");
    }
    assert_eq!(
        run_within("RinggateUsage | count", &mut connection, &QueryLimits::default()).unwrap(),
        [["4"]]
    );
}

#[test]
fn no_text_of_a_query_is_part_of_its_sql() {
    let text = "RinggateUsage | where ApiId == \"qwertz\" and ApiId has \"qwertz\" | extend qwertz = dynamic({\"qwertz\": 1}).qwertz \
        | summarize [\"qwertz'\\\"\"] = make_set(qwertz) by k = strcat(ApiId, 'qwertz')";
    let query = Query::parse(text, now()).unwrap();
    assert!(!query.sql().contains("qwertz"), "{}", query.sql());
    assert_eq!(query.columns()[1].name, "qwertz'\"");
}

fn times(text: &str) -> (Option<String>, Option<String>) {
    let query = Query::parse(text, now()).unwrap();
    let shown = |time: Option<Ticks>| time.map(|time| datetime_text(time)[..16].to_owned());
    (shown(query.sources()[0].from), shown(query.sources()[0].to))
}

#[test]
fn the_times_that_a_query_needs_are_known_before_it_runs() {
    let (eleven, noon) = (Some("2025-03-05T11:00".to_owned()), Some("2025-03-05T12:00".to_owned()));
    for (conditions, from, to) in [
        ("| where TimeGenerated > ago(1h)", &eleven, &None),
        (
            "| where TimeGenerated >= ago(2h) and ApiId == 'x' | where now() - 1h <= TimeGenerated",
            &eleven,
            &None,
        ),
        ("| where TimeGenerated between (ago(1h) .. now())", &eleven, &noon),
        ("| where TimeGenerated between (ago(1h) .. 1h)", &eleven, &noon),
        ("| where TimeGenerated < now() and TimeGenerated <= now() + 1d", &None, &noon),
        ("| where TimeGenerated == datetime(2025-03-05 12:00)", &noon, &noon),
        ("| where TimeGenerated > ago(1h) or ApiId == 'x'", &None, &None),
        ("| where not(TimeGenerated > ago(1h))", &None, &None),
        ("| where TimeGenerated > bin(ago(30m), 1h)", &eleven, &None),
        ("| extend TimeGenerated = now() | where TimeGenerated > ago(1h)", &None, &None),
        ("| take 1 | where TimeGenerated > ago(1h)", &None, &None),
    ] {
        assert_eq!(times(&format!("RinggateUsage {conditions}")), (from.clone(), to.clone()), "{conditions}");
    }
    // Each use of a table has its own times.
    let query = Query::parse(
        "let t = RinggateUsage; union (t | where TimeGenerated > ago(1h)), (t | where TimeGenerated < ago(1d))",
        now(),
    )
    .unwrap();
    let bounds: Vec<_> =
        query.sources().iter().map(|source| (source.from.is_some(), source.to.is_some())).collect();
    assert_eq!(bounds, [(true, false), (false, true)]);
}

#[test]
fn a_span_of_time_is_found_by_the_index_in_every_segment() {
    let connection = store();
    connection
        .execute_batch(
            "CREATE TABLE other AS SELECT * FROM RinggateUsage; CREATE INDEX other_time ON other (TimeGenerated);
             CREATE TEMP VIEW source_0 AS SELECT * FROM main.RinggateUsage UNION ALL SELECT * FROM main.other;",
        )
        .unwrap();
    register_functions(&connection).unwrap();
    for operators in [
        "project ApiId, TimeGenerated",
        "count",
        "summarize n = count(), sum(Sessions) by ApiId, bin(TimeGenerated, 5m)",
        "where ApiId has 'x' | extend y = 1 | where Sessions > 1 | summarize count() by y",
        "sort by Sessions | take 10",
    ] {
        let text =
            format!("RinggateUsage | where TimeGenerated > ago(1h) and TimeGenerated < now() | {operators}");
        let query = Query::parse(&text, now()).unwrap();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", query.sql())).unwrap();
        for (index, literal) in query.statement.parameters.iter().enumerate() {
            if let Some(units) = literal.units() {
                explain.raw_bind_parameter(index + 1, units).unwrap();
            }
        }
        let mut rows = explain.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        let searches = steps.iter().filter(|step| {
            step.starts_with("SEARCH") && step.contains("TimeGenerated>? AND TimeGenerated<?")
        });
        assert_eq!(searches.count(), 2, "{operators}\n{}\n{steps:#?}", query.sql());
    }
}
