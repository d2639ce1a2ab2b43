//! Compiled-in bounds that several modules share, with their units. A bound with one owner stands with its owner.
//!
//! A bound that an operator may change has its default and its allowed range here too; the reference in the manual
//! (`src/manual/reference.md`) names the key that sets it.

use core::time::Duration;

/// Largest request or response head, in bytes, its final empty line included. Over it: 431 (a backend's head: 502).
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields in one head. Over it: 431 (a backend's head: 502).
pub const HEADERS_MAX: usize = 100;

/// Longest request target, in bytes. Over it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Longest line, in bytes, that may announce a chunk of a chunked answer (size, extensions, line end). Over it: 502.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Largest trailer section, in bytes, behind a chunked answer. Over it: 502.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of a peer's part of a TLS handshake. Over it, the connection ends; from a backend: 502.
///
/// A chain of certificates has some thousand bytes; rustls takes 64 KiB of a message.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// Largest file of certificates, keys or authorities, in bytes. Over it: a fault that names the file.
pub const TLS_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Milliseconds without use, up to twice as many, after which a TLS leg frees the ciphers that can be made from its keys again (some
/// 150 ns). `relay::key_rest` looks at some legs at a time. Lowering it saves memory of sessions that say little; raising it saves that time
/// where they say something now and then.
pub const TLS_REST_MS: u64 = 2_000;

/// Seconds after which the key that seals clients' tickets is followed by a new one: six hours.
///
/// A ticket is good for one to [`TLS_TICKET_KEYS`] times as long. Raising it spares returning clients full handshakes, and
/// lets a stolen key open what was said for longer.
pub const TLS_TICKET_KEY_LIFETIME_S: u32 = 6 * 60 * 60;

/// Most keys of tickets that are kept: the one that seals, and the one before.
pub const TLS_TICKET_KEYS: usize = 2;

/// Bytes owed to one leg at which the other one is no longer read. Default 512 KiB.
///
/// It bounds what a session holds per direction (one burst beyond it may be on its way). Raising it buys throughput of
/// large messages on long paths, at so many bytes of the relay's backlog for each slow reader.
pub const OWED_BYTES_HIGH: u64 = 512 * 1024;

/// Bytes owed to one leg at which the other one is read again.
pub const OWED_BYTES_LOW: u64 = 128 * 1024;

const _: () = assert!(OWED_BYTES_LOW < OWED_BYTES_HIGH);

/// Bytes that a socket's send buffer takes beyond those that are on their way (TCP_NOTSENT_LOWAT, `tcp(7)`). 1 MiB.
///
/// The kernel alone bounds what is on its way (`net.ipv4.tcp_wmem`), so that long paths are filled. A reader that has stopped has
/// little on its way: its socket holds about this much, and not what the kernel would let it, 4 MiB by default. Lowering it costs
/// throughput of bulk over long paths: 3.6 % at 1 MiB, 18 % at 512 KiB (50 ms, 67 MB/s).
pub const UNSENT_BYTES_MAX: u32 = 1024 * 1024;

/// Bytes that one received buffer holds. 64 KiB: bulk then moves in few large sends, and a small message touches only
/// the first lines of its buffer.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Cost of a leg in one turn of its relay, in KiB of bulk that take as long, above which it is read after all others. 128 KiB: two
/// full buffers, so that one large message does not count as greedy.
///
/// With a lower value, legs change more often between the two ways of being read. With a higher one, all others wait longer for one
/// leg's burst.
pub const TURN_SHARE_KIB: u32 = 128;

/// Cost of all greedy legs together in one turn, in KiB of bulk that take as long; and of all legs that found no posted buffer. 256 KiB:
/// about 0.1 ms, the longest that a small message waits for either.
pub const LINE_KIB_PER_TURN: u32 = 256;

/// Smallest ration of a greedy leg in KiB, whatever it costs.
pub const RATION_KIB_LEAST: u32 = 4;

/// Bytes in front of a received buffer, for the start of a header that an earlier buffer ended with.
pub const BUFFER_HEADROOM_BYTES: usize = 64;

/// Received buffers of one relay: 64 MiB of address space, of which only what was used takes memory.
pub const BUFFERS_PER_RELAY: u16 = 1024;

/// Most received buffers that are posted to the kernel at once; a power of two. They are what one turn can receive.
pub const BUFFERS_POSTED: u16 = 256;

/// Fewest received buffers that are posted, however much each receives: that many sockets can say something in one turn.
pub const BUFFERS_POSTED_LEAST: u16 = 16;

const _: () = assert!(BUFFERS_POSTED.is_power_of_two() && BUFFERS_POSTED <= BUFFERS_PER_RELAY);
const _: () = assert!(BUFFERS_POSTED_LEAST > 0 && BUFFERS_POSTED_LEAST <= BUFFERS_POSTED);
const _: () = assert!(BUFFER_BYTES < u32::MAX as usize);

/// Milliseconds after which a send that is still in flight counts as one to a reader that has fallen behind: it is taken
/// back, and what is left of it moves out of the received buffers to the heap.
///
/// A send stays in flight only when the socket's own buffer, megabytes by default, is full. Lowering it costs bulk
/// towards slow networks a copy; raising it lets slow readers hold buffers that others need.
pub const SLOW_SEND_MS: u64 = 20;

/// The same while more than half of the received buffers are lent out.
pub const SLOW_SEND_MS_IN_NEED: u64 = 1;

/// Bytes of heap that one relay holds for readers that have fallen behind, all sessions together. Over it, the sessions
/// that hold most are ended (`slow_reader`) until at most 7/8 of it are held.
pub const BACKLOG_MIB_MAX: Allowed = Allowed { least: 1, most: 65_536, unit: "MiB" };
/// Default of [`BACKLOG_MIB_MAX`].
pub const BACKLOG_MIB_MAX_DEFAULT: u64 = 64;

/// Smallest frame, by its payload, whose rest is spliced from socket to socket instead of being copied twice; 0: none is. At
/// 16 KiB both cost the same on the machine it was measured on (`decisions/0013`); above, splicing wins, below, copying.
pub const SPLICE_KIB_MIN: Allowed = Allowed { least: 0, most: 65_536, unit: "KiB" };
/// Default of [`SPLICE_KIB_MIN`].
pub const SPLICE_KIB_MIN_DEFAULT: u64 = 32;

/// Pipes of one relay. Each takes two descriptors, and bytes of one direction of one session; while all are taken, frames
/// are copied.
pub const SPLICE_PIPES_PER_RELAY: usize = 16;

/// Bytes that a pipe is asked to hold. All pipes of 16 workers are what a user without privileges may have of such
/// (`fs.pipe-user-pages-soft`, 64 MiB); those beyond hold less, in more turns.
pub const SPLICE_PIPE_BYTES: usize = 256 * 1024;

/// Most pieces in one vectored send (`iovec`s of a `sendmsg`; the system's IOV_MAX is 1,024).
pub const SEND_PIECES_MAX: usize = 64;

/// Entries of the relay's submission queue. More operations than that in one turn wait for the next ones, in order.
pub const RELAY_SUBMISSION_ENTRIES: u32 = 1024;

/// Connections that one listener's queue holds until its worker accepts them. The kernel caps it at
/// `net.core.somaxconn`; over it, the kernel drops the client's SYN, which the client repeats a second later.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Open files that are never given to sessions: logs, catalogue, admin API, look-ups, the control runtime.
const OPEN_FILES_RESERVE: u64 = 256;

/// Open files per worker that are never given to sessions: its listeners, rings, wake-ups, the pipes of its relay, the
/// connections that were turned away and linger, and those that give way.
const OPEN_FILES_RESERVE_PER_WORKER: u64 = 128;

/// Openings of an instance that are kept for the health path: connections for which there is no place, whose requests are read all
/// the same. Its workers have equal parts of them.
pub const HEALTH_OPENINGS_KEPT: usize = 64;

/// Fewest kept openings of a worker, however many workers there are.
const HEALTH_OPENINGS_KEPT_LEAST: usize = 4;

/// Openings that each of so many workers keeps for the health path.
pub const fn health_openings_kept_by_each(workers: usize) -> usize {
    let equal_part = HEALTH_OPENINGS_KEPT.div_ceil(if workers == 0 { 1 } else { workers });
    if equal_part < HEALTH_OPENINGS_KEPT_LEAST { HEALTH_OPENINGS_KEPT_LEAST } else { equal_part }
}

/// Open files that an instance of `workers` keeps back from its sessions and openings. Checked at the start: what the
/// limit of open files leaves beyond this holds every session with two of them and every opening that reads a head with one.
pub const fn open_files_reserve(workers: usize) -> u64 {
    let of_each = OPEN_FILES_RESERVE_PER_WORKER + health_openings_kept_by_each(workers) as u64;
    OPEN_FILES_RESERVE + of_each * workers as u64
}

/// Askers that may wait for look-ups in progress, over all names. Over it: the fault `IsBusy`. About 100 bytes each.
pub const RESOLVER_WAITERS_MAX: usize = 64 * 1024;

/// Look-ups in progress at once, each on a blocking thread of the control runtime (which has 512). Over it, a name that
/// is neither known nor being looked up gets the fault `IsBusy`.
pub const RESOLVER_LOOKUPS_MAX: usize = 64;

/// Addresses of one name that are tried; the rest are ignored.
pub const RESOLVER_ADDRESSES_MAX: usize = 16;

/// After how long a name that is asked for is looked up again, in the background. Raising it spares look-ups and keeps dialling a
/// backend that has moved.
pub const NAME_REFRESH_S: Allowed = Allowed { least: 1, most: 3600, unit: "seconds" };
/// Default of [`NAME_REFRESH_S`].
pub const NAME_REFRESH_S_DEFAULT: u64 = 5;

/// How long an answer is used beyond that while no new one is to be had. Raising it bridges longer failures of the name service;
/// a backend that moves meanwhile is not found.
pub const NAME_STALE_MAX_S: Allowed = Allowed { least: 0, most: 604_800, unit: "seconds" };
/// Default of [`NAME_STALE_MAX_S`].
pub const NAME_STALE_MAX_S_DEFAULT: u64 = 3600;

/// The values an operator may give a numeric setting, both ends included.
///
/// Checked when the configuration is read; a value outside is a fault that names the setting, and nothing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Smallest value.
    pub least: u64,
    /// Largest value.
    pub most: u64,
    /// The unit of the value, as an operator reads it: `seconds`.
    pub unit: &'static str,
}

impl Allowed {
    /// Whether `value` may be given.
    pub const fn contains(&self, value: u64) -> bool {
        self.least <= value && value <= self.most
    }
}

/// Largest configuration file, in bytes, that is read. Over it: a fault, and the file is not looked at.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long the file system may take over one step (a look, an open with its read, a folder's names) while an instance serves.
/// Over it, what is asked for hangs: the thread is left to wait for it, and another one goes on with everything else.
pub const FILE_PATIENCE: Duration = Duration::from_secs(10);

/// How long it has to be quiet behind a change of the catalogue's files until they are read: an editor's steps, or the files
/// of one copy, are one change then.
pub const CATALOG_QUIET: Duration = Duration::from_millis(50);

/// How often all files of the catalogue are read, though no change was told: for file systems that tell of none.
///
/// Some 15 µs a file, on a thread that may block. Lowering it finds such changes sooner.
pub const CATALOG_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Faults of a catalogue that was refused that are logged and shown. There may be one for every file; those that are left are
/// counted, and `ringgate check` names all.
pub const FAULTS_TOLD_MAX: usize = 1000;

/// How often it is looked whether a subscription's end has come, whose sessions are ended then, and whether a catalogue that
/// was replaced is held by no opening any more, which is freed then. Raising it delays both.
pub const CATALOG_UPKEEP: Duration = Duration::from_secs(1);

/// Over how long a drain spreads the ends of its sessions; what is left then is cut.
pub const DRAIN_S: Allowed = Allowed { least: 0, most: 3600, unit: "seconds" };
/// Default of [`DRAIN_S`].
pub const DRAIN_S_DEFAULT: u64 = 30;

/// Sessions that an instance, an API, a product or a subscription holds at once. Over it: 503 (`instance_full`, `api_full`,
/// `product_full`, `subscription_full`). No default here: absent, an instance's follows from its tier or from the open-file
/// limit, and the others have none.
pub const CONNECTIONS_MAX: Allowed = Allowed { least: 1, most: 10_000_000, unit: "sessions" };

/// A tier of Azure API Management, as a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierPreset {
    /// Its name in the instance file.
    pub name: &'static str,
    /// Sessions that one unit holds.
    pub sessions_per_unit: u64,
    /// How many units it has.
    pub units: Allowed,
}

impl TierPreset {
    const fn new(name: &'static str, sessions_per_unit: u64, units_max: u64, unit: &'static str) -> Self {
        Self { name, sessions_per_unit, units: Allowed { least: 1, most: units_max, unit } }
    }
}

/// The tiers in which WebSocket APIs are available, and what Azure API Management gives in each of them.
pub const TIERS: [TierPreset; 7] = [
    TierPreset::new("developer", 2_500, 1, "units of tier developer"),
    TierPreset::new("basic", 5_000, 2, "units of tier basic"),
    TierPreset::new("standard", 5_000, 4, "units of tier standard"),
    TierPreset::new("premium", 5_000, 31, "units of tier premium"),
    TierPreset::new("basic-v2", 5_000, 10, "units of tier basic-v2"),
    TierPreset::new("standard-v2", 5_000, 10, "units of tier standard-v2"),
    TierPreset::new("premium-v2", 5_000, 30, "units of tier premium-v2"),
];

/// Units, while their tier is not known: the most that any tier has.
pub const UNITS: Allowed = Allowed { least: 1, most: 31, unit: "units" };
/// Default of [`UNITS`].
pub const UNITS_DEFAULT: u64 = 1;

/// Leading bits of an IPv4 address that make its source network. A client has one address: all of them by default.
pub const SOURCE_PREFIX_IPV4: Allowed = Allowed { least: 8, most: 32, unit: "bits" };
/// Default of [`SOURCE_PREFIX_IPV4`].
pub const SOURCE_PREFIX_IPV4_DEFAULT: u64 = 32;

/// Leading bits of an IPv6 address that make its source network. A client has a /64 to choose addresses from
/// (RFC 4291 §2.5.1): half of them by default.
pub const SOURCE_PREFIX_IPV6: Allowed = Allowed { least: 16, most: 128, unit: "bits" };
/// Default of [`SOURCE_PREFIX_IPV6`].
pub const SOURCE_PREFIX_IPV6_DEFAULT: u64 = 64;

/// Openings that read a request head at once, from the accept until it is judged, or until the close if it is refused. Over it:
/// 503 (`openings_full`), or the one that has waited longest gives way.
///
/// Each takes a descriptor and some KiB. Raising it lets a storm of handshakes in faster, and lets more silent
/// connections stay until `head_timeout_ms`.
pub const OPENINGS_MAX: Allowed = Allowed { least: 1, most: 1_000_000, unit: "openings" };
/// Default of [`OPENINGS_MAX`], as far as the open-file limit holds it beside the sessions: as many as one listener's
/// queue holds, so that what one worker takes at once is not turned away for its number alone.
pub const OPENINGS_MAX_DEFAULT: u64 = LISTEN_BACKLOG as u64;
/// Least default of [`OPENINGS_MAX`]: what the open-file limit must hold beside the sessions.
pub const OPENINGS_MAX_DEFAULT_LEAST: u64 = 64;

/// Openings that wait for a backend at once, of the whole instance or of one API: from the judged head to the hand-over or the
/// close. Over it: 503 (`openings_full` for the instance, `backend_busy` for an API).
///
/// Each holds the place of the session to be. No default here: absent, an instance's are as many as [`OPENINGS_MAX`] and no
/// more than its sessions, and an API's a quarter of those.
pub const PENDING_OPENINGS_MAX: Allowed = Allowed { least: 1, most: 1_000_000, unit: "openings" };

/// Openings of one worker that have given their place to a newcomer and are not closed yet: mostly for a turn of its loop. Over
/// it, newcomers are turned away.
pub const GIVING_WAY_MAX: usize = 32;

/// Connections of one worker that were turned away for lack of an opening and linger, so that they can read why. Over it
/// they are closed at once.
pub const TURNED_AWAY_LINGERING_MAX: usize = 32;

const _: () = assert!(
    (TURNED_AWAY_LINGERING_MAX + GIVING_WAY_MAX + 2 * SPLICE_PIPES_PER_RELAY) as u64
        <= OPEN_FILES_RESERVE_PER_WORKER * 3 / 4
);

/// How long a client may take to send its request head. Over it: 408.
pub const HEAD_TIMEOUT_MS: Allowed = Allowed { least: 100, most: 120_000, unit: "milliseconds" };
/// Default of [`HEAD_TIMEOUT_MS`].
pub const HEAD_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// Longest display name of an API or a product, in characters (Azure API Management's own bound).
pub const DISPLAY_NAME_CHARS_MAX: usize = 300;

/// Longest display name of a subscription or a version set, in characters (Azure API Management's own bound).
pub const SHORT_DISPLAY_NAME_CHARS_MAX: usize = 100;

/// Longest description of an API or a version set, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 4000;

/// Largest policy document, in bytes (Azure API Management's own bound). Over it: a fault.
pub const POLICY_DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// How deep elements of a policy document may stand within one another. Over it: a fault. Reading and compiling recurse as deep.
pub const POLICY_DEPTH_MAX: usize = 32;

/// Attributes of one element of a policy document. Over it: a fault. The time to tell them apart grows with their square.
pub const POLICY_ATTRIBUTES_MAX: usize = 64;

/// Uses of `Regex` in one policy document, those of the fragments that it includes among them. Over it: a fault.
///
/// Each can take some milliseconds at a publish, and [`EXPRESSION_PATTERN_COMPILED_BYTES_MAX`] a few times.
pub const POLICY_PATTERNS_MAX: usize = 300;

/// Faults of one policy document that are told; the rest is found when these are mended.
pub const POLICY_FAULTS_MAX: usize = 50;

/// Longest text, in bytes, that a policy writes to the log or gives a client as a body. A longer one is cut in the log, and
/// fails as a body.
pub const POLICY_TEXT_BYTES_MAX: usize = 8 * 1024;

/// Longest subscription key, in bytes (Azure API Management's own bound). A longer one matches none: it is not looked up.
pub const SUBSCRIPTION_KEY_BYTES_MAX: usize = 256;

/// Revision of an API. Only the current one is in the catalogue: it is shown, and nothing depends on it.
pub const REVISION: Allowed = Allowed { least: 1, most: 1_000_000, unit: "revisions" };

/// Longest backend URL, in characters (Azure API Management's own bound on a service URL).
pub const BACKEND_URL_CHARS_MAX: usize = 2000;

/// Longest URL suffix of an API, in characters (Azure API Management's own bound on a path).
pub const SUFFIX_CHARS_MAX: usize = 400;

/// How long one dial to a backend may take, name resolution included. Over it: 504 (`backend_silent`).
pub const DIAL_TIMEOUT_MS: Allowed = Allowed { least: 10, most: 120_000, unit: "milliseconds" };
/// Default of [`DIAL_TIMEOUT_MS`].
pub const DIAL_TIMEOUT_MS_DEFAULT: u64 = 5_000;

/// How long a backend may take from the end of its request head to the end of its answer's head. Over it: 504.
pub const ANSWER_TIMEOUT_MS: Allowed = Allowed { least: 10, most: 240_000, unit: "milliseconds" };
/// Default of [`ANSWER_TIMEOUT_MS`].
pub const ANSWER_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// Milliseconds in which a TLS record that has begun must be complete, while its sender is read. Over it: the session ends
/// (`record_fault`). Until then it holds as much of the relay's heap as it declared, at most 16 KiB and some.
pub const RECORD_TIMEOUT_MS: u64 = 30_000;

/// How long a session may stay without a sign of life: nothing came from either endpoint, and nothing was acknowledged by one;
/// or one acknowledged nothing of what stood unacknowledged. Over it: close code 1001, cause `idle`.
pub const IDLE_TIMEOUT_S: Allowed = Allowed { least: 1, most: 604_800, unit: "seconds" };
/// Default of [`IDLE_TIMEOUT_S`].
pub const IDLE_TIMEOUT_S_DEFAULT: u64 = 600;

/// How often per idle time-out a relay asks the kernel what an endpoint has acknowledged, if it was sent something. While the
/// other endpoint goes on sending, one that has vanished is found up to one such interval late: a quarter of the time-out.
pub const IDLE_LOOKS: u64 = 4;

/// How long an endpoint's system may acknowledge nothing, neither data nor a probe, or have no room for data while it answers,
/// until the kernel gives up its connection (TCP_USER_TIMEOUT and keepalive). Over it: cause `dead_peer`, or `slow_reader` where
/// it answered. 0 switches it off; values of 1 to 4 are refused, because a packet that is lost three times in a row would end a
/// session.
pub const DEAD_PEER_TIMEOUT_S: Allowed = Allowed { least: 0, most: 86_400, unit: "seconds" };
/// Smallest value of [`DEAD_PEER_TIMEOUT_S`] that does not switch it off.
pub const DEAD_PEER_TIMEOUT_S_LEAST: u64 = 5;
/// Default of [`DEAD_PEER_TIMEOUT_S`].
pub const DEAD_PEER_TIMEOUT_S_DEFAULT: u64 = 120;

/// Milliseconds that a leg stays unread before its socket is polled for errors. Without the poll nobody would hear of a reset
/// that stands behind unread bytes; with it, a reset is noticed within twice this time. Lowering it makes more pauses last long
/// enough for a poll, which costs two operations each.
pub const UNREAD_PATIENCE_MS: u64 = 250;

/// How long the second leg may take to end after the first one did. Over it: it is cut.
pub const LINGER_S: Allowed = Allowed { least: 1, most: 60, unit: "seconds" };
/// Default of [`LINGER_S`].
pub const LINGER_S_DEFAULT: u64 = 5;

/// Largest payload that one frame may declare. Over it: close code 1009, cause `frame_too_big`. Absent: no bound.
///
/// Raising it costs no memory: a relay holds no frame, it passes on what it has.
pub const FRAME_BYTES_MAX: Allowed = Allowed { least: 1, most: 1 << 62, unit: "bytes" };

/// Largest message, all its fragments together. Over it: close code 1009, cause `message_too_big`. Absent: no bound.
pub const MESSAGE_BYTES_MAX: Allowed = Allowed { least: 1, most: 1 << 62, unit: "bytes" };

const _: () = {
    assert!(NAME_REFRESH_S.contains(NAME_REFRESH_S_DEFAULT));
    assert!(NAME_STALE_MAX_S.contains(NAME_STALE_MAX_S_DEFAULT));
    assert!(DRAIN_S.contains(DRAIN_S_DEFAULT));
    assert!(DEAD_PEER_TIMEOUT_S.contains(DEAD_PEER_TIMEOUT_S_DEFAULT));
    assert!(DEAD_PEER_TIMEOUT_S_LEAST <= DEAD_PEER_TIMEOUT_S_DEFAULT);
    assert!(BACKLOG_MIB_MAX.contains(BACKLOG_MIB_MAX_DEFAULT));
    assert!(SLOW_SEND_MS_IN_NEED < SLOW_SEND_MS);
    assert!(SOURCE_PREFIX_IPV4.contains(SOURCE_PREFIX_IPV4_DEFAULT));
    assert!(SOURCE_PREFIX_IPV6.contains(SOURCE_PREFIX_IPV6_DEFAULT));
    assert!(OPENINGS_MAX.contains(OPENINGS_MAX_DEFAULT) && OPENINGS_MAX.contains(OPENINGS_MAX_DEFAULT_LEAST));
    assert!(UNITS.contains(UNITS_DEFAULT));
    // Places are counted in 32 bits, and all of them set means that there is no limit.
    assert!(CONNECTIONS_MAX.most < u32::MAX as u64);
    assert!(OPENINGS_MAX.most < u32::MAX as u64);
    assert!(PENDING_OPENINGS_MAX.most < u32::MAX as u64);
    assert!(HEAD_TIMEOUT_MS.contains(HEAD_TIMEOUT_MS_DEFAULT));
    assert!(DIAL_TIMEOUT_MS.contains(DIAL_TIMEOUT_MS_DEFAULT));
    assert!(ANSWER_TIMEOUT_MS.contains(ANSWER_TIMEOUT_MS_DEFAULT));
    assert!(IDLE_TIMEOUT_S.contains(IDLE_TIMEOUT_S_DEFAULT));
    assert!(LINGER_S.contains(LINGER_S_DEFAULT));
    // A client must be able to ask for the longest suffix, and a backend to be asked for the longest URL.
    assert!(SUFFIX_CHARS_MAX + 1 < TARGET_BYTES_MAX);
    assert!(BACKEND_URL_CHARS_MAX < TARGET_BYTES_MAX);
    // TOML integers end at 2^63 - 1.
    assert!(MESSAGE_BYTES_MAX.most < i64::MAX as u64);
};

/// Bytes that one receive of a head asks for.
pub const HEAD_READ_BYTES: usize = 4 * 1024;

/// Largest body of a backend's refusal that is passed on, in bytes. A longer one is truncated visibly.
pub const REFUSED_BODY_BYTES_MAX: usize = 64 * 1024;

/// Most interim answers (1xx) that a backend may give before its final one. One more is a wrong answer.
pub const INTERIM_ANSWERS_MAX: usize = 8;

/// Milliseconds after which an opening begins to watch whether its client leaves: most are over before.
pub const CLIENT_WATCH_AFTER_MS: u64 = 50;

/// Milliseconds that a client has to take an answer. One that does not is cut off.
pub const FAREWELL_SEND_MS: u64 = 10_000;

/// Milliseconds that a connection without a place has for its TLS handshake and a request for the health path.
pub const HEALTH_REQUEST_MS: u64 = 1_000;

/// Milliseconds for which a refused client's further bytes are read, so that it can read the answer.
pub const FAREWELL_DRAIN_MS: u64 = 1_000;

/// Longest policy expression, in bytes. Over it: a fault at publish.
///
/// Raising it costs time at publish and nothing at a handshake, where steps count.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// How deep expressions and statements of a policy expression may stand within one another; a chain (`a + b + c`) counts a
/// level for each link. Over it: a fault at publish. Parser, checker and evaluation recurse as deep.
pub const EXPRESSION_DEPTH_MAX: usize = 100;

/// Faults of one policy expression that are told; the rest is found when these are mended.
pub const EXPRESSION_FAULTS_MAX: usize = 20;

/// Steps that one evaluation of a policy expression may take: an operation is one, and so is each
/// [`EXPRESSION_BYTES_PER_STEP`] that it reads or writes. Over it: `ExpressionBudgetException`, a 500 like any exception.
///
/// It bounds what one handshake can take of a core: some milliseconds. Simple expressions take about ten.
pub const EXPRESSION_STEPS_MAX: u32 = 10_000;

/// Bytes that an operation of a policy expression may read or write in one step.
pub const EXPRESSION_BYTES_PER_STEP: usize = 256;

/// Bytes that one evaluation of a policy expression may allocate, counted as if none were given back. Over it:
/// `ExpressionBudgetException`.
pub const EXPRESSION_MEMORY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a regular expression of a policy may take when it is compiled, and the cache of a thread that matches with it.
/// Over it: a fault at publish. The time that it takes for a byte of input grows with it.
pub const EXPRESSION_PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Largest token, in bytes, that an expression reads as a JWT. A longer one is none.
pub const JWT_BYTES_MAX: usize = HEAD_BYTES_MAX;

/// How far apart, in milliseconds, the times may be at which threads ask the same counter. One that is over is kept for as
/// long, so that none that read its clock before finds it gone.
pub const COUNTER_LAG_MS: i64 = 1000;

/// Keys of one policy that tokens are decrypted with. Over it: a fault at publish.
///
/// A token that names none of them is tried with all that fit: with private RSA keys of 2048 bits that takes half a millisecond
/// for each.
pub const TOKEN_DECRYPTION_KEYS_MAX: usize = 4;

/// Milliseconds between two reports of what an open session has carried, where its API asks for them. Shorter: more rows of the log.
pub const PROGRESS_INTERVAL_MS: u64 = 60_000;
