//! Resolves names of backends without ever blocking the thread that asks.
//!
//! Workers hold a [`Resolver`], a handle that sends a question to one task on the control runtime and awaits its
//! answer. The task asks the host (getaddrinfo, so `/etc/hosts` and `nsswitch.conf` count) on blocking threads.
//!
//! The property to trust: whatever the name service does, the task never waits for it, so a name that hangs delays only
//! those who ask for it. Every bound is answered with a fault, none with a wait. A future that waits for an answer may
//! be dropped; its look-up then finishes for the cache.
//!
//! Not here: deadlines (the dial has one), addresses written as such (they need no look-up), and the TTL of DNS, which
//! getaddrinfo does not tell.

mod answers;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use self::answers::{Answers, interleave};
use crate::limits::{RESOLVER_LOOKUPS_MAX, RESOLVER_QUEUE_MAX, RESOLVER_WAITERS_MAX};
use crate::observe::figures::Lookups;

/// Why a name has no addresses to dial.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveFault {
    /// The host's resolver said no: no such name, no answer, or it is broken.
    #[error("cannot resolve {name}: {cause}")]
    LookupFailed {
        /// The name that was asked for.
        name: Arc<str>,
        /// What the host's resolver said; one answer for all who waited for it.
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

/// What an asker is sent: the addresses of a name, at least one.
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
}

impl Resolver {
    /// Starts the task on `control`, a tokio runtime with its blocking threads.
    pub fn start(control: &Handle) -> Resolver {
        Resolver::start_with(control, ask_the_host)
    }

    /// Starts the task with another way to look a name up.
    pub(crate) fn start_with<Lookup, Found>(control: &Handle, lookup: Lookup) -> Resolver
    where
        Lookup: Fn(Arc<str>) -> Found + Send + 'static,
        Found: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let (questions, asked) = mpsc::channel(RESOLVER_QUEUE_MAX);
        let shown = Arc::new(Lookups::default());
        let lookups = Arc::clone(&shown);
        let task = Task {
            lookup,
            shown,
            answers: Answers::default(),
            waiting: HashMap::new(),
            waiters: 0,
            looking: HashMap::new(),
        };
        control.spawn(task.run(asked));
        Resolver { questions, lookups }
    }

    /// What is in progress, for whoever wants to know.
    pub fn lookups(&self) -> &Arc<Lookups> {
        &self.lookups
    }

    /// The addresses of `host`, each with `port`, in the order in which to dial them: as the host sorts them
    /// (RFC 6724), the two families alternating (RFC 8305 §4). At least one, at most
    /// [`RESOLVER_ADDRESSES_MAX`](crate::limits::RESOLVER_ADDRESSES_MAX).
    ///
    /// `host` is a name in any case. Its answer may be
    /// [`RESOLVER_ANSWER_LIFETIME`](crate::limits::RESOLVER_ANSWER_LIFETIME) old. A name that is asked for while a
    /// look-up of it is in progress waits for that one.
    ///
    /// # Errors
    /// The fault; none is remembered, so the next question asks the host again.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveFault> {
        let (asker, answer) = oneshot::channel();
        let question = Question { name: host.to_ascii_lowercase().into(), asker };
        self.questions.try_send(question).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ResolveFault::IsBusy,
            mpsc::error::TrySendError::Closed(_) => ResolveFault::HasStopped,
        })?;
        let addresses = answer.await.map_err(|_| ResolveFault::HasStopped)??;
        Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }
}

/// The host's own answer, on a blocking thread.
async fn ask_the_host(name: Arc<str>) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((&*name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
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
    looking: HashMap<Id, Arc<str>>,
    /// Where others read how much of this there is.
    shown: Arc<Lookups>,
}

impl<Lookup, Found> Task<Lookup>
where
    Lookup: Fn(Arc<str>) -> Found + Send + 'static,
    Found: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
{
    /// Takes questions and finished look-ups as they come, until no handle is left.
    async fn run(mut self, mut asked: mpsc::Receiver<Question>) {
        let mut lookups = JoinSet::new();
        loop {
            tokio::select! {
                question = asked.recv() => match question {
                    Some(question) => self.handle_question(question, &mut lookups, Instant::now()),
                    None => return,
                },
                Some(finished) = lookups.join_next_with_id() => self.handle_lookup(finished, Instant::now()),
            }
            self.shown.in_progress.store(self.looking.len() as u64, Ordering::Relaxed);
            self.shown.waiters.store(self.waiters as u64, Ordering::Relaxed);
        }
    }

    /// Answers from what is known, joins the look-up in progress, or begins one.
    fn handle_question(
        &mut self,
        Question { name, asker }: Question,
        lookups: &mut JoinSet<io::Result<Vec<IpAddr>>>,
        now: Instant,
    ) {
        if let Some(addresses) = self.answers.get(&name, now) {
            return send(asker, Ok(addresses));
        }
        if self.waiters == RESOLVER_WAITERS_MAX {
            return send(asker, Err(ResolveFault::IsBusy));
        }
        if let Some(askers) = self.waiting.get_mut(&name) {
            askers.push(asker);
        } else if lookups.len() == RESOLVER_LOOKUPS_MAX {
            return send(asker, Err(ResolveFault::IsBusy));
        } else {
            let id = lookups.spawn((self.lookup)(Arc::clone(&name))).id();
            self.looking.insert(id, Arc::clone(&name));
            self.waiting.insert(name, vec![asker]);
        }
        self.waiters += 1;
    }

    /// Gives the outcome of a look-up to all who wait for it, and remembers addresses.
    fn handle_lookup(&mut self, finished: Result<(Id, io::Result<Vec<IpAddr>>), JoinError>, now: Instant) {
        let (id, found) = match finished {
            Ok((id, found)) => (id, found),
            Err(failed) => (failed.id(), Err(io::Error::other(failed))),
        };
        let name = self.looking.remove(&id).expect("a look-up is noted when it begins");
        let answer = match found.map(interleave) {
            Ok(addresses) if addresses.is_empty() => {
                Err(ResolveFault::HasNoAddress { name: Arc::clone(&name) })
            }
            Ok(addresses) => {
                let addresses: Arc<[IpAddr]> = addresses.into();
                self.answers.insert(Arc::clone(&name), Arc::clone(&addresses), now);
                Ok(addresses)
            }
            Err(cause) => Err(ResolveFault::LookupFailed { name: Arc::clone(&name), cause: Arc::new(cause) }),
        };
        let askers = self.waiting.remove(&name).expect("a name is waited for while its look-up is noted");
        self.waiters -= askers.len();
        for asker in askers {
            send(asker, answer.clone());
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
        Resolver::start_with(&Handle::current(), move |name| {
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
        let resolver = Resolver::start(control.handle());
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
            let Lookups { in_progress, waiters } = &**resolver.lookups();
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
        let resolver = Resolver::start(control.handle());
        drop(control);
        let asker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fault = asker.block_on(resolver.resolve("localhost", 1)).unwrap_err();
        assert!(matches!(fault, ResolveFault::HasStopped));
    }
}
