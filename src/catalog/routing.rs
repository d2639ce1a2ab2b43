//! Which API a request is for: the longest suffix that its path begins with, and the version it asks for.
//!
//! Routing takes one look-up per path segment, however many APIs there are, and ends at the first segment that no
//! suffix has. It compares bytes: nothing is decoded, and case counts.
//!
//! Not here: refusing paths that climb out of their suffix (`path_escape`), how a version is found in a request
//! (`given_version`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::api::Api;
use super::name::Name;
use super::suffix::published_path;
use super::version_set::{Version, VersionScheme, VersionSet};

/// Every API that is served, by its path: a tree with one edge per path segment.
#[derive(Debug, Default)]
pub(super) struct Routes {
    root: Node,
}

/// What suffixes that begin alike have in common.
#[derive(Debug, Default)]
struct Node {
    /// What is published at the suffix that ends here.
    published: Option<Endpoint>,
    /// Keys come from the operator, never from a client; the map is only looked up in, never walked.
    children: HashMap<Box<str>, Node>,
}

/// What is published at a suffix.
#[derive(Debug)]
enum Endpoint {
    One(Arc<Api>),
    /// The versions of a set whose scheme is Header or Query.
    Versions(Box<Versions>),
}

#[derive(Debug)]
struct Versions {
    scheme: VersionScheme,
    original: Option<Arc<Api>>,
    by_version: HashMap<Version, Arc<Api>>,
}

/// An API and what a path asks of it.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// The API with the longest suffix that the path begins with.
    pub api: &'a Arc<Api>,
    /// What follows the suffix: empty, or it begins with `/`. The path `/` leaves nothing over for an API at the root.
    pub rest: &'a str,
}

impl Routes {
    /// The routes to `apis`, which the catalogue has checked: no two of them claim the same.
    pub(super) fn new(apis: &[Arc<Api>], version_sets: &BTreeMap<Name, Arc<VersionSet>>) -> Self {
        let mut routes = Self::default();
        for api in apis {
            let set = api.version_set.as_ref().and_then(|name| version_sets.get(name));
            let scheme = set.map(|set| &set.scheme);
            let mut node = &mut routes.root;
            let path = published_path(&api.suffix, scheme, api.version.as_ref());
            for segment in path.split('/').filter(|segment| !segment.is_empty()) {
                node = node.children.entry(segment.into()).or_default();
            }
            node.publish(api, scheme);
        }
        routes
    }

    /// The API at `path`. `asked_version` finds the version that the request asks for where its scheme says.
    pub(super) fn route<'a>(
        &'a self,
        path: &'a str,
        asked_version: impl FnOnce(&VersionScheme) -> Option<Cow<'a, [u8]>>,
    ) -> Option<Routed<'a>> {
        let (endpoint, rest) = self.longest(path)?;
        let api = match endpoint {
            Endpoint::One(api) => api,
            Endpoint::Versions(versions) => {
                let asked = asked_version(&versions.scheme);
                let asked = asked.as_deref().and_then(|version| str::from_utf8(version).ok());
                asked.and_then(|version| versions.by_version.get(version)).or(versions.original.as_ref())?
            }
        };
        Some(Routed { api, rest })
    }

    fn longest<'a>(&'a self, path: &'a str) -> Option<(&'a Endpoint, &'a str)> {
        let mut after = path.strip_prefix('/')?;
        let mut rest = if after.is_empty() { after } else { path };
        let mut node = &self.root;
        let mut found = None;
        loop {
            if let Some(endpoint) = &node.published {
                found = Some((endpoint, rest));
            }
            let (segment, next) = after.split_at(after.find('/').unwrap_or(after.len()));
            let Some(child) = node.children.get(segment) else { return found };
            node = child;
            rest = next;
            after = next.strip_prefix('/').unwrap_or_default();
        }
    }
}

impl Node {
    fn publish(&mut self, api: &Arc<Api>, scheme: Option<&VersionScheme>) {
        let scheme = match scheme {
            None | Some(VersionScheme::Segment) => {
                self.published = Some(Endpoint::One(Arc::clone(api)));
                return;
            }
            Some(scheme @ (VersionScheme::Header(_) | VersionScheme::Query(_))) => scheme,
        };
        let empty = || Versions { scheme: scheme.clone(), original: None, by_version: HashMap::new() };
        let versions = match self.published.get_or_insert_with(|| Endpoint::Versions(Box::new(empty()))) {
            Endpoint::Versions(versions) => versions,
            Endpoint::One(_) => {
                unreachable!("the catalogue was checked: a suffix is of one api or of one set")
            }
        };
        match &api.version {
            Some(version) => drop(versions.by_version.insert(version.clone(), Arc::clone(api))),
            None => versions.original = Some(Arc::clone(api)),
        }
    }
}

impl Routed<'_> {
    /// The path to ask the backend for: that of its URL, then the rest, with one `/` where they meet.
    ///
    /// Under `/socket`: `/chat` gives `/socket`, `/chat/` gives `/socket/`, `/chat/room` gives `/socket/room`.
    pub fn backend_path(&self) -> String {
        self.api.backend.path_with(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::request_name::HeaderName;
    use crate::catalog::{BackendUrl, Suffix};

    fn api(name: &str, suffix: &str) -> Api {
        let backend = BackendUrl::parse("ws://h/socket").expect("a url");
        let suffix = Suffix::parse(suffix).expect("a suffix");
        Api::new(Name::parse(name).expect("a name"), name.to_owned(), backend, suffix)
    }

    fn routes(suffixes: &[&str]) -> Routes {
        let apis = suffixes.iter().enumerate();
        let apis: Vec<_> = apis.map(|(index, suffix)| Arc::new(api(&format!("a{index}"), suffix))).collect();
        Routes::new(&apis, &BTreeMap::new())
    }

    fn routed<'a>(routes: &'a Routes, path: &'a str) -> Option<(&'a str, &'a str)> {
        routes.route(path, |_| None).map(|routed| (routed.api.suffix.as_str(), routed.rest))
    }

    /// The names of the APIs that requests reach, each a path and the version in its header.
    fn reached<'a>(routes: &'a Routes, path: &'a str, version: Option<&'static str>) -> Option<&'a str> {
        let version = version.map(|version| Cow::Borrowed(version.as_bytes()));
        routes.route(path, |_| version).map(|routed| routed.api.name.as_str())
    }

    /// Routes to APIs at `/chat` and `/news` of a set with this scheme: their names and versions.
    fn versioned(scheme: VersionScheme, apis: &[(&str, &str, Option<&str>)]) -> Routes {
        let name = Name::parse("set").expect("a name");
        let set = VersionSet {
            name: name.clone(),
            display_name: "Set".to_owned(),
            description: String::new(),
            scheme,
        };
        let apis: Vec<_> = apis
            .iter()
            .map(|(api_name, suffix, version)| {
                let version = version.map(|version| Version::parse(version).expect("a version"));
                Arc::new(Api { version_set: Some(name.clone()), version, ..api(api_name, suffix) })
            })
            .collect();
        Routes::new(&apis, &BTreeMap::from([(name, Arc::new(set))]))
    }

    #[test]
    fn a_version_in_a_header_is_told_apart_at_one_suffix() {
        let scheme = || VersionScheme::Header(HeaderName::parse("Api-Version").expect("a header"));
        let apis = [("chat", "chat", None), ("chat-1", "chat", Some("v1")), ("news-1", "news", Some("v1"))];
        let routes = versioned(scheme(), &apis);
        for (path, version, expected) in [
            ("/chat/x", None, Some("chat")),
            ("/chat/x", Some("v1"), Some("chat-1")),
            ("/chat/x", Some("v2"), Some("chat")),
            ("/chat/x", Some("V1"), Some("chat")),
            ("/chat/v1", None, Some("chat")),
            ("/news", Some("v1"), Some("news-1")),
            // No original API.
            ("/news", None, None),
            ("/news", Some("v2"), None),
        ] {
            assert_eq!(reached(&routes, path, version), expected, "{path} {version:?}");
        }
    }

    #[test]
    fn a_version_in_a_segment_stands_behind_the_suffix() {
        let apis = [("chat", "chat", None), ("chat-1", "chat", Some("v1")), ("news-1", "news", Some("v1"))];
        let routes = versioned(VersionScheme::Segment, &apis);
        for (path, expected) in [
            ("/chat", Some("chat")),
            ("/chat/v1", Some("chat-1")),
            ("/chat/v1/x", Some("chat-1")),
            ("/chat/v2/x", Some("chat")),
            ("/news/v1", Some("news-1")),
            ("/news", None),
            ("/news/v2", None),
        ] {
            assert_eq!(reached(&routes, path, None), expected, "{path}");
        }
        assert_eq!(routes.route("/chat/v1/x", |_| None).expect("an api").rest, "/x");
        assert_eq!(routes.route("/chat/v2/x", |_| None).expect("an api").rest, "/v2/x");
    }

    #[test]
    fn longest_suffix_of_whole_segments_wins() {
        let routes = routes(&["chat", "chat/room/7", "echo"]);
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
            assert_eq!(routed(&routes, path), expected, "{path}");
        }
    }

    #[test]
    fn the_root_serves_what_no_other_suffix_does() {
        let routes = routes(&["", "chat"]);
        for (path, expected) in [
            ("/", Some(("", ""))),
            ("//", Some(("", "//"))),
            ("/x", Some(("", "/x"))),
            ("/chatty", Some(("", "/chatty"))),
            ("/chat", Some(("chat", ""))),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(routed(&routes, path), expected, "{path}");
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
            let mut api = api("a", "chat");
            api.backend = BackendUrl::parse(&format!("ws://h{base}")).expect("a url");
            let api = Arc::new(api);
            assert_eq!(Routed { api: &api, rest }.backend_path(), expected, "{base:?} {rest:?}");
        }
    }

    #[test]
    fn ten_thousand_apis_are_each_found() {
        let suffixes: Vec<String> = (0..10_000).map(|index| format!("v{}/api{index}", index % 7)).collect();
        let suffixes: Vec<&str> = suffixes.iter().map(String::as_str).collect();
        let routes = routes(&suffixes);
        for suffix in suffixes {
            assert_eq!(routed(&routes, &format!("/{suffix}/x")), Some((suffix, "/x")));
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
            let routes = routes(&suffixes);
            prop_assert_eq!(routed(&routes, &path), naive);
        }
    }
}
