//! Finds the API of a request: the longest suffix that its path begins with, and the version it asks for.
//!
//! A path is walked segment by segment while there is a suffix that goes on: one look-up each, however many APIs there are. Empty
//! segments are skipped. The segments that were looked up are the *compared* ones, including the last one, which no suffix has.
//! They are compared in their normal form (`path_segment`). Dot segments behind them may lead back into them only if the path
//! leads to the same API under each reading (`head::path_escape`).
//!
//! ```text
//! suffixes ""  "admin"  "chat"  "chat/v2"     path         compared     api      rest
//!                                             /x/y         x            ""       /x/y
//!                                             //%61dmin/y  admin        admin    /y
//!                                             /chat//x/y   chat x       chat     //x/y
//!                                             /x/../admin  x            refused: it comes to /admin
//! ```
//!
//! The property to trust: however a backend reads a path, in RFC 3986's normal form or in one of those ways, ringgate would route
//! that reading to the same API. The rest of the path goes on as it came. Case counts.
//!
//! Not here: how a version is found in a request (`given_version`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::path_segment::{PathFault, PathSegment};
use super::suffixes::published_path;
use crate::catalog::api::Api;
use crate::catalog::name::Name;
use crate::catalog::version_set::{Version, VersionScheme, VersionSet};
use crate::head::path_escape::{leaves_suffix, resolutions};

/// Every API that is served, by its path: a tree with one edge per path segment.
#[derive(Debug, Default)]
pub(super) struct Routes {
    root: Node,
}

/// A node of the tree of suffixes: suffixes with the same beginning share it.
#[derive(Debug, Default)]
struct Node {
    /// The endpoint of the suffix that ends here.
    published: Option<Endpoint>,
    /// Keys come from the operator, never from a client; the map is only looked up in, never walked.
    children: HashMap<Box<str>, Node>,
}

/// The endpoint at a suffix.
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
    /// The path behind the suffix, and behind its `;rev=N` if there is one, as it came: empty, or it begins with `/`. The path
    /// `/` leaves an empty rest for an API at the root.
    pub rest: &'a str,
}

/// How far suffixes go along a path.
struct Walk<'r, 'p> {
    /// The longest one.
    found: Option<Reached<'r, 'p>>,
    /// Where the path asks for a revision, as a number of segments, and for which one.
    asked: Option<(usize, u64)>,
    /// The path behind the segments that were compared.
    behind: &'p str,
}

/// A suffix that a path begins with.
struct Reached<'r, 'p> {
    endpoint: &'r Endpoint,
    /// How many segments its suffix has.
    depth: usize,
    /// The path behind them.
    rest: &'p str,
    /// The revision that the path asks for.
    revision: Option<u64>,
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
    ///
    /// # Errors
    /// The path is ambiguous: recipients may read it in different ways.
    pub(super) fn route<'a>(
        &'a self,
        path: &'a str,
        asked_version: impl FnOnce(&VersionScheme) -> Option<Cow<'a, [u8]>>,
    ) -> Result<Option<Routed<'a>>, PathFault> {
        let Some(reached) = self.longest(path)? else { return Ok(None) };
        let api = match reached.endpoint {
            Endpoint::One(api) => Some(api),
            Endpoint::Versions(versions) => {
                let asked = asked_version(&versions.scheme);
                let asked = asked.as_deref().and_then(|version| str::from_utf8(version).ok());
                asked.and_then(|version| versions.by_version.get(version)).or(versions.original.as_ref())
            }
        };
        Ok(api.filter(|api| reached.asks_for(api)).map(|api| Routed { api, rest: reached.rest }))
    }

    /// Returns the rest of a path below `api`, the only API in these routes.
    ///
    /// # Errors
    /// The path is ambiguous: recipients may read it in different ways.
    pub(super) fn rest_of<'p>(&self, api: &Api, path: &'p str) -> Result<Option<&'p str>, PathFault> {
        Ok(self.longest(path)?.filter(|reached| reached.asks_for(api)).map(|reached| reached.rest))
    }

    fn longest<'r, 'p>(&'r self, path: &'p str) -> Result<Option<Reached<'r, 'p>>, PathFault> {
        if !path.starts_with('/') {
            return Ok(None);
        }
        let Walk { found, asked, behind } = self.walk(path)?;
        let rest = found.as_ref().map_or(path, |found| found.rest);
        // Behind dot segments, a `;rev=N` may come to stand where it names a revision of the API at the root.
        let is_at_root = found.as_ref().is_some_and(|found| found.depth == 0);
        if leaves_suffix(behind) || is_at_root && asked.is_none() && rest.contains(';') {
            // Out of the suffix, or only into what was compared behind it?
            if leaves_suffix(rest) {
                return Err(PathFault::Climbs);
            }
            let before = &path[..path.len() - rest.len()];
            let endpoint = |found: &Option<Reached<'_, '_>>| {
                found.as_ref().map(|found| core::ptr::from_ref(found.endpoint))
            };
            for resolved in resolutions(rest) {
                let resolved = format!("{before}{resolved}");
                let other = self.walk(&resolved)?;
                if endpoint(&other.found) != endpoint(&found) || other.asked != asked {
                    return Err(PathFault::Climbs);
                }
            }
        }
        Ok(match (found, asked) {
            (Some(found), Some((at, revision))) if at == found.depth => {
                Some(Reached { revision: Some(revision), ..found })
            }
            // A revision of what is no API, or not the longest one.
            (_, Some(_)) => None,
            (found, None) => found,
        })
    }

    fn walk<'r, 'p>(&'r self, path: &'p str) -> Result<Walk<'r, 'p>, PathFault> {
        let mut node = &self.root;
        let mut depth = 0;
        let mut walk = Walk { found: None, asked: None, behind: if path == "/" { "" } else { path } };
        // `/;rev=1` is that revision of the API at the root.
        if let Some((segment, after)) = first_segment(path).filter(|(segment, _)| segment.starts_with(';'))
            && let Ok(PathSegment { revision: Some(revision), .. }) = PathSegment::read(segment)
        {
            walk.asked = Some((depth, revision));
            walk.behind = after;
        }
        loop {
            if let Some(endpoint) = &node.published {
                walk.found = Some(Reached { endpoint, depth, rest: walk.behind, revision: None });
            }
            if node.children.is_empty() {
                return Ok(walk);
            }
            let Some((segment, after)) = first_segment(walk.behind) else { return Ok(walk) };
            depth += 1;
            walk.behind = after;
            let child = match node.children.get(segment) {
                Some(child) => Some(child),
                None => {
                    let segment = PathSegment::read(segment)?;
                    if segment.decoded_name().is_some_and(|name| node.children.contains_key(&*name)) {
                        return Err(PathFault::EncodedReserved);
                    }
                    if let Some(revision) = segment.revision {
                        // Of two revisions, the first cannot be asked of the API that is found.
                        let at = if walk.asked.is_some() { usize::MAX } else { depth };
                        walk.asked = Some((at, revision));
                    }
                    node.children.get(&*segment.name)
                }
            };
            let Some(child) = child else { return Ok(walk) };
            node = child;
        }
    }
}

impl Reached<'_, '_> {
    /// Whether the path asks for the revision of `api` that is published, or for none.
    fn asks_for(&self, api: &Api) -> bool {
        self.revision.is_none_or(|revision| revision == api.revision)
    }
}

/// The first segment that is not empty, and what follows it.
fn first_segment(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('/');
    (!path.is_empty()).then(|| path.split_at(path.find('/').unwrap_or(path.len())))
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
    use crate::head::percent::percent_decoded;

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
        let routed = routes.route(path, |_| None).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        routed.map(|routed| (routed.api.suffix.as_str(), routed.rest))
    }

    fn fault(routes: &Routes, path: &str) -> Option<PathFault> {
        routes.route(path, |_| None).err()
    }

    /// The names of the APIs that requests reach, each a path and the version in its header.
    fn reached<'a>(routes: &'a Routes, path: &'a str, version: Option<&'static str>) -> Option<&'a str> {
        let version = version.map(|version| Cow::Borrowed(version.as_bytes()));
        let routed = routes.route(path, |_| version).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        routed.map(|routed| routed.api.name.as_str())
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
            ("//chat//%761/x", Some("chat-1")),
            ("/chat/v1;rev=1/x", Some("chat-1")),
        ] {
            assert_eq!(reached(&routes, path, None), expected, "{path}");
        }
        assert_eq!(routed(&routes, "/chat/v1/x"), Some(("chat", "/x")));
        assert_eq!(routed(&routes, "/chat/v2/x"), Some(("chat", "/v2/x")));
        assert_eq!(fault(&routes, "/chat/v1%2fx"), Some(PathFault::HiddenSeparator));
        assert_eq!(fault(&routes, "/chat/../chat"), Some(PathFault::DotSegment));
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
            ("/chatty", None),
            ("/Chat", None),
            ("/%43hat", None),
            ("/room", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("chat", None),
            ("chat/..", None),
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

    #[test]
    fn all_spellings_of_a_path_are_routed_as_one() {
        let routes = routes(&["", "admin", "a/b", "chat", "chat/room/7"]);
        for (path, expected) in [
            ("/%61dmin", ("admin", "")),
            ("/%61%64%6D%69%6e/%61", ("admin", "/%61")),
            ("//admin", ("admin", "")),
            ("///admin//x", ("admin", "//x")),
            ("/admin%20", ("", "/admin%20")),
            ("/adm%C3%AEn", ("", "/adm%C3%AEn")),
            ("/%ff", ("", "/%ff")),
            ("/a", ("", "/a")),
            ("/a//b/c", ("a/b", "/c")),
            ("/a/c/b", ("", "/a/c/b")),
            ("/chat//room/8", ("chat", "//room/8")),
            ("/chat/lobby/a/../b", ("chat", "/lobby/a/../b")),
            ("/x/../y", ("", "/x/../y")),
            ("/x/..", ("", "/x/..")),
            ("/chat/x/../y", ("chat", "/x/../y")),
            ("/chat/room/x/../8", ("chat", "/room/x/../8")),
            ("/x/a%2fb/c;d/\\/%zz/./", ("", "/x/a%2fb/c;d/\\/%zz/./")),
        ] {
            assert_eq!(routed(&routes, path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_not_all_servers_read_alike_is_refused() {
        let routes = routes(&["", "admin", "a@b", "chat", "chat/v2"]);
        for (path, expected) in [
            ("/./admin", PathFault::DotSegment),
            ("/x%2f..", PathFault::HiddenSeparator),
            ("/admin%2f", PathFault::HiddenSeparator),
            ("/admin%5Cx", PathFault::HiddenSeparator),
            ("/x\\..\\admin", PathFault::HiddenSeparator),
            ("/admin;x=1", PathFault::Parameter),
            ("/x;y", PathFault::Parameter),
            ("/%%36%31dmin", PathFault::MalformedEscape),
            ("/a%40b", PathFault::EncodedReserved),
            ("/admin%3bx", PathFault::EncodedReserved),
            ("/%3bx/./admin", PathFault::EncodedReserved),
            ("/x/../;y", PathFault::Parameter),
            ("/x/../;rev=1", PathFault::Climbs),
            ("/x/../admin", PathFault::Climbs),
            ("/x/y/../../admin", PathFault::Climbs),
            ("/x/..%2fadmin", PathFault::Climbs),
            ("/x/%2e%2e;y/admin", PathFault::Climbs),
            ("/admin/..", PathFault::Climbs),
            ("/chat/%2E%2e/admin", PathFault::DotSegment),
            ("/chat/x/../v2", PathFault::Climbs),
            ("/chat/v2/..", PathFault::Climbs),
            ("/x/../y%2fz", PathFault::HiddenSeparator),
            ("/x/../y;z", PathFault::Parameter),
        ] {
            assert_eq!(fault(&routes, path), Some(expected), "{path}");
        }
        // Nothing is compared where there is no suffix to compare with.
        let alone = self::routes(&[""]);
        for path in ["/a%2fb", "/a;b", "/./a", "/%zz", "/a\\b", "/a/../b"] {
            assert_eq!(routed(&alone, path), Some(("", path)), "{path}");
        }
        assert_eq!(fault(&alone, "/../a"), Some(PathFault::Climbs));
        // A server that resolves dot segments reads a revision of the API at the root.
        for path in ["/./;rev=2", "//./;rev=2/", "/%2e/;rev=1/x", "/x/../;rev=2"] {
            assert_eq!(fault(&alone, path), Some(PathFault::Climbs), "{path}");
        }
        for path in ["/./a;rev=2", "/./;x", "/x/;rev=2"] {
            assert_eq!(routed(&alone, path), Some(("", path)), "{path}");
        }
        // That there is no API behind it makes no path a better one.
        let elsewhere = self::routes(&["admin"]);
        assert_eq!(fault(&elsewhere, "/x/../admin"), Some(PathFault::Climbs));
        assert_eq!(fault(&elsewhere, "/./admin"), Some(PathFault::DotSegment));
        assert_eq!(routed(&elsewhere, "/x/../y"), None);
    }

    #[test]
    fn the_revision_behind_the_suffix_is_the_one_that_is_published_or_there_is_no_api() {
        let apis = [("", 1), ("chat", 3), ("chat/v2", 1)];
        let apis = apis.map(|(suffix, revision)| Arc::new(Api { revision, ..api("a", suffix) }));
        let routes = Routes::new(&apis, &BTreeMap::new());
        for (path, expected) in [
            ("/chat;rev=3", Some(("chat", ""))),
            ("/chat;rev=3/x", Some(("chat", "/x"))),
            ("//ch%61t;rev=3//x", Some(("chat", "//x"))),
            ("/chat;rev=2", None),
            ("/chat;rev=4/x", None),
            ("/chat;rev=99999999999999999999", None),
            ("/chat/v2;rev=1/x", Some(("chat/v2", "/x"))),
            ("/chat/v2;rev=3", None),
            // Not the revision of the API that the path is of.
            ("/chat;rev=3/v2", None),
            ("/chat;rev=3/v2;rev=1", None),
            ("/chat/v3;rev=3", None),
            ("/x;rev=1", None),
            ("/x;rev=1/y", None),
            ("/;rev=1", Some(("", ""))),
            ("/;rev=1/", Some(("", "/"))),
            ("/;rev=1/x", Some(("", "/x"))),
            ("/;rev=2/x", None),
            ("/;rev=1/chat", None),
            ("/;rev=1/chat;rev=3", None),
            // What is behind an API without further suffixes is its own.
            ("/chat/v2/x;rev=7", Some(("chat/v2", "/x;rev=7"))),
        ] {
            assert_eq!(routed(&routes, path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_left_over_for_one_api_does_not_depend_on_the_others() {
        let chat = Arc::new(api("chat", "chat"));
        let alone = Routes::new(core::slice::from_ref(&chat), &BTreeMap::new());
        assert_eq!(alone.rest_of(&chat, "//chat;rev=1/v2"), Ok(Some("/v2")));
        assert_eq!(alone.rest_of(&chat, "/chatty"), Ok(None));
        assert_eq!(alone.rest_of(&chat, "/chat;rev=2"), Ok(None));
        assert_eq!(alone.rest_of(&chat, "/chat%2fx"), Err(PathFault::HiddenSeparator));
    }

    /// Words of a small alphabet, so that suffixes and paths meet often.
    fn path_of(words: core::ops::Range<usize>) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "A", "a@"]), words)
            .prop_map(|words| words.join("/"))
    }

    fn suffixes() -> impl Strategy<Value = Vec<String>> {
        prop::collection::hash_set(path_of(0..4), 0..8).prop_map(|suffixes| suffixes.into_iter().collect())
    }

    fn routes_to(suffixes: &[String]) -> Routes {
        routes(&suffixes.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The longest of the suffixes that these segments begin with.
    fn longest_of<'s>(suffixes: &'s [String], segments: &[String]) -> Option<&'s str> {
        let is_prefix = |suffix: &&String| {
            let of_suffix: Vec<_> = suffix.split('/').filter(|segment| !segment.is_empty()).collect();
            segments.len() >= of_suffix.len()
                && of_suffix.iter().zip(segments).all(|(one, other)| one == other)
        };
        suffixes.iter().filter(is_prefix).max_by_key(|suffix| suffix.len()).map(String::as_str)
    }

    /// How some server may read a path: each bit is something that it does or does not do.
    #[derive(Clone, Copy, Debug)]
    struct Reading(u8);

    impl Reading {
        const ALL: core::ops::Range<u8> = 0..64;

        fn does(self, bit: u8) -> bool {
            self.0 & (1 << bit) != 0
        }

        /// The segments that are left when it has removed empty ones and dot segments.
        fn segments(self, path: &str) -> Vec<String> {
            let mut path = path.to_owned();
            let separators = [["%2f", "%2F"], ["\\", "\\"], ["%5c", "%5C"]];
            for (bit, spellings) in (0..).zip(separators) {
                if self.does(bit) {
                    path = spellings.iter().fold(path, |path, spelling| path.replace(spelling, "/"));
                }
            }
            let mut segments: Vec<String> = Vec::new();
            for segment in path.split('/') {
                let cut = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
                let mut segment = if self.does(3) { cut(segment) } else { segment.to_owned() };
                if self.does(4) {
                    segment = String::from_utf8_lossy(&percent_decoded(&segment)).into_owned();
                }
                if self.does(5) {
                    segment = cut(&segment);
                }
                match segment.as_str() {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    _ => segments.push(segment),
                }
            }
            segments
        }
    }

    /// Paths near the border between one spelling and another.
    fn odd_path() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            6 => prop::sample::select(vec!["/", "a", "b", "a@"]),
            3 => prop::sample::select(vec!["//", "/../", "/./", "..", "%61", "%62", "%2e", "%2E", "A", ";", "%3b"]),
            1 => prop::sample::select(vec![
                ";x", ";rev=1", ";rev=2", "%3b", "\\", "%2f", "%5C", "%", "%40", "@", "%25", "%zz", "%c3", "%00", ";",
            ]),
        ];
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    /// Other spellings of a path of plain segments: escapes of unreserved characters, more slashes.
    fn respelled(path: &str, choices: &[u8]) -> String {
        let mut choices = choices.iter().cycle();
        path.chars()
            .map(|character| match (character, choices.next().map_or(0, |choice| choice % 4)) {
                ('/', extra) => "/".repeat(1 + usize::from(extra)),
                (character, 1) if character.is_ascii_alphanumeric() => format!("%{:02x}", character as u8),
                (character, 2) if character.is_ascii_alphanumeric() => format!("%{:02X}", character as u8),
                (character, _) => character.to_string(),
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 1024 }))]

        #[test]
        fn agrees_with_a_naive_search_for_the_longest_prefix(
            suffixes in suffixes(),
            path in prop_oneof![path_of(0..6), path_of(1..4).prop_map(|path| path + "/"), "[ab/]{0,8}"],
        ) {
            let path = format!("/{path}");
            let segments: Vec<String> = Reading(0).segments(&path);
            let naive = longest_of(&suffixes, &segments).map(|suffix| {
                let mut rest = path.as_str();
                for segment in suffix.split('/').filter(|segment| !segment.is_empty()) {
                    rest = rest.trim_start_matches('/').strip_prefix(segment).expect("it begins with its suffix");
                }
                (suffix, if suffix.is_empty() && path == "/" { "" } else { rest })
            });
            let routes = routes_to(&suffixes);
            prop_assert_eq!(routed(&routes, &path), naive);
        }

        #[test]
        fn every_spelling_of_a_path_reaches_the_same_api(
            suffixes in suffixes(),
            path in path_of(0..6),
            choices in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let path = format!("/{path}");
            let routes = routes_to(&suffixes);
            let reached = |path: &str| routed(&routes, path).map(|(suffix, _)| suffix.to_owned());
            let respelled = respelled(&path, &choices);
            prop_assert_eq!(reached(&respelled), reached(&path), "{}", respelled);
        }

        #[test]
        fn no_backend_reads_what_it_gets_as_the_path_of_another_api(suffixes in suffixes(), path in odd_path()) {
            let routes = routes_to(&suffixes);
            let Ok(Some(routed)) = routes.route(&path, |_| None) else { return Ok(()) };
            prop_assert!(routed.rest.is_empty() || routed.rest.starts_with('/'));
            prop_assert!(path.ends_with(routed.rest), "it goes on as it came");
            let suffix = routed.api.suffix.as_str();
            let got = format!("/{suffix}{}", routed.rest);
            for reading in Reading::ALL.map(Reading) {
                let read = longest_of(&suffixes, &reading.segments(&got));
                prop_assert_eq!(read, Some(suffix), "{} as {:?}", path, reading);
            }
        }

        #[test]
        fn a_path_is_refused_or_reaches_the_api_of_its_normal_form(suffixes in suffixes(), path in odd_path()) {
            let routes = routes_to(&suffixes);
            let Ok(reached) = routes.route(&path, |_| None) else { return Ok(()) };
            if reached.is_none() && path.contains(';') {
                // A revision of what is no API is refused too.
                return Ok(());
            }
            // RFC 3986 §6.2.2, and slashes merged; what is decoded here beyond unreserved characters is no suffix's.
            let normal = Reading(0).segments(&path.replace("%61", "a").replace("%62", "b").replace("%2e", ".").replace("%2E", "."));
            let normal = format!("/{}", normal.join("/"));
            let suffix = |routed: Option<Routed<'_>>| routed.map(|routed| routed.api.suffix.to_string());
            prop_assert_eq!(suffix(routes.route(&normal, |_| None).unwrap_or(None)), suffix(reached), "{} is {}", path, normal);
        }
    }
}
