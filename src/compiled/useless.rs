//! Legal but useless settings of a catalogue: an API that nobody can open, a version set without an original. A line for each.
//!
//! Not here: files that are not read (`control::files::ignored`).

use crate::catalog::api::Api;
use crate::catalog::subscription::{Scope, Subscription};
use crate::catalog::timestamp::Timestamp;
use crate::catalog::version_set::VersionSet;
use crate::compiled::Snapshot;
use crate::config::InstanceConfig;

/// Everything of the kind, in the order of names: APIs, then version sets.
pub fn useless(snapshot: &Snapshot, config: &InstanceConfig, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    for api in snapshot.served() {
        told.extend(without_listener(api, config));
        told.extend(hidden_by_health_path(api, snapshot, config));
        told.extend(without_key(api, snapshot, now));
    }
    let sets = snapshot.entities().version_sets.values();
    told.extend(sets.filter_map(|set| without_original(set, snapshot)));
    told
}

/// An API whose schemes no listener has.
fn without_listener(api: &Api, config: &InstanceConfig) -> Option<String> {
    let schemes = api.schemes.unwrap_or(config.default_schemes());
    let is_served = |is_tls: bool| if is_tls { schemes.wss } else { schemes.ws };
    if config.listeners.iter().any(|listener| is_served(listener.tls.is_some())) {
        return None;
    }
    let (has, lacks) = if schemes.wss { ("wss", "has tls") } else { ("ws", "is without tls") };
    Some(format!(
        "apis/{}.toml: no listener serves api {}: its schemes are [\"{has}\"], and no listener {lacks}; add such a listener, or \
         change schemes",
        api.name, api.name
    ))
}

/// An API whose path the health path hides, in part or altogether.
fn hidden_by_health_path(api: &Api, snapshot: &Snapshot, config: &InstanceConfig) -> Option<String> {
    let health = config.health_path.as_ref()?.as_str();
    let path = snapshot.path_of(api);
    let rest = health.strip_prefix('/')?.strip_prefix(path.as_str())?;
    // An API without a suffix has every path; that one of them is the balancers' is what its publisher expects.
    let is_within = !path.is_empty() && (rest.is_empty() || rest.starts_with('/'));
    is_within.then(|| {
        format!(
            "apis/{}.toml: requests for {health} never reach api {}: that is the path of health checks (health.path); change one \
             of the two",
            api.name, api.name
        )
    })
}

/// An API that needs a key, of which there is none that opens it.
fn without_key(api: &Api, snapshot: &Snapshot, now: Timestamp) -> Option<String> {
    let entities = snapshot.entities();
    let mut products = api.products.iter().filter_map(|name| entities.products.get(name));
    let is_open =
        !api.subscription_required || products.any(|product| product.is_open() && product.is_published);
    if is_open {
        return None;
    }
    let covers = |subscription: &Subscription| match &subscription.scope {
        Scope::Product(name) => api.products.contains(name),
        Scope::Api(name) => api.name == *name,
        Scope::AllApis => true,
    };
    let opens = |subscription: &Subscription| {
        let has_key = subscription.primary_key_hash.is_some() || subscription.secondary_key_hash.is_some();
        has_key && subscription.is_valid_at(now)
    };
    let mut covering = entities.subscriptions.iter().filter(|one| covers(one)).peekable();
    let why = if covering.peek().is_none() {
        "it needs one, and no subscription covers it"
    } else if covering.any(|one| opens(one)) {
        return None;
    } else {
        "it needs one, and no subscription that covers it is active and has a key"
    };
    Some(format!(
        "apis/{}.toml: no key opens api {}: {why}; add a subscription and make its key (ringgate subscription new-key), or set \
         subscription_required = false",
        api.name, api.name
    ))
}

/// A version set whose path answers nobody who asks for no version.
fn without_original(set: &VersionSet, snapshot: &Snapshot) -> Option<String> {
    let mut of_set =
        snapshot.entities().apis.iter().filter(|api| api.version_set.as_ref() == Some(&set.name)).peekable();
    let file = format!("version-sets/{}.toml", set.name);
    if of_set.peek().is_none() {
        return Some(format!(
            "{file}: no api is in version set {}; name it in an api's version_set, or remove it",
            set.name
        ));
    }
    (!of_set.any(|api| api.version.is_none())).then(|| {
        format!(
            "{file}: version set {} has no original: a request without a version gets 404; add an api with version_set = \"{}\" \
             and without version, if such requests are to be served",
            set.name, set.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogFiles;
    use crate::catalog::subscription_key::KeyHasher;
    use crate::compiled::compile;
    use crate::config::parse_instance;

    const CHAT: (&str, &str) =
        ("apis/chat.toml", "display_name = \"C\"\nurl = \"ws://h\"\nsuffix = \"chat\"\n");

    fn told_of(files: &[(&str, &str)], instance: &str) -> Vec<String> {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        let snapshot = compile(&made, None).unwrap_or_else(|faults| panic!("{faults:?}"));
        let config = parse_instance("ringgate.toml", instance).expect("a correct instance file");
        useless(&snapshot, &config, Timestamp::from_unix(1_000))
    }

    fn subscription(lines: &str) -> String {
        let hash = KeyHasher::new(&[1; 32]).text_of(b"key");
        format!("display_name = \"A\"\nprimary_key_hash = \"{hash}\"\n{lines}")
    }

    #[test]
    fn an_api_that_no_key_opens_is_told() {
        let opened_by = |lines: &str| told_of(&[CHAT, ("subscriptions/a.toml", &subscription(lines))], "");
        assert!(told_of(&[CHAT], "")[0].contains("no subscription covers it"));
        assert_eq!(opened_by("scope = \"/apis\""), [""; 0]);
        assert_eq!(opened_by("scope = \"/apis/chat\""), [""; 0]);
        for lines in [
            "scope = \"/apis\"\nstate = \"suspended\"",
            "scope = \"/apis\"\nend_date = 1970-01-01T00:16:40Z",
            "scope = \"/apis\"\nstart_date = 1970-01-01T00:16:41Z",
        ] {
            assert!(opened_by(lines)[0].contains("is active and has a key"), "{lines}");
        }
        let keyless =
            told_of(&[CHAT, ("subscriptions/a.toml", "display_name = \"A\"\nscope = \"/apis\"")], "");
        assert!(keyless[0].starts_with("apis/chat.toml: no key opens api chat: "), "{keyless:?}");
    }

    #[test]
    fn an_api_whose_path_is_that_of_health_checks_is_told() {
        let open = format!("{}subscription_required = false\n", CHAT.1);
        let told = |path: &str| told_of(&[(CHAT.0, &open)], &format!("[health]\npath = \"{path}\""));
        for path in ["/chat", "/chat/up"] {
            let start = format!("apis/chat.toml: requests for {path} never reach api chat: ");
            assert!(told(path).len() == 1 && told(path)[0].starts_with(&start), "{:?}", told(path));
        }
        for path in ["", "/", "/chats", "/cha", "/Chat", "/up"] {
            assert_eq!(told(path), [""; 0], "{path}");
        }
    }

    #[test]
    fn an_api_that_is_open_needs_no_key() {
        let open = format!("{}subscription_required = false\n", CHAT.1);
        assert_eq!(told_of(&[(CHAT.0, &open)], ""), [""; 0]);
        let in_product = format!("{}products = [\"p\"]\n", CHAT.1);
        let with_product = |lines: &str| {
            let product = format!("display_name = \"P\"\nsubscription_required = false\n{lines}");
            told_of(&[(CHAT.0, &in_product), ("products/p.toml", &product)], "")
        };
        assert_eq!(with_product("state = \"published\""), [""; 0]);
        assert_eq!(with_product("").len(), 1, "an open product that is not published opens nothing");
    }

    #[test]
    fn an_api_that_no_listener_serves_is_told() {
        let api = |schemes: &str| format!("{}subscription_required = false\nschemes = [{schemes}]\n", CHAT.1);
        let told = told_of(&[(CHAT.0, &api("\"wss\""))], "");
        assert_eq!(
            told,
            [
                "apis/chat.toml: no listener serves api chat: its schemes are [\"wss\"], and no listener has tls; add such a \
              listener, or change schemes"
            ]
        );
        let tls = "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = { certificates = [{ chain = \"c\", key = \"k\" }] }\n";
        assert!(told_of(&[(CHAT.0, &api("\"ws\""))], tls)[0].contains("no listener is without tls"));
        let both = format!("{tls}[[listeners]]\naddress = \"127.0.0.1:2\"\n");
        for schemes in ["\"ws\"", "\"wss\"", "\"ws\", \"wss\""] {
            assert_eq!(told_of(&[(CHAT.0, &api(schemes))], &both), [""; 0], "{schemes}");
        }
    }

    #[test]
    fn a_version_set_without_an_original_or_without_apis_is_told() {
        let set = ("version-sets/v.toml", "display_name = \"V\"\nversioning_scheme = \"Segment\"\n");
        let api =
            |lines: &str| format!("{}subscription_required = false\nversion_set = \"v\"\n{lines}", CHAT.1);
        assert!(told_of(&[set], "")[0].contains("no api is in version set v"));
        assert!(told_of(&[set, (CHAT.0, &api("version = \"v1\"\n"))], "")[0].contains("has no original"));
        assert_eq!(told_of(&[set, (CHAT.0, &api(""))], ""), [""; 0]);
    }
}
