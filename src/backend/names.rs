//! Resolves names of backends without ever blocking the thread that asks.
//!
//! Workers hold a [`Resolver`]. It reads answers that may be used at once from a table that all share (`table`). For the rest it
//! sends a question to one task on the control runtime and awaits its answer. The task asks the host (getaddrinfo, so
//! `/etc/hosts` and `nsswitch.conf` count) on blocking threads.
//!
//! A name that is in use is looked up again in the background every `refresh_s`. Meanwhile, and for `stale_max_s` while the name
//! service fails or hangs, its old answer is used (as in RFC 8767). A service that says for half a minute that there is no such
//! name is believed. A name that nobody has asked for in a minute is not looked up any more; the next question waits for a
//! look-up, and gets the old answer if that fails or takes more than half a second.
//!
//! The property to trust: the task never waits for the name service, so a name that hangs delays only those that ask for it and
//! have no answer. Every bound is answered with a fault, never with a wait. A question about a known name waits for nobody. A
//! future that waits for an answer may be dropped; its look-up then finishes for those that ask next.
//!
//! Not here: deadlines (the dial has one), addresses written as such (they need no look-up), and the TTL of DNS, which
//! getaddrinfo does not tell.

mod answers;
mod lookups;
mod table;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

pub use lookups::Lookups;

use crate::config::NamesConfig;
use crate::limits::{RESOLVER_LOOKUPS_MAX, RESOLVER_WAITERS_MAX};
use answers::{Answers, Failed, Known, interleave};
use table::Table;

/// Questions that may wait for the resolver's task to take them, which it does at once. Over it: the fault `IsBusy`.
const RESOLVER_QUEUE_MAX: usize = 4096;

/// Of these, look-ups that refresh what is known, so that new names find room while a name service hangs. Over it, a refresh is
/// tried again a second later.
const RESOLVER_REFRESHES_MAX: usize = RESOLVER_LOOKUPS_MAX / 2;

/// How long such an opening waits before it uses the old answer: longer than a look-up takes that is not in trouble.
const RESOLVER_OLD_ANSWER_AFTER: Duration = Duration::from_millis(500);

/// After how long a refresh is tried again for which there was no room.
const REFRESH_POSTPONED: Duration = Duration::from_secs(1);

/// Why a name has no addresses to dial.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveFault {
    /// The host's resolver said no: no such name, no answer, or it is broken.
    #[error("cannot resolve {name}: {cause}")]
    LookupFailed {
        /// The name that was asked for.
        name: Arc<str>,
        /// The error of the host's resolver; one answer for all that waited for it.
        cause: Arc<io::Error>,
    },
    /// The name exists, but without an IPv4 or IPv6 address.
    #[error("cannot resolve {name}: it has no address")]
    HasNoAddress {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// As many look-ups are in progress, or as many questions are waiting, as there may be.
    #[error("cannot resolve a name: too many look-ups are in progress")]
    IsBusy,
    /// The control runtime has ended.
    #[error("cannot resolve a name: the resolver has stopped")]
    HasStopped,
}

impl ResolveFault {
    /// Whether the name service says that there is nothing of that name, and not that it cannot tell.
    fn is_no_name(&self) -> bool {
        match self {
            Self::LookupFailed { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
            Self::HasNoAddress { .. } => true,
            Self::IsBusy | Self::HasStopped => false,
        }
    }
}

/// The answer to a query: the addresses of a name, at least one.
type Answer = Result<Arc<[IpAddr]>, ResolveFault>;

/// A name and who asked.
struct Question {
    name: Arc<str>,
    asker: oneshot::Sender<Answer>,
}

/// The way to ask, from any thread and any async runtime. The task ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Resolver {
    questions: mpsc::Sender<Question>,
    lookups: Arc<Lookups>,
    table: Arc<Table>,
}

impl Resolver {
    /// Starts the task on `control`, a tokio runtime with its time and its blocking threads.
    pub fn start(control: &Handle, config: &NamesConfig) -> Resolver {
        Resolver::start_with(control, config, ask_the_host)
    }

    /// Starts the task with another way to look a name up. An error of the kind `NotFound` says that there is no such name.
    pub(crate) fn start_with<Lookup, Found>(
        control: &Handle,
        config: &NamesConfig,
        lookup: Lookup,
    ) -> Resolver
    where
        Lookup: Fn(Arc<str>) -> Found + Send + 'static,
        Found: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let (questions, asked) = mpsc::channel(RESOLVER_QUEUE_MAX);
        let shown = Arc::new(Lookups::default());
        let lookups = Arc::clone(&shown);
        let answers = Answers::new(config);
        let table = Arc::clone(answers.table());
        let task = Task {
            lookup,
            shown,
            answers,
            waiting: HashMap::new(),
            waiters: 0,
            looking: HashMap::new(),
            refreshes: 0,
            patience: VecDeque::new(),
        };
        control.spawn(task.run(asked));
        Resolver { questions, lookups, table }
    }

    /// Returns the counts of look-ups.
    pub fn lookups(&self) -> &Arc<Lookups> {
        &self.lookups
    }

    /// The addresses of `host`, each with `port`, in the order in which to dial them: as the host sorts them
    /// (RFC 6724), the two families alternating (RFC 8305 §4). At least one, at most
    /// [`RESOLVER_ADDRESSES_MAX`](crate::limits::RESOLVER_ADDRESSES_MAX).
    ///
    /// `host` is a name in any case. A name that is asked for while a look-up of it is in progress waits for that one,
    /// unless an older answer may be used.
    ///
    /// # Errors
    /// The fault; none is remembered, so the next question asks the host again.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveFault> {
        let addresses = match self.table.ask(host, Instant::now()) {
            Some((addresses, is_stale)) => {
                if is_stale {
                    self.lookups.served_stale.fetch_add(1, Ordering::Relaxed);
                }
                addresses
            }
            None => self.ask_task(host).await?,
        };
        Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    /// Asks the task, which answers from its table, or after looking the name up.
    async fn ask_task(&self, host: &str) -> Answer {
        let (asker, answer) = oneshot::channel();
        let question = Question { name: host.to_ascii_lowercase().into(), asker };
        self.questions.try_send(question).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ResolveFault::IsBusy,
            mpsc::error::TrySendError::Closed(_) => ResolveFault::HasStopped,
        })?;
        answer.await.map_err(|_| ResolveFault::HasStopped)?
    }
}

/// The host's own answer, on a blocking thread.
async fn ask_the_host(name: Arc<str>) -> io::Result<Vec<IpAddr>> {
    let look_up = move || {
        // One of each address, and not one for each kind of socket.
        let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
        let found = getaddrinfo(Some(&name), None, Some(hints)).map_err(|error| {
            let is_no_name = matches!(error.kind(), LookupErrorKind::NoName | LookupErrorKind::NoData);
            let error = io::Error::from(error);
            if is_no_name { io::Error::new(io::ErrorKind::NotFound, error) } else { error }
        })?;
        found.map(|found| Ok(found?.sockaddr.ip())).collect()
    };
    tokio::task::spawn_blocking(look_up).await?
}

/// The one owner of the answers and of who waits for which.
///
/// Invariant: a name is in `waiting` exactly as long as its look-up is in `looking`, and `waiters` is the number of
/// askers in `waiting`.
struct Task<Lookup> {
    lookup: Lookup,
    answers: Answers,
    waiting: HashMap<Arc<str>, Vec<oneshot::Sender<Answer>>>,
    waiters: usize,
    /// The name of each look-up, kept outside it so that a look-up that panics is still answered.
    looking: HashMap<Id, Looking>,
    /// How many of them nobody has asked for.
    refreshes: usize,
    /// Look-ups that somebody has asked for, and when who waits for them gets the old answer, if there is one.
    patience: VecDeque<(Instant, Id)>,
    /// Where others read how much of this there is.
    shown: Arc<Lookups>,
}

/// A look-up in progress.
struct Looking {
    name: Arc<str>,
    is_refresh: bool,
}

/// The look-ups in progress.
type InProgress = JoinSet<io::Result<Vec<IpAddr>>>;

impl<Lookup, Found> Task<Lookup>
where
    Lookup: Fn(Arc<str>) -> Found + Send + 'static,
    Found: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
{
    /// Takes questions and finished look-ups as they come, until no handle is left.
    async fn run(mut self, mut asked: mpsc::Receiver<Question>) {
        let mut lookups = JoinSet::new();
        loop {
            let due = [self.answers.next_due(), self.patience.front().map(|(at, _)| *at)];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                question = asked.recv() => match question {
                    Some(question) => self.handle_question(question, &mut lookups, Instant::now()),
                    None => return,
                },
                Some(finished) = lookups.join_next_with_id() => self.handle_lookup(finished, Instant::now()),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.handle_time(&mut lookups, Instant::now());
                }
            }
            self.shown.in_progress.store(self.looking.len() as u64, Ordering::Relaxed);
            self.shown.waiters.store(self.waiters as u64, Ordering::Relaxed);
        }
    }

    /// Answers from what is known, joins the look-up in progress, or begins one.
    fn handle_question(
        &mut self,
        Question { name, asker }: Question,
        lookups: &mut InProgress,
        now: Instant,
    ) {
        let old = match self.answers.ask(&name, now) {
            Known::Addresses { addresses, is_stale } => {
                return self.give(asker, addresses, is_stale);
            }
            Known::Old(addresses) => Some(addresses),
            Known::Nothing => None,
        };
        let has_begun = self.waiting.contains_key(&name);
        if self.waiters == RESOLVER_WAITERS_MAX || (!has_begun && lookups.len() == RESOLVER_LOOKUPS_MAX) {
            return match old {
                Some(addresses) => self.give(asker, addresses, true),
                None => send(asker, Err(ResolveFault::IsBusy)),
            };
        }
        if !has_begun {
            let id = self.begin(&name, false, lookups);
            self.answers.await_refresh(&name);
            self.patience.push_back((now + RESOLVER_OLD_ANSWER_AFTER, id));
        }
        self.waiting.get_mut(&name).expect("a look-up of it has begun").push(asker);
        self.waiters += 1;
    }

    fn begin(&mut self, name: &Arc<str>, is_refresh: bool, lookups: &mut InProgress) -> Id {
        let id = lookups.spawn((self.lookup)(Arc::clone(name))).id();
        self.looking.insert(id, Looking { name: Arc::clone(name), is_refresh });
        self.waiting.insert(Arc::clone(name), Vec::new());
        self.refreshes += usize::from(is_refresh);
        id
    }

    /// Gives addresses to an asker, and counts those that are older than they should be.
    fn give(&self, asker: oneshot::Sender<Answer>, addresses: Arc<[IpAddr]>, is_stale: bool) {
        self.shown.served_stale.fetch_add(u64::from(is_stale), Ordering::Relaxed);
        send(asker, Ok(addresses));
    }

    /// Begins the refreshes that are due, and gives old answers to those who have waited long enough for new ones.
    fn handle_time(&mut self, lookups: &mut InProgress, now: Instant) {
        while let Some(name) = self.answers.take_due(now) {
            // A look-up that was begun while the name was unknown may be in progress still.
            if self.waiting.contains_key(&name) {
                continue;
            }
            if self.refreshes == RESOLVER_REFRESHES_MAX || lookups.len() == RESOLVER_LOOKUPS_MAX {
                self.answers.postpone(&name, now + REFRESH_POSTPONED);
            } else {
                self.begin(&name, true, lookups);
            }
        }
        while let Some((_, id)) = self.patience.pop_front_if(|(at, _)| *at <= now) {
            let Some(looking) = self.looking.get(&id) else { continue };
            let Some(addresses) = self.answers.give_up_waiting(&looking.name, now) else { continue };
            let name = Arc::clone(&looking.name);
            for asker in self.take_askers(&name) {
                self.give(asker, Arc::clone(&addresses), true);
            }
        }
    }

    /// Those who wait for the look-up of a name, which goes on.
    fn take_askers(&mut self, name: &str) -> Vec<oneshot::Sender<Answer>> {
        let askers = self.waiting.get_mut(name).expect("a name is waited for while its look-up is noted");
        self.waiters -= askers.len();
        std::mem::take(askers)
    }

    /// Gives the outcome of a look-up to all who wait for it, and remembers addresses.
    fn handle_lookup(&mut self, finished: Result<(Id, io::Result<Vec<IpAddr>>), JoinError>, now: Instant) {
        let (id, found) = match finished {
            Ok((id, found)) => (id, found),
            Err(failed) => (failed.id(), Err(io::Error::other(failed))),
        };
        let Looking { name, is_refresh } =
            self.looking.remove(&id).expect("a look-up is noted when it begins");
        self.refreshes -= usize::from(is_refresh);
        let askers = self.take_askers(&name);
        self.waiting.remove(&name);
        let fault = match found.map(interleave) {
            Ok(addresses) if addresses.is_empty() => ResolveFault::HasNoAddress { name: Arc::clone(&name) },
            Ok(addresses) => {
                let addresses: Arc<[IpAddr]> = addresses.into();
                if self.answers.found(&name, Arc::clone(&addresses), now) {
                    tracing::info!("{name} can be resolved again");
                }
                for asker in askers {
                    self.give(asker, Arc::clone(&addresses), false);
                }
                return;
            }
            Err(cause) => ResolveFault::LookupFailed { name: Arc::clone(&name), cause: Arc::new(cause) },
        };
        match self.answers.failed(&name, fault.is_no_name(), now) {
            Failed::Unknown => {
                for asker in askers {
                    send(asker, Err(fault.clone()));
                }
            }
            Failed::StaysOld { addresses, is_first } => {
                self.shown.refreshes_failed.fetch_add(1, Ordering::Relaxed);
                if is_first {
                    tracing::warn!("{fault}; its old addresses stay in use");
                }
                for asker in askers {
                    self.give(asker, Arc::clone(&addresses), true);
                }
            }
        }
    }
}

/// Sends an answer; an asker that went away has dropped its future, which it may.
fn send(asker: oneshot::Sender<Answer>, answer: Answer) {
    let _ = asker.send(answer);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::*;

    /// A look-up that waits for a permit of `gate`, counts itself, and finds one IPv4 and one IPv6 address.
    fn gated(gate: &Arc<Semaphore>, count: &Arc<AtomicUsize>) -> Resolver {
        let (gate, count) = (Arc::clone(gate), Arc::clone(count));
        Resolver::start_with(&Handle::current(), &NamesConfig::default(), move |name| {
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                match &*name {
                    "missing.test" => Err(io::ErrorKind::NotFound.into()),
                    "empty.test" => Ok(Vec::new()),
                    "broken.test" => panic!("as a broken resolver might"),
                    _ => Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
                }
            }
        })
    }

    #[test]
    fn resolves_localhost_from_a_thread_of_the_front() {
        if let Err(error) = io_uring_06::IoUring::new(2) {
            eprintln!("SKIPPED: this host refuses io_uring: {error}");
            return;
        }
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let resolver = Resolver::start(control.handle(), &NamesConfig::default());
        let (done, is_done) = oneshot::channel::<()>();
        let control = std::thread::spawn(move || control.block_on(is_done));

        let addresses = tokio_uring::start(async { resolver.resolve("LocalHost", 8080).await.unwrap() });
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 8080));

        done.send(()).unwrap();
        control.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn asks_the_host_once_for_all_who_ask_and_then_from_memory() {
        let (gate, count) = (Arc::new(Semaphore::new(0)), Arc::default());
        let resolver = gated(&gate, &count);
        let mut askers = JoinSet::new();
        for port in 1..=50 {
            let resolver = resolver.clone();
            askers.spawn(async move { resolver.resolve("api.test", port).await.unwrap()[0].port() });
        }
        gate.add_permits(1);
        let mut ports = askers.join_all().await;
        ports.sort_unstable();
        assert_eq!(ports, (1..=50).collect::<Vec<_>>(), "each with the port it asked for");

        let addresses = resolver.resolve("API.test", 9).await.unwrap();
        assert_eq!(addresses, ["192.0.2.1:9".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()]);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    /// Whoever asks for a known name is answered though the task does not run.
    #[tokio::test]
    async fn what_is_known_is_read_without_the_task() {
        let resolver = gated(&Arc::new(Semaphore::new(1)), &Arc::default());
        resolver.resolve("api.test", 9).await.unwrap();
        // Nothing but this is polled: it has to be ready by itself.
        let asked = resolver.resolve("api.test", 9);
        let answer = std::pin::pin!(asked)
            .as_mut()
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(answer.is_ready());
    }

    #[tokio::test]
    async fn names_each_fault_and_asks_again_after_it() {
        let (gate, count) = (Arc::new(Semaphore::new(100)), Arc::default());
        let resolver = gated(&gate, &count);
        for _ in 0..2 {
            let fault = resolver.resolve("missing.test", 1).await.unwrap_err();
            assert!(matches!(fault, ResolveFault::LookupFailed { name, .. } if &*name == "missing.test"));
            let fault = resolver.resolve("empty.test", 1).await.unwrap_err();
            assert!(matches!(fault, ResolveFault::HasNoAddress { .. }));
            let fault = resolver.resolve("broken.test", 1).await.unwrap_err();
            assert!(matches!(fault, ResolveFault::LookupFailed { .. }), "a panic is a failed look-up");
        }
        assert_eq!(count.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn refuses_a_new_name_when_too_many_hang_and_still_answers_known_ones() {
        let (gate, count) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicUsize::new(0)));
        let resolver = gated(&gate, &count);
        resolver.resolve("known.test", 1).await.unwrap();

        let mut hanging = JoinSet::new();
        for n in 0..RESOLVER_LOOKUPS_MAX {
            let resolver = resolver.clone();
            hanging.spawn(async move { resolver.resolve(&format!("hangs-{n}.test"), 1).await });
        }
        while count.load(Ordering::SeqCst) <= RESOLVER_LOOKUPS_MAX {
            tokio::task::yield_now().await;
        }
        assert!(matches!(resolver.resolve("one-more.test", 1).await, Err(ResolveFault::IsBusy)));
        assert!(resolver.resolve("known.test", 1).await.is_ok());
        let shown = |resolver: &Resolver| {
            let Lookups { in_progress, waiters, .. } = &**resolver.lookups();
            [in_progress, waiters].map(|number| number.load(Ordering::Relaxed))
        };
        assert_eq!(shown(&resolver), [RESOLVER_LOOKUPS_MAX as u64; 2]);

        gate.add_permits(RESOLVER_LOOKUPS_MAX + 1);
        assert!(hanging.join_all().await.iter().all(Result::is_ok));
        assert!(resolver.resolve("one-more.test", 1).await.is_ok());
        assert_eq!(shown(&resolver), [0; 2]);
    }

    #[test]
    fn says_that_it_has_stopped_when_the_control_runtime_is_gone() {
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let resolver = Resolver::start(control.handle(), &NamesConfig::default());
        drop(control);
        let asker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fault = asker.block_on(resolver.resolve("localhost", 1)).unwrap_err();
        assert!(matches!(fault, ResolveFault::HasStopped));
    }

    /// A name service whose state a test changes. Every look-up finds the number of look-ups that there were as an address.
    #[derive(Clone, Default)]
    struct Service(Arc<(AtomicUsize, AtomicUsize)>);

    const ANSWERS: usize = 0;
    const FAILS: usize = 1;
    const HANGS: usize = 2;
    const HAS_NO_NAME: usize = 3;

    impl Service {
        fn start(&self) -> Resolver {
            let service = self.clone();
            Resolver::start_with(&Handle::current(), &NamesConfig::default(), move |name| {
                let service = service.clone();
                async move {
                    let count = service.0.1.fetch_add(1, Ordering::SeqCst) + 1;
                    // One that nobody has asked for before is always answered.
                    match service.0.0.load(Ordering::SeqCst) {
                        FAILS => Err(io::Error::other("temporary failure in name resolution")),
                        HANGS if !name.starts_with("new") => std::future::pending().await,
                        HAS_NO_NAME => Err(io::ErrorKind::NotFound.into()),
                        _ => Ok(vec![IpAddr::from((count as u32).to_be_bytes())]),
                    }
                }
            })
        }

        fn become_one_that(&self, state: usize) {
            self.0.0.store(state, Ordering::SeqCst);
        }

        fn lookups(&self) -> usize {
            self.0.1.load(Ordering::SeqCst)
        }
    }

    /// The number of the look-up that an answer came from, and how long it took.
    async fn asked(resolver: &Resolver, name: &str) -> (Option<u32>, Duration) {
        let begun = Instant::now();
        let addresses = resolver.resolve(name, 1).await.ok();
        let number = addresses.map(|addresses| match addresses[0].ip() {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => panic!("{address}"),
        });
        (number, begun.elapsed())
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn counted(resolver: &Resolver) -> [u64; 2] {
        let Lookups { refreshes_failed, served_stale, .. } = &**resolver.lookups();
        [refreshes_failed, served_stale].map(|number| number.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_name_service_fails_or_hangs_old_answers_are_given_at_once_and_counted() {
        for state in [FAILS, HANGS] {
            let service = Service::default();
            let resolver = service.start();
            assert_eq!(asked(&resolver, "a").await, (Some(1), Duration::ZERO));
            service.become_one_that(state);
            for second in 1..3600 {
                pass(1).await;
                assert_eq!(asked(&resolver, "a").await, (Some(1), Duration::ZERO), "{state} {second}");
            }
            let [failed, stale] = counted(&resolver);
            // A look-up that hangs is one look-up.
            assert_eq!((failed, service.lookups()), if state == FAILS { (719, 720) } else { (0, 2) });
            assert!((3580..=3600).contains(&stale), "{stale}");
            service.become_one_that(ANSWERS);
            if state == FAILS {
                pass(5).await;
                assert_eq!(asked(&resolver, "a").await.0, Some(721), "it is found again");
                assert_eq!(counted(&resolver), [failed, stale]);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_ends_with_its_time() {
        let service = Service::default();
        let resolver = service.start();
        asked(&resolver, "a").await;
        service.become_one_that(FAILS);
        pass(3604).await;
        assert_eq!(asked(&resolver, "a").await.0, Some(1));
        pass(1).await;
        assert_eq!(asked(&resolver, "a").await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_the_service_denies_is_used_for_half_a_minute_more() {
        let service = Service::default();
        let resolver = service.start();
        asked(&resolver, "a").await;
        service.become_one_that(HAS_NO_NAME);
        // The first refresh is after five seconds.
        pass(34).await;
        assert_eq!(asked(&resolver, "a").await.0, Some(1));
        pass(2).await;
        assert_eq!(asked(&resolver, "a").await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_asked_for_waits_for_a_new_answer_but_not_for_long() {
        let service = Service::default();
        let resolver = service.start();
        asked(&resolver, "a").await;
        pass(600).await;
        let before = service.lookups();
        assert!(before < 20, "{before} look-ups for nobody");
        assert_eq!(asked(&resolver, "a").await, (Some(before as u32 + 1), Duration::ZERO), "the new one");
        assert_eq!(counted(&resolver), [0, 0]);

        pass(600).await;
        service.become_one_that(HANGS);
        let last = asked(&resolver, "a").await;
        assert!(last.0.is_some() && (500..=501).contains(&last.1.as_millis()), "{last:?}");
        assert_eq!(asked(&resolver, "a").await, (last.0, Duration::ZERO), "the next one does not wait");
        assert_eq!(counted(&resolver), [0, 2]);

        let service = Service::default();
        let resolver = service.start();
        asked(&resolver, "a").await;
        pass(600).await;
        service.become_one_that(FAILS);
        let (number, took) = asked(&resolver, "a").await;
        assert!(number.is_some() && took.is_zero(), "{took:?}");
        assert_eq!(counted(&resolver), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn refreshes_that_hang_leave_room_for_new_names() {
        let service = Service::default();
        let resolver = service.start();
        for n in 0..RESOLVER_LOOKUPS_MAX {
            asked(&resolver, &n.to_string()).await;
        }
        service.become_one_that(HANGS);
        pass(30).await;
        assert_eq!(resolver.lookups().in_progress.load(Ordering::Relaxed), RESOLVER_REFRESHES_MAX as u64);
        assert!(asked(&resolver, "new").await.0.is_some());
        for n in 0..RESOLVER_LOOKUPS_MAX {
            assert_eq!(asked(&resolver, &n.to_string()).await, (Some(n as u32 + 1), Duration::ZERO), "{n}");
        }
    }

    /// The host's own words for it, so that the two are told apart.
    #[tokio::test]
    async fn a_name_that_cannot_be_is_no_name() {
        let fault = ask_the_host("no such name".into()).await.unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::NotFound, "{fault}");
    }
}
