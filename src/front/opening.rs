//! Opens a session: from the accepted connection to the two sockets that the relay takes over.
//!
//! ```text
//! head ─► places ─► route ─► key ─► RFC 6455 checks ─► policies ─► further places ─► dial ─► backend's handshake ─► policies
//!   └────────┴─────────┴───────┴────────────┴──────────────┴─────────────┴────────────┴──────────────┴──────────────┤   │
//!                                                                                           refusal, drained close ◄┘   ▼
//!                                                                                                            101 ─► relay
//! ```
//!
//! The client gets its 101 only after the backend has given one. A client that leaves meanwhile ends the dial.
//!
//! The further places are those of API, product and subscription, and one to wait for the backend, which takes the stead of the
//! one to read a head. A policy that waits for an answer of its own is to have it before.
//!
//! Not here: the rules themselves (`http1`, `websocket::opening`, `catalog`, `policy`).

use super::answer::{BackendAnswer, NoAnswer, pass_on, read_answer, send_request};
use super::backend_tls::secure_backend;
use super::channel::{Channel, NoHandshake};
use super::dial::{Abort, Destination, dial};
use super::head_reader::{Head, NoHead, read_head};
use super::policies::{Handshake, PolicyAnswer, PolicyRun};
use super::refusal::{BUG_MESSAGE, Refusal, end_after_answer, send_last_answer, send_within, shut};
use super::remains::{behind, take_apart};
use super::run::Waiting;
use super::socket::HangUp;
use super::stream::{Network, Stream};
use super::{Front, OpeningGuard};
use crate::catalog::access::Access;
use crate::catalog::given_key::GivenKey;
use crate::catalog::product::Product;
use crate::catalog::subscription::Subscription;
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{Api, FrameMode};
use crate::compiled::access::SubscriptionKeyFault;
use crate::compiled::given_version::given_version;
use crate::compiled::{Routed, Snapshot};
use crate::head::{Method, RequestHead, Target};
use crate::http1::HeadFault;
use crate::http1::encode::encode_answer;
use crate::http1::encode::{Forwarded, encode_backend_request, encode_request_of};
use crate::http1::request::{check_incomplete_head, late_head_fault};
use crate::limits::CLIENT_WATCH_AFTER_MS;
use crate::observe::counters::add;
use crate::process::log::limited;
use crate::relay::NewSession;
use crate::session::{Cause, Leg, Phase, SessionLimits};
use crate::shared_counts::Shed;
use crate::shared_counts::budgets::with_places;
use crate::tls::endpoint::Endpoint;
use crate::tls::peer_certificate::PeerCertificate;
use crate::tls::setup::BackendTls;
use crate::websocket::ReservedBits;
use crate::websocket::opening::{Offer, check_answer, check_request};
use crate::websocket::scanner::FrameRules;
use bytes::Bytes;
use rustls::pki_types::UnixTime;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How an opening ends when it opens no session.
enum Stop {
    /// The client is told why.
    Refused(Refusal),
    /// A policy's answer.
    Answered(Box<PolicyAnswer>),
    /// The backend's own answer is passed on.
    PassedOn(super::answer::PassedOn),
    /// Nothing more is sent: the client has left, or would not understand it.
    Unsaid(Cause),
    /// Its place was given to a newcomer.
    GaveWay,
    /// An invariant of this opening does not hold, as the log says: it is ended, and no other.
    Broken,
}

/// An invariant of one opening that does not hold.
#[derive(Debug, thiserror::Error)]
enum BrokenOpening {
    /// What is handed over is the relay's alone.
    #[error("an operation is in flight on a connection that is to be handed over: {}", .0.name())]
    IsInFlight(Leg),
    /// The kernel has random bytes.
    #[error("there are no random bytes: {0}")]
    HasNoRandomBytes(getrandom::Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Shed> for Stop {
    fn from(shed: Shed) -> Self {
        Self::Refused(shed.into())
    }
}

impl From<Box<PolicyAnswer>> for Stop {
    fn from(answer: Box<PolicyAnswer>) -> Self {
        Self::Answered(answer)
    }
}

impl From<HeadFault> for Stop {
    fn from(fault: HeadFault) -> Self {
        Self::Refused(Refusal::of_head(fault))
    }
}

/// Where a connection came from, and where it came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Who connected.
    pub(super) peer: SocketAddr,
    /// The listener's place in the configuration.
    pub(super) listener: usize,
}

/// One opening in progress. Its places are its guard's, and go back when its sockets are closed or handed over.
struct Opening<N: Network> {
    front: Rc<Front<N>>,
    socket: Channel<N::Stream>,
    /// Who connected. Whom limits and logs mean is the same until a PROXY header can say otherwise.
    peer: SocketAddr,
    /// What the client's certificate says, if it showed one.
    certificate: Option<PeerCertificate>,
    /// What the request asks with, as soon as that is known.
    method: Method,
    phase: Phase,
    guard: OpeningGuard<N>,
}

/// What the head of a request came to.
struct Admitted {
    request: RequestHead,
    behind: Bytes,
    api: Arc<Api>,
    context: Context,
    backend_target: String,
    backend_tls: Option<BackendTls>,
    /// `None`: no policy applies, and nothing is paid for any.
    policies: Option<PolicyRun>,
    offer: Offer,
}

/// In whose name a session is.
struct Context {
    subscription: Option<Arc<Subscription>>,
    product: Option<Arc<Product>>,
}

/// A backend that has answered 101.
struct Opened<S> {
    backend: Channel<S>,
    answer: BackendAnswer,
    reserved_bits: ReservedBits,
}

/// All that a session is made of.
type Ready<S> = (Admitted, Opened<S>, Mask);

/// What masks a frame of ringgate's own towards the backend (RFC 6455 §5.3).
type Mask = [u8; 4];

/// Opens a session on an accepted connection, or tells its client why not.
pub(super) async fn open<N: Network>(
    front: Rc<Front<N>>,
    stream: N::Stream,
    arrival: Arrival,
    guard: OpeningGuard<N>,
) {
    let tls = front.published().tls.of_listener(arrival.listener);
    let stream = Rc::new(stream);
    let socket = match tls.map(|config| Endpoint::with_client(&config)) {
        None => Channel::plain(stream),
        Some(Ok(endpoint)) => Channel::secured(stream, endpoint),
        Some(Err(error)) => {
            limited!(ERROR, None, "TLS of a listener cannot be used", listener = arrival.listener, %error);
            return front.counters.count_termination(Cause::Bug, Phase::Head);
        }
    };
    let peer = arrival.peer;
    let mut opening =
        Opening { front, socket, peer, certificate: None, method: Method::Other, phase: Phase::Head, guard };
    let result = opening.run().await;
    let (cause, phase) = match result {
        Ok(session) => return opening.hand_over(session),
        Err(Stop::Refused(refusal)) => {
            tracing::debug!(
                peer = %opening.peer,
                certificate = opening.certificate.as_ref().map(|certificate| certificate.subject.as_str()),
                cause = refusal.cause.name(),
                phase = opening.phase.name(),
                status = refusal.status,
                message = refusal.message,
                "refused an opening"
            );
            let answer = refusal.encode(opening.method, &opening.front.date.now());
            send_last_answer(&opening.socket, answer).await;
            (refusal.cause, opening.phase)
        }
        Err(Stop::Answered(answer)) => {
            tracing::debug!(
                peer = %opening.peer,
                cause = answer.cause.name(),
                phase = opening.phase.name(),
                status = answer.response.status,
                why = answer.why,
                "policies answered an opening"
            );
            let bytes = encode_answer(
                answer.response.status,
                answer.response.reason().as_bytes(),
                answer.response.fields.iter(),
                answer.response.body_text().as_bytes(),
                &opening.front.date.now(),
            )
            .freeze();
            send_last_answer(&opening.socket, bytes).await;
            (answer.cause, opening.phase)
        }
        Err(Stop::PassedOn(answer)) => {
            opening.finish_passed_on(answer).await;
            (Cause::BackendAnswer, Phase::Answer)
        }
        Err(Stop::Unsaid(cause)) => (cause, opening.phase),
        Err(Stop::GaveWay) => {
            opening.say_that_it_gave_way();
            (Cause::OpeningsFull, opening.phase)
        }
        Err(Stop::Broken) => {
            let refusal = Refusal::of(Cause::Bug, BUG_MESSAGE);
            let answer = refusal.encode(opening.method, &opening.front.date.now());
            send_last_answer(&opening.socket, answer).await;
            (Cause::Bug, opening.phase)
        }
    };
    opening.front.counters.count_termination(cause, phase);
}

impl<N: Network> Opening<N> {
    async fn run(&mut self) -> Result<Ready<N::Stream>, Stop> {
        // One deadline for all that a client has to say before it is judged.
        let deadline = Instant::now() + Duration::from_millis(self.front.head_timeout_ms);
        self.secure(deadline).await?;
        let head = self.read_request(deadline).await?;
        self.method = Method::begun_by(&head.head);
        let (mut admitted, waiting) = self.admit(head)?;
        self.guard.wait_for_backend(waiting);
        let opened = self.open_backend(&mut admitted).await?;
        // Found before the client is told that it has a session.
        let mask = self.prepare_hand_over(&opened).map_err(|broken| {
            log_bug(&admitted.api, self.phase, &broken);
            Stop::Broken
        })?;
        let answer = opened.answer.encode_switching_protocols(&self.front.date.now()).freeze();
        send_within(&self.socket, answer).await.map_err(|_| Stop::Unsaid(Cause::ClientGone))?;
        Ok((admitted, opened, mask))
    }

    /// Checks that a relay can take over; gives the session's mask.
    fn prepare_hand_over(&self, opened: &Opened<N::Stream>) -> Result<Mask, BrokenOpening> {
        let is_idle = [self.socket.is_idle(), opened.backend.is_idle()];
        if let Some(leg) = Leg::BOTH.into_iter().find(|leg| !is_idle[*leg as usize]) {
            return Err(BrokenOpening::IsInFlight(leg));
        }
        let mut mask = [0; 4];
        getrandom::fill(&mut mask).map_err(BrokenOpening::HasNoRandomBytes)?;
        Ok(mask)
    }

    /// Does the TLS handshake, if the listener has TLS.
    async fn secure(&mut self, deadline: Instant) -> Result<(), Stop> {
        let stop = self.is_to_stop();
        let interrupt = async || {
            let _ = self.socket.cancel_all().await;
        };
        let result = self.socket.handshake(deadline, stop, interrupt).await;
        if self.guard.reader().has_given_way() {
            return Err(Stop::GaveWay);
        }
        let Err(reason) = result else { return self.take_certificate().await };
        match reason {
            NoHandshake::IsPlainHttp(method) => {
                self.method = method;
                self.socket.give_up_tls();
                Err(HeadFault::SentNoTls.into())
            }
            NoHandshake::Faulty(error) => {
                tracing::debug!(peer = %self.peer, %error, "a client's TLS handshake failed");
                // So that the alert is not lost in a reset.
                end_after_answer(self.socket.stream()).await;
                Err(Stop::Unsaid(Cause::TlsFault))
            }
            NoHandshake::Late => Err(Stop::Unsaid(Cause::TlsFault)),
            NoHandshake::Stopped => Err(Stop::Unsaid(Cause::Drain)),
            NoHandshake::Ended | NoHandshake::Broken(_) => Err(Stop::Unsaid(Cause::ClientGone)),
        }
    }

    /// Keeps what the client's certificate says. One that was shown in an earlier connection may have expired since.
    async fn take_certificate(&mut self) -> Result<(), Stop> {
        let shown = self.socket.established().map(|tls| (tls.is_resumed, tls.peer_chain.clone()));
        let Some((is_resumed, chain)) = shown else { return Ok(()) };
        add(&self.front.counters.tls_handshakes, 1);
        add(&self.front.counters.tls_resumptions, u64::from(is_resumed));
        let Some(chain) = chain else { return Ok(()) };
        let certificate = chain.first().and_then(|own| PeerCertificate::parse(own).ok());
        match certificate {
            Some(certificate) if !certificate.is_expired(UnixTime::now()) => {
                self.certificate = Some(certificate);
                Ok(())
            }
            Some(_) | None => {
                tracing::debug!(peer = %self.peer, "a client's certificate has expired, or cannot be read");
                shut(&self.socket, Shutdown::Write);
                end_after_answer(self.socket.stream()).await;
                Err(Stop::Unsaid(Cause::TlsFault))
            }
        }
    }

    async fn read_request(&mut self, deadline: Instant) -> Result<Head, Stop> {
        let stop = self.is_to_stop();
        // Cancelled, not shut down: behind the refusal the socket has to be read for a while.
        let interrupt = async || {
            let _ = self.socket.cancel_all().await;
        };
        let read =
            read_head(&self.socket, Vec::new(), check_incomplete_head, deadline, stop, interrupt).await;
        // Its head may have come in the same moment: without a place it is too late.
        if self.guard.reader().has_given_way() {
            return Err(Stop::GaveWay);
        }
        read.map_err(|reason| {
            let (stop, received) = match reason {
                NoHead::Faulty(fault, received) => (fault.into(), received),
                NoHead::Late(received) => (late_head_fault(&received).into(), received),
                NoHead::Stopped(received) => (draining().into(), received),
                NoHead::Ended | NoHead::Broken(_) => return Stop::Unsaid(Cause::ClientGone),
            };
            self.method = Method::begun_by(&received);
            stop
        })
    }

    /// Completes when the request is not to be awaited any longer: the drain begins, or a newcomer has got the place.
    async fn is_to_stop(&self) {
        tokio::select! {
            biased;
            () = self.front.drain_begun() => {}
            () = self.front.readers.gives_way(self.guard.reader()) => {}
        }
    }

    /// Says at once, or not at all, that the place was given to a newcomer: nothing may be awaited without one.
    fn say_that_it_gave_way(&self) {
        let refusal = Refusal::from(self.front.budgets.openings_full());
        tracing::debug!(
            peer = %self.peer,
            cause = refusal.cause.name(),
            phase = self.phase.name(),
            "an opening gave way to a newcomer: it had waited longest for its request"
        );
        if !self.socket.is_secured() {
            // What does not fit, nobody reads.
            let _ = self.socket.send_now(&refusal.encode(self.method, &self.front.date.now()));
        }
        shut(&self.socket, Shutdown::Write);
    }

    /// Judges a request: everything that needs no backend.
    fn admit(&self, head: Head) -> Result<(Admitted, Waiting), Stop> {
        let request = RequestHead::parse(head.head)?;
        if self.front.is_draining() {
            return Err(draining().into());
        }
        let permit = self.front.budgets.take_session(self.peer.ip())?;
        let published = self.front.published();
        let (routed, query) = match request.target() {
            Target::Origin { path, query } => {
                let asked_version = |scheme: &_| given_version(scheme, request.headers(), query);
                let routed =
                    published.snapshot.route_version(path, asked_version).map_err(Refusal::of_path)?;
                (Some(self.served_here(routed)?), query)
            }
            Target::Asterisk | Target::Other => (None, None),
        };
        let access = match &routed {
            Some(routed) => self.check_key(&published.snapshot, &request, routed, query)?,
            None => Access::default(),
        };
        let offer = check_request(&request)?;
        let routed = routed.ok_or(HeadFault::TargetHasNoPath)?;
        let policies = self.begin_policies(&published.snapshot, &request, &routed, &access)?;
        // A subprotocol that was none but carried a token is chosen by nobody.
        let offer = match &policies {
            Some(run) => offer.narrowed_to(run.exchange().request.get_all("Sec-WebSocket-Protocol")),
            None => offer,
        };
        let (backend_target, backend) = match &policies {
            Some(run) => (run.exchange().target(), run.exchange().backend()),
            None => (target_of(&routed, query), &routed.api.backend),
        };
        let backend_tls = published.tls.of_backend(routed.api, backend);
        let api = Arc::clone(routed.api);
        let taken = with_places(permit, published.places.of_session(&api, &access)).and_then(|permit| {
            Ok(Waiting::new(permit, self.front.budgets.take_pending(&published.places, &api)?))
        });
        let waiting = match taken {
            Ok(waiting) => waiting,
            Err(shed) => return Err(through_on_error(policies, shed.into())),
        };
        let context =
            Context { subscription: access.subscription.cloned(), product: access.product.cloned() };
        let admitted = Admitted {
            behind: head.behind,
            api,
            context,
            backend_target,
            backend_tls,
            policies,
            offer,
            request,
        };
        Ok((admitted, waiting))
    }

    /// Decides by the subscription key; policies may have something to say to who is not let in.
    fn check_key<'s>(
        &self,
        snapshot: &'s Snapshot,
        request: &RequestHead,
        routed: &Routed<'_>,
        query: Option<&str>,
    ) -> Result<Access<'s>, Stop> {
        let given = GivenKey::find(&routed.api.key_names, request.headers(), query);
        let now = Timestamp::from_unix(UnixTime::now().as_secs());
        snapshot.access(routed.api, &given, now).map_err(|fault| {
            let refusal = no_access(fault, routed.api, request, self.scheme());
            let access = Access::default();
            let Some(pipeline) = snapshot.policies_of(routed.api, &access) else {
                return Stop::Refused(refusal);
            };
            let handshake = self.handshake(snapshot, request, routed, &access);
            let guards = self.front.budgets.guards();
            Stop::Answered(PolicyRun::refused_by_key(pipeline, &handshake, guards, (fault, &refusal)))
        })
    }

    /// Runs the policies of an opening up to its dial, if it has any.
    fn begin_policies(
        &self,
        snapshot: &Snapshot,
        request: &RequestHead,
        routed: &Routed<'_>,
        access: &Access<'_>,
    ) -> Result<Option<PolicyRun>, Stop> {
        let Some(pipeline) = snapshot.policies_of(routed.api, access) else { return Ok(None) };
        let handshake = self.handshake(snapshot, request, routed, access);
        Ok(Some(PolicyRun::begin(pipeline, &handshake, self.front.budgets.guards())?))
    }

    /// What this opening is to policies.
    fn handshake<'h>(
        &'h self,
        snapshot: &'h Snapshot,
        request: &'h RequestHead,
        routed: &'h Routed<'h>,
        access: &'h Access<'h>,
    ) -> Handshake<'h> {
        let certificate = self.certificate.as_ref();
        Handshake {
            snapshot,
            request,
            scheme: self.scheme(),
            client: self.peer.ip(),
            certificate,
            routed,
            access,
        }
    }

    /// Dials and does ringgate's own handshake with the backend, while the client stays.
    async fn open_backend(&mut self, admitted: &mut Admitted) -> Result<Opened<N::Stream>, Stop> {
        let abort = Abort::default();
        let phase = std::cell::Cell::new(Phase::Dial);
        let mut policies = admitted.policies.take();
        let result = {
            let asked = Asked { admitted, peer: self.peer, scheme: self.scheme() };
            let work = converse(&self.front, asked, &mut policies, &abort, &phase);
            self.while_client_stays(&abort, work).await
        };
        self.phase = phase.get();
        abort.unwatch();
        match (result, policies) {
            (Err(Stop::Refused(refusal)), policies) if !abort.is_aborted() => {
                Err(through_on_error(policies, refusal))
            }
            (Ok(opened), Some(mut policies)) => {
                self.guard.hold(policies.take_slots());
                Ok(opened)
            }
            (result, _) => result,
        }
    }

    /// Runs `work` to its end. If the client leaves before, the work is aborted, and that is the outcome.
    ///
    /// Most backends answer within moments: the watch on the client starts only after some time, so that a usual
    /// opening does not pay for it.
    async fn while_client_stays<T>(
        &self,
        abort: &Abort<N::Stream>,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            result = &mut work => return result,
            () = tokio::time::sleep(Duration::from_millis(CLIENT_WATCH_AFTER_MS)) => {}
        }
        let mut watch = pin!(self.socket.hang_up());
        tokio::select! {
            biased;
            result = &mut work => {
                // Nothing may be in flight on the socket when it goes to the relay.
                let _ = self.socket.cancel_all().await;
                let _: std::io::Result<HangUp> = watch.await;
                result
            }
            _ = &mut watch => {
                abort.abort();
                let _ = work.await;
                Err(Stop::Unsaid(Cause::ClientGone))
            }
        }
    }

    /// What a request was routed to, if it is served on listeners like this one.
    fn served_here<'a>(&self, routed: Option<Routed<'a>>) -> Result<Routed<'a>, Refusal> {
        let is_served = |api: &Api| if self.socket.is_secured() { api.schemes.wss } else { api.schemes.ws };
        routed
            .filter(|routed| is_served(routed.api))
            .ok_or_else(|| Refusal::of(Cause::NoApi, "Resource not found"))
    }

    /// The scheme of the client's request, as fields of HTTP have it.
    fn scheme(&self) -> &'static str {
        if self.socket.is_secured() { "https" } else { "http" }
    }

    /// Sends the backend's answer; one that is truncated ends in a reset, so that it cannot pass for a whole one.
    async fn finish_passed_on(&self, answer: super::answer::PassedOn) {
        if !answer.is_truncated {
            return send_last_answer(&self.socket, answer.bytes).await;
        }
        if send_within(&self.socket, answer.bytes).await.is_ok() {
            super::truncation::reset_when_taken(&self.socket).await;
        }
    }

    /// Gives both sockets to the relay, and all bytes that came behind either head.
    fn hand_over(self, (admitted, opened, mask): Ready<N::Stream>) {
        let Self { front, socket, peer, mut guard, .. } = self;
        let Opened { backend, answer, reserved_bits } = opened;
        let handles = (socket.into_handle(), backend.into_handle(), guard.take_permit());
        let (Ok(client), Ok(backend), Some(permit)) = handles else {
            // The client has its 101, whose send is forgotten in flight: all that is left to be done is to close.
            log_bug(&admitted.api, Phase::Answer, &BrokenOpening::IsInFlight(Leg::Downstream));
            return front.counters.count_termination(Cause::Bug, Phase::Answer);
        };
        let [client_remains, backend_remains] = [client.tls, backend.tls].map(take_apart);
        tracing::debug!(
            %peer,
            api = admitted.api.name.as_str(),
            revision = admitted.api.revision,
            subscription = admitted.context.subscription.as_ref().map(|subscription| subscription.name.as_str()),
            product = admitted.context.product.as_ref().map(|product| product.name.as_str()),
            "opened a session"
        );
        front.hand_over(NewSession {
            sockets: [client.handle, backend.handle],
            early: [
                behind(admitted.behind, client_remains.payload),
                behind(answer.behind, backend_remains.payload),
            ],
            records: [client_remains.records, backend_remains.records],
            sealed: [client_remains.received, backend_remains.received],
            limits: session_limits(&admitted.api, reserved_bits),
            mask,
            permit,
        });
    }
}

fn log_bug(api: &Api, phase: Phase, broken: &BrokenOpening) {
    limited!(
        ERROR,
        Some(api.name.as_str()),
        "a bug of ringgate's ended an opening (and no other): please report this line",
        phase = phase.name(),
        broken = broken.to_string()
    );
}

/// What a backend is asked, and for whom.
struct Asked<'a> {
    admitted: &'a Admitted,
    peer: SocketAddr,
    /// That of the client's request.
    scheme: &'static str,
}

/// The conversation with the backend, up to its 101.
async fn converse<N: Network>(
    front: &Front<N>,
    Asked { admitted, peer, scheme }: Asked<'_>,
    policies: &mut Option<PolicyRun>,
    abort: &Abort<N::Stream>,
    phase: &std::cell::Cell<Phase>,
) -> Result<Opened<N::Stream>, Stop> {
    let api = &admitted.api;
    let url = policies.as_ref().map_or(&api.backend, |run| run.exchange().backend());
    let destination = Destination { api: &api.name, backend: url, sources: front.address_turns.next(api) };
    let dial_deadline = Instant::now() + Duration::from_millis(api.dial_timeout_ms);
    let stream = dial(&front.network, &destination, &front.resolver, dial_deadline, abort).await?;
    let backend = match &admitted.backend_tls {
        Some(tls) if url.is_tls => secure_backend(stream, &api.name, tls, dial_deadline).await?,
        None if url.is_tls => {
            return Err(Refusal::of(Cause::BackendTls, "the backend cannot be trusted").into());
        }
        Some(_) | None => Channel::plain(stream),
    };
    phase.set(Phase::Answer);
    let forward = policies.as_ref().map(PolicyRun::forward).unwrap_or_default();
    let answer_timeout_ms = forward.answer_timeout_ms.unwrap_or(api.answer_timeout_ms);
    let deadline = Instant::now() + Duration::from_millis(answer_timeout_ms);
    let forwarded = Forwarded { client: peer.ip(), proto: scheme, host: admitted.request.host() };
    let (target, authority) = (&admitted.backend_target, &url.authority);
    let request = match policies.as_ref() {
        Some(run) => encode_request_of(run.exchange().request.iter(), target, authority, &forwarded),
        None => encode_backend_request(&admitted.request, target, authority, &forwarded),
    };
    let refusal = |reason: NoAnswer| reason.refusal(&api.name);
    send_request(&backend, request.freeze(), deadline).await.map_err(refusal)?;
    let mut answer = read_answer(&backend, deadline).await.map_err(refusal)?;
    // Whether a 101 is a correct one is judged before policies see it.
    let agreement = match answer.head.status() {
        101 => {
            let agreement = check_answer(&answer.head, &admitted.offer);
            Some(agreement.map_err(|fault| refusal(fault.into()))?)
        }
        _ => None,
    };
    if let Some(run) = policies {
        answer = run.answered(answer)?;
    }
    match agreement {
        Some(agreement) => Ok(Opened { backend, answer, reserved_bits: agreement.reserved_bits }),
        None => {
            let date = front.date.now();
            Err(Stop::PassedOn(pass_on(answer, &backend, deadline, &date).await.map_err(refusal)?))
        }
    }
}

/// What the backend is asked for where no policy says otherwise.
fn target_of(routed: &Routed<'_>, query: Option<&str>) -> String {
    let mut target = routed.backend_path();
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

fn draining() -> Refusal {
    Refusal::of(Cause::Drain, "this instance is shutting down")
}

/// Judges the subscription key that a request gives, or its absence, and says in whose context its session is.
fn no_access(fault: SubscriptionKeyFault, api: &Api, request: &RequestHead, scheme: &str) -> Refusal {
    let mut refusal = Refusal::of(Cause::Key, fault.message());
    // The host and the path are the client's own words and the operator's: neither has a quote or a control character.
    let challenge = format!(
        "AzureApiManagementKey realm=\"{scheme}://{}/{}\",name=\"{}\",type=\"header\"",
        request.host(),
        api.suffix,
        api.key_names.header
    );
    refusal.headers.push(("WWW-Authenticate", challenge));
    refusal
}

/// What on-error makes of a refusal, where policies have begun.
fn through_on_error(policies: Option<PolicyRun>, refusal: Refusal) -> Stop {
    policies.and_then(|mut run| run.failed(&refusal)).map_or(Stop::Refused(refusal), Stop::Answered)
}

fn session_limits(api: &Api, reserved_bits: ReservedBits) -> SessionLimits {
    let frames = match api.frames {
        FrameMode::Opaque => None,
        FrameMode::Strict => Some(FrameRules {
            reserved_bits,
            frame_bytes_max: api.frame_bytes_max.unwrap_or(u64::MAX),
            message_bytes_max: api.message_bytes_max.unwrap_or(u64::MAX),
        }),
    };
    SessionLimits {
        frames,
        idle_timeout_ms: api.idle_timeout_s * 1000,
        longest_life_ms: api.longest_life_s.map(|seconds| seconds * 1000),
        linger_ms: api.linger_s * 1000,
    }
}
