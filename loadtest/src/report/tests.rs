//! The contents that a report must and must not have.

use super::*;

#[test]
fn the_page_asks_for_nothing_from_outside() {
    let page = page(&sample::full());
    for forbidden in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<img", "<iframe"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn markup_in_a_title_a_version_or_a_failure_is_shown_and_not_obeyed() {
    let mut comparison = sample::full();
    comparison.plans[0].plan.title = "<b onclick=\"x\">64 B".to_owned();
    comparison.targets[2].version = "<i>2.8".to_owned();
    let page = page(&comparison);
    assert!(page.contains("&lt;b onclick=&quot;x&quot;&gt;64 B"));
    assert!(page.contains("&lt;i&gt;2.8") && page.contains("&lt;no such file&gt;"));
    assert!(!page.contains("<b onclick") && !page.contains("<i>2.8") && !page.contains("<no such"));
}

#[test]
fn the_page_names_what_does_not_count_and_whether_the_floor_is_one() {
    let page = page(&sample::full());
    assert!(page.contains("<b>thrown out</b>, load core 91 % busy"));
    assert!(page.contains("<b>faults</b>, 14 sessions ended"));
    assert!(page.contains("<b>could not be run</b>"));
    assert!(page.contains("<code>floor</code> is a floor in this comparison"));
}

#[test]
fn a_comparison_without_peers_or_without_runs_still_has_a_report() {
    let mut comparison = sample::empty(&["ringgate", "floor"], 2);
    assert!(page(&comparison).contains("nothing is compared"));
    comparison.plans = sample::full().plans;
    assert!(page(&comparison).contains("not run"));
    assert!(table(&comparison).contains("cannot be said"));
    comparison.attempts = vec![sample::cost("round-trip-64b-100", "ringgate", 0, 8.0)];
    assert!(table(&comparison).contains("8.00"));
}

#[test]
fn results_are_read_back_into_the_same_report() {
    let kept = std::env::var_os("RINGGATE_SAMPLE_REPORT").map(std::path::PathBuf::from);
    let name = format!("ringgate-report-test-{}", std::process::id());
    let folder = kept.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let comparison = sample::full();
    write(&comparison, &folder).expect("a report");
    let text = std::fs::read_to_string(folder.join("results.json")).expect("results");
    let again: Comparison = serde_json::from_str(&text).expect("a comparison");
    assert_eq!(page(&again), page(&comparison));
    // RINGGATE_SAMPLE_REPORT names a folder in which the made-up report is kept, to look at.
    if kept.is_none() {
        std::fs::remove_dir_all(&folder).expect("the folder");
    }
}

#[test]
fn the_table_says_who_the_best_peer_is() {
    let table = table(&sample::full());
    assert!(table.lines().any(|line| line.contains("haproxy-tcp") && line.ends_with("best peer")), "{table}");
}
