//! The status page: every counter as plain text, over HTTP/1.1, usually on a loopback address; and what tools ask for there.
//!
//! | path | answer |
//! |---|---|
//! | `/` | every counter, for people |
//! | `/metrics` | the page for Prometheus (`telemetry::metrics`), as OpenMetrics where that is accepted |
//! | `/healthz` | 200 while each thread of the workers has lately been at work, else 503 with the names of those that are stuck |
//! | `/readyz` | 200 while the instance takes sessions, else 503 and why not |
//!
//! Each connection gets one answer and ends behind it. Heads are judged by the same rules as those of a listener.
//!
//! The page is open to whoever can connect, which is this host alone unless the operator says otherwise (`config::instance`). A
//! browser of this host can connect too, and run a stranger's scripts. So the page is given only to requests for one of its own
//! names. A stranger's name that leads here (DNS rebinding) is answered with 421.
//!
//! The property to trust: nobody who asks slows a worker, and nobody who says nothing delays who asks. Counters are read with plain
//! loads, on the runtime of the services; the number of connections, how often one is taken, how often a page is made, the size of a head
//! and the time for all of it are bounded, and a new connection takes the place of one that is silent.
//!
//! Not here: authentication; what is counted (`observe`).

use crate::head::{HttpDate, Method, RequestHead, Target};
use crate::http1::encode::encode_refusal;
use crate::http1::request::check_incomplete_head;
use crate::http1::{HeadFault, find_head_end};
use crate::limits::HEAD_READ_BYTES;
use crate::observe::state::State;
use crate::process::log::limited;
use crate::process::uptime::uptime_ms;
use crate::telemetry::Observed;
use crate::telemetry::exposition::Format;
use crate::telemetry::metrics::metrics;
use crate::telemetry::text::page;
use bytes::{Bytes, BytesMut};
use rustls::pki_types::UnixTime;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

/// Connections to the status page at once. Over it, the oldest that has not asked yet is closed, else the oldest: a new one never
/// waits for those before it.
const STATUS_CONNECTIONS_MAX: usize = 32;

/// Least time between two accepts of the status page. It bounds what its clients take of the thread of the services, and so
/// of the core that this may share with a worker.
const STATUS_ACCEPT_INTERVAL: Duration = Duration::from_millis(1);

/// How long a page that was made is given to further readers, at least. It bounds what making pages takes: each some hundred
/// microseconds.
pub const STATUS_PAGE_AGE_MAX: Duration = Duration::from_millis(10);

/// A page of metrics, which may be large, is given to further readers for so many times as long as it took to make: making them takes
/// no more than this part of the thread of the services, however many ask.
const METRICS_AGE_FACTOR: u32 = 10;

/// How long a connection to the status page may take, from its accept to its end. Over it: closed.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read of a client of the status page after its answer.
const STATUS_DRAIN_BYTES: u64 = 64 * 1024;

/// How long the status page waits after an accept that failed, before it tries again.
const STATUS_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A status page that is served. Dropping it closes its listener; answers in progress go on to their own end.
#[derive(Debug)]
pub struct StatusPage {
    address: SocketAddr,
    accepting: AbortHandle,
}

/// The state that all connections share.
#[derive(Debug)]
struct Served {
    observed: Observed,
    /// Where it listens.
    address: SocketAddr,
    /// By what else it may be asked for.
    hosts: Vec<String>,
    status: Mutex<LastPage>,
    /// By format.
    metrics: [Mutex<LastPage>; 2],
}

/// A page that was made, for the readers that follow soon, and until when it is given to them.
#[derive(Debug, Default)]
struct LastPage(Option<(Instant, Bytes)>);

/// A connection, as seen from where they are accepted.
#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// It has sent a whole request.
    has_asked: Arc<AtomicBool>,
}

impl StatusPage {
    /// Serves the page of `observed` to who connects to `listener`, on the runtime of the services. `hosts` are names by which it may be asked
    /// for, besides its own address and those of the loopback.
    ///
    /// # Errors
    /// The kernel's, when the listener cannot be taken over.
    pub fn start(
        services: &Handle,
        listener: std::net::TcpListener,
        hosts: Vec<String>,
        observed: Observed,
    ) -> io::Result<Self> {
        Self::start_with(services, listener, hosts, observed, STATUS_TIMEOUT)
    }

    /// As [`StatusPage::start`], with another time for each connection.
    fn start_with(
        services: &Handle,
        listener: std::net::TcpListener,
        hosts: Vec<String>,
        observed: Observed,
        patience: Duration,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        // The listener registers with the runtime that is entered.
        let _entered = services.enter();
        let listener = TcpListener::from_std(listener)?;
        let served = Arc::new(Served::new(observed, address, hosts));
        let accepting = services.spawn(accept_all(listener, served, patience)).abort_handle();
        Ok(Self { address, accepting })
    }

    /// Where it is served; with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatusPage {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts for ever. Who comes while all places are taken gets the place of another one.
async fn accept_all(listener: TcpListener, served: Arc<Served>, patience: Duration) {
    let mut connections: VecDeque<Connection> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection| !connection.task.is_finished());
                if connections.len() == STATUS_CONNECTIONS_MAX {
                    let is_silent = |connection: &Connection| !connection.has_asked.load(Ordering::Relaxed);
                    let oldest = connections.iter().position(is_silent).unwrap_or(0);
                    if let Some(connection) = connections.remove(oldest) {
                        connection.task.abort();
                    }
                }
                let has_asked = Arc::new(AtomicBool::new(false));
                let (served, asked) = (Arc::clone(&served), Arc::clone(&has_asked));
                let task = tokio::spawn(async move {
                    // Neither a reader that is gone nor one that is slow is anybody's concern.
                    let _ = timeout(patience, serve(stream, &served, &asked)).await;
                });
                connections.push_back(Connection { task: task.abort_handle(), has_asked });
                sleep(STATUS_ACCEPT_INTERVAL).await;
            }
            Err(error) => {
                limited!(WARN, None, "the status page cannot accept", %error);
                sleep(STATUS_ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: one request, one answer.
async fn serve(mut stream: TcpStream, served: &Served, has_asked: &AtomicBool) -> io::Result<()> {
    let request = read_request(&mut stream).await?;
    has_asked.store(true, Ordering::Relaxed);
    let date = HttpDate::from_unix(UnixTime::now().as_secs());
    let answer = match request {
        Ok(request) => served.answer(&request, stream.local_addr()?.ip(), &date).await,
        Err((fault, method)) => refuse(fault, method, &date),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Unread bytes would make the close a reset, which can overtake the answer (RFC 9112 §9.6).
    tokio::io::copy(&mut stream.take(STATUS_DRAIN_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Reads a request head, and judges it: the request, or its fault and method.
///
/// # Errors
/// The connection's, or `UnexpectedEof`.
async fn read_request(stream: &mut TcpStream) -> io::Result<Result<RequestHead, (HeadFault, Method)>> {
    let mut received = BytesMut::with_capacity(HEAD_READ_BYTES);
    let mut searched = 0;
    loop {
        if let Some(end) = find_head_end(&received, searched) {
            let method = Method::begun_by(&received);
            let request = RequestHead::parse(received.split_to(end).freeze());
            return Ok(request.map_err(|fault| (fault, method)));
        }
        if let Err(fault) = check_incomplete_head(&received) {
            return Ok(Err((fault, Method::begun_by(&received))));
        }
        searched = received.len();
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Served {
    fn new(observed: Observed, address: SocketAddr, hosts: Vec<String>) -> Self {
        Self { observed, address, hosts, status: Mutex::default(), metrics: Default::default() }
    }

    /// Returns the answer to a request that came in at the address `local`.
    async fn answer(&self, request: &RequestHead, local: IpAddr, date: &HttpDate) -> Bytes {
        if !self.is_own(request.host(), local) {
            let message = "The status page is not served under this host: ask for localhost, for its own address, or for one of \
                           status.hosts";
            return encode_refusal(421, &[], message, Method::Other, date).freeze();
        }
        match request.target() {
            Target::Origin { path: "/", query: _ } => {
                let make = || with_head(&page(&self.observed), TEXT, date);
                self.status.lock().await.get(Instant::now, 0, make)
            }
            Target::Origin { path: "/metrics", query: _ } => {
                let accept = request.headers().iter().filter(|header| header.is("accept"));
                let format = Format::accepted(accept.map(|header| header.value));
                let make = || with_head(&metrics(&self.observed, format), format.content_type(), date);
                self.metrics[format as usize].lock().await.get(Instant::now, METRICS_AGE_FACTOR, make)
            }
            Target::Origin { path: "/healthz", query: _ } => {
                let stuck = stuck(&self.observed, uptime_ms());
                if stuck.is_empty() { with_head("healthy\n", TEXT, date) } else { unavailable(&stuck, date) }
            }
            Target::Origin { path: "/readyz", query: _ } => match not_ready(&self.observed) {
                None => with_head("ready\n", TEXT, date),
                Some(why) => unavailable(why, date),
            },
            Target::Origin { .. } | Target::Asterisk | Target::Other => {
                encode_refusal(404, &[], "Resource not found", Method::Other, date).freeze()
            }
        }
    }

    /// Whether an authority is one of the page's own; its port does not matter, which a tunnel may change.
    fn is_own(&self, authority: &str, local: IpAddr) -> bool {
        let host = without_port(authority).to_ascii_lowercase();
        let address: Option<IpAddr> = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse().ok(),
        };
        let is_own_address = |address: IpAddr| {
            let address = address.to_canonical();
            address.is_loopback()
                || [local, self.address.ip()].iter().any(|own| own.to_canonical() == address)
        };
        host == "localhost" || address.is_some_and(is_own_address) || self.hosts.contains(&host)
    }
}

impl LastPage {
    /// The page now, as `now` says: the last one, or a new one if that is older than `age_factor` times the time that it took to make.
    fn get(&mut self, now: impl Fn() -> Instant, age_factor: u32, make: impl FnOnce() -> Bytes) -> Bytes {
        let begun = now();
        match &self.0 {
            Some((until, page)) if begun < *until => page.clone(),
            Some(_) | None => {
                let page = make();
                let took = now().saturating_duration_since(begun);
                let age_max = (took * age_factor).max(STATUS_PAGE_AGE_MAX);
                self.0 = Some((begun + age_max, page.clone()));
                page
            }
        }
    }
}

fn refuse(fault: HeadFault, method: Method, date: &HttpDate) -> Bytes {
    // There is nothing to upgrade to here.
    if fault == HeadFault::AskedForHttp10 {
        return encode_refusal(400, &[], "HTTP/1.0 not supported: use HTTP/1.1", method, date).freeze();
    }
    encode_refusal(fault.status(), fault.response_headers(), fault.message(), method, date).freeze()
}

/// The host of an authority.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand within brackets.
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => authority,
    }
}

/// The threads that are stuck and for how long, in words; empty: none is.
fn stuck(observed: &Observed, now_ms: u64) -> String {
    let workers = observed.counters.workers().iter();
    let stuck =
        workers.flat_map(|worker| worker.heartbeats.stuck(now_ms).map(|found| (worker.index(), found)));
    let told = stuck.map(|(index, (thread, age_ms))| {
        format!("the {} of worker {index} has not been at work for {} s", thread.name(), age_ms / 1000)
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Why no balancer is to send clients here. `None`: it may.
fn not_ready(observed: &Observed) -> Option<&'static str> {
    match observed.state.get() {
        State::Draining => Some("this instance drains"),
        State::Ending => Some("this instance ends"),
        State::Serving if observed.publishes.published() == 0 => Some("this instance has no catalogue yet"),
        State::Serving => None,
    }
}

fn unavailable(why: &str, date: &HttpDate) -> Bytes {
    encode_refusal(503, &[], why, Method::Other, date).freeze()
}

/// The media type of pages for people.
const TEXT: &str = "text/plain; charset=utf-8";

fn with_head(page: &str, content_type: &str, date: &HttpDate) -> Bytes {
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        page.len()
    );
    Bytes::from(head + page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::timestamp::Timestamp;
    use crate::catalog::{CatalogFiles, Revision};
    use crate::observe::Counters;
    use crate::observe::heartbeats::WorkerThread;
    use crate::observe::publishes::LastPublish;
    use crate::shared_counts::budgets::Budgets;
    use tokio::time::Instant;

    fn start(patience: Duration) -> StatusPage {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let observed = Observed::of(Counters::new(1), Budgets::of(3, 5));
        let hosts = vec!["gateway.example".to_owned()];
        StatusPage::start_with(&Handle::current(), listener, hosts, observed, patience).unwrap()
    }

    /// Sends bytes, and reads to the end of the stream.
    async fn ask(page: &StatusPage, bytes: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect(page.address()).await?;
        stream.write_all(bytes).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn gives_the_page_and_ends_the_connection() {
        let page = start(Duration::from_secs(20));
        for line in ["GET / HTTP/1.1", "GET /?x=1 HTTP/1.2", "GET http://localhost/ HTTP/1.1"] {
            let request = format!("{line}\r\nHost: localhost\r\n\r\n");
            let answer = ask(&page, request.as_bytes()).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nConnection: close"),
                "{head}"
            );
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert!(head.contains("\r\nDate: ") && head.contains(" GMT\r\n"), "{head}");
            assert!(body.lines().any(|line| line == "places_limit 3"), "{body}");
        }
    }

    #[tokio::test]
    async fn refuses_what_is_not_get_of_the_page() {
        let page = start(Duration::from_secs(20));
        let big = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(16 * 1024));
        for (request, status) in [
            ("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
            ("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
            ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", "405"),
            ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
            ("HEAD / HTTP/2.0\r\n\r\n", "505"),
            ("GET / HTTP/1.0\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\n\r\n", "505"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("\x16\x03\x01", "400"),
            (&big, "431"),
        ] {
            let answer = ask(&page, request.as_bytes()).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
            assert!(answer.contains("\r\nDate: "), "{answer}");
            assert_eq!(answer.contains("\r\nAllow: GET\r\n"), status == "405", "{answer}");
            let has_body = !answer.ends_with("\r\n\r\n");
            assert_eq!(has_body, !request.starts_with("HEAD "), "{answer}");
        }
    }

    #[tokio::test]
    async fn is_given_only_to_who_asks_by_a_host_of_its_own() {
        let page = start(Duration::from_secs(20));
        let port = page.address().port();
        let asked = async |target: &str, host: &str| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            ask(&page, request.as_bytes()).await.unwrap()[..13].to_owned()
        };
        for own in [
            "localhost",
            "LocalHost",
            "127.0.0.1",
            "127.0.0.2",
            "[::1]",
            "[0:0::1]",
            "[::ffff:127.0.0.1]",
            "Gateway.Example",
        ] {
            for host in [own.to_owned(), format!("{own}:{port}"), format!("{own}:80"), format!("{own}:")] {
                assert_eq!(asked("/", &host).await, "HTTP/1.1 200 ", "{host}");
            }
        }
        let strange = [
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "gateway.example.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "0.0.0.0",
            "[::]",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]",
            "2130706433",
        ];
        for host in strange {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                assert_eq!(asked("/", &host).await, "HTTP/1.1 421 ", "{host}");
                // What counts is the absolute target, where there is one (RFC 9112 §3.2.2).
                assert_eq!(asked(&format!("http://{host}/"), "localhost").await, "HTTP/1.1 421 ", "{host}");
                assert_eq!(asked("http://localhost/", &host).await, "HTTP/1.1 200 ", "{host}");
            }
        }
    }

    #[test]
    fn own_addresses_are_those_that_it_listens_on_and_is_reached_at() {
        let observed = || Observed::of(Counters::new(1), Budgets::of(3, 5));
        for (listens_at, local, own, strange) in [
            ("0.0.0.0:9900", "192.0.2.7", ["0.0.0.0", "192.0.2.7"], ["192.0.2.8", "[::]"]),
            ("[::]:9900", "::ffff:192.0.2.7", ["[::]", "192.0.2.7"], ["192.0.2.8", "0.0.0.0"]),
            (
                "[2001:db8::7]:9900",
                "2001:db8::7",
                ["[2001:db8::7]", "[2001:DB8:0::7]"],
                ["[2001:db8::8]", "192.0.2.7"],
            ),
        ] {
            let address = listens_at.parse().unwrap();
            let served = Served::new(observed(), address, Vec::new());
            let is_own = |host: &str| served.is_own(&format!("{host}:9900"), local.parse().unwrap());
            assert_eq!(own.map(is_own), [true; 2], "{listens_at}");
            assert_eq!(strange.map(is_own), [false; 2], "{listens_at}");
        }
    }

    #[tokio::test]
    async fn silent_connections_delay_nobody_and_the_oldest_gives_its_place_to_a_new_one() {
        // Far longer than the test: nobody's time runs out.
        let page = start(Duration::from_secs(600));
        let mut silent = Vec::new();
        for number in 0..STATUS_CONNECTIONS_MAX + 8 {
            let mut stream = TcpStream::connect(page.address()).await.unwrap();
            let begun: &[u8] = if number % 2 == 0 { b"" } else { b"GET / HTTP/1.1\r\n" };
            stream.write_all(begun).await.unwrap();
            silent.push(stream);
        }
        // Those who ask go before them, each time, and take places that are given back.
        for _ in 0..5 {
            let answer = ask(&page, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        for (number, stream) in silent.iter_mut().enumerate() {
            if number < 8 {
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "{number}: the oldest have ended");
            } else if number > 8 + 5 {
                let waited = timeout(Duration::from_millis(1), stream.read(&mut [0; 8])).await;
                assert!(waited.is_err(), "{number}: there is room for it");
            }
        }
    }

    #[tokio::test]
    async fn who_asks_is_not_ended_for_who_says_nothing() {
        let page = start(Duration::from_secs(600));
        // It has its answer and stays.
        let mut asking = TcpStream::connect(page.address()).await.unwrap();
        asking.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        asking.readable().await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..3 * STATUS_CONNECTIONS_MAX {
            silent.push(TcpStream::connect(page.address()).await.unwrap());
        }
        // The last place is taken when the first silent ones have ended.
        for stream in &mut silent[..2 * STATUS_CONNECTIONS_MAX] {
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
        }
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('\n'), "{answer}");
    }

    #[tokio::test]
    async fn ends_who_does_not_finish_a_request_in_time() {
        let page = start(Duration::from_secs(1));
        let mut stream = TcpStream::connect(page.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "nothing but the end");
    }

    #[test]
    fn a_page_is_made_no_more_often_than_it_may_and_one_that_takes_long_more_seldom() {
        let start = Instant::now();
        for (takes_ms, asked_ms, expected) in [
            (0, [0, 5, 9, 10, 15, 19, 20, 100], [1, 1, 1, 2, 2, 2, 3, 4]),
            (50, [0, 60, 499, 500, 600, 999, 1000, 2000], [1, 1, 1, 2, 2, 2, 3, 4]),
        ] {
            let (mut last, clock, mut made) = (LastPage::default(), std::cell::Cell::new(start), 0_u8);
            let pages = asked_ms.map(|ms| {
                clock.set(start + Duration::from_millis(ms));
                let page = last.get(
                    || clock.get(),
                    METRICS_AGE_FACTOR,
                    || {
                        made += 1;
                        clock.set(clock.get() + Duration::from_millis(takes_ms));
                        Bytes::from(vec![made])
                    },
                );
                page[0]
            });
            assert_eq!(pages, expected, "{takes_ms} ms");
        }
    }

    #[tokio::test]
    async fn metrics_come_in_the_format_that_is_accepted() {
        let page = start(Duration::from_secs(20));
        for (accept, content_type, end) in [
            ("", "text/plain; version=0.0.4; charset=utf-8", "\n"),
            ("Accept: text/plain\r\n", "text/plain; version=0.0.4; charset=utf-8", "\n"),
            (
                "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "\n# EOF\n",
            ),
        ] {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n");
            let answer = ask(&page, request.as_bytes()).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{head}");
            assert!(body.contains("\nringgate_places_limit 3\n") && body.ends_with(end), "{body}");
            assert_eq!(body.contains("# EOF"), end.contains("# EOF"));
        }
        let strange = ask(&page, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.unwrap();
        assert!(strange.starts_with("HTTP/1.1 421 "), "{strange}");
    }

    #[tokio::test]
    async fn a_scraper_that_does_not_read_holds_nobody_up() {
        let page = start(Duration::from_secs(600));
        let mut stalled = Vec::new();
        for _ in 0..STATUS_CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(page.address()).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            stalled.push(stream);
        }
        for _ in 0..5 {
            let answer = ask(&page, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }

    #[test]
    fn a_worker_that_is_stuck_is_named_with_its_age() {
        let observed = Observed::of(Counters::new(2), Budgets::of(3, 5));
        assert_eq!(stuck(&observed, 10_000), "");
        let workers = observed.counters.workers();
        workers[0].heartbeats.beat(WorkerThread::Front, 30_000);
        workers[0].heartbeats.beat(WorkerThread::Relay, 30_000);
        workers[1].heartbeats.beat(WorkerThread::Relay, 17_900);
        workers[1].heartbeats.end(WorkerThread::Front);
        assert_eq!(stuck(&observed, 30_000), "the relay of worker 1 has not been at work for 12 s");
    }

    #[tokio::test]
    async fn health_and_readiness_say_200_or_503_and_why() {
        let observed = Observed::of(Counters::new(1), Budgets::of(3, 5));
        let served = Served::new(observed.clone(), "127.0.0.1:1".parse().unwrap(), Vec::new());
        let asked = async |path: &str| {
            let head = Bytes::from(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            let request = RequestHead::parse(head).unwrap();
            let answer = served.answer(&request, [127, 0, 0, 1].into(), &HttpDate::from_unix(0)).await;
            let answer = String::from_utf8(answer.to_vec()).unwrap();
            (answer[9..12].to_owned(), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
        };
        let says = |(status, body): (String, String), expected, part: &str| {
            assert!(status == expected && body.contains(part), "{status} {body}");
        };
        for worker in observed.counters.workers() {
            WorkerThread::ALL.iter().for_each(|thread| worker.heartbeats.beat(*thread, uptime_ms()));
        }
        says(asked("/healthz").await, "200", "healthy");
        says(asked("/readyz").await, "503", "no catalogue yet");
        let revision = Revision::of(&CatalogFiles::default());
        let at = Timestamp::from_unix(0);
        observed.publishes.note(LastPublish {
            at,
            revision,
            served: revision,
            fault_count: 0,
            faults: vec![],
        });
        says(asked("/readyz").await, "200", "ready");
        // A later one that is refused leaves the one before in use.
        observed.publishes.note(LastPublish {
            at,
            revision,
            served: revision,
            fault_count: 1,
            faults: vec![],
        });
        says(asked("/readyz").await, "200", "ready");
        for state in [State::Draining, State::Ending] {
            observed.state.set(state);
            says(asked("/readyz").await, "503", "this instance ");
            says(asked("/healthz").await, "200", "healthy");
        }
    }

    #[tokio::test]
    async fn is_served_no_more_when_dropped() {
        let page = start(Duration::from_secs(20));
        let address = page.address();
        drop(page);
        while TcpStream::connect(address).await.is_ok() {}
    }
}
