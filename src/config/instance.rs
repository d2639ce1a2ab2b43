//! The instance file, `ringgate.toml`: where this process listens and how much it takes on.
//!
//! Every key has a default, so that an empty file is a valid one.
//!
//! Not here: what is published (`api`), reading the file and finding the catalogue's folder (`control::files::store`).

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;

use super::health::{HealthPath, take_health};
use super::listener::{ListenerConfig, default_schemes, overlap, take_listeners};
use super::logs::{LogsConfig, take_logs};
use super::otlp::{OtlpConfig, take_otlp};
use super::tier::{TierUnits, parse_tier};
use crate::catalog::api::Schemes;
use crate::catalog::diagnostics::{Diagnostics, take_diagnostics};
use crate::catalog::fault::{Fault, Remedy};
use crate::catalog::fields::{Document, Fields};
use crate::catalog::name::Name;
use crate::catalog::network::{Network, TRUSTED_NETWORKS_MAX};
use crate::head::authority::is_authority;
use crate::limits;
use crate::limits::Allowed;

/// Smallest send that is tried without copying it into the kernel (`IORING_OP_SENDMSG_ZC`). Absent: none is. It saves a copy
/// where a network card takes the bytes from where they lie, and costs one where it cannot: then the socket goes back to copying.
const ZERO_COPY_KIB_MIN: Allowed = Allowed { least: 4, most: 65_536, unit: "KiB" };

/// Workers of an instance. No default here: absent, there is one for each core that the process may use.
const WORKERS: Allowed = Allowed { least: 1, most: 256, unit: "workers" };

/// Where an instance listens when its file names no listener.
const LISTENER_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));

/// Folder of the catalogue when the instance file names none, relative to that file's folder.
const CATALOG_FOLDER_DEFAULT: &str = "catalog";

/// Longest folder name, in bytes, that the instance file may give (Linux: PATH_MAX less its final zero).
const CATALOG_FOLDER_BYTES_MAX: usize = 4095;

/// File of an instance's secret when the instance file names none, relative to that file's folder.
const KEY_FILE_DEFAULT: &str = "ringgate.key";

/// Longest name of such a file, in bytes (Linux: PATH_MAX less its final zero).
const KEY_FILE_NAME_BYTES_MAX: usize = 4095;

/// Sessions of one source network at once. Over it: 429 (`source_full`). Absent: no bound, because behind a balancer or
/// an address translation all clients may have one address.
const SOURCE_CONNECTIONS_MAX: Allowed = Allowed { least: 1, most: 10_000_000, unit: "sessions" };

/// Openings in progress of one source network. Over it: 429 (`source_full`). Absent: no bound, for the same reason as
/// [`SOURCE_CONNECTIONS_MAX`].
const OPENINGS_PER_SOURCE_MAX: Allowed = Allowed { least: 1, most: 1_000_000, unit: "openings" };

/// Most hosts that the status page may be asked for by, besides its own.
const STATUS_HOSTS_MAX: usize = 16;

/// Longest path of a control socket, in bytes: `sun_path` of unix(7) has 108, the last of which is 0.
pub const CONTROL_SOCKET_PATH_BYTES_MAX: usize = 107;

/// An instance's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceConfig {
    /// Workers to start, 1 to 256. `None`: one for each core that the process may use.
    pub workers: Option<u64>,
    /// The catalogue's folder, relative to the instance file's own, or absolute.
    pub catalog: String,
    /// The gateway this instance is part of. `None`: it serves the APIs that name no gateway.
    pub gateway: Option<Name>,
    /// Over how many seconds a drain spreads the ends of sessions, 0 to 3600. Default 30.
    pub drain_s: u64,
    /// The listeners: at least one, no two alike. Default: one on 127.0.0.1:8080.
    pub listeners: Vec<ListenerConfig>,
    /// The status page. `None`: it is not served.
    pub status: Option<StatusConfig>,
    /// The path by which balancers ask every listener whether it serves. `None`: there is none.
    pub health_path: Option<HealthPath>,
    /// The bounds of its work.
    pub limits: InstanceLimits,
    /// The handling of subscription keys.
    pub keys: KeysConfig,
    /// The look-up of backends' names.
    pub names: NamesConfig,
    /// The control socket's path, relative to the instance file's folder, or absolute; empty: no socket. `None`: in the
    /// folder of the service manager or of the instance file.
    pub control_socket: Option<String>,
    /// Where the log's rows go.
    pub logs: LogsConfig,
    /// Where telemetry is sent by the OpenTelemetry protocol. `None`: nowhere.
    pub otlp: Option<OtlpConfig>,
    /// What the log has of openings and sessions, where the API does not say otherwise.
    pub diagnostics: Diagnostics,
}

/// The settings of an instance's status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusConfig {
    /// Its address: a loopback address, unless `beyond_loopback` allows others.
    pub address: SocketAddr,
    /// Names and addresses that clients may use for it, in lower case, besides its own address and those of the loopback.
    pub hosts: Vec<String>,
}

/// The settings for the look-up of backends' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesConfig {
    /// Seconds after which a name that is asked for is looked up again, 1 to 3600. Default 5.
    pub refresh_s: u64,
    /// Seconds beyond that for which the old answer is used while there is no new one, 0 to 604,800. Default 3600.
    pub stale_max_s: u64,
}

impl Default for NamesConfig {
    fn default() -> Self {
        Self { refresh_s: limits::NAME_REFRESH_S_DEFAULT, stale_max_s: limits::NAME_STALE_MAX_S_DEFAULT }
    }
}

/// The settings for subscription keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysConfig {
    /// The file of the instance's secret, relative to the instance file's folder, or absolute. Default `ringgate.key`.
    pub file: String,
    /// Whether keys that ringgate makes are also stored sealed, so that they can be recovered. Default no.
    pub recoverable: bool,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { file: KEY_FILE_DEFAULT.to_owned(), recoverable: false }
    }
}

/// The bounds of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceLimits {
    /// The preset for the most sessions at once. `None`: none.
    pub tier: Option<TierUnits>,
    /// Most sessions at once, 1 to 10,000,000. `None`: what the tier says, and without one what the open-file limit allows.
    pub connections_max: Option<u64>,
    /// Most sessions at once of one source network, 1 to 10,000,000. `None`: any.
    pub source_connections_max: Option<u64>,
    /// Leading bits of an IPv4 address that make its source network, 8 to 32. Default 32.
    pub source_prefix_ipv4: u64,
    /// Leading bits of an IPv6 address that make its source network, 16 to 128. Default 64.
    pub source_prefix_ipv6: u64,
    /// At most 64 networks that no limit by source holds for. Default none.
    pub trusted_networks: Vec<Network>,
    /// Most openings that read a request head at once, 1 to 1,000,000. `None`: 4,096, or what the open-file limit leaves.
    pub openings_max: Option<u64>,
    /// Most openings that wait for a backend at once, 1 to 1,000,000. `None`: as many as read a head, and no more than sessions.
    pub pending_openings_max: Option<u64>,
    /// Most openings in progress at once of one source network, 1 to 1,000,000. `None`: any.
    pub openings_per_source_max: Option<u64>,
    /// Milliseconds a client has for its request head, 100 to 120,000. Default 10,000.
    pub head_timeout_ms: u64,
    /// MiB of heap that one worker holds for readers that have fallen behind, 1 to 65,536. Default 64.
    pub backlog_mib_max: u64,
    /// Smallest send, in KiB, that is tried without copying it into the kernel, 4 to 65,536. `None`: none is.
    pub zero_copy_kib_min: Option<u64>,
    /// Smallest frame, in KiB of payload, whose rest is spliced; 0: none is.
    pub splice_kib_min: u64,
    /// Seconds that an endpoint's system may acknowledge nothing, or refuse data, 5 to 86,400; 0: any time. Default 120.
    pub dead_peer_timeout_s: u64,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        Self {
            workers: None,
            catalog: CATALOG_FOLDER_DEFAULT.to_owned(),
            gateway: None,
            drain_s: limits::DRAIN_S_DEFAULT,
            listeners: vec![ListenerConfig { address: LISTENER_DEFAULT, tls: None }],
            status: None,
            health_path: Some(HealthPath::default()),
            limits: InstanceLimits::default(),
            keys: KeysConfig::default(),
            names: NamesConfig::default(),
            control_socket: None,
            logs: LogsConfig::default(),
            otlp: None,
            diagnostics: Diagnostics::default(),
        }
    }
}

impl InstanceConfig {
    /// The schemes of an API that lists none: `wss` if any listener has TLS, else `ws`.
    pub fn default_schemes(&self) -> Schemes {
        default_schemes(&self.listeners)
    }
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self {
            tier: None,
            connections_max: None,
            source_connections_max: None,
            source_prefix_ipv4: limits::SOURCE_PREFIX_IPV4_DEFAULT,
            source_prefix_ipv6: limits::SOURCE_PREFIX_IPV6_DEFAULT,
            trusted_networks: Vec::new(),
            openings_max: None,
            pending_openings_max: None,
            openings_per_source_max: None,
            head_timeout_ms: limits::HEAD_TIMEOUT_MS_DEFAULT,
            backlog_mib_max: limits::BACKLOG_MIB_MAX_DEFAULT,
            zero_copy_kib_min: None,
            splice_kib_min: limits::SPLICE_KIB_MIN_DEFAULT,
            dead_peer_timeout_s: limits::DEAD_PEER_TIMEOUT_S_DEFAULT,
        }
    }
}

/// The source of an instance's number of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionsFrom {
    /// `limits.connections_max`, this many.
    ConnectionsMax(u64),
    /// A preset.
    Tier(TierUnits),
    /// Nothing in the instance file: the limit of open files.
    OpenFiles,
}

impl SessionsFrom {
    /// Returns how many sessions are configured; `None`: as many as fit.
    pub fn asked(&self) -> Option<u64> {
        match self {
            Self::ConnectionsMax(sessions) => Some(*sessions),
            Self::Tier(tier) => Some(tier.sessions()),
            Self::OpenFiles => None,
        }
    }
}

impl fmt::Display for SessionsFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionsMax(_) => formatter.write_str("limits.connections_max"),
            Self::Tier(tier) => tier.fmt(formatter),
            Self::OpenFiles => formatter.write_str("open-file limit"),
        }
    }
}

impl InstanceLimits {
    /// The time after which connections with a silent peer are given up; `None`: never.
    pub fn dead_peer_timeout(&self) -> Option<Duration> {
        (self.dead_peer_timeout_s > 0).then(|| Duration::from_secs(self.dead_peer_timeout_s))
    }

    /// Returns the source of the instance's number of sessions: `connections_max` before the tier.
    pub fn sessions_from(&self) -> SessionsFrom {
        match (self.connections_max, self.tier) {
            (Some(sessions), _) => SessionsFrom::ConnectionsMax(sessions),
            (None, Some(tier)) => SessionsFrom::Tier(tier),
            (None, None) => SessionsFrom::OpenFiles,
        }
    }
}

/// Reads an instance file; `file` is its name in faults.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_instance(file: &str, text: &str) -> Result<InstanceConfig, Vec<Fault>> {
    let document = Document::parse(file, text)?;
    let config = take_instance(document.fields());
    document.finish(Some(config))
}

/// The catalogue's folder that `text` names, even if something else in it is at fault; `None` if that cannot be told.
pub fn catalog_folder(text: &str) -> Option<String> {
    let document = Document::parse("", text).ok()?;
    let folder = document.fields().take_text("catalog", parse_folder);
    let folder = folder.unwrap_or_else(|| CATALOG_FOLDER_DEFAULT.to_owned());
    document.finish(Some(folder)).ok()
}

fn take_instance(mut fields: Fields<'_>) -> InstanceConfig {
    let default = InstanceConfig::default();
    let listeners = take_listeners(&mut fields).unwrap_or(default.listeners);
    let config = InstanceConfig {
        workers: fields.take_integer("workers", &WORKERS),
        catalog: fields.take_text("catalog", parse_folder).unwrap_or(default.catalog),
        gateway: fields.take_text("gateway", Name::parse),
        drain_s: fields.take_integer("drain_s", &limits::DRAIN_S).unwrap_or(default.drain_s),
        status: fields.take_table("status").and_then(|status| take_status(status, &listeners)),
        listeners,
        health_path: fields.take_table("health").map_or(default.health_path, take_health),
        limits: fields.take_table("limits").map(take_limits).unwrap_or_default(),
        keys: fields.take_table("keys").map(take_keys).unwrap_or_default(),
        names: fields.take_table("names").map(take_names).unwrap_or_default(),
        control_socket: fields.take_table("control").and_then(take_control_socket),
        logs: fields.take_table("logs").map(take_logs).unwrap_or_default(),
        otlp: fields.take_table("otlp").and_then(take_otlp),
        diagnostics: fields.take_table("diagnostics").map(take_diagnostics).unwrap_or_default(),
    };
    fields.finish();
    config
}

fn take_control_socket(mut fields: Fields<'_>) -> Option<String> {
    let taken = fields.take_text("socket", |text| {
        let is_path = text.len() <= CONTROL_SOCKET_PATH_BYTES_MAX && !text.contains('\0');
        is_path.then(|| text.to_owned()).ok_or_else(|| {
            format!("a path of at most {CONTROL_SOCKET_PATH_BYTES_MAX} bytes, or \"\" for no control socket")
        })
    });
    fields.finish();
    taken
}

fn take_keys(mut fields: Fields<'_>) -> KeysConfig {
    let default = KeysConfig::default();
    let taken = KeysConfig {
        file: fields.take_text("file", parse_key_file).unwrap_or(default.file),
        recoverable: fields.take_boolean("recoverable").unwrap_or(default.recoverable),
    };
    fields.finish();
    taken
}

fn take_names(mut fields: Fields<'_>) -> NamesConfig {
    let default = NamesConfig::default();
    let taken = NamesConfig {
        refresh_s: fields.take_integer("refresh_s", &limits::NAME_REFRESH_S).unwrap_or(default.refresh_s),
        stale_max_s: fields
            .take_integer("stale_max_s", &limits::NAME_STALE_MAX_S)
            .unwrap_or(default.stale_max_s),
    };
    fields.finish();
    taken
}

fn take_status(mut fields: Fields<'_>, listeners: &[ListenerConfig]) -> Option<StatusConfig> {
    let beyond_loopback = fields.take_boolean("beyond_loopback").unwrap_or(false);
    // Whoever reaches the page may read it.
    let allowed = if beyond_loopback {
        "an address with its port, like 127.0.0.1:9900"
    } else {
        "a loopback address with its port, like 127.0.0.1:9900; set beyond_loopback = true for another one"
    };
    let address = fields.take_required_text("address", allowed, |text| {
        let address: Option<SocketAddr> = text.parse().ok();
        let address =
            address.filter(|address| beyond_loopback || address.ip().is_loopback()).ok_or(allowed)?;
        if address.port() != 0 && listeners.iter().any(|listener| overlap(listener.address, address)) {
            return Err(Remedy::act("a listener has this address: change one of the two"));
        }
        Ok::<_, Remedy>(address)
    });
    let hosts = fields.take_texts("hosts", (0, STATUS_HOSTS_MAX), parse_host).unwrap_or_default();
    fields.finish();
    Some(StatusConfig { address: address?, hosts })
}

/// A name or an address as it stands in a URL, without a port.
fn parse_host(text: &str) -> Result<String, String> {
    let is_host = is_authority(text.as_bytes()) && (text.ends_with(']') || !text.contains(':'));
    is_host.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        "a name or an address without a port, like gateway.example, 10.0.0.5 or [fd00::5]".to_owned()
    })
}

fn take_limits(mut fields: Fields<'_>) -> InstanceLimits {
    let default = InstanceLimits::default();
    let taken = InstanceLimits {
        tier: take_tier(&mut fields),
        connections_max: fields.take_integer("connections_max", &limits::CONNECTIONS_MAX),
        source_connections_max: fields.take_integer("source_connections_max", &SOURCE_CONNECTIONS_MAX),
        source_prefix_ipv4: fields
            .take_integer("source_prefix_ipv4", &limits::SOURCE_PREFIX_IPV4)
            .unwrap_or(default.source_prefix_ipv4),
        source_prefix_ipv6: fields
            .take_integer("source_prefix_ipv6", &limits::SOURCE_PREFIX_IPV6)
            .unwrap_or(default.source_prefix_ipv6),
        trusted_networks: fields
            .take_texts("trusted_networks", (0, TRUSTED_NETWORKS_MAX), Network::parse)
            .unwrap_or_default(),
        openings_max: fields.take_integer("openings_max", &limits::OPENINGS_MAX),
        pending_openings_max: fields.take_integer("pending_openings_max", &limits::PENDING_OPENINGS_MAX),
        openings_per_source_max: fields.take_integer("openings_per_source_max", &OPENINGS_PER_SOURCE_MAX),
        head_timeout_ms: fields
            .take_integer("head_timeout_ms", &limits::HEAD_TIMEOUT_MS)
            .unwrap_or(default.head_timeout_ms),
        backlog_mib_max: fields
            .take_integer("backlog_mib_max", &limits::BACKLOG_MIB_MAX)
            .unwrap_or(default.backlog_mib_max),
        zero_copy_kib_min: fields.take_integer("zero_copy_kib_min", &ZERO_COPY_KIB_MIN),
        splice_kib_min: fields
            .take_integer("splice_kib_min", &limits::SPLICE_KIB_MIN)
            .unwrap_or(limits::SPLICE_KIB_MIN_DEFAULT),
        dead_peer_timeout_s: take_dead_peer_timeout(&mut fields).unwrap_or(default.dead_peer_timeout_s),
    };
    fields.finish();
    taken
}

fn take_dead_peer_timeout(fields: &mut Fields<'_>) -> Option<u64> {
    let allowed = &limits::DEAD_PEER_TIMEOUT_S;
    let seconds = fields.take_integer("dead_peer_timeout_s", allowed)?;
    if (1..limits::DEAD_PEER_TIMEOUT_S_LEAST).contains(&seconds) {
        let least = limits::DEAD_PEER_TIMEOUT_S_LEAST;
        fields.object(
            "dead_peer_timeout_s",
            format!("0, which switches it off, or {least} to {} {}", allowed.most, allowed.unit),
        );
    }
    Some(seconds)
}

fn take_tier(fields: &mut Fields<'_>) -> Option<TierUnits> {
    let tier = fields.take_text("tier", parse_tier);
    // How many units there may be is known with their tier only.
    let units = fields.take_integer("units", tier.map_or(&limits::UNITS, |tier| &tier.units));
    if units.is_some() && !fields.has("tier") {
        fields.object("units", Remedy::act("limits.tier is missing: name the tier, or remove units"));
    }
    Some(TierUnits { tier: tier?, units: units.unwrap_or(limits::UNITS_DEFAULT) })
}

fn parse_folder(text: &str) -> Result<String, String> {
    let is_folder = (1..=CATALOG_FOLDER_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    if is_folder {
        Ok(text.to_owned())
    } else {
        Err(format!("a folder name of 1 to {} bytes", CATALOG_FOLDER_BYTES_MAX))
    }
}

fn parse_key_file(text: &str) -> Result<String, String> {
    let is_file = (1..=KEY_FILE_NAME_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    if is_file {
        Ok(text.to_owned())
    } else {
        Err(format!("a file name of 1 to {} bytes", KEY_FILE_NAME_BYTES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<InstanceConfig, Vec<String>> {
        parse_instance("ringgate.toml", text).map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn an_empty_file_is_the_default_instance() {
        assert_eq!(parse(""), Ok(InstanceConfig::default()));
        assert_eq!(parse("[limits]\n"), Ok(InstanceConfig::default()));
    }

    #[test]
    fn takes_every_key() {
        let text = "workers = 2\ncatalog = \"c\"\ngateway = \"edge\"\ndrain_s = 0\n\
            [[listeners]]\naddress = \"0.0.0.0:0\"\n[[listeners]]\naddress = \"[::1]:8080\"\n\
            [status]\naddress = \"[::1]:9900\"\nhosts = [\"Gateway.example\"]\n\
            [limits]\ntier = \"standard\"\nunits = 3\nconnections_max = 5000\nsource_connections_max = 7\n\
            source_prefix_ipv4 = 24\nsource_prefix_ipv6 = 48\ntrusted_networks = [\"10.0.0.0/8\", \"fd00::1\"]\n\
            openings_max = 9\npending_openings_max = 6\nopenings_per_source_max = 8\n\
            head_timeout_ms = 100\nbacklog_mib_max = 16\nzero_copy_kib_min = 32\nsplice_kib_min = 64\n\
            dead_peer_timeout_s = 30\n[keys]\nfile = \"/run/ringgate.key\"\nrecoverable = true\n[names]\nrefresh_s = 7\nstale_max_s = 0\n\
            [control]\nsocket = \"run/c.sock\"\n[health]\npath = \"/healthy\"\n\
            [diagnostics]\nprogress = true\n";
        let address = |text: &str| ListenerConfig { address: text.parse().expect("an address"), tls: None };
        assert_eq!(
            parse(text),
            Ok(InstanceConfig {
                workers: Some(2),
                catalog: "c".to_owned(),
                gateway: Name::parse("edge").ok(),
                drain_s: 0,
                listeners: vec![address("0.0.0.0:0"), address("[::1]:8080")],
                status: Some(StatusConfig {
                    address: "[::1]:9900".parse().expect("an address"),
                    hosts: vec!["gateway.example".to_owned()],
                }),
                health_path: HealthPath::parse("/healthy").expect("a path"),
                limits: InstanceLimits {
                    tier: Some(TierUnits { tier: parse_tier("standard").expect("a tier"), units: 3 }),
                    connections_max: Some(5000),
                    source_connections_max: Some(7),
                    source_prefix_ipv4: 24,
                    source_prefix_ipv6: 48,
                    trusted_networks: ["10.0.0.0/8", "fd00::1"]
                        .map(|text| Network::parse(text).expect("a network"))
                        .to_vec(),
                    openings_max: Some(9),
                    pending_openings_max: Some(6),
                    openings_per_source_max: Some(8),
                    head_timeout_ms: 100,
                    backlog_mib_max: 16,
                    zero_copy_kib_min: Some(32),
                    splice_kib_min: 64,
                    dead_peer_timeout_s: 30,
                },
                keys: KeysConfig { file: "/run/ringgate.key".to_owned(), recoverable: true },
                names: NamesConfig { refresh_s: 7, stale_max_s: 0 },
                control_socket: Some("run/c.sock".to_owned()),
                logs: LogsConfig::default(),
                otlp: None,
                diagnostics: Diagnostics { progress: Some(true), ..Diagnostics::default() },
            })
        );
    }

    #[test]
    fn every_number_is_taken_at_its_bounds_and_refused_beyond() {
        for (table, key, least, most) in [
            ("", "workers", 1, 256),
            ("", "drain_s", 0, 3600),
            ("[names]\n", "refresh_s", 1, 3600),
            ("[names]\n", "stale_max_s", 0, 604_800),
            ("[limits]\n", "connections_max", 1, 10_000_000),
            ("[limits]\n", "source_connections_max", 1, 10_000_000),
            ("[limits]\n", "source_prefix_ipv4", 8, 32),
            ("[limits]\n", "source_prefix_ipv6", 16, 128),
            ("[limits]\n", "openings_max", 1, 1_000_000),
            ("[limits]\n", "pending_openings_max", 1, 1_000_000),
            ("[limits]\n", "openings_per_source_max", 1, 1_000_000),
            ("[limits]\n", "head_timeout_ms", 100, 120_000),
            ("[limits]\n", "dead_peer_timeout_s", 0, 86_400),
            ("[limits]\ntier = \"developer\"\n", "units", 1, 1),
            ("[limits]\ntier = \"basic\"\n", "units", 1, 2),
            ("[limits]\ntier = \"premium\"\n", "units", 1, 31),
        ] {
            for good in [least, most] {
                assert!(parse(&format!("{table}{key} = {good}")).is_ok(), "{key} = {good}");
            }
            for bad in [least - 1, most + 1] {
                let faults = parse(&format!("{table}{key} = {bad}")).expect_err(key);
                assert_eq!(faults.len(), 1);
                assert!(
                    faults[0].contains(&format!("{key} = {bad}: allowed is {least} to {most} ")),
                    "{faults:?}"
                );
            }
        }
    }

    #[test]
    fn a_dead_peer_time_out_is_off_or_not_so_short_that_a_lost_packet_ends_sessions() {
        let limits = |seconds| parse(&format!("[limits]\ndead_peer_timeout_s = {seconds}"));
        assert_eq!(limits(0).expect("off").limits.dead_peer_timeout(), None);
        assert_eq!(limits(5).expect("the least").limits.dead_peer_timeout(), Some(Duration::from_secs(5)));
        for seconds in 1..5 {
            assert_eq!(
                limits(seconds).expect_err("too short"),
                [format!(
                    "ringgate.toml:2: limits.dead_peer_timeout_s = {seconds}: allowed is 0, which switches it off, or 5 to \
                     86400 seconds"
                )]
            );
        }
    }

    #[test]
    fn the_sessions_are_those_of_connections_max_or_else_of_the_tier() {
        let limits = |text: &str| parse(&format!("[limits]\n{text}")).expect("a correct file").limits;
        for (text, asked, told) in [
            ("", None, "open-file limit"),
            ("tier = \"basic\"", Some(5_000), "tier basic, 1 unit"),
            ("tier = \"basic\"\nunits = 2", Some(10_000), "tier basic, 2 units"),
            ("connections_max = 7", Some(7), "limits.connections_max"),
            ("tier = \"basic\"\nconnections_max = 70000", Some(70_000), "limits.connections_max"),
        ] {
            let from = limits(text).sessions_from();
            assert_eq!((from.asked(), from.to_string().as_str()), (asked, told), "{text}");
        }
    }

    #[test]
    fn units_need_a_tier_that_has_as_many() {
        let names = "developer, basic, standard, premium, basic-v2, standard-v2, premium-v2";
        for (text, fault) in [
            ("units = 2", "2: limits.units = 2; limits.tier is missing: name the tier, or remove units"),
            ("units = 0", "2: limits.units = 0: allowed is 1 to 31 units"),
            ("tier = \"basic\"\nunits = 3", "3: limits.units = 3: allowed is 1 to 2 units of tier basic"),
            (
                "tier = \"Basic\"",
                &format!("2: limits.tier = \"Basic\": allowed is one of {names}; did you mean basic?"),
            ),
            (
                "tier = \"consumption\"\nunits = 1",
                &format!(
                    "2: limits.tier = \"consumption\": allowed is one of {names}; WebSocket APIs are not available in \
                     tier consumption"
                ),
            ),
        ] {
            let faults = parse(&format!("[limits]\n{text}")).expect_err(text);
            assert_eq!(faults, [format!("ringgate.toml:{fault}")], "{text}");
        }
    }

    #[test]
    fn folder_and_gateway_are_bounded() {
        let folder = |bytes: usize| format!("catalog = \"{}\"", "c".repeat(bytes));
        assert!(parse(&folder(1)).is_ok() && parse(&folder(4095)).is_ok());
        assert!(parse(&folder(0)).is_err() && parse(&folder(4096)).is_err());
        assert!(parse("catalog = \"a\\u0000b\"").is_err());
        assert!(parse("gateway = \"\"").is_err() && parse("gateway = \"a b\"").is_err());
        let key_file = |bytes: usize| format!("[keys]\nfile = \"{}\"", "k".repeat(bytes));
        assert!(parse(&key_file(1)).is_ok() && parse(&key_file(4095)).is_ok());
        assert!(parse(&key_file(0)).is_err() && parse(&key_file(4096)).is_err());
    }

    #[test]
    fn a_control_socket_is_a_path_that_the_kernel_takes_or_none() {
        let socket = |text: &str| parse(&format!("[control]\nsocket = \"{text}\""));
        for good in ["", "c.sock", "/run/ringgate/ringgate.sock", &"x".repeat(107)] {
            assert_eq!(socket(good).expect(good).control_socket.as_deref(), Some(good));
        }
        for bad in ["a\\u0000b", &"x".repeat(108)] {
            let faults = socket(bad).expect_err(bad);
            let allowed = "allowed is a path of at most 107 bytes, or \"\" for no control socket";
            assert!(
                faults.len() == 1 && faults[0].starts_with("ringgate.toml:2: control.socket = "),
                "{faults:?}"
            );
            assert!(faults[0].ends_with(allowed), "{faults:?}");
        }
        assert_eq!(parse("[control]").expect("the default").control_socket, None);
        assert!(parse("[control]\nsocket = false").is_err() && parse("[control]\npath = \"a\"").is_err());
    }

    #[test]
    fn the_health_path_is_apims_unless_the_file_names_another_one_or_none() {
        let path = |text: &str| parse(text).expect(text).health_path.map(|path| path.as_str().to_owned());
        for (text, expected) in [
            ("", Some("/status-0123456789abcdef")),
            ("[health]", Some("/status-0123456789abcdef")),
            ("[health]\npath = \"/up\"", Some("/up")),
            ("[health]\npath = \"\"", None),
        ] {
            assert_eq!(path(text).as_deref(), expected, "{text}");
        }
        for bad in ["up", "/a b", "/a?b"] {
            let faults = parse(&format!("[health]\npath = \"{bad}\"")).expect_err(bad);
            let start =
                format!("ringgate.toml:2: health.path = \"{bad}\": allowed is a path of at most 256 ");
            assert!(faults.len() == 1 && faults[0].starts_with(&start), "{faults:?}");
        }
        assert!(parse("[health]\npath = true").is_err() && parse("[health]\nurl = \"/\"").is_err());
    }

    #[test]
    fn a_listener_needs_an_address_of_its_own() {
        for bad in ["localhost:80", "127.0.0.1", ":80", "127.0.0.1:65536", "::1:80", "[::1]", ""] {
            let faults = parse(&format!("[[listeners]]\naddress = \"{bad}\"")).expect_err(bad);
            assert!(faults[0].starts_with("ringgate.toml:2: listeners[0].address = "), "{faults:?}");
        }
        let twice = "[[listeners]]\naddress = \"[::1]:1\"\n[[listeners]]\naddress = \"[0:0::1]:1\"\n";
        assert_eq!(
            parse(twice),
            Err(vec![
                "ringgate.toml:4: listeners[1].address = \"[0:0::1]:1\"; another listener has this address: change one of the two"
                    .to_owned()
            ])
        );
        for (one, other, overlaps) in [
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::]:80", "127.0.0.1:80", false),
            ("0.0.0.0:80", "127.0.0.1:81", false),
            ("0.0.0.0:0", "127.0.0.1:0", false),
        ] {
            let both = format!("[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n");
            assert_eq!(parse(&both).is_err(), overlaps, "{one} {other}");
        }
        let status = "[[listeners]]\naddress = \"0.0.0.0:80\"\n[status]\naddress = \"127.0.0.1:80\"\n";
        let told = "ringgate.toml:4: status.address = \"127.0.0.1:80\"; a listener has this address: change one of the two";
        assert_eq!(parse(status), Err(vec![told.to_owned()]));
        assert!(parse("listeners = []").is_err());
        assert!(
            parse("[[listeners]]").expect_err("no address")[0].contains("listeners[0].address is missing")
        );
    }

    #[test]
    fn apis_are_served_with_tls_by_default_as_soon_as_one_listener_has_it() {
        let schemes = |text: &str| parse(text).expect("a correct file").default_schemes();
        let plain = "[[listeners]]\naddress = \"[::1]:1\"\n";
        let tls = "[[listeners]]\naddress = \"[::1]:2\"\ntls = { certificates = [{ chain = \"c\", key = \"k\" }] }\n";
        assert_eq!(schemes(""), Schemes { ws: true, wss: false });
        assert_eq!(schemes(plain), Schemes { ws: true, wss: false });
        assert_eq!(schemes(tls), Schemes { ws: false, wss: true });
        assert_eq!(schemes(&format!("{plain}{tls}")), Schemes { ws: false, wss: true });
    }

    #[test]
    fn tls_on_a_listener_is_checked() {
        let listener = "[[listeners]]\naddress = \"[::1]:1\"\n";
        let good = parse(&format!("{listener}tls = {{ certificates = [{{ chain = \"c\", key = \"k\" }}] }}"));
        assert_eq!(good.unwrap().listeners[0].scheme(), "wss");
        assert_eq!(parse(listener).unwrap().listeners[0].scheme(), "ws");
        let bad = parse(&format!("{listener}tls = {{ min_version = \"1.1\" }}")).expect_err("two faults");
        let keys: Vec<_> = bad.iter().filter_map(|fault| fault.split(' ').nth(1)).collect();
        assert_eq!(keys, ["listeners[0].tls.certificates", "listeners[0].tls.min_version"]);
        assert!(parse(&format!("{listener}tls = true")).is_err());
    }

    #[test]
    fn the_status_page_is_for_this_host_alone_unless_the_file_says_otherwise() {
        for good in ["127.0.0.1:9900", "127.1.2.3:0", "[::1]:9900"] {
            let config = parse(&format!("[status]\naddress = \"{good}\"")).expect(good);
            assert_eq!(config.status.map(|status| status.address), good.parse().ok());
        }
        for bad in [
            "0.0.0.0:9900",
            "[::]:9900",
            "10.0.0.1:9900",
            "localhost:9900",
            "127.0.0.1",
            "[::ffff:127.0.0.1]:1",
        ] {
            let faults = parse(&format!("[status]\naddress = \"{bad}\"")).expect_err(bad);
            let start =
                format!("ringgate.toml:2: status.address = \"{bad}\": allowed is a loopback address ");
            assert!(faults.len() == 1 && faults[0].starts_with(&start), "{faults:?}");
        }
        for good in ["0.0.0.0:9900", "[::]:9900", "10.0.0.1:9900", "127.0.0.1:9900"] {
            let text = format!("[status]\naddress = \"{good}\"\nbeyond_loopback = true");
            let status = parse(&text).expect(good).status;
            assert_eq!(status.map(|status| status.address), good.parse().ok());
        }
        assert!(parse("[status]\naddress = \"10.0.0.1:9900\"\nbeyond_loopback = false").is_err());
        assert!(parse("[status]\naddress = \"localhost:9900\"\nbeyond_loopback = true").is_err());
        assert!(parse("[status]").expect_err("no address")[0].contains("status.address is missing"));
    }

    #[test]
    fn sixty_four_trusted_networks_are_the_most_and_each_is_checked() {
        let networks = |count: usize| -> String {
            let list: Vec<_> = (0..count).map(|index| format!("10.0.{index}.0/24")).collect();
            format!("[limits]\ntrusted_networks = {list:?}")
        };
        assert!(parse(&networks(0)).is_ok() && parse(&networks(64)).is_ok());
        assert_eq!(parse(&networks(65)).expect_err("too many").len(), 1);
        let faults =
            parse("[limits]\ntrusted_networks = [\"10.0.0.0/8\", \"10.0.0.1/8\", \"::1\", \"::1/128\"]");
        assert_eq!(
            faults.expect_err("two faults"),
            [
                format!("ringgate.toml:2: limits.trusted_networks[1] = \"10.0.0.1/8\": allowed is {}", Network::ALLOWED),
                "ringgate.toml:2: limits.trusted_networks[3] = \"::1/128\"; it stands in the list already; remove one of the two"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn hosts_of_the_status_page_are_names_and_addresses_without_a_port() {
        let status = |hosts: &str| parse(&format!("[status]\naddress = \"127.0.0.1:1\"\nhosts = [{hosts}]"));
        let hosts = |given: &str| status(given).expect(given).status.expect("a status page").hosts;
        assert_eq!(
            hosts("\"A.example\", \"10.0.0.5\", \"[FD00::5]\""),
            ["a.example", "10.0.0.5", "[fd00::5]"]
        );
        assert_eq!(hosts(""), [""; 0]);
        for bad in
            ["", "a.example:80", "[::1]:80", "::1", "http://a", "a b", "*"].map(|host| format!("\"{host}\""))
        {
            // An asterisk is a name as RFC 3986 has it, and no browser asks for one.
            assert_eq!(status(&bad).is_err(), bad != "\"*\"", "{bad}");
        }
        let many = |count: usize| (0..count).map(|n| format!("\"h{n}\"")).collect::<Vec<_>>().join(",");
        assert!(status(&many(16)).is_ok() && status(&many(17)).is_err());
    }

    #[test]
    fn sixty_four_listeners_are_the_most() {
        let listeners = |count: usize| -> String {
            (1..=count).map(|port| format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\n")).collect()
        };
        assert!(parse(&listeners(64)).is_ok());
        assert!(parse(&listeners(65)).is_err());
    }

    #[test]
    fn the_catalogue_folder_is_known_even_when_other_keys_are_at_fault() {
        assert_eq!(catalog_folder("workers = 0\ncatalog = \"c\"").as_deref(), Some("c"));
        assert_eq!(catalog_folder("workers = 0").as_deref(), Some("catalog"));
        assert_eq!(catalog_folder("catalog = 3"), None);
        assert_eq!(catalog_folder("catalog = "), None);
    }
}
