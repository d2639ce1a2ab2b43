//! The whole catalogue as the workers see it: immutable, checked, ready to route.
//!
//! Routing takes one look-up per path segment, however many APIs there are, and ends at the first segment that no
//! suffix has. It compares bytes: nothing is decoded, and case counts.
//!
//! Not here: reading files (`control::store`), giving a snapshot to the workers, refusing paths that climb out of
//! their suffix (`path_escape`).

use std::collections::HashMap;
use std::sync::Arc;

use super::api::Api;
use super::fault::Fault;
use super::suffix::{SuffixClaim, shared_suffixes};

/// An immutable catalogue.
#[derive(Debug, Default)]
pub struct Snapshot {
    root: Node,
    /// Those this gateway serves, by name.
    served: Vec<Arc<Api>>,
    /// Those only other gateways serve, by name.
    elsewhere: Vec<Arc<Api>>,
}

/// What suffixes that begin alike have in common: a tree with one edge per path segment.
#[derive(Debug, Default)]
struct Node {
    /// The API whose suffix ends here.
    api: Option<Arc<Api>>,
    /// Keys come from the operator, never from a client; the map is only looked up in, never walked.
    children: HashMap<Box<str>, Node>,
}

/// An API and what a path asks of it.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// The API with the longest suffix that the path begins with.
    pub api: &'a Arc<Api>,
    /// What follows the suffix: empty, or it begins with `/`. The path `/` leaves nothing over for an API at the root.
    pub rest: &'a str,
}

impl Snapshot {
    /// Makes a snapshot for an instance of `gateway` of APIs and the files they came from.
    ///
    /// # Errors
    /// A fault for each API whose name or suffix an earlier one has, whatever gateways serve them.
    pub fn build(apis: Vec<(String, Api)>, gateway: Option<&str>) -> Result<Self, Vec<Fault>> {
        let mut faults = shared_names(&apis);
        let claims: Vec<_> = apis
            .iter()
            .map(|(file, api)| SuffixClaim { file: file.clone(), line: None, suffix: api.suffix.clone() })
            .collect();
        faults.extend(shared_suffixes(&claims));
        if !faults.is_empty() {
            return Err(faults);
        }

        let mut apis: Vec<Arc<Api>> = apis.into_iter().map(|(_, api)| Arc::new(api)).collect();
        apis.sort_by(|one, other| one.name.cmp(&other.name));
        let (served, elsewhere) = apis.into_iter().partition(|api: &Arc<Api>| api.is_served_by(gateway));
        let mut snapshot = Self { root: Node::default(), served, elsewhere };
        for api in &snapshot.served {
            let mut node = &mut snapshot.root;
            for segment in api.suffix.segments() {
                node = node.children.entry(segment.into()).or_default();
            }
            node.api = Some(Arc::clone(api));
        }
        Ok(snapshot)
    }

    /// The API that serves `path`, a request target's path without its query.
    ///
    /// `chat` serves `/chat` and `/chat/x`, not `/chatty` and not `/Chat`. The longest suffix wins.
    pub fn route<'a>(&'a self, path: &'a str) -> Option<Routed<'a>> {
        let mut after = path.strip_prefix('/')?;
        let mut rest = if after.is_empty() { after } else { path };
        let mut node = &self.root;
        let mut routed = None;
        loop {
            if let Some(api) = &node.api {
                routed = Some(Routed { api, rest });
            }
            let (segment, next) = after.split_at(after.find('/').unwrap_or(after.len()));
            let Some(child) = node.children.get(segment) else { return routed };
            node = child;
            rest = next;
            after = next.strip_prefix('/').unwrap_or_default();
        }
    }

    /// The APIs that this gateway serves, by name.
    pub fn served(&self) -> &[Arc<Api>] {
        &self.served
    }

    /// The APIs that only other gateways serve, by name.
    pub fn elsewhere(&self) -> &[Arc<Api>] {
        &self.elsewhere
    }
}

impl Routed<'_> {
    /// The path to ask the backend for: that of its URL, then the rest, with one `/` where they meet.
    ///
    /// Under `/socket`: `/chat` gives `/socket`, `/chat/` gives `/socket/`, `/chat/room` gives `/socket/room`.
    pub fn backend_path(&self) -> String {
        let base = self.api.backend.path.as_str();
        match (base, self.rest) {
            ("", "") => "/".to_owned(),
            (base, "") => base.to_owned(),
            (base, rest) => [base.strip_suffix('/').unwrap_or(base), rest].concat(),
        }
    }
}

fn shared_names(apis: &[(String, Api)]) -> Vec<Fault> {
    let mut holders = HashMap::with_capacity(apis.len());
    let mut faults = Vec::new();
    for (file, api) in apis {
        if let Some(holder) = holders.insert(&api.name, file) {
            let allowed = format!("a name that no other api has, and {holder} has this one");
            faults.push(Fault::of_file(file, None, &format!("the api's name is {}", api.name), &allowed));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{BackendUrl, Name, Suffix};

    fn api(name: &str, suffix: &str) -> (String, Api) {
        let backend = BackendUrl::parse("ws://h/socket").expect("a url");
        let suffix = Suffix::parse(suffix).expect("a suffix");
        let api = Api::new(Name::parse(name).expect("a name"), name.to_owned(), backend, suffix);
        (format!("apis/{name}.toml"), api)
    }

    fn snapshot(suffixes: &[&str]) -> Snapshot {
        let apis =
            suffixes.iter().enumerate().map(|(index, suffix)| api(&format!("a{index}"), suffix)).collect();
        Snapshot::build(apis, None).expect("no suffix is shared")
    }

    fn routed<'a>(snapshot: &'a Snapshot, path: &'a str) -> Option<(&'a str, &'a str)> {
        snapshot.route(path).map(|routed| (routed.api.suffix.as_str(), routed.rest))
    }

    #[test]
    fn longest_suffix_of_whole_segments_wins() {
        let snapshot = snapshot(&["chat", "chat/room/7", "echo"]);
        for (path, expected) in [
            ("/chat", Some(("chat", ""))),
            ("/chat/", Some(("chat", "/"))),
            ("/chat//", Some(("chat", "//"))),
            ("/chat/x", Some(("chat", "/x"))),
            ("/chat/room", Some(("chat", "/room"))),
            ("/chat/room/7", Some(("chat/room/7", ""))),
            ("/chat/room/7/x/", Some(("chat/room/7", "/x/"))),
            ("/chat/room/77", Some(("chat", "/room/77"))),
            ("/chat/../echo", Some(("chat", "/../echo"))),
            ("/chatty", None),
            ("/Chat", None),
            ("/%63hat", None),
            ("//chat", None),
            ("/room", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("chat", None),
        ] {
            assert_eq!(routed(&snapshot, path), expected, "{path}");
        }
    }

    #[test]
    fn the_root_serves_what_no_other_suffix_does() {
        let snapshot = snapshot(&["", "chat"]);
        for (path, expected) in [
            ("/", Some(("", ""))),
            ("//", Some(("", "//"))),
            ("/x", Some(("", "/x"))),
            ("/chatty", Some(("", "/chatty"))),
            ("/chat", Some(("chat", ""))),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(routed(&snapshot, path), expected, "{path}");
        }
    }

    #[test]
    fn joins_the_backends_path_and_the_rest() {
        for (base, rest, expected) in [
            ("/socket", "", "/socket"),
            ("/socket", "/", "/socket/"),
            ("/socket", "/room", "/socket/room"),
            ("/socket/", "", "/socket/"),
            ("/socket/", "/", "/socket/"),
            ("/socket/", "/room", "/socket/room"),
            ("", "", "/"),
            ("", "/", "/"),
            ("", "/x", "/x"),
            ("/", "", "/"),
            ("/", "/", "/"),
            ("/", "/x", "/x"),
            ("/", "//x", "//x"),
        ] {
            let (_, mut api) = api("a", "chat");
            api.backend = BackendUrl::parse(&format!("ws://h{base}")).expect("a url");
            let api = Arc::new(api);
            assert_eq!(Routed { api: &api, rest }.backend_path(), expected, "{base:?} {rest:?}");
        }
    }

    #[test]
    fn serves_what_names_no_gateway_or_this_one() {
        let on = |gateways: &[&str], (file, api): (String, Api)| {
            let gateways = gateways.iter().map(|name| Name::parse(name).expect("a name")).collect();
            (file, Api { gateways, ..api })
        };
        let apis = || {
            vec![
                on(&[], api("all", "all")),
                on(&["edge", "core"], api("edge", "edge")),
                on(&["x"], api("x", "x")),
            ]
        };
        let names = |apis: &[Arc<Api>]| apis.iter().map(|api| api.name.to_string()).collect::<Vec<_>>();

        let edge = Snapshot::build(apis(), Some("edge")).expect("a snapshot");
        assert_eq!(
            (names(edge.served()), names(edge.elsewhere())),
            (vec!["all".into(), "edge".into()], vec!["x".into()])
        );
        assert!(edge.route("/edge").is_some() && edge.route("/x").is_none());

        let alone = Snapshot::build(apis(), None).expect("a snapshot");
        assert_eq!(names(alone.served()), ["all"]);
    }

    #[test]
    fn a_shared_suffix_is_a_fault_even_between_gateways() {
        let (file, mut second) = api("b", "chat");
        second.gateways = vec![Name::parse("edge").expect("a name")];
        let faults = Snapshot::build(vec![api("a", "chat"), (file, second)], None).expect_err("shared");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].file, "apis/b.toml");
        assert!(faults[0].allowed.contains("apis/a.toml"));
        assert!(Snapshot::build(vec![api("a", "x"), api("a", "y")], None).is_err());
    }

    #[test]
    fn ten_thousand_apis_are_each_found() {
        let suffixes: Vec<String> = (0..10_000).map(|index| format!("v{}/api{index}", index % 7)).collect();
        let suffixes: Vec<&str> = suffixes.iter().map(String::as_str).collect();
        let snapshot = snapshot(&suffixes);
        for suffix in suffixes {
            assert_eq!(routed(&snapshot, &format!("/{suffix}/x")), Some((suffix, "/x")));
        }
    }

    /// Words of a small alphabet, so that suffixes and paths meet often.
    fn path_of(words: core::ops::Range<usize>) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "A"]), words)
            .prop_map(|words| words.join("/"))
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_search_for_the_longest_prefix(
            suffixes in prop::collection::hash_set(path_of(0..4), 0..20),
            path in prop_oneof![path_of(0..6), path_of(1..4).prop_map(|path| path + "/"), "[ab/]{0,8}"],
        ) {
            let path = format!("/{path}");
            let suffixes: Vec<&str> = suffixes.iter().map(String::as_str).collect();
            let naive = suffixes
                .iter()
                .filter(|suffix| match path[1..].strip_prefix(**suffix) {
                    Some(rest) => suffix.is_empty() || rest.is_empty() || rest.starts_with('/'),
                    None => false,
                })
                .max_by_key(|suffix| suffix.len())
                .map(|suffix| match (*suffix, path.as_str()) {
                    ("", "/") => ("", ""),
                    ("", path) => ("", path),
                    (suffix, path) => (suffix, &path[1 + suffix.len()..]),
                });
            let snapshot = snapshot(&suffixes);
            prop_assert_eq!(routed(&snapshot, &path), naive);
        }
    }
}
