//! The same queries by Microsoft's parser (`oracle.txt`, made by `tests/checks/kql_oracle.cjs`) and by ours: both accept or both
//! refuse, and the columns of the result have the same names and types, but for the deviations listed here.

use super::*;

/// What the two say of a query.
struct Case<'c> {
    query: &'c str,
    theirs: &'c str,
    ours: String,
    fault: String,
}

impl Case<'_> {
    /// Whether they accept what we refuse for this reason.
    fn is_refused_by_us_for(&self, reason: &str) -> bool {
        self.theirs.starts_with("accepted") && self.fault.contains(reason)
    }

    fn is_calculation_with_times(&self) -> bool {
        const REASONS: [&str; 10] = [
            "`+` is not defined for datetime and",
            "`*` is not defined for datetime and",
            "`/` is not defined for datetime and",
            "`%` is not defined for datetime and",
            "`*` is not defined for int and datetime",
            "`*` is not defined for long and datetime",
            "`*` is not defined for real and datetime",
            "`-` is not defined for timespan and datetime",
            "`*` is not defined for timespan and timespan",
            "`-` does not go with datetime",
        ];
        REASONS.iter().any(|reason| self.is_refused_by_us_for(reason))
            || self.is_refused_by_us_for("`bin` takes a timespan such as 5m here, not datetime")
    }
}

/// Where the two differ on purpose, and why.
struct Deviation {
    reason: &'static str,
    is_meant: fn(&Case<'_>) -> bool,
}

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        reason: "values of unlike types are never equal: their service refuses such a comparison, their parser does not",
        is_meant: |case| {
            case.is_refused_by_us_for("`==` is not defined for")
                || case.is_refused_by_us_for("`!=` is not defined for")
        },
    },
    Deviation {
        reason: "branches of unlike types have no type, as the page of case() says: their parser calls it dynamic",
        is_meant: |case| {
            case.theirs.ends_with(":dynamic")
                && (case.is_refused_by_us_for("`iff` takes ") || case.is_refused_by_us_for("`case` takes "))
        },
    },
    Deviation {
        reason: "points in time are not added, multiplied, divided or negated, and lengths of time not multiplied: the page of arithmetic with times has none of it",
        is_meant: |case| case.is_calculation_with_times(),
    },
    Deviation {
        reason: "a sum or deviation of points in time, and a deviation of lengths of time, mean nothing",
        is_meant: |case| {
            case.is_refused_by_us_for("`sum` takes ") || case.is_refused_by_us_for("`stdev` takes ")
        },
    },
    Deviation {
        reason: "a percentile is one of numbers or times: others are sorted, but have no ranks that mean anything",
        is_meant: |case| case.is_refused_by_us_for("`percentile` takes numbers or times"),
    },
    Deviation {
        reason: "the least of strings or booleans is not supported",
        is_meant: |case| case.is_refused_by_us_for("`min_of` takes numbers or times"),
    },
    Deviation {
        reason: "their parser does not look into literals of points in time",
        is_meant: |case| case.is_refused_by_us_for("this is no datetime"),
    },
    Deviation {
        reason: "their parser does not look into regular expressions; ours are known before a query runs",
        is_meant: |case| case.is_refused_by_us_for("regular expression"),
    },
    Deviation {
        reason: "their parser does not look into formats of points in time",
        is_meant: |case| case.is_refused_by_us_for("is no field of a format"),
    },
    Deviation {
        reason: "their parser does not look at the rank of a percentile",
        is_meant: |case| case.is_refused_by_us_for("a percentile is a number from 0 to 100"),
    },
    Deviation {
        reason: "operators and kinds that are not supported are refused by name",
        is_meant: |case| case.is_refused_by_us_for("` is not supported, at"),
    },
    Deviation {
        reason: "functions of let are not supported",
        is_meant: |case| case.is_refused_by_us_for("functions are not supported"),
    },
    Deviation {
        reason: "a text without a query, and summarize with nothing, ask for nothing",
        is_meant: |case| {
            case.is_refused_by_us_for("there is no query")
                || case.is_refused_by_us_for("there is nothing to summarize")
        },
    },
    Deviation {
        reason: "a number of rows is a constant, and not negative",
        is_meant: |case| {
            case.is_refused_by_us_for("take: the number of rows") || case.query.ends_with("| take Sessions")
        },
    },
    Deviation {
        reason: "nothing stands behind render, as its page says",
        is_meant: |case| case.is_refused_by_us_for("nothing follows render"),
    },
    Deviation {
        reason: "a query does not begin with a scalar value",
        is_meant: |case| case.is_refused_by_us_for("is a value, not a table"),
    },
    Deviation {
        reason: "keys of a join have an order, dynamic values have none",
        is_meant: |case| case.is_refused_by_us_for("keys of a join have one type, not dynamic"),
    },
    Deviation {
        reason: "an inner union has the columns that are in all tables, as its page says: their parser gives all columns",
        is_meant: |case| case.query.starts_with("union kind=inner") && case.ours == "accepted a:long",
    },
    Deviation {
        reason: "their parser knows whether a dynamic value that is written out is an array or an object",
        is_meant: |case| {
            case.query.contains("dynamic({")
                && case.theirs.starts_with("refused KS")
                && case.ours != "refused"
        },
    },
];

#[test]
fn accepts_refuses_and_names_columns_as_the_language_service_does() {
    let queries =
        include_str!("oracle.kql").lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let theirs: Vec<&str> = include_str!("oracle.txt").lines().collect();
    let queries: Vec<String> = queries.map(|query| query.replace("\\n", "\n")).collect();
    assert!(queries.len() > 2_000 && queries.len() == theirs.len());
    let mut met = vec![0; DEVIATIONS.len()];
    let mut wrong = Vec::new();
    for (query, theirs) in queries.iter().zip(theirs) {
        let (ours, fault) = match Query::parse(query, now()) {
            Ok(query) => {
                let columns = query.columns().iter().map(|column| format!("{}:{}", column.name, column.kind));
                (format!("accepted {}", columns.collect::<Vec<_>>().join(", ")), String::new())
            }
            Err(fault) => ("refused".to_owned(), fault.to_string()),
        };
        let is_same = ours == theirs || (ours == "refused" && theirs.starts_with("refused"));
        if is_same {
            continue;
        }
        let case = Case { query, theirs, ours, fault };
        match DEVIATIONS.iter().position(|deviation| (deviation.is_meant)(&case)) {
            Some(place) => met[place] += 1,
            None => {
                let Case { ours, fault, .. } = case;
                wrong.push(format!("{query}\n  theirs: {theirs}\n  ours:   {ours} {fault}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    for (deviation, met) in DEVIATIONS.iter().zip(met) {
        assert!(met > 0, "no query shows it: {}", deviation.reason);
    }
}
