//! The table of queries with their answers (`answers.kql`).

use super::*;

/// One entry of the table.
struct Answer<'t> {
    line: usize,
    rule: &'t str,
    query: String,
    columns: Option<&'t str>,
    is_ordered: bool,
    rows: Vec<String>,
}

/// Reads the table: `#` and the rule, the query, `=>` (or `~>` in any order) and the names of columns, the rows.
fn answers(text: &str) -> Vec<Answer<'_>> {
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(rule) = line.strip_prefix("# ") {
            answers.push(Answer {
                line: index + 1,
                rule,
                query: String::new(),
                columns: None,
                is_ordered: true,
                rows: Vec::new(),
            });
            continue;
        }
        let Some(answer) = answers.last_mut() else { continue };
        if let Some(columns) = line.strip_prefix("=>").or_else(|| line.strip_prefix("~>")) {
            answer.columns = Some(columns.trim());
            answer.is_ordered = line.starts_with('=');
        } else if answer.columns.is_some() {
            if !line.is_empty() {
                answer.rows.push(line.to_owned());
            }
        } else {
            answer.query.push_str(line);
            answer.query.push('\n');
        }
    }
    answers
}

#[test]
fn every_query_of_the_table_has_its_answer() {
    let answers = answers(include_str!("answers.kql"));
    assert!(answers.len() >= 150, "{} queries", answers.len());
    let mut connection = store();
    let mut wrong = Vec::new();
    for answer in answers {
        assert!(!answer.rule.is_empty() && answer.columns.is_some(), "line {}", answer.line);
        let query = match Query::parse(&answer.query, now()) {
            Ok(query) => query,
            Err(fault) => {
                wrong.push(format!("line {}: {}\n{}{fault}", answer.line, answer.rule, answer.query));
                continue;
            }
        };
        make_views(&query, &connection);
        let mut rows = Vec::new();
        let run = query.run(&mut connection, &QueryLimits::default(), &mut |cells| {
            rows.push(cells.iter().map(shown).collect::<Vec<_>>().join(" | "));
        });
        let columns: Vec<&str> = query.columns().iter().map(|column| column.name.as_str()).collect();
        let mut expected = answer.rows.clone();
        if !answer.is_ordered {
            rows.sort();
            expected.sort();
        }
        let columns = columns.join(", ");
        if run.is_err() || rows != expected || Some(columns.as_str()) != answer.columns {
            wrong.push(format!(
                "line {}: {}\n{}=> {columns}\n{}\n{run:?}\n{}",
                answer.line,
                answer.rule,
                answer.query,
                rows.join("\n"),
                query.sql()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers\n\n{}", wrong.len(), wrong.join("\n\n"));
}
