//! Opens a session: from the accepted connection to the two sockets that the relay takes over.
//!
//! ```text
//! head ─► places ─► route ─► key ─► RFC 6455 checks ─► place of the API ─► dial ─► backend's handshake ─► 101 ─► relay
//!   └────────┴─────────┴───────┴────────────┴─────────────────┴──────────────┴─────────────┴── refusal, drained close
//! ```
//!
//! The client gets its 101 only after the backend has given one. A client that leaves meanwhile ends the dial.
//!
//! Not here: the rules themselves (`http1`, `websocket::opening`, `catalog`).

use super::answer::{BackendAnswer, pass_on, read_answer, send_request, wrong_answer};
use super::budgets::with_api_place;
use super::dial::{Abort, dial};
use super::head_reader::{Head, NoHead, read_head};
use super::refusal::{Refusal, send_last_answer, send_within};
use super::socket::HangUp;
use super::stream::{Network, Stream};
use super::{Front, OpeningGuard};
use crate::admission::permit::Permit;
use crate::catalog::{Api, FrameMode, Routed, Snapshot, leaves_suffix};
use crate::http1::encode::{Forwarded, encode_backend_request, encode_switching_protocols};
use crate::http1::request::{check_incomplete_head, late_head_fault};
use crate::http1::{HeadFault, RequestHead, Target};
use crate::limits::CLIENT_WATCH_AFTER_MS;
use crate::relay::NewSession;
use crate::session::{Cause, Phase, SessionLimits};
use crate::websocket::ReservedBits;
use crate::websocket::opening::{Offer, check_answer, check_request};
use crate::websocket::scanner::FrameRules;
use bytes::Bytes;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How an opening ends when it opens no session.
enum Stop {
    /// The client is told why.
    Refused(Refusal),
    /// The backend's own answer is passed on.
    PassedOn(super::answer::PassedOn),
    /// The client left: nothing more is sent.
    ClientGone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HeadFault> for Stop {
    fn from(fault: HeadFault) -> Self {
        Self::Refused(Refusal::of_head(fault))
    }
}

/// One opening in progress. Its own place is its guard's, and goes back when its sockets are closed or handed over.
struct Opening<N: Network> {
    front: Rc<Front<N>>,
    socket: N::Stream,
    /// Who connected. Whom limits and logs mean is the same until a PROXY header can say otherwise.
    peer: SocketAddr,
    phase: Phase,
}

/// What the head of a request came to.
struct Admitted {
    request: RequestHead,
    behind: Bytes,
    api: Arc<Api>,
    backend_target: String,
    offer: Offer,
    permit: Permit,
}

/// A backend that has answered 101.
struct Opened<S> {
    backend: Rc<S>,
    answer: BackendAnswer,
    reserved_bits: ReservedBits,
}

/// Opens a session on an accepted connection, or tells its client why not.
pub(super) async fn open<N: Network>(
    front: Rc<Front<N>>,
    socket: N::Stream,
    peer: SocketAddr,
    guard: OpeningGuard<N>,
) {
    let mut opening = Opening { front, socket, peer, phase: Phase::Head };
    let result = opening.run().await;
    let (cause, phase) = match result {
        Ok(session) => {
            opening.hand_over(session);
            drop(guard);
            return;
        }
        Err(Stop::Refused(refusal)) => {
            tracing::debug!(
                peer = %opening.peer,
                cause = refusal.cause.name(),
                phase = opening.phase.name(),
                status = refusal.status,
                message = refusal.message,
                "refused an opening"
            );
            send_last_answer(&opening.socket, refusal.encode()).await;
            (refusal.cause, opening.phase)
        }
        Err(Stop::PassedOn(answer)) => {
            opening.finish_passed_on(answer).await;
            (Cause::BackendAnswer, Phase::Answer)
        }
        Err(Stop::ClientGone) => (Cause::ClientGone, opening.phase),
    };
    opening.front.counters.count_termination(cause, phase);
    drop(opening);
    drop(guard);
}

impl<N: Network> Opening<N> {
    async fn run(&mut self) -> Result<(Admitted, Opened<N::Stream>), Stop> {
        let head = self.read_request().await?;
        let admitted = self.admit(head)?;
        let opened = self.open_backend(&admitted).await?;
        let answer = encode_switching_protocols(&opened.answer.head).freeze();
        send_within(&self.socket, answer).await.map_err(|_| Stop::ClientGone)?;
        Ok((admitted, opened))
    }

    async fn read_request(&self) -> Result<Head, Stop> {
        let deadline = Instant::now() + Duration::from_millis(self.front.head_timeout_ms);
        let stop = self.front.drain_begun();
        // Cancelled, not shut down: behind the refusal the socket has to be read for a while.
        let interrupt = async || {
            let _ = self.socket.cancel_all().await;
        };
        read_head(&self.socket, Vec::new(), check_incomplete_head, deadline, stop, interrupt).await.map_err(
            |reason| match reason {
                NoHead::Faulty(fault) => fault.into(),
                NoHead::Late(received) => late_head_fault(&received).into(),
                NoHead::Stopped => draining().into(),
                NoHead::Ended | NoHead::Broken(_) => Stop::ClientGone,
            },
        )
    }

    /// Judges a request: everything that needs no backend.
    fn admit(&self, head: Head) -> Result<Admitted, Stop> {
        let request = RequestHead::parse(head.head)?;
        if self.front.is_draining() {
            return Err(draining().into());
        }
        let permit = self.front.budgets.take_session(self.peer.ip())?;
        let published = self.front.published();
        let (routed, query) = match request.target() {
            Target::Origin { path, query } => (Some(route(&published.snapshot, path)?), query),
            Target::Asterisk | Target::Other => (None, None),
        };
        if let Some(routed) = &routed {
            check_key(routed.api, &request, query)?;
        }
        let offer = check_request(&request)?;
        let routed = routed.ok_or(HeadFault::TargetHasNoPath)?;
        if leaves_suffix(routed.rest) {
            return Err(HeadFault::TargetLeavesSuffix.into());
        }
        let mut backend_target = routed.backend_path();
        if let Some(query) = query {
            backend_target.push('?');
            backend_target.push_str(query);
        }
        let api = Arc::clone(routed.api);
        let permit = match published.api_places.of(&api) {
            Some(places) => with_api_place(permit, places)?,
            None => permit,
        };
        Ok(Admitted { behind: head.behind, api, backend_target, offer, permit, request })
    }

    /// Dials and does ringgate's own handshake with the backend, while the client stays.
    async fn open_backend(&mut self, admitted: &Admitted) -> Result<Opened<N::Stream>, Stop> {
        let abort = Abort::default();
        let phase = std::cell::Cell::new(Phase::Dial);
        let result = {
            let work = converse(&self.front, admitted, self.peer, &abort, &phase);
            self.while_client_stays(&abort, work).await
        };
        self.phase = phase.get();
        abort.unwatch();
        result
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
                Err(Stop::ClientGone)
            }
        }
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
    fn hand_over(self, (admitted, opened): (Admitted, Opened<N::Stream>)) {
        let Self { front, socket, .. } = self;
        let Opened { backend, answer, reserved_bits } = opened;
        let mut mask = [0; 4];
        let sockets = Rc::into_inner(backend)
            .and_then(|backend| Some([socket.into_handle().ok()?, backend.into_handle().ok()?]));
        let (Some(sockets), Ok(())) = (sockets, getrandom::fill(&mut mask)) else {
            tracing::error!("an operation was still in flight on a socket of an opened session");
            return front.counters.count_termination(Cause::Bug, Phase::Answer);
        };
        front.hand_over(NewSession {
            sockets,
            early: [admitted.behind, answer.behind],
            limits: session_limits(&admitted.api, reserved_bits),
            mask,
            permit: admitted.permit,
        });
    }
}

/// The conversation with the backend, up to its 101.
async fn converse<N: Network>(
    front: &Front<N>,
    admitted: &Admitted,
    peer: SocketAddr,
    abort: &Abort<N::Stream>,
    phase: &std::cell::Cell<Phase>,
) -> Result<Opened<N::Stream>, Stop> {
    let api = &admitted.api;
    let sources = front.address_turns.next(api);
    let backend = dial(&front.network, api, &sources, &front.resolver, abort).await?;
    phase.set(Phase::Answer);
    let deadline = Instant::now() + Duration::from_millis(api.answer_timeout_ms);
    let forwarded = Forwarded { client: peer.ip(), proto: "http", host: admitted.request.host() };
    let request = encode_backend_request(
        &admitted.request,
        &admitted.backend_target,
        &api.backend.authority,
        &forwarded,
    );
    send_request(&*backend, request.freeze(), deadline).await?;
    let answer = read_answer(&*backend, deadline).await?;
    if answer.head.status() != 101 {
        let result = pass_on(answer, &*backend, deadline).await?;
        return Err(Stop::PassedOn(result));
    }
    let agreement =
        check_answer(&answer.head, &admitted.offer).map_err(|fault| wrong_answer(&fault.to_string()))?;
    Ok(Opened { backend, answer, reserved_bits: agreement.reserved_bits })
}

fn draining() -> Refusal {
    Refusal::of(Cause::Drain, "this instance is shutting down")
}

fn route<'a>(snapshot: &'a Snapshot, path: &'a str) -> Result<Routed<'a>, Refusal> {
    snapshot
        .route(path)
        // Every listener of this version is a plain one.
        .filter(|routed| routed.api.schemes.ws)
        .ok_or_else(|| Refusal::of(Cause::NoApi, "Resource not found"))
}

/// Subscription keys of APIM: the header, and the query where the header is absent.
///
/// No subscription exists in this version, so an API that requires one admits nobody.
fn check_key(api: &Api, request: &RequestHead, query: Option<&str>) -> Result<(), Refusal> {
    const HEADER: &str = "Ocp-Apim-Subscription-Key";
    const PARAMETER: &str = "subscription-key";
    if !api.subscription_required {
        return Ok(());
    }
    let is_given = request.headers().contains(HEADER)
        || query.is_some_and(|query| {
            query.split('&').any(|pair| pair.split('=').next().is_some_and(|name| name == PARAMETER))
        });
    let message = if is_given {
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
    } else {
        "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."
    };
    let mut refusal = Refusal::of(Cause::Key, message);
    let challenge = format!(
        "AzureApiManagementKey realm=\"http://{}/{}\",name=\"{HEADER}\",type=\"header\"",
        request.host(),
        api.suffix
    );
    refusal.headers.push(("WWW-Authenticate", challenge));
    Err(refusal)
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
