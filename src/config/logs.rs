//! `[logs]` of the instance file: where the log's rows go.
//!
//! Not here: the folder of a service's state, which a store has without a key (`telemetry::sinks`).

use crate::catalog::fields::Fields;
use crate::limits::Allowed;

/// Days for which the store keeps rows.
const STORE_DAYS: Allowed = Allowed { least: 1, most: 3650, unit: "days" };
const STORE_DAYS_DEFAULT: u64 = 7;

/// Most MiB of the store. Over it, the oldest rows are deleted.
const STORE_MIB: Allowed = Allowed { least: 64, most: 1_048_576, unit: "MiB" };
const STORE_MIB_DEFAULT: u64 = 2048;

/// MiB from which on the file of JSON lines is rotated.
const JSON_FILE_MIB: Allowed = Allowed { least: 1, most: 65_536, unit: "MiB" };
const JSON_FILE_MIB_DEFAULT: u64 = 256;

/// Hours after which the file of JSON lines is rotated.
const JSON_FILE_HOURS: Allowed = Allowed { least: 1, most: 8760, unit: "hours" };
const JSON_FILE_HOURS_DEFAULT: u64 = 24;

/// Rotated files of JSON lines that are kept.
const JSON_FILES_KEPT: Allowed = Allowed { least: 0, most: 10_000, unit: "files" };
const JSON_FILES_KEPT_DEFAULT: u64 = 7;

/// Longest name of a folder or a file, in bytes (Linux: PATH_MAX less its final zero).
const PATH_BYTES_MAX: usize = 4095;

/// Where the log's rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsConfig {
    /// Whether rows are stored. `None`: where a folder is known.
    pub store: Option<bool>,
    /// The store's folder, relative to the instance file's, or absolute. `None`: `logs` in the service's state folder.
    pub folder: Option<String>,
    /// Days for which rows are kept. Default 7.
    pub store_days: u64,
    /// Most MiB of the store. Default 2048.
    pub store_mib: u64,
    /// A file of JSON lines, relative to the instance file's folder, or absolute.
    pub json_file: Option<String>,
    /// MiB from which on it is rotated. Default 256.
    pub json_file_mib: u64,
    /// Hours after which it is rotated. Default 24.
    pub json_file_hours: u64,
    /// Rotated files that are kept. Default 7.
    pub json_files_kept: u64,
    /// Whether rows go to standard output as JSON lines. Default no.
    pub json_stdout: bool,
    /// Whether rows go to systemd's journal. Default no.
    pub journald: bool,
    /// Whether access lines go to standard output. `None`: if it is a terminal, and JSON lines do not go there.
    pub access_lines: Option<bool>,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            store: None,
            folder: None,
            store_days: STORE_DAYS_DEFAULT,
            store_mib: STORE_MIB_DEFAULT,
            json_file: None,
            json_file_mib: JSON_FILE_MIB_DEFAULT,
            json_file_hours: JSON_FILE_HOURS_DEFAULT,
            json_files_kept: JSON_FILES_KEPT_DEFAULT,
            json_stdout: false,
            journald: false,
            access_lines: None,
        }
    }
}

pub(super) fn take_logs(mut fields: Fields<'_>) -> LogsConfig {
    let default = LogsConfig::default();
    let taken = LogsConfig {
        store: fields.take_boolean("store"),
        folder: fields.take_text("folder", parse_path),
        store_days: fields.take_integer("store_days", &STORE_DAYS).unwrap_or(default.store_days),
        store_mib: fields.take_integer("store_mib", &STORE_MIB).unwrap_or(default.store_mib),
        json_file: fields.take_text("json_file", parse_path),
        json_file_mib: fields.take_integer("json_file_mib", &JSON_FILE_MIB).unwrap_or(default.json_file_mib),
        json_file_hours: fields
            .take_integer("json_file_hours", &JSON_FILE_HOURS)
            .unwrap_or(default.json_file_hours),
        json_files_kept: fields
            .take_integer("json_files_kept", &JSON_FILES_KEPT)
            .unwrap_or(default.json_files_kept),
        json_stdout: fields.take_boolean("json_stdout").unwrap_or(default.json_stdout),
        journald: fields.take_boolean("journald").unwrap_or(default.journald),
        access_lines: fields.take_boolean("access_lines"),
    };
    if taken.json_stdout && taken.access_lines == Some(true) {
        fields.object("access_lines", "false while json_stdout is true: both go to standard output");
    }
    fields.finish();
    taken
}

fn parse_path(text: &str) -> Result<String, String> {
    let is_path = (1..=PATH_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    is_path.then(|| text.to_owned()).ok_or_else(|| format!("a path of 1 to {PATH_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_instance;

    #[test]
    fn without_keys_rows_are_stored_where_a_folder_is_known_for_seven_days() {
        let config = parse_instance("ringgate.toml", "").expect("an empty file is valid").logs;
        assert_eq!(config, LogsConfig::default());
        assert_eq!((config.store, config.store_days, config.store_mib), (None, 7, 2048));
    }

    #[test]
    fn every_key_is_taken_and_bounds_are_checked() {
        let text = "[logs]\nstore = true\nfolder = \"f\"\nstore_days = 3650\nstore_mib = 64\njson_file = \"j\"\njson_file_mib = 1\n\
                    json_file_hours = 8760\njson_files_kept = 0\njson_stdout = true\njournald = true\naccess_lines = false\n";
        let config = parse_instance("ringgate.toml", text).expect("a correct file").logs;
        let expected = LogsConfig {
            store: Some(true),
            folder: Some("f".to_owned()),
            store_days: 3650,
            store_mib: 64,
            json_file: Some("j".to_owned()),
            json_file_mib: 1,
            json_file_hours: 8760,
            json_files_kept: 0,
            json_stdout: true,
            journald: true,
            access_lines: Some(false),
        };
        assert_eq!(config, expected);
        for bad in [
            "store_days = 0",
            "store_days = 3651",
            "store_mib = 63",
            "folder = \"\"",
            "json_file_mib = 0",
            "json_file_hours = 0",
            "json_files_kept = 10001",
            "json_stdout = true\naccess_lines = true",
        ] {
            let faults = parse_instance("ringgate.toml", &format!("[logs]\n{bad}")).expect_err(bad);
            assert_eq!(faults.len(), 1, "{bad}: {faults:?}");
        }
    }
}
