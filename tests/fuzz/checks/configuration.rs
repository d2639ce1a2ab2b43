//! Instance and catalogue files: any text is taken or refused with faults that say where; what is taken can be routed.

use ringgate::catalog::{CatalogFiles, Fault, parse_api};
use ringgate::compiled::compile;
use ringgate::compiled::export::export;
use ringgate::config::parse_instance;

/// Files of a catalogue beside APIs, by the letter that an input of theirs begins with.
const FILES: [(u8, &str); 5] = [
    (b'g', "gateways/fuzz.toml"),
    (b'n', "named-values.toml"),
    (b'p', "products/fuzz.toml"),
    (b's', "subscriptions/fuzz.toml"),
    (b'v', "version-sets/fuzz.toml"),
];

/// `input` is an instance file, or a file of a catalogue where it begins with the letter of one: `a` is an API's.
pub fn check(input: &[u8]) {
    let Some((kind, text)) = input.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let faults = if *kind == b'a' {
        match parse_api("apis/fuzz.toml", "fuzz", text) {
            Ok(api) => return check_api(&api, text),
            Err(faults) => faults,
        }
    } else if let Some((_, path)) = FILES.iter().find(|(letter, _)| letter == kind) {
        return check_file(path, text);
    } else {
        match parse_instance("ringgate.toml", text) {
            Ok(_) => return,
            Err(faults) => faults,
        }
    };
    check_faults(&faults);
}

fn check_file(path: &str, text: &str) {
    let mut files = CatalogFiles::default();
    files.insert(path, text);
    match compile(&files, None) {
        Ok(snapshot) => drop(export(&snapshot).to_string()),
        Err(faults) => check_faults(&faults),
    }
}

fn check_faults(faults: &[Fault]) {
    assert!(!faults.is_empty(), "refused, and no reason given");
    for fault in faults {
        let line = fault.to_string();
        assert!(line.contains(".toml"), "{line}");
        assert!(!line.contains(['\n', '\r', '\0', '\x1b']), "one fault is one line: {line:?}");
    }
}

fn check_api(api: &ringgate::catalog::Api, text: &str) {
    let suffix = match &api.version {
        Some(version) if api.suffix.as_str().is_empty() => version.to_string(),
        Some(version) => format!("{}/{version}", api.suffix),
        None => api.suffix.to_string(),
    };
    let gateways = api.gateways.first().map(|gateway| gateway.as_str().to_owned());
    let mut files = CatalogFiles::default();
    files.insert("apis/fuzz.toml", text);
    for product in &api.products {
        files.insert(&format!("products/{product}.toml"), "display_name = \"P\"");
    }
    if let Some(set) = &api.version_set {
        files.insert(
            &format!("version-sets/{set}.toml"),
            "display_name = \"V\"\nversioning_scheme = \"Segment\"",
        );
    }
    let snapshot = compile(&files, gateway(&gateways)).expect("one API");
    for rest in ["", "/", "/room", "//", "/%2e%2e/"] {
        let path =
            if suffix.is_empty() && rest.is_empty() { "/".to_owned() } else { format!("/{suffix}{rest}") };
        if let Ok(Some(routed)) = snapshot.route(&path) {
            let made = routed.backend_path();
            assert!(made.starts_with('/') && made.bytes().all(|byte| byte.is_ascii_graphic()), "{made:?}");
        }
    }
}

fn gateway(name: &Option<String>) -> Option<&str> {
    name.as_deref()
}
