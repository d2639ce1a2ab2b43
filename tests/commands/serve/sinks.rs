//! Where a start puts the rows of the log, and what it does where it cannot.

use super::*;

#[test]
fn a_start_says_where_rows_are_stored_and_makes_the_store() {
    let instance = format!("{INSTANCE}[logs]\nfolder = \"rows\"\nstore_days = 3\nstore_mib = 64\n");
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let served = Served::start(&configuration);
    let rows = configuration.folder().join("rows");
    let said = format!("  log store in {} (3 days, 64 MiB)", rows.display());
    assert!(served.announced.contains(&said), "{:?}", served.announced);
    wait_until("a segment", || fs::read_dir(&rows).is_ok_and(|mut files| files.next().is_some()));
}

#[test]
fn without_a_folder_nothing_is_stored_and_the_start_says_so() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let served = Served::start(&configuration);
    let said = "  no log store: set folder in [logs] of the instance file".to_owned();
    assert!(served.announced.contains(&said), "{:?}", served.announced);
}

#[test]
fn a_store_that_cannot_be_made_is_shown_and_counted_and_sessions_go_on() {
    let backend = Backend::new();
    let instance =
        format!("{INSTANCE}[logs]\nfolder = \"ringgate.toml/rows\"\n[status]\naddress = \"127.0.0.1:0\"\n");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let served = Served::start(&configuration);

    wait_until("a fault that is shown", || served.status_page().contains("\n# log sink store: the store "));
    assert!(!served.status_page().contains("\nlog_sink_faults 0\n"));
    served.wait_until_said("cannot keep the log in order: the store ");
    let _pair = Pair::open(served.address, &backend);
    served.wait_until_said("cannot write the log's rows: the store ");
}
