//! One end of a TLS connection while its session is being opened: bytes in, bytes out.
//!
//! ```text
//! Handshaking (rustls) ──► Established (records) ──► the relay's records, and what was received and not opened
//! ```
//!
//! The caller moves the bytes: it passes received bytes in and takes bytes to send out. Bytes that are not understood yet stay
//! here.
//!
//! Not here: sockets and deadlines (`front`), which certificates there are, and records after the opening (`relay`).

use super::handshake::{Finished, Handshake, HandshakeFault, Progress};
use super::record::{Alert, Exhausted, LegRecords, RecordFault, Step};
use super::tickets::ReceivedTickets;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};

/// Why there is nothing more to be understood of a peer, or to be said to it.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFault {
    /// The handshake came to nothing.
    #[error(transparent)]
    Handshake(#[from] HandshakeFault),
    /// A record broke a rule.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The peer gave up, with this alert.
    #[error("the peer gave up, with alert {0}")]
    Alerted(u8),
    /// There is no key left.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// One end of a connection.
#[derive(Debug)]
pub struct Endpoint {
    state: State,
    /// Received, and not taken apart yet.
    received: Vec<u8>,
    /// To be sent.
    to_send: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Handshaking(Box<Handshake>),
    Established(Box<Established>),
    /// Between two states, and after a fault.
    Broken,
}

/// An end whose handshake is over.
#[derive(Debug)]
pub struct Established {
    /// Its records from here on.
    pub records: LegRecords,
    /// The peer's certificates, its own first; absent if it showed none.
    pub peer_chain: Option<Vec<CertificateDer<'static>>>,
    /// The version of TLS: `TLS1.2` or `TLS1.3`.
    pub version: &'static str,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// Whether an earlier connection was resumed.
    pub is_resumed: bool,
    tickets: ReceivedTickets,
    /// Payload that nobody asked for yet.
    payload: Vec<u8>,
}

/// The parts of an end that the relay takes over.
#[derive(Debug)]
pub struct Remains {
    /// Its records from here on.
    pub records: LegRecords,
    /// Payload that nobody asked for: it comes first.
    pub payload: Vec<u8>,
    /// Received records that were not opened.
    pub received: Vec<u8>,
}

impl Endpoint {
    /// The end towards a client.
    ///
    /// # Errors
    /// The configuration cannot make a connection.
    pub fn with_client(config: &ServerConfig) -> Result<Self, EndpointFault> {
        Self::begin(Handshake::with_client(config)?)
    }

    /// The end towards a backend whose certificate has to be for `name`; it has its first flight to send at once.
    ///
    /// # Errors
    /// The configuration cannot make a connection.
    pub fn with_backend(config: &ClientConfig, name: ServerName<'static>) -> Result<Self, EndpointFault> {
        Self::begin(Handshake::with_backend(config, name)?)
    }

    fn begin(handshake: Handshake) -> Result<Self, EndpointFault> {
        let state = State::Handshaking(Box::new(handshake));
        let mut endpoint = Self { state, received: Vec::new(), to_send: Vec::new() };
        endpoint.advance()?;
        Ok(endpoint)
    }

    /// Takes bytes that the peer sent.
    ///
    /// # Errors
    /// The peer broke TLS, or is not one to trust. There may be an alert to send; nothing else is possible any more.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), EndpointFault> {
        self.received.extend_from_slice(bytes);
        self.advance()
    }

    /// Returns the facts about an end whose handshake is over.
    pub fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Established(established) => Some(established),
            State::Handshaking(_) | State::Broken => None,
        }
    }

    /// The peer has said that nothing more comes (close_notify).
    pub fn has_peer_closed(&self) -> bool {
        self.established().is_some_and(|established| established.records.is_closed_by_peer())
    }

    /// Appends at most `room_bytes` of received payload to `buffer`; gives how many.
    pub fn take_payload(&mut self, buffer: &mut Vec<u8>, room_bytes: usize) -> usize {
        let State::Established(established) = &mut self.state else { return 0 };
        let taken = established.payload.len().min(room_bytes);
        buffer.extend(established.payload.drain(..taken));
        taken
    }

    /// Seals payload, which is to be sent then. Nothing before the handshake is over.
    ///
    /// # Errors
    /// There is no key left.
    pub fn seal(&mut self, payload: &[u8]) -> Result<(), EndpointFault> {
        let State::Established(established) = &mut self.state else { return Ok(()) };
        let begin = self.to_send.len();
        self.to_send.resize(begin + established.records.sealed_bytes(payload.len()), 0);
        let sealed = established.records.seal(&[payload], &mut self.to_send[begin..]);
        self.to_send.truncate(begin + sealed.as_ref().map_or(0, |sealed| *sealed));
        Ok(sealed.map(drop)?)
    }

    /// Seals the end of what is sent (close_notify), which is to be sent then.
    pub fn close(&mut self) {
        self.seal_alert(Alert::CloseNotify);
    }

    /// Takes the bytes that are to be sent.
    pub fn take_to_send(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_send)
    }

    /// Returns the parts that a relay takes over; absent if the handshake is not over.
    pub fn into_remains(self) -> Option<Remains> {
        let State::Established(established) = self.state else { return None };
        let Established { records, payload, .. } = *established;
        Some(Remains { records, payload, received: self.received })
    }

    fn advance(&mut self) -> Result<(), EndpointFault> {
        if let State::Handshaking(handshake) = &mut self.state {
            match handshake.advance(&mut self.received, &mut self.to_send)? {
                Progress::NeedsMore => return Ok(()),
                Progress::Done => self.finish()?,
            }
        }
        self.open()
    }

    fn finish(&mut self) -> Result<(), EndpointFault> {
        let State::Handshaking(handshake) = std::mem::replace(&mut self.state, State::Broken) else {
            return Ok(());
        };
        let Finished { records, version, server_name, peer_chain, is_resumed, tickets, .. } =
            handshake.finish()?;
        let payload = Vec::new();
        let established =
            Established { records, peer_chain, version, server_name, is_resumed, tickets, payload };
        self.state = State::Established(Box::new(established));
        Ok(())
    }

    /// Opens whole records; what is cut stays.
    fn open(&mut self) -> Result<(), EndpointFault> {
        let State::Established(established) = &mut self.state else { return Ok(()) };
        let Established { records, tickets, payload, .. } = &mut **established;
        let mut at = 0;
        let result = loop {
            match records.open(&mut self.received, &mut at) {
                Ok(Step::Plaintext(range)) => payload.extend_from_slice(&self.received[range]),
                Ok(Step::Ticket(range)) => tickets.keep(&self.received[range]),
                Ok(Step::Done | Step::Hold | Step::Closed) => break Ok(()),
                Ok(Step::Alert(code)) => break Err(EndpointFault::Alerted(code)),
                Err(fault) => break Err(fault.into()),
            }
        };
        self.received.drain(..at);
        if let Err(EndpointFault::Record(fault)) = &result {
            self.seal_alert(fault.alert());
        } else if records_owe(&self.state) {
            self.seal(&[])?;
        }
        result
    }

    fn seal_alert(&mut self, alert: Alert) {
        let State::Established(established) = &mut self.state else { return };
        let begin = self.to_send.len();
        self.to_send.resize(begin + established.records.sealed_alert_bytes(), 0);
        // A key that is used up says nothing more.
        let sealed = established.records.seal_alert(alert, &mut self.to_send[begin..]).unwrap_or(0);
        self.to_send.truncate(begin + sealed);
    }
}

fn records_owe(state: &State) -> bool {
    matches!(state, State::Established(established) if established.records.owes())
}
