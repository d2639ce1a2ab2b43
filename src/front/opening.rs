//! Opens a session: from the accepted connection to the two sockets that the relay takes over.
//!
//! ```text
//! head ─► places ─► route ─► key ─► RFC 6455 checks ─► policies ─► further places ─► dial ─► backend's handshake ─► policies
//!   └────────┴─────────┴───────┴────────────┴──────────────┴─────────────┴────────────┴──────────────┴──────────────┤   │
//!                                                                                           refusal, drained close ◄┘   ▼
//!                                                                                                            101 ─► relay
//! ```
//!
//! The client gets its 101 only after the backend has sent one. If the client leaves meanwhile, the opening ends.
//!
//! The further places are those of API, product and subscription, and one to wait for the backend. That one replaces the place to
//! read a head. A policy that itself waits for an answer is to run after that.
//!
//! Not here: the rules themselves (`http1`, `websocket::opening`, `catalog`, `policy`).

use super::channel::{Channel, NoHandshake};
use super::converse::{Conversation, NotOpened, Opened, Progress};
use super::dial::Abort;
use super::hand_over::Ready;
use super::head_reader::{Head, NoHead, read_head};
use super::opening_end::{OpeningEnd, limited_end, upstream_end};
use super::policies::{Handshake, PolicyRun, SharedRecords, shown_authority};
use super::refusal::{Refusal, end_after_answer, send_last_answer, send_within, shut};
use super::run::Waiting;
use super::socket::HangUp;
use super::stages::Stopwatch;
use super::stream::{Network, Stream};
use super::upstream_fault::FaultOwner;
use super::{Front, OpeningGuard};
use crate::catalog::Api;
use crate::catalog::access::Access;
use crate::catalog::given_key::GivenKey;
use crate::catalog::timestamp::Timestamp;
use crate::compiled::access::SubscriptionKeyFault;
use crate::compiled::given_version::given_version;
use crate::compiled::{Routed, Snapshot};
use crate::head::{Method, RequestHead, Target};
use crate::http1::HeadFault;
use crate::http1::request::{check_incomplete_head, late_head_fault};
use crate::limits::CLIENT_WATCH_AFTER_MS;
use crate::observe::SessionLabels;
use crate::observe::counters::add;
use crate::observe::events::OpeningEnded;
use crate::observe::stages::Stage;
use crate::process::log::limited;
use crate::session::{Cause, CorrelationId, Phase};
use crate::shared_counts::budgets::with_places;
use crate::tls::endpoint::Endpoint;
use crate::tls::peer_certificate::PeerCertificate;
use crate::tls::setup::BackendTls;
use crate::websocket::opening::{Offer, check_request};
use bytes::Bytes;
use rustls::pki_types::UnixTime;
use std::cell::OnceCell;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A connection that was accepted: what it is called, where it came from, and where it came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    /// The id of its opening, and of the session that may come of it.
    pub(super) id: CorrelationId,
    /// Who connected.
    pub(super) peer: SocketAddr,
    /// The listener's place in the configuration.
    pub(super) listener: usize,
    /// When.
    pub(super) at: Instant,
    /// When, in nanoseconds since 1970.
    pub(super) at_ns: u64,
}

/// One opening in progress. Its places are its guard's, and go back when its sockets are closed or handed over.
pub(super) struct Opening<N: Network> {
    pub(super) front: Rc<Front<N>>,
    pub(super) socket: Channel<N::Stream>,
    /// In every line of the log about it.
    pub(super) id: CorrelationId,
    /// Who connected. Whom limits and logs mean is the same until a PROXY header can say otherwise.
    pub(super) peer: SocketAddr,
    /// The client's certificate, if it showed one.
    pub(super) certificate: Option<PeerCertificate>,
    /// The method of the request, as soon as it is known.
    pub(super) method: Method,
    pub(super) phase: Phase,
    /// How long each stage took so far.
    pub(super) stages: Stopwatch,
    /// The labels of the session to be, as soon as they are known.
    pub(super) labels: Option<SessionLabels>,
    /// Filled in as it becomes known. `None`: nobody wants it.
    pub(super) event: Option<Box<OpeningEnded>>,
    /// What its policies say. Empty: there are none, or nobody wants it.
    pub(super) policy_records: OnceCell<SharedRecords>,
    pub(super) guard: OpeningGuard<N>,
}

/// The result of judging the head of a request.
pub(super) struct Admitted {
    pub(super) request: Arc<RequestHead>,
    pub(super) behind: Bytes,
    pub(super) api: Arc<Api>,
    pub(super) backend_target: String,
    pub(super) backend_tls: Option<BackendTls>,
    /// `None`: no policy applies, and nothing is paid for any.
    pub(super) policies: Option<PolicyRun>,
    pub(super) offer: Offer,
}

/// Opens a session on an accepted connection, or tells its client why not.
pub(super) async fn open<N: Network>(
    front: Rc<Front<N>>,
    stream: N::Stream,
    accepted: Accepted,
    guard: OpeningGuard<N>,
) {
    let Accepted { id, peer, listener, at, at_ns: _ } = accepted;
    let is_secured = front.published().tls.of_listener(listener).is_some();
    let event = front.begin_event(&accepted, is_secured);
    let Some(socket) = channel_of(&front, stream, accepted) else {
        front.send_event(event, Stopwatch::begin(at).stop(), None, Some((Cause::Bug, Phase::Head)));
        return front.count_termination(Cause::Bug, Phase::Head, None);
    };
    let mut opening = Opening {
        front,
        socket,
        id,
        peer,
        certificate: None,
        method: Method::Other,
        phase: Phase::Head,
        stages: Stopwatch::begin(at),
        labels: None,
        event,
        policy_records: OnceCell::new(),
        guard,
    };
    let outcome = opening.run().await;
    opening.note_policy_records();
    let times = opening.stages.stop();
    tracing::debug!(%id, ?times, "an opening is over");
    if !matches!(outcome, Ok(None)) {
        opening.front.counters.stages.count(&times);
    }
    match outcome {
        Ok(Some(session)) => opening.hand_over(session, times),
        // It has no row in the log: a balancer asks every second.
        Ok(None) => add(&opening.front.counters.health_checks, 1),
        Err(end) => {
            let (cause, phase) = opening.end(end).await;
            let labels = opening.labels.as_ref();
            opening.front.count_termination(cause, phase, labels);
            opening.front.send_event(opening.event.take(), times, labels, Some((cause, phase)));
        }
    }
}

/// The accepted connection, with TLS if its listener has it. `None`: that TLS cannot be used, which is logged.
pub(super) fn channel_of<N: Network>(
    front: &Front<N>,
    stream: N::Stream,
    accepted: Accepted,
) -> Option<Channel<N::Stream>> {
    let Accepted { id, listener, .. } = accepted;
    let stream = Rc::new(stream);
    match front.published().tls.of_listener(listener).map(|config| Endpoint::with_client(&config)) {
        None => Some(Channel::plain(stream)),
        Some(Ok(endpoint)) => Some(Channel::secured(stream, endpoint)),
        Some(Err(error)) => {
            limited!(ERROR, None, "TLS of a listener cannot be used", %id, listener, %error);
            None
        }
    }
}

impl<N: Network> Opening<N> {
    /// Gives the session, ready for a relay. `None`: the client asked for the health path, and has its answer.
    async fn run(&mut self) -> Result<Option<Ready<N::Stream>>, OpeningEnd> {
        // One deadline for all that a client has to say before it is judged.
        let begun = self.stages.complete(Stage::Accept);
        let deadline = begun + Duration::from_millis(self.front.head_timeout_ms);
        if self.socket.is_secured() {
            let secured = self.secure(deadline).await;
            self.stages.complete(Stage::Tls);
            secured?;
        }
        let head = self.read_request(deadline).await;
        self.stages.complete(Stage::Head);
        let head = head?;
        self.method = Method::begun_by(&head.head);
        if let Some(answer) = self.front.health_answer(&head.head) {
            tracing::debug!(id = %self.id, peer = %self.peer, "answered a health check");
            send_last_answer(&self.socket, answer).await;
            return Ok(None);
        }
        let admitted = self.admit(head);
        let judged_at = self.stages.complete(Stage::Policy);
        let (mut admitted, waiting) = admitted?;
        self.guard.wait_for_backend(waiting);
        let opened = self.open_backend(&mut admitted, judged_at).await?;
        // Found before the client is told that it has a session.
        let mask = self.prepare_hand_over(&opened).map_err(|broken| {
            broken.log(self.id, &admitted.api, self.phase);
            OpeningEnd::Broken
        })?;
        let answer = opened.answer.encode_switching_protocols(&self.front.date.now()).freeze();
        let telling = self.telling(101, &answer);
        send_within(&self.socket, answer).await.map_err(|_| OpeningEnd::CloseSilently(Cause::ClientGone))?;
        self.note_told(telling);
        Ok(Some(Ready { admitted, opened, mask }))
    }

    /// Does the TLS handshake.
    async fn secure(&mut self, deadline: Instant) -> Result<(), OpeningEnd> {
        let stop = self.is_to_stop();
        let interrupt = async || {
            let _ = self.socket.cancel_all().await;
        };
        let result = self.socket.handshake(deadline, stop, interrupt).await;
        if self.guard.reader().has_given_way() {
            return Err(OpeningEnd::GaveWay);
        }
        let Err(reason) = result else { return self.take_certificate().await };
        match reason {
            NoHandshake::IsPlainHttp(method) => {
                self.method = method;
                self.socket.give_up_tls();
                Err(HeadFault::SentNoTls.into())
            }
            NoHandshake::Faulty(error) => {
                tracing::debug!(id = %self.id, peer = %self.peer, %error, "a client's TLS handshake failed");
                // So that the alert is not lost in a reset.
                end_after_answer(self.socket.stream()).await;
                Err(OpeningEnd::CloseSilently(Cause::TlsFault))
            }
            NoHandshake::Late => Err(OpeningEnd::CloseSilently(Cause::TlsFault)),
            NoHandshake::Stopped => Err(OpeningEnd::CloseSilently(Cause::Drain)),
            NoHandshake::Ended | NoHandshake::Broken(_) => Err(OpeningEnd::CloseSilently(Cause::ClientGone)),
        }
    }

    /// Keeps what the client's certificate says. One that was shown in an earlier connection may have expired since.
    async fn take_certificate(&mut self) -> Result<(), OpeningEnd> {
        let shown = self.socket.established().map(|tls| {
            if let Some(event) = &mut self.event {
                event.tls_version = tls.version;
                event.server_name = tls.server_name.as_deref().map(Into::into);
            }
            (tls.is_resumed, tls.peer_chain.clone())
        });
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
                tracing::debug!(id = %self.id, peer = %self.peer, "a client's certificate has expired, or cannot be read");
                shut(&self.socket, Shutdown::Write);
                end_after_answer(self.socket.stream()).await;
                Err(OpeningEnd::CloseSilently(Cause::TlsFault))
            }
        }
    }

    async fn read_request(&mut self, deadline: Instant) -> Result<Head, OpeningEnd> {
        let stop = self.is_to_stop();
        // Cancelled, not shut down: behind the refusal the socket has to be read for a while.
        let interrupt = async || {
            let _ = self.socket.cancel_all().await;
        };
        let read =
            read_head(&self.socket, Vec::new(), check_incomplete_head, deadline, stop, interrupt).await;
        // Its head may have come in the same moment: without a place it is too late.
        if self.guard.reader().has_given_way() {
            return Err(OpeningEnd::GaveWay);
        }
        read.map_err(|reason| {
            let (stop, received) = match reason {
                NoHead::Faulty(fault, received) => (fault.into(), received),
                NoHead::Late(received) => (late_head_fault(&received).into(), received),
                NoHead::Stopped(received) => (draining().into(), received),
                NoHead::Ended | NoHead::Broken(_) => return OpeningEnd::CloseSilently(Cause::ClientGone),
            };
            self.method = Method::begun_by(&received);
            self.note_faulty_request(&received);
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

    /// Judges a request: everything that needs no backend.
    fn admit(&mut self, head: Head) -> Result<(Admitted, Waiting), OpeningEnd> {
        let request_bytes = u32::try_from(head.head.len()).unwrap_or(u32::MAX);
        self.note(|event| event.request_bytes = Some(request_bytes));
        let request = match RequestHead::parse(head.head.clone()) {
            Ok(request) => Arc::new(request),
            Err(fault) => {
                self.note_faulty_request(&head.head);
                let is_1_0 = matches!(fault, HeadFault::AskedForHttp10);
                self.note(|event| event.protocol = if is_1_0 { "HTTP/1.0" } else { "" });
                return Err(fault.into());
            }
        };
        self.note(|event| {
            event.protocol = "HTTP/1.1";
            event.request = Some(Arc::clone(&request));
            event.take_up_trace();
        });
        if self.front.is_draining() {
            return Err(draining().into());
        }
        if let Some(page) = self.front.root_page.as_ref().filter(|_| asks_for_root_page(&request)) {
            return Err(OpeningEnd::RootPage(Arc::clone(page)));
        }
        let permit = self.front.budgets.take_session(self.peer.ip())?;
        let published = self.front.published();
        let (routed, query) = match request.target() {
            Target::Origin { path, query } => {
                let asked_version = |scheme: &_| given_version(scheme, request.headers(), query);
                let routed =
                    published.snapshot.route_version(path, asked_version).map_err(Refusal::of_path)?;
                (Some(self.served_here(&published.snapshot, routed)?), query)
            }
            Target::Asterisk | Target::Other => (None, None),
        };
        let access = match &routed {
            Some(routed) => {
                let access = self.check_key(&published.snapshot, &request, routed, query);
                // Whoever is not let in counts under the API alone.
                let known = access.as_ref().ok().copied().unwrap_or_default();
                self.labels = published.labels.of_session(routed.api, &known);
                self.note_api(routed.api, &known, &published.snapshot);
                access?
            }
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
            Err(shed) => return Err(limited_end(policies, shed.into())),
        };
        let admitted =
            Admitted { behind: head.behind, api, backend_target, backend_tls, policies, offer, request };
        Ok((admitted, waiting))
    }

    /// Decides by the subscription key; a refused client may still get an answer from policies.
    fn check_key<'s>(
        &self,
        snapshot: &'s Snapshot,
        request: &Arc<RequestHead>,
        routed: &Routed<'_>,
        query: Option<&str>,
    ) -> Result<Access<'s>, OpeningEnd> {
        let given = GivenKey::find(&routed.api.key_names, request.headers(), query);
        let now = Timestamp::from_unix(UnixTime::now().as_secs());
        snapshot.access(routed.api, &given, now).map_err(|fault| {
            let refusal = no_access(fault, routed.api, request, self.scheme());
            let access = Access::default();
            let Some(pipeline) = snapshot.policies_of(routed.api, &access) else {
                return OpeningEnd::Refused(refusal);
            };
            let handshake = self.handshake(snapshot, request, routed, &access);
            let guards = self.front.budgets.guards();
            OpeningEnd::Answered(PolicyRun::refused_by_key(pipeline, &handshake, guards, (fault, &refusal)))
        })
    }

    /// Runs the policies of an opening up to its dial, if it has any.
    fn begin_policies(
        &self,
        snapshot: &Snapshot,
        request: &Arc<RequestHead>,
        routed: &Routed<'_>,
        access: &Access<'_>,
    ) -> Result<Option<PolicyRun>, OpeningEnd> {
        let Some(pipeline) = snapshot.policies_of(routed.api, access) else { return Ok(None) };
        let handshake = self.handshake(snapshot, request, routed, access);
        Ok(Some(PolicyRun::begin(pipeline, &handshake, self.front.budgets.guards())?))
    }

    /// Returns the view of this opening that policies get.
    fn handshake<'h>(
        &'h self,
        snapshot: &'h Snapshot,
        request: &'h Arc<RequestHead>,
        routed: &'h Routed<'h>,
        access: &'h Access<'h>,
    ) -> Handshake<'h> {
        let certificate = self.certificate.as_ref();
        let records = self.event.is_some().then(|| self.policy_records.get_or_init(SharedRecords::default));
        Handshake {
            snapshot,
            request,
            scheme: self.scheme(),
            client: self.peer.ip(),
            certificate,
            id: self.id,
            routed,
            access,
            records: records.cloned(),
            timed_since: self
                .event
                .as_ref()
                .and_then(|event| event.trace?.is_sampled().then(|| self.stages.accepted_at())),
            diagnostics: &self.front.diagnostics,
        }
    }

    /// Dials and does ringgate's own handshake with the backend, while the client stays.
    async fn open_backend(
        &mut self,
        admitted: &mut Admitted,
        judged_at: Instant,
    ) -> Result<Opened<N::Stream>, OpeningEnd> {
        let abort = Abort::default();
        let progress = Progress::default();
        let mut policies = admitted.policies.take();
        let result = {
            let conversation = Conversation {
                front: &self.front,
                admitted,
                id: self.id,
                peer: self.peer,
                scheme: self.scheme(),
                trace: self.event.as_ref().and_then(|event| event.trace.as_ref()),
                abort: &abort,
                progress: &progress,
                is_noted: self.event.is_some(),
                stages: &self.stages,
                begun_at: judged_at,
            };
            self.while_client_stays(&abort, conversation.hold(&mut policies)).await
        };
        self.phase = progress.phase.get();
        abort.unwatch();
        if let Err(NotOpened::Upstream(fault)) = &result
            && progress.address.get().is_none()
        {
            progress.address.set(fault.address);
        }
        let target = std::mem::take(&mut admitted.backend_target);
        self.note_asked(&admitted.api.backend, target, policies.as_ref(), &progress, result.as_ref().ok());
        match result {
            Ok(opened) => {
                self.guard.hold(policies.map(|mut policies| policies.take_slots()).unwrap_or_default());
                Ok(opened)
            }
            Err(NotOpened::Upstream(fault)) => {
                let backend = shown_authority(&admitted.api.backend, policies.as_ref());
                fault.log(FaultOwner { id: self.id, api: admitted.api.name.as_str(), backend: &backend });
                Err(upstream_end(policies, &fault))
            }
            Err(NotOpened::End(end)) => Err(end),
        }
    }

    /// Runs `work` to its end. If the client leaves before, the work is aborted, and that is the outcome.
    ///
    /// Most backends answer within moments: the watch on the client starts only after some time, so that a usual
    /// opening does not pay for it.
    async fn while_client_stays<T>(
        &self,
        abort: &Abort<N::Stream>,
        work: impl Future<Output = Result<T, NotOpened>>,
    ) -> Result<T, NotOpened> {
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
                Err(NotOpened::End(OpeningEnd::CloseSilently(Cause::ClientGone)))
            }
        }
    }

    /// Returns the route of a request, if its API is served on listeners like this one.
    fn served_here<'a>(
        &self,
        snapshot: &Snapshot,
        routed: Option<Routed<'a>>,
    ) -> Result<Routed<'a>, Refusal> {
        let is_served = |api: &Api| {
            let schemes = snapshot.schemes_of(api);
            if self.socket.is_secured() { schemes.wss } else { schemes.ws }
        };
        routed
            .filter(|routed| is_served(routed.api))
            .ok_or_else(|| Refusal::of(Cause::NoApi, "Resource not found"))
    }

    /// The scheme of the client's request, as fields of HTTP have it.
    fn scheme(&self) -> &'static str {
        if self.socket.is_secured() { "https" } else { "http" }
    }
}

/// Returns the request target for the backend where no policy changes it.
fn target_of(routed: &Routed<'_>, query: Option<&str>) -> String {
    let mut target = routed.backend_path();
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// Whether a request is one of a browser that opens the root, and no opening handshake.
fn asks_for_root_page(request: &RequestHead) -> bool {
    let is_root = matches!(request.target(), Target::Origin { path: "/", query: _ });
    is_root && !request.headers().contains("upgrade")
}

pub(super) fn draining() -> Refusal {
    Refusal::of(Cause::Drain, "this instance is shutting down")
}

/// Judges the subscription key that a request gives, or its absence, and says in whose context its session is.
fn no_access(fault: SubscriptionKeyFault, api: &Api, request: &RequestHead, scheme: &str) -> Refusal {
    let mut refusal = Refusal::of_key(fault);
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
