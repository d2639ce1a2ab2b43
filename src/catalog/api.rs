//! One WebSocket API, from `apis/<name>.toml`.
//!
//! The API's name is its file's name, so that two APIs cannot share one. Everything that is optional has its default
//! filled in; only what may be unlimited stays an `Option`.
//!
//! Not here: whether its suffix is free and who serves it (`compiled`); whether its products exist.

use core::net::IpAddr;

use super::backend_url::BackendUrl;
use super::diagnostics::{Diagnostics, take_diagnostics};
use super::fault::{Fault, Remedy};
use super::fields::Fields;
use super::name::Name;
use super::parsed::{Asks, Parsed, parse_entity};
use super::prose::{display_name_allowed, parse_description, parse_display_name};
use super::reference::Entity;
use super::request_name::{HeaderName, QueryName};
use super::suffix::{Suffix, SuffixClaim};
use super::tls::{BackendTls, take_backend_tls};
use super::version_set::Version;
use crate::limits;
use crate::limits::Allowed;

/// The remedy for a size limit on frames that are not inspected.
const OPAQUE_AND_BOUNDED: &str = "opaque frames are not looked at, so their size cannot be limited: remove frame_bytes_max and \
                                  message_bytes_max, or set frames to \"strict\"";

/// Default of [`REVISION`].
const REVISION_DEFAULT: u64 = 1;

/// Most products, and most gateways, that one API may name.
const NAMES_MAX: usize = 1000;

/// Most source addresses of one API. Each gives its dials the ports of `net.ipv4.ip_local_port_range` once more.
const SOURCE_ADDRESSES_MAX: usize = 64;

/// How long a session may last. Over it: close code 1001, cause `longest_life`. Absent: no bound.
const LONGEST_LIFE_S: Allowed = Allowed { least: 1, most: 31_536_000, unit: "seconds" };

/// A WebSocket API, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The name, which is that of its file.
    pub name: Name,
    /// Display name, 1 to 300 characters.
    pub display_name: String,
    /// Purpose, at most 4000 characters. Default empty.
    pub description: String,
    /// The backend of its sessions.
    pub backend: BackendUrl,
    /// The schemes of the listeners that serve it. `None`: `wss` if any listener has TLS, else `ws`.
    pub schemes: Option<Schemes>,
    /// The path under which it is served.
    pub suffix: Suffix,
    /// The products it is part of.
    pub products: Vec<Name>,
    /// The gateways that serve it. Empty: every gateway.
    pub gateways: Vec<Name>,
    /// Whether a client needs a subscription key. Default yes.
    pub subscription_required: bool,
    /// The names of the header and the query parameter for a client's key.
    pub key_names: KeyNames,
    /// The version set that it is part of. `None`: it has no versions.
    pub version_set: Option<Name>,
    /// Its version in that set. `None`: the original API of the set, or there is no set.
    pub version: Option<Version>,
    /// The fate of its sessions when it, or their product or subscription, is revoked. Default: they are kept.
    pub on_revoke: OnRevoke,
    /// The revision, 1 to 1,000,000: the current one, as others are not published. Default 1.
    pub revision: u64,
    /// The addresses of this host that its dials leave from, in turn. Empty: the kernel chooses.
    pub source_addresses: Vec<IpAddr>,
    /// Most sessions at once, 1 to 10,000,000. `None`: as many as the instance holds.
    pub connections_max: Option<u64>,
    /// Most openings that wait for its backend at once, 1 to 1,000,000. `None`: a quarter of the instance's, and what other APIs
    /// leave of them.
    pub pending_openings_max: Option<u64>,
    /// Milliseconds for the dial, 10 to 120,000. Default 5,000.
    pub dial_timeout_ms: u64,
    /// Milliseconds for the backend's answer, 10 to 240,000. Default 10,000.
    pub answer_timeout_ms: u64,
    /// Seconds without a byte either way, 1 to 604,800. Default 600.
    pub idle_timeout_s: u64,
    /// Seconds a session may last, 1 to 31,536,000. `None`: any.
    pub longest_life_s: Option<u64>,
    /// Seconds the second leg has to end after the first, 1 to 60. Default 5.
    pub linger_s: u64,
    /// Largest payload of a frame in bytes, 1 to 2^62. `None`: any.
    pub frame_bytes_max: Option<u64>,
    /// Largest message in bytes, 1 to 2^62. `None`: any.
    pub message_bytes_max: Option<u64>,
    /// Whether its frames are inspected. Default strict.
    pub frames: FrameMode,
    /// The trust in its backend, if that is dialled with TLS. Default: the system's authorities.
    pub tls: BackendTls,
    /// What the log has of its openings and sessions. Default: what the instance file says.
    pub diagnostics: Diagnostics,
}

impl Api {
    /// An API with every default, and these values, which have none.
    pub fn new(name: Name, display_name: String, backend: BackendUrl, suffix: Suffix) -> Self {
        Self {
            name,
            display_name,
            description: String::new(),
            backend,
            schemes: None,
            suffix,
            products: Vec::new(),
            gateways: Vec::new(),
            subscription_required: true,
            key_names: KeyNames::default(),
            version_set: None,
            version: None,
            on_revoke: OnRevoke::Keep,
            revision: REVISION_DEFAULT,
            source_addresses: Vec::new(),
            connections_max: None,
            pending_openings_max: None,
            dial_timeout_ms: limits::DIAL_TIMEOUT_MS_DEFAULT,
            answer_timeout_ms: limits::ANSWER_TIMEOUT_MS_DEFAULT,
            idle_timeout_s: limits::IDLE_TIMEOUT_S_DEFAULT,
            longest_life_s: None,
            linger_s: limits::LINGER_S_DEFAULT,
            frame_bytes_max: None,
            message_bytes_max: None,
            frames: FrameMode::Strict,
            tls: BackendTls::default(),
            diagnostics: Diagnostics::default(),
        }
    }

    /// Whether an instance of `gateway` serves this API; `None` is an instance that is part of no gateway.
    pub fn is_served_by(&self, gateway: Option<&str>) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|served| Some(served.as_str()) == gateway)
    }
}

/// The names of the header and the query parameter for a client's subscription key: the header comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNames {
    /// Default `Ocp-Apim-Subscription-Key`.
    pub header: HeaderName,
    /// Default `subscription-key`.
    pub query: QueryName,
}

impl Default for KeyNames {
    fn default() -> Self {
        Self {
            header: HeaderName::parse("Ocp-Apim-Subscription-Key").expect("the text is a header's name"),
            query: QueryName::parse("subscription-key").expect("the text is a parameter's name"),
        }
    }
}

/// The fate of an API's sessions when it is no longer served, when the product or the subscription in whose context they
/// are is gone, or when that subscription was stopped or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRevoke {
    /// They continue to their own end, as in Azure API Management, which checks only opening handshakes.
    Keep,
    /// They are ended (`revoked`).
    Close,
}

impl OnRevoke {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Close => "close",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let all = [Self::Keep, Self::Close];
        all.into_iter()
            .find(|on_revoke| on_revoke.name() == text)
            .ok_or_else(|| "\"keep\" or \"close\"".to_owned())
    }
}

/// The schemes an API is served on; at least one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// On plain listeners.
    pub ws: bool,
    /// On TLS listeners.
    pub wss: bool,
}

impl Default for Schemes {
    /// `ws` alone: the schemes of an instance without TLS.
    fn default() -> Self {
        Self { ws: true, wss: false }
    }
}

/// The way a relay treats an API's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameMode {
    /// Frames are found, checked and counted.
    Strict,
    /// Bytes are passed on unseen: plain ends only, and no message counts.
    Opaque,
}

/// Reads an API's file. `file` is its name in faults; `name` is the API's.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_api(file: &str, name: &str, text: &str) -> Result<Api, Vec<Fault>> {
    read_api(file, name, text).value
}

/// As [`parse_api`], with what the file asks of others, which is known even if something else in it is at fault.
pub(crate) fn read_api(file: &str, name: &str, text: &str) -> Parsed<Api> {
    parse_entity(file, name, text, "an api", |document, name, asks| take_api(document.fields(), name, asks))
}

fn take_api(mut fields: Fields<'_>, name: Option<Name>, asks: &mut Asks) -> Option<Api> {
    let chars_max = limits::DISPLAY_NAME_CHARS_MAX;
    let display_name = fields.take_required_text("display_name", &display_name_allowed(chars_max), |text| {
        parse_display_name(text, chars_max)
    });
    let description =
        fields.take_text("description", |text| parse_description(text, limits::DESCRIPTION_CHARS_MAX));
    let backend = fields.take_required_text("url", BackendUrl::allowed(), BackendUrl::parse);
    let schemes = take_schemes(&mut fields);
    let suffix = fields.take_required_text("suffix", &Suffix::allowed(), Suffix::parse);
    let products = fields.take_texts("products", (0, NAMES_MAX), Name::parse);
    let gateways = fields.take_texts("gateways", (0, NAMES_MAX), Name::parse);
    let subscription_required = fields.take_boolean("subscription_required");
    let key_names = fields.take_table("subscription_key_names").map(take_key_names);
    let version_set = fields.take_text("version_set", Name::parse);
    let version = fields.take_text("version", Version::parse);
    if !fields.has("version_set") {
        fields.object(
            "version",
            Remedy::act(
                "version_set is missing: name the version set that the version belongs to, or remove version",
            ),
        );
    }
    let on_revoke = fields.take_text("on_revoke", OnRevoke::parse);
    let revision = fields.take_integer("revision", &limits::REVISION);
    asks.references = fields.references("products", Entity::Product);
    asks.references.extend(fields.references("version_set", Entity::VersionSet));
    asks.suffix = suffix.as_ref().map(|suffix| SuffixClaim {
        line: fields.line_of_key("suffix"),
        suffix: suffix.clone(),
        version_set: version_set.clone(),
        version: version.clone(),
    });
    let source_addresses =
        fields.take_texts("source_addresses", (0, SOURCE_ADDRESSES_MAX), parse_source_address);
    let connections_max = fields.take_integer("connections_max", &limits::CONNECTIONS_MAX);
    let pending_openings_max = fields.take_integer("pending_openings_max", &limits::PENDING_OPENINGS_MAX);
    let dial_timeout_ms = fields.take_integer("dial_timeout_ms", &limits::DIAL_TIMEOUT_MS);
    let answer_timeout_ms = fields.take_integer("answer_timeout_ms", &limits::ANSWER_TIMEOUT_MS);
    let idle_timeout_s = fields.take_integer("idle_timeout_s", &limits::IDLE_TIMEOUT_S);
    let longest_life_s = fields.take_integer("longest_life_s", &LONGEST_LIFE_S);
    let linger_s = fields.take_integer("linger_s", &limits::LINGER_S);
    let frame_bytes_max = fields.take_integer("frame_bytes_max", &limits::FRAME_BYTES_MAX);
    let message_bytes_max = fields.take_integer("message_bytes_max", &limits::MESSAGE_BYTES_MAX);
    let frames = take_frames(&mut fields);
    let tls = fields.take_table("tls").map(take_backend_tls);
    let diagnostics = fields.take_table("diagnostics").map(take_diagnostics);
    match &backend {
        Some(backend) if !backend.is_tls => fields.object(
            "tls",
            Remedy::act("it has no effect beside a ws:// url: write wss:// there, or remove tls"),
        ),
        Some(_) | None => {}
    }
    fields.finish();

    let default = Api::new(name?, display_name?, backend?, suffix?);
    Some(Api {
        description: description.unwrap_or_default(),
        schemes,
        products: products.unwrap_or_default(),
        gateways: gateways.unwrap_or_default(),
        subscription_required: subscription_required.unwrap_or(default.subscription_required),
        key_names: key_names.unwrap_or_default(),
        version_set,
        version,
        on_revoke: on_revoke.unwrap_or(default.on_revoke),
        revision: revision.unwrap_or(default.revision),
        source_addresses: source_addresses.unwrap_or_default(),
        connections_max,
        pending_openings_max,
        dial_timeout_ms: dial_timeout_ms.unwrap_or(default.dial_timeout_ms),
        answer_timeout_ms: answer_timeout_ms.unwrap_or(default.answer_timeout_ms),
        idle_timeout_s: idle_timeout_s.unwrap_or(default.idle_timeout_s),
        longest_life_s,
        linger_s: linger_s.unwrap_or(default.linger_s),
        frame_bytes_max,
        message_bytes_max,
        frames: frames.unwrap_or(default.frames),
        tls: tls.unwrap_or_default(),
        diagnostics: diagnostics.unwrap_or_default(),
        ..default
    })
}

fn take_key_names(mut fields: Fields<'_>) -> KeyNames {
    let default = KeyNames::default();
    let names = KeyNames {
        header: fields.take_text("header", HeaderName::parse).unwrap_or(default.header),
        query: fields.take_text("query", QueryName::parse).unwrap_or(default.query),
    };
    fields.finish();
    names
}

fn take_schemes(fields: &mut Fields<'_>) -> Option<Schemes> {
    let taken = fields.take_texts("schemes", (1, 2), |text| match text {
        "ws" | "wss" => Ok(text.to_owned()),
        _ => Err("\"ws\" or \"wss\"".to_owned()),
    })?;
    let has = |scheme: &str| taken.iter().any(|taken| taken == scheme);
    Some(Schemes { ws: has("ws"), wss: has("wss") })
}

fn take_frames(fields: &mut Fields<'_>) -> Option<FrameMode> {
    let frames = fields.take_text("frames", |text| match text {
        "strict" => Ok(FrameMode::Strict),
        "opaque" => Ok(FrameMode::Opaque),
        _ => Err("\"strict\" or \"opaque\"".to_owned()),
    });
    // Who does not look at frames cannot know how large they are.
    if frames == Some(FrameMode::Opaque) && (fields.has("frame_bytes_max") || fields.has("message_bytes_max"))
    {
        fields.object("frames", Remedy::act(OPAQUE_AND_BOUNDED));
    }
    frames
}

fn parse_source_address(text: &str) -> Result<IpAddr, String> {
    // An IPv4 address in IPv6's clothes can be bound to, and then reaches nothing.
    let address: Option<IpAddr> = text.parse().ok();
    address
        .map(|address| address.to_canonical())
        .filter(|address| !address.is_unspecified() && !address.is_multicast())
        .ok_or_else(|| "an address of this host, like 10.0.0.5 or fd00::5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that have no default.
    const LEAST: &str = "display_name = \"Chat\"\nurl = \"ws://h/socket\"\nsuffix = \"chat\"\n";

    fn parse(text: &str) -> Result<Api, Vec<String>> {
        parse_api("apis/chat.toml", "chat", text)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    fn least_and(line: &str) -> Result<Api, Vec<String>> {
        parse(&format!("{LEAST}{line}\n"))
    }

    /// A file in which `key` stands once, with `value`.
    fn with(key: &str, value: &str) -> String {
        let others = LEAST.lines().filter(|line| !line.starts_with(&format!("{key} ")));
        others.map(|line| format!("{line}\n")).collect::<String>() + &format!("{key} = {value}\n")
    }

    #[test]
    fn three_keys_make_an_api_and_the_rest_has_defaults() {
        let api = parse(LEAST).expect("the least api");
        assert_eq!(api.name.as_str(), "chat");
        assert_eq!(api.display_name, "Chat");
        assert_eq!(Ok(&api.backend), BackendUrl::parse("ws://h/socket").as_ref());
        assert_eq!(api.suffix.as_str(), "chat");
        assert_eq!(api.schemes, None);
        assert!(api.subscription_required && api.products.is_empty() && api.gateways.is_empty());
        assert!(api.source_addresses.is_empty());
        let names = &api.key_names;
        assert_eq!(
            (names.header.as_str(), names.query.as_str()),
            ("Ocp-Apim-Subscription-Key", "subscription-key")
        );
        assert_eq!((api.version_set, api.version, api.revision), (None, None, 1));
        assert_eq!((api.connections_max, api.pending_openings_max), (None, None));
        assert_eq!((api.dial_timeout_ms, api.answer_timeout_ms), (5_000, 10_000));
        assert_eq!((api.idle_timeout_s, api.longest_life_s, api.linger_s), (600, None, 5));
        assert_eq!((api.frame_bytes_max, api.message_bytes_max, api.frames), (None, None, FrameMode::Strict));
    }

    #[test]
    fn takes_every_key() {
        let api = least_and(
            "description = \"Talk\\nto each other\"\nschemes = [\"wss\", \"ws\"]\nproducts = [\"starter\", \"pro\"]\n\
             gateways = [\"edge\"]\nsubscription_required = false\ndial_timeout_ms = 11\nanswer_timeout_ms = 12\n\
             source_addresses = [\"10.0.0.5\", \"fd00::5\", \"::ffff:10.0.0.6\"]\n\
             idle_timeout_s = 13\nlongest_life_s = 14\nlinger_s = 15\nframe_bytes_max = 16\nmessage_bytes_max = 17\n\
             frames = \"strict\"\nconnections_max = 18\npending_openings_max = 19\ndiagnostics = { progress = true }",
        )
        .expect("an api");
        assert_eq!(api.description, "Talk\nto each other");
        assert_eq!(api.schemes, Some(Schemes { ws: true, wss: true }));
        assert_eq!(api.products.iter().map(Name::as_str).collect::<Vec<_>>(), ["starter", "pro"]);
        assert_eq!(api.gateways.iter().map(Name::as_str).collect::<Vec<_>>(), ["edge"]);
        assert!(!api.subscription_required);
        let sources: Vec<_> = api.source_addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(sources, ["10.0.0.5", "fd00::5", "10.0.0.6"]);
        assert_eq!((api.dial_timeout_ms, api.answer_timeout_ms), (11, 12));
        assert_eq!((api.idle_timeout_s, api.longest_life_s, api.linger_s), (13, Some(14), 15));
        assert_eq!((api.frame_bytes_max, api.message_bytes_max), (Some(16), Some(17)));
        assert_eq!((api.connections_max, api.pending_openings_max), (Some(18), Some(19)));
        assert_eq!(api.diagnostics, Diagnostics { progress: Some(true), ..Diagnostics::default() });
    }

    #[test]
    fn every_number_is_taken_at_its_bounds_and_refused_beyond() {
        for (key, least, most) in [
            ("connections_max", 1, 10_000_000),
            ("pending_openings_max", 1, 1_000_000),
            ("dial_timeout_ms", 10, 120_000),
            ("answer_timeout_ms", 10, 240_000),
            ("idle_timeout_s", 1, 604_800),
            ("longest_life_s", 1, 31_536_000),
            ("linger_s", 1, 60),
            ("frame_bytes_max", 1, 1_u64 << 62),
            ("message_bytes_max", 1, 1_u64 << 62),
        ] {
            for good in [least, most] {
                assert!(least_and(&format!("{key} = {good}")).is_ok(), "{key} = {good}");
            }
            for bad in [least - 1, most + 1] {
                let faults = least_and(&format!("{key} = {bad}")).expect_err(key);
                assert_eq!(faults.len(), 1, "{faults:?}");
                let start = format!("apis/chat.toml:4: {key} = {bad}: allowed is {least} to {most} ");
                assert!(faults[0].starts_with(&start), "{faults:?}");
            }
        }
    }

    /// So many addresses.
    fn addresses(count: usize) -> String {
        format!("{:?}", (0..count).map(|index| format!("10.0.0.{index}")).collect::<Vec<_>>())
    }

    #[test]
    fn every_text_and_list_is_taken_at_its_bounds() {
        let quoted = |text: &str| format!("\"{text}\"");
        let names =
            |count: usize| format!("{:?}", (0..count).map(|index| format!("n{index}")).collect::<Vec<_>>());
        for (key, good) in [
            ("display_name", quoted("é")),
            ("display_name", quoted(&"é".repeat(300))),
            ("description", quoted("")),
            ("description", quoted(&"é".repeat(4000))),
            ("suffix", quoted("")),
            ("suffix", quoted(&"s".repeat(400))),
            ("schemes", "[\"wss\"]".to_owned()),
            ("products", "[]".to_owned()),
            ("products", names(1000)),
            ("gateways", names(1000)),
            ("source_addresses", "[]".to_owned()),
            ("source_addresses", addresses(64)),
            ("frames", quoted("opaque")),
        ] {
            assert!(parse(&with(key, &good)).is_ok(), "{key} = {good}");
        }
    }

    #[test]
    fn every_text_and_list_is_refused_beyond_its_bounds() {
        let quoted = |text: &str| format!("\"{text}\"");
        let names =
            |count: usize| format!("{:?}", (0..count).map(|index| format!("n{index}")).collect::<Vec<_>>());
        for (key, bad) in [
            ("display_name", quoted("")),
            ("display_name", quoted(&"é".repeat(301))),
            ("display_name", quoted("a\\nb")),
            ("display_name", "1".to_owned()),
            ("description", quoted(&"é".repeat(4001))),
            ("url", quoted("https://h")),
            ("url", quoted("ws+unix:/run/h")),
            ("url", quoted("ws://h?q")),
            ("suffix", quoted("/chat")),
            ("suffix", quoted(&"s".repeat(401))),
            ("schemes", "[]".to_owned()),
            ("schemes", quoted("ws")),
            ("schemes", "[\"ws\", \"ws\"]".to_owned()),
            ("schemes", "[\"ws\", \"http\"]".to_owned()),
            ("schemes", "[\"WS\"]".to_owned()),
            ("products", quoted("a")),
            ("products", "[\"a\", \"a\"]".to_owned()),
            ("products", "[\"a b\"]".to_owned()),
            ("products", names(1001)),
            ("gateways", "[1]".to_owned()),
            ("gateways", names(1001)),
            ("source_addresses", quoted("10.0.0.5")),
            ("source_addresses", "[\"localhost\"]".to_owned()),
            ("source_addresses", "[\"10.0.0.5:80\"]".to_owned()),
            ("source_addresses", "[\"0.0.0.0\"]".to_owned()),
            ("source_addresses", "[\"::ffff:0.0.0.0\"]".to_owned()),
            ("source_addresses", "[\"ff02::1\"]".to_owned()),
            ("source_addresses", "[\"fd00::5\", \"fd00:0::5\"]".to_owned()),
            ("source_addresses", addresses(65)),
            ("subscription_required", quoted("true")),
            ("frames", quoted("loose")),
            ("diagnostics", "{ sampling = 101 }".to_owned()),
        ] {
            let faults = parse(&with(key, &bad)).expect_err(&bad);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(&format!(": {key}")), "{faults:?}");
        }
    }

    #[test]
    fn what_has_no_default_must_be_there() {
        let faults = parse("").expect_err("nothing is there");
        let keys: Vec<_> = faults.iter().map(|fault| fault.split(": ").nth(1).unwrap_or_default()).collect();
        let missing = keys.iter().filter_map(|key| key.split_once(" is missing; ")).map(|(key, _)| key);
        assert_eq!(missing.collect::<Vec<_>>(), ["display_name", "url", "suffix"]);
    }

    #[test]
    fn takes_versions_revisions_and_names_of_keys() {
        let api = least_and(
            "version_set = \"chat\"\nversion = \"v2\"\nrevision = 3\nsubscription_key_names = { header = \"X-Key\", query = \"key\" }",
        )
        .expect("an api");
        assert_eq!((api.version_set.unwrap().as_str(), api.version.unwrap().as_str()), ("chat", "v2"));
        assert_eq!((api.revision, api.key_names.header.as_str()), (3, "X-Key"));
        assert_eq!(api.key_names.query.as_str(), "key");
        for bad in [
            "version = \"v2\"",
            "version_set = \"a b\"",
            "version_set = \"chat\"\nversion = \"a/b\"",
            "revision = 0",
            "subscription_key_names = { header = \"Host\" }",
            "subscription_key_names = { query = \"a&b\" }",
            "subscription_key_names = { cookie = \"a\" }",
            "subscription_key_names = \"X-Key\"",
        ] {
            assert_eq!(least_and(bad).expect_err(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn opaque_frames_cannot_be_bounded() {
        let act = "opaque frames are not looked at, so their size cannot be limited: remove frame_bytes_max and \
                   message_bytes_max, or set frames to \"strict\"";
        for key in ["frame_bytes_max", "message_bytes_max"] {
            assert_eq!(
                least_and(&format!("{key} = 1\nframes = \"opaque\"")),
                Err(vec![format!("apis/chat.toml:5: frames = \"opaque\"; {act}")])
            );
            assert!(least_and(&format!("{key} = 1\nframes = \"strict\"")).is_ok());
        }
    }

    #[test]
    fn tls_towards_a_backend_is_for_wss_urls() {
        let api =
            |url: &str, tls: &str| parse(&format!("{}tls = {tls}\n", with("url", &format!("\"{url}\""))));
        assert_eq!(api("wss://h", "{ ca = \"f\" }").unwrap().tls.ca.as_deref(), Some("f"));
        assert!(parse(&with("url", "\"wss://h\"")).unwrap().backend.is_tls);
        let bad = api("wss://h", "{ pin = \"f\", name = \"\" }").expect_err("two faults");
        let keys: Vec<_> = bad.iter().filter_map(|fault| fault.split(' ').nth(1)).collect();
        assert_eq!(keys, ["tls.pin", "tls.name"]);
        assert_eq!(
            api("ws://h", "{}").expect_err("nothing to be secured"),
            [
                "apis/chat.toml:4: tls = a table; it has no effect beside a ws:// url: write wss:// there, or remove tls"
            ]
        );
    }

    #[test]
    fn a_bad_file_name_is_a_fault_beside_those_of_the_contents() {
        let faults = parse_api("apis/a b.toml", "a b", "url = 1\nsuffix = \"\"\ndisplay_name = \"A\"\n")
            .expect_err("two");
        assert_eq!(faults.len(), 2);
        assert_eq!((faults[0].key.as_str(), faults[1].key.as_str()), ("", "url"));
        assert_eq!(parse_api("apis/a b.toml", "a b", LEAST).expect_err("one").len(), 1);
        assert_eq!(parse_api("apis/a b.toml", "a b", "= 1").expect_err("two").len(), 2);
    }

    #[test]
    fn what_it_asks_of_others_is_known_even_when_other_keys_are_at_fault() {
        let asks = |text: &str| read_api("f", "chat", text).asks;
        let claim = asks("url = 3\nsuffix = \"a/b\"").suffix.expect("a claim");
        assert_eq!((claim.line, claim.suffix.as_str()), (Some(2), "a/b"));
        assert!(
            asks("suffix = \"/\"").suffix.is_none()
                && asks("").suffix.is_none()
                && asks("=").suffix.is_none()
        );
        let references = asks("products = [\n\"a\",\n\"b c\",\n\"d\"]\nversion_set = \"v\"").references;
        let named: Vec<_> = references.iter().map(|r| (r.key.as_str(), r.name.as_str(), r.line)).collect();
        assert_eq!(
            named,
            [("products[0]", "a", Some(2)), ("products[2]", "d", Some(4)), ("version_set", "v", Some(5))]
        );
    }
}
