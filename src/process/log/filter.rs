//! The filter of the log, from `RINGGATE_LOG`: which lines are written.
//!
//! The property to trust: a filter that would silently drop or add lines because of a typing error is refused. `tracing-subscriber`
//! takes any word for the name of a module; here only names of ringgate's modules are allowed.
//!
//! Not here: when the variable is read (`log`).

use std::ffi::OsStr;

use tracing_subscriber::EnvFilter;

use super::FILTER_VARIABLE;

/// The levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The filter where the variable is not set.
const DEFAULT: &str = "info";

/// The modules of ringgate, whose names may stand behind `ringgate::`.
const MODULES: [&str; 23] = [
    "admission",
    "backend",
    "catalog",
    "cli",
    "compiled",
    "config",
    "control",
    "export",
    "front",
    "head",
    "http1",
    "limits",
    "observe",
    "policy",
    "process",
    "relay",
    "ring",
    "services",
    "session",
    "shared_counts",
    "telemetry",
    "tls",
    "websocket",
];

/// A part of the filter that is neither a level nor a directive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{FILTER_VARIABLE}: {part:?} is no filter; allowed is a level ({}), or ringgate::MODULE=LEVEL, or several of them \
     with commas, like info,ringgate::front=debug",
    LEVELS.join(", ")
)]
pub struct FilterFault {
    part: String,
}

/// Reads a filter; an empty one is the default.
///
/// # Errors
/// The first part that is neither a level nor a directive.
pub fn parse(given: &OsStr) -> Result<EnvFilter, FilterFault> {
    let fault = |part: &str| FilterFault { part: part.to_owned() };
    let text = given.to_str().ok_or_else(|| fault(&given.to_string_lossy()))?.trim();
    let text = if text.is_empty() { DEFAULT } else { text };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    match parts.iter().find(|part| !is_directive(part)) {
        Some(part) => Err(fault(part)),
        None => EnvFilter::try_new(parts.join(",")).map_err(|_| fault(text)),
    }
}

fn is_directive(part: &str) -> bool {
    match part.split_once('=') {
        None => is_level(part),
        Some((module, level)) => is_module(module) && is_level(level),
    }
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

fn is_module(text: &str) -> bool {
    let mut names = text.split("::");
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    names.next() == Some("ringgate")
        && names.next().is_none_or(|module| MODULES.contains(&module))
        && names.all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn takes_levels_and_modules_of_ringgate() {
        for good in [
            "",
            " ",
            "info",
            "DEBUG",
            "off",
            "ringgate=debug",
            "warn,ringgate::front=trace",
            "info, ringgate::front::opening=debug",
        ] {
            assert!(parse(OsStr::new(good)).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn refuses_what_means_nothing_with_the_allowed_values() {
        for (bad, part) in [
            ("verbose", "verbose"),
            ("5", "5"),
            ("info,", ""),
            ("debug info", "debug info"),
            ("info,ringgate=loud", "ringgate=loud"),
            ("info,ringgate::fornt=debug", "ringgate::fornt=debug"),
            ("hyper=debug", "hyper=debug"),
            ("ringgate", "ringgate"),
            ("ringgate::=debug", "ringgate::=debug"),
            ("=debug", "=debug"),
            ("info=", "info="),
        ] {
            let fault = parse(OsStr::new(bad)).err().unwrap_or_else(|| panic!("{bad} is taken"));
            assert_eq!(fault.part, part, "{bad}");
            assert!(fault.to_string().contains("off, error, warn, info, debug, trace"), "{fault}");
        }
    }

    #[test]
    fn knows_every_module_of_the_crate() {
        let root = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs"))
            .expect("the crate's root");
        let modules = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        assert_eq!(modules.collect::<BTreeSet<_>>(), BTreeSet::from(MODULES));
    }
}
