//! The last step of a successful opening: both sockets, and everything that belongs to them, go to a relay.
//!
//! Not here: the choice of the relay (`relay::placement`).

use super::converse::Opened;
use super::opening::{Admitted, Opening};
use super::opening_end::BrokenOpening;
use super::remains::{behind, take_apart};
use super::stream::{Network, Stream};
use crate::catalog::{Api, Diagnostics, FrameMode};
use crate::observe::event_ring::wall_ns;
use crate::observe::stages::StageTimes;
use crate::observe::{Logged, SessionRecord};
use crate::relay::NewSession;
use crate::session::{Cause, Leg, Phase, SessionLimits};
use crate::websocket::ReservedBits;
use crate::websocket::scanner::FrameRules;

/// All that a session is made of.
pub(super) struct Ready<S> {
    pub(super) admitted: Admitted,
    pub(super) opened: Opened<S>,
    pub(super) mask: Mask,
}

/// The mask of a frame that ringgate itself sends to the backend (RFC 6455 §5.3).
pub(super) type Mask = [u8; 4];

impl<N: Network> Opening<N> {
    /// Checks, before the client gets its 101, that a relay can take over; gives the session's mask.
    pub(super) fn prepare_hand_over(&self, opened: &Opened<N::Stream>) -> Result<Mask, BrokenOpening> {
        let is_idle = [self.socket.is_idle(), opened.backend.is_idle()];
        if let Some(leg) = Leg::BOTH.into_iter().find(|leg| !is_idle[*leg as usize]) {
            return Err(BrokenOpening::IsInFlight(leg));
        }
        if !self.guard.has_permit() {
            return Err(BrokenOpening::HasNoPermit);
        }
        if self.labels.is_none() {
            return Err(BrokenOpening::HasNoLabel);
        }
        Ok(self.front.random.mask())
    }

    /// Gives both sockets to the relay, and all bytes that came behind either head. The client has its 101.
    pub(super) fn hand_over(self, Ready { admitted, opened, mask }: Ready<N::Stream>, times: StageTimes) {
        let Self { front, socket, id, peer, labels, event, mut guard, .. } = self;
        let Opened { backend, address, answer, reserved_bits } = opened;
        let client = socket.into_handle().map_err(|_| BrokenOpening::IsInFlight(Leg::Downstream));
        let backend = backend.into_handle().map_err(|_| BrokenOpening::IsInFlight(Leg::Upstream));
        let permit = guard.take_permit().ok_or(BrokenOpening::HasNoPermit);
        let parts = match (client, backend, permit) {
            (Ok(client), Ok(backend), Ok(permit)) => Ok((client, backend, permit)),
            (Err(broken), ..) | (_, Err(broken), _) | (.., Err(broken)) => Err(broken),
        };
        let (client, backend, permit, labels) = match (parts, labels) {
            (Ok((client, backend, permit)), Some(labels)) => (client, backend, permit, labels),
            // The client has its 101 and could be told nothing else: all that is left to be done is to close.
            (parts, labels) => {
                let broken = parts.err().unwrap_or(BrokenOpening::HasNoLabel);
                broken.log(id, &admitted.api, Phase::Answer);
                front.send_event(event, times, labels.as_ref(), Some((Cause::Bug, Phase::Answer)));
                return front.count_termination(Cause::Bug, Phase::Answer, labels.as_ref());
            }
        };
        let [client_remains, backend_remains] = [client.tls, backend.tls].map(take_apart);
        tracing::debug!(
            %id,
            %peer,
            api = admitted.api.name.as_str(),
            revision = admitted.api.revision,
            subscription = labels.subscription.as_ref().map(|label| label.name().as_str()),
            product = labels.product.as_ref().map(|label| label.name().as_str()),
            "opened a session"
        );
        let logged = event.as_ref().map(|event| event.logged);
        let diagnostics = Diagnostics::in_force(Some(&admitted.api.diagnostics), &front.diagnostics);
        // Rows that nobody has are not made: a session that may fail has them from its end on alone.
        let reports_progress = diagnostics.progress && logged == Some(Logged::Whole);
        let logged = logged.unwrap_or_default();
        // Before the relay has the session, so that the event of its end comes later.
        front.send_event(event, times, Some(&labels), None);
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
            reports_progress,
            permit,
            record: SessionRecord {
                id,
                labels,
                api_revision: admitted.api.revision.into(),
                client: peer.into(),
                peer: peer.into(),
                backend: address.into(),
                opened_at_ms: wall_ns() / 1_000_000,
                logged,
            },
        });
    }
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
