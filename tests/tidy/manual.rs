//! README and manual against the code: every key, metric, cause, tier and command is described as it is, and no link is broken.

use super::{read, root, rust_files, shown};
use clap::CommandFactory as _;
use regex::Regex;
use ringgate::cli::Cli;
use ringgate::limits::TIERS;
use ringgate::observe::tables::TABLES;
use ringgate::session::termination::{Answer, Farewell};
use ringgate::session::{Cause, Leg};
use ringgate::telemetry::otlp::SIGNAL_METRICS;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest README, in lines: one page.
const README_LINES_MAX: usize = 120;

/// The functions that take keys out of a table, by name and receiver, and the section of the reference that has these keys.
const SECTIONS: [(&str, &str, &str); 32] = [
    ("catalog_folder", "", "Instance"),
    ("take_instance", "fields", "Instance"),
    ("take_listeners", "fields", "Instance"),
    ("take_listeners", "table", "[[listeners]]"),
    ("take_status", "fields", "[status]"),
    ("take_control_socket", "fields", "[control]"),
    ("take_health", "fields", "[health]"),
    ("take_keys", "fields", "[keys]"),
    ("take_names", "fields", "[names]"),
    ("take_logs", "fields", "[logs]"),
    ("take_otlp", "fields", "[otlp]"),
    ("take_headers", "fields", "[otlp]"),
    ("take_headers", "header", "headers of OTLP"),
    ("take_attributes", "fields", "[otlp]"),
    ("take_attributes", "attribute", "attributes of OTLP"),
    ("take_diagnostics", "fields", "[diagnostics]"),
    ("take_limits", "fields", "[limits]"),
    ("take_tier", "fields", "[limits]"),
    ("take_dead_peer_timeout", "fields", "[limits]"),
    ("take_listener_tls", "fields", "tls of a listener"),
    ("take_certificates", "fields", "tls of a listener"),
    ("take_certificate", "fields", "certificates"),
    ("take_backend_tls", "fields", "tls of an API"),
    ("take_api", "fields", "catalog/apis/NAME.toml"),
    ("take_schemes", "fields", "catalog/apis/NAME.toml"),
    ("take_frames", "fields", "catalog/apis/NAME.toml"),
    ("take_key_names", "fields", "subscription_key_names of an API"),
    ("take_product", "fields", "catalog/products/NAME.toml"),
    ("take_subscription", "fields", "catalog/subscriptions/NAME.toml"),
    ("take_version_set", "fields", "catalog/version-sets/NAME.toml"),
    ("take_gateway", "fields", "catalog/gateways/NAME.toml"),
    ("take_named_value", "fields", "catalog/named-values.toml"),
];

/// Keys whose range is not that of their constant alone: why, and the text of the reference.
const OWN_RANGES: [(&str, &str); 1] = [
    // 0 switches it off, and small values are refused.
    ("dead_peer_timeout_s", "0, or 5 to 86400 s"),
];

fn page(name: &str) -> String {
    read(&root().join("src/manual").join(name))
}

/// The cells of the rows of a table in a section of a page, without the head. The section ends with the next heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let mut lines = page.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    assert!(lines.next().is_some(), "no section {heading}");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let section = lines.take_while(|line| !line.starts_with('#'));
    let rows: Vec<_> = section.filter(|line| line.starts_with('|')).map(cells).skip(2).collect();
    assert!(!rows.is_empty(), "no table in section {heading}");
    rows
}

/// The text of a cell that is in backquotes.
fn quoted(cell: &str) -> String {
    cell.strip_prefix('`').and_then(|rest| rest.split('`').next()).unwrap_or(cell).to_owned()
}

/// A key of a parser.
struct ParsedKey {
    section: &'static str,
    name: String,
    /// The constant of its range, for a number.
    range: Option<String>,
}

/// The files of the parsers. Those of the fields themselves name no key.
fn files_with_keys() -> Vec<PathBuf> {
    let folders = ["config", "catalog"].map(|folder| rust_files(&root().join("src").join(folder)));
    folders.concat().into_iter().filter(|file| !file.ends_with("catalog/fields.rs")).collect()
}

/// Every key that a parser takes out of a table.
fn parsed_keys() -> Vec<ParsedKey> {
    let function = Regex::new(r"(?m)^(?:pub(?:\([a-z]+\))? )?fn (\w+)").expect("a pattern");
    let key = Regex::new(
        r#"(\w*)\)?\s*\.take_(?:required_secret_|required_|secret_)?(?:integer|decimal|boolean|texts?|tables?|moment)\(\s*"(\w+)"(?:,\s*&(?:limits::)?([A-Z_0-9]+)\b)?"#,
    )
    .expect("a pattern");
    let mut keys = Vec::new();
    for file in files_with_keys() {
        let text = read(&file);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let starts: Vec<_> = function.captures_iter(text).collect();
        for (at, start) in starts.iter().enumerate() {
            let begin = start.get(0).expect("a match").start();
            let end = starts.get(at + 1).map_or(text.len(), |next| next.get(0).expect("a match").start());
            for found in key.captures_iter(&text[begin..end]) {
                let section = SECTIONS.iter().find(|(function, receiver, _)| {
                    *function == &start[1] && (receiver.is_empty() || *receiver == &found[1])
                });
                let (_, _, section) = section.unwrap_or_else(|| {
                    let (file, function) = (shown(&file), &start[1]);
                    panic!("{file}: {function} takes {} of {}: which section has it?", &found[2], &found[1])
                });
                let range = found.get(3).map(|range| range.as_str().to_owned());
                keys.push(ParsedKey { section, name: found[2].to_owned(), range });
            }
        }
    }
    keys
}

#[test]
fn the_reference_has_every_key_of_the_files_and_no_other() {
    let mut parsed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for key in parsed_keys() {
        parsed.entry(key.section).or_default().insert(key.name);
    }
    let count: usize = parsed.values().map(BTreeSet::len).sum();
    assert!(count > 85, "the parsers are not where they are looked for: {count} keys");
    let reference = page("reference.md");
    for (section, keys) in parsed {
        let rows = rows(&reference, section);
        let described: BTreeSet<_> = rows.iter().map(|row| quoted(&row[0])).collect();
        assert_eq!(described, keys, "section {section} of the reference, and the keys that are parsed");
        for row in rows {
            assert_eq!(row.len(), 4, "{section}: {row:?}");
            assert!(!row[1].is_empty() && (!row[2].is_empty() || !row[3].is_empty()), "{section}: {row:?}");
        }
    }
}

/// A constant of the parsers or of the limits, by the start of its definition.
fn constant(definition: &Regex) -> Option<String> {
    let files = files_with_keys().into_iter().chain([root().join("src/limits.rs")]);
    files.into_iter().find_map(|file| Some(definition.captures(&read(&file))?[1].to_owned()))
}

#[test]
fn the_reference_has_the_range_the_unit_and_the_default_of_every_number() {
    let reference = page("reference.md");
    let units = [("milliseconds", "ms"), ("seconds", "s"), ("revisions", "")];
    let mut count = 0;
    for key in parsed_keys() {
        let Some(name) = key.range else { continue };
        let definition =
            format!(r#"const {name}: Allowed =\s*Allowed \{{ least: (\w+, most: [^,]+, unit: "[^"]+)"#);
        let Some(range) = constant(&Regex::new(&definition).expect("a pattern")) else { continue };
        let range = range.replace('_', "").replace("1 << 62", "2^62");
        let (numbers, unit) = range.split_once(", unit: \"").expect("a range with a unit");
        let unit = units.iter().find(|(long, _)| *long == unit).map_or(unit, |(_, short)| short);
        let allowed = format!("{} {unit}", numbers.replace(", most: ", " to "));
        let rows = rows(&reference, key.section);
        let row = rows.iter().find(|row| quoted(&row[0]) == key.name).expect("it is described");
        let own = OWN_RANGES.iter().find(|(own, _)| *own == key.name);
        let allowed = own.map_or(allowed.trim(), |(_, allowed)| allowed);
        assert!(row[2].starts_with(allowed), "{}: {} is not {allowed}", key.name, row[2]);
        let default = Regex::new(&format!(r"const {name}_DEFAULT: u64 = (\d[\d_]*);")).expect("a pattern");
        if let Some(default) = constant(&default) {
            let default = default.replace('_', "");
            let given: String = row[1].chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(given, default, "default of {}: {}", key.name, row[1]);
        }
        count += 1;
    }
    assert!(count > 25, "the ranges are not where they are looked for: {count}");
}

#[test]
fn the_reference_has_every_tier() {
    let described: Vec<_> = rows(&page("reference.md"), "Tiers");
    let tiers: Vec<_> = TIERS
        .iter()
        .map(|tier| {
            vec![
                format!("`\"{}\"`", tier.name),
                tier.sessions_per_unit.to_string(),
                tier.units.most.to_string(),
            ]
        })
        .collect();
    assert_eq!(described, tiers);
}

#[test]
fn the_reference_has_every_metric_with_its_kind_and_unit() {
    let metric = Regex::new(r"(?m)^# (\w+) \((\w+), ([^)]+)\): ").expect("a pattern");
    let status = read(&root().join("tests/golden/status.txt"));
    let shown: Vec<_> =
        metric.captures_iter(&status).map(|found| [1, 2, 3].map(|at| found[at].to_owned())).collect();
    assert!(shown.len() > 50, "the metrics are not where they are looked for: {}", shown.len());
    let rows = rows(&page("reference.md"), "Metrics");
    let described: Vec<_> =
        rows.iter().map(|row| [quoted(&row[0]), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(described, shown);
}

#[test]
fn the_reference_has_every_metric_of_otlp_with_its_kind_and_unit() {
    let shown: Vec<_> = SIGNAL_METRICS
        .iter()
        .map(|metric| [metric.info.name, metric.info.kind.name(), metric.info.unit].map(str::to_owned))
        .collect();
    let rows = rows(&page("reference.md"), "Metrics of OTLP");
    let described: Vec<_> =
        rows.iter().map(|row| [quoted(&row[0]), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(described, shown);
}

#[test]
fn the_page_of_the_log_has_every_table_and_column_with_its_type() {
    let page = page("logs.md");
    for table in TABLES {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| {
                let kind = format!("{:?}", column.kind).to_lowercase();
                vec![format!("`{}`", column.name), kind, column.help.to_owned()]
            })
            .collect();
        assert_eq!(rows(&page, table.name), columns, "{}", table.name);
        assert!(page.contains(&format!("### {}\n\n{}\n", table.name, table.help)), "{}", table.help);
    }
}

#[test]
fn the_reference_has_every_family_of_the_page_for_prometheus() {
    let reference = page("reference.md");
    // Of the one list by rule; the others have a row.
    let of_list = rows(&reference, "Metrics").into_iter().map(|row| {
        let suffix = if row[1] == "counter" { "_total" } else { "" };
        format!("ringgate_{}{suffix}", quoted(&row[0]))
    });
    let of_rows = rows(&reference, "Metrics for Prometheus").into_iter().map(|row| quoted(&row[0]));
    let described: BTreeSet<_> =
        of_list.chain(of_rows).filter(|name| !name.starts_with("ringgate_subscription_")).collect();
    let golden = read(&root().join("tests/golden/metrics.txt"));
    let families = golden.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let families: BTreeSet<_> = families.map(str::to_owned).collect();
    assert_eq!(described, families);
}

#[test]
fn dashboard_rules_and_alerts_use_no_name_that_the_page_for_prometheus_does_not_have() {
    let golden = read(&root().join("tests/golden/metrics.txt"));
    let sample = Regex::new(r"(?m)^(ringgate_\w+)").expect("a pattern");
    let mut known: BTreeSet<_> = sample.captures_iter(&golden).map(|found| found[1].to_owned()).collect();
    // These have rows once something has occurred.
    let families = golden.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    known.extend(families.map(str::to_owned));
    let folder = root().join("tuning/observability");
    let used = Regex::new(r"(?:^|[^:\w])(ringgate_\w+)").expect("a pattern");
    for (file, least) in [("dashboard.json", 35), ("recording.yml", 6), ("alerts.yml", 14)] {
        let text = fs::read_to_string(folder.join(file)).expect("a file of the repository");
        let names: BTreeSet<_> = used.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        assert!(names.len() >= least, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read(&folder.join("dashboard.json"))).expect("a dashboard in json");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 15));
}

/// Every subcommand, by its words behind `ringgate`. A group of commands stands for itself only by those in it.
fn subcommands(command: &clap::Command, words: &str) -> Vec<String> {
    let of = |child: &clap::Command| {
        let words = format!("{words} {}", child.get_name());
        let mut all = subcommands(child, &words);
        if !child.is_subcommand_required_set() {
            all.push(words);
        }
        all
    };
    command.get_subcommands().filter(|child| child.get_name() != "help").flat_map(of).collect()
}

#[test]
fn the_reference_has_every_command_and_no_other() {
    let mut described = BTreeSet::new();
    for row in rows(&page("reference.md"), "Commands") {
        // `ringgate ctl status`, `reload`: the later ones stand beside the first.
        let mut group = String::new();
        for quoted in row[0].split('`').skip(1).step_by(2) {
            let words: Vec<_> =
                quoted.split(' ').take_while(|word| word.starts_with(char::is_lowercase)).collect();
            if words[0] == "ringgate" {
                group = words[..words.len() - 1].join(" ");
                described.insert(words.join(" "));
            } else {
                described.insert(format!("{group} {}", words.join(" ")));
            }
        }
    }
    let commands: BTreeSet<_> = subcommands(&Cli::command(), "ringgate").into_iter().collect();
    assert_eq!(described, commands);
}

/// Returns the end that a leg gets, in the words of the page.
fn farewell(farewell: Farewell) -> String {
    match farewell {
        Farewell::Close(code) => format!("Close {}", code.number()),
        Farewell::LastClose(code) => format!("Close {}, or end of stream within a frame", code.number()),
        Farewell::AsItCame => "the Close frame as it came".to_owned(),
        Farewell::PlainEnd => "end of stream".to_owned(),
        Farewell::BareFin => "bare FIN".to_owned(),
        Farewell::Alert => "TLS alert".to_owned(),
        Farewell::Reset => "reset".to_owned(),
        Farewell::Nothing => "–".to_owned(),
    }
}

/// A row of cells.
fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.to_vec()
}

/// Checks that a section's table has these rows, in any order.
fn assert_rows_of_endings(heading: &str, mut expected: Vec<Vec<String>>) {
    let mut described = rows(&page("endings.md"), heading);
    expected.sort();
    described.sort();
    assert_eq!(described, expected);
}

#[test]
fn endings_has_the_answer_of_every_cause_before_the_101() {
    let mut expected = Vec::new();
    for cause in Cause::ALL {
        let status = match cause.answer() {
            Answer::Status(status) => status.to_string(),
            Answer::OfTheRule => "as the broken rule says".to_owned(),
            Answer::OfTheBackend => "the backend's own status, or 502".to_owned(),
            Answer::Nothing => "no answer".to_owned(),
            Answer::NotBefore => continue,
        };
        let retry = if cause.may_be_retried() { "5 to 9 s" } else { "none" };
        expected.push(row([format!("`{}`", cause.name()), status, retry.to_owned()]));
    }
    assert_rows_of_endings("Answers before the 101", expected);
}

#[test]
fn endings_has_what_both_sides_get_of_every_cause_after_the_101() {
    let mut expected = Vec::new();
    for cause in Cause::ALL {
        let told = |by| Leg::BOTH.map(|leg| farewell(cause.farewell(leg, by)));
        let by_ringgate = told(None);
        let by_endpoint = [("client", Leg::Downstream), ("backend", Leg::Upstream)]
            .map(|(who, leg)| (who, told(Some(leg))));
        let mut push = |who: &str, [client, backend]: [String; 2]| {
            expected.push(row([format!("`{}`", cause.name()), who.to_owned(), client, backend]));
        };
        if by_ringgate.iter().all(|told| told == "–") {
            continue;
        }
        // What ringgate decides does not depend on who caused it.
        if by_endpoint.iter().all(|(_, told)| *told == by_ringgate) {
            push("ringgate", by_ringgate);
        } else {
            by_endpoint.into_iter().for_each(|(who, told)| push(who, told));
        }
    }
    assert_rows_of_endings("Ends after the 101", expected);
}

#[test]
fn endings_explains_every_cause_and_says_what_to_do() {
    let page = page("endings.md");
    let sections: Vec<&str> = page.split("\n### ").skip(1).collect();
    let explained: BTreeSet<_> =
        sections.iter().map(|section| quoted(section.lines().next().unwrap_or(""))).collect();
    let causes: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.name().to_owned()).collect();
    assert_eq!(explained, causes);
    assert_eq!(sections.len(), Cause::ALL.len(), "each once");
    for section in sections {
        assert!(section.contains("\n**What to do:** "), "{section}");
    }
}

#[test]
fn the_readme_is_one_page() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines: move what is longer to src/manual");
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// Every Markdown file of the repository that people read.
fn markdown_files() -> Vec<PathBuf> {
    let mut files = vec![root().join("README.md")];
    let mut folders = ["src", "loadtest", "tuning", "tests"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files
}

/// The links of a page that lead nowhere.
fn broken_links(file: &Path, text: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let is_broken = |target: &str| {
        if target.starts_with("http") {
            return false;
        }
        let (path, wanted) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let path =
            if path.is_empty() { file.to_owned() } else { file.parent().expect("a folder").join(path) };
        let has_anchor = |wanted| {
            let text = if path == file { text.to_owned() } else { read(&path) };
            text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted)
        };
        !path.exists() || wanted.is_some_and(|wanted: &str| !has_anchor(wanted))
    };
    let targets = link.captures_iter(text).map(|found| found[1].to_owned());
    targets.filter(|target| is_broken(target)).map(|target| format!("{}: {target}", shown(file))).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let files = markdown_files();
    assert!(files.len() > 30, "the pages are not where they are looked for: {files:?}");
    let broken: Vec<_> = files.iter().flat_map(|file| broken_links(file, &read(file))).collect();
    assert!(broken.is_empty(), "links that lead nowhere:{}", super::list(broken));
}

#[test]
fn notices_links_that_lead_nowhere() {
    let file = root().join("src/manual/operator.md");
    for broken in ["[a](#nothing)", "[a](nothing.md)", "[a](endings.md#nothing)"] {
        assert_eq!(broken_links(&file, broken).len(), 1, "{broken}");
    }
    for fine in
        ["# A b\n[a](#a-b)", "[a](endings.md)", "[a](endings.md#closed)", "[a](https://example.com/#x)"]
    {
        assert_eq!(broken_links(&file, fine), [""; 0], "{fine}");
    }
}
