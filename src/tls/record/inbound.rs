//! The receiving direction after the handshake: received bytes become steps, one at a time, in place.
//!
//! ```text
//! Open --close_notify--> Closed      Open --another alert--> Alerted      Open --fault--> Broken
//! ```
//!
//! The property to trust: plaintext comes out in order and only from authentic records, nothing comes out behind
//! close_notify or a fault, and a stream that ends without close_notify is not [`Inbound::is_closed`].
//!
//! Not here: collecting a cut record (`held`), what is answered (`outbound`).

use core::ops::Range;

use super::direction::DirectionState;
use super::fault::RecordFault;
use super::header::{Parsed, parse_header};
use super::messages::{Message, Messages};
use super::opener::Opener;
use super::suite::Suite;
use super::{ContentType, Role, Version};
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// Most records in a row without application data: empty ones, KeyUpdates, tickets, warnings. One more ends the connection.
///
/// Each costs about as much as one with data and brings nothing. Servers send two or four tickets at the start.
pub const RECORDS_WITHOUT_CONTENT_MAX: u8 = 32;

/// close_notify and user_canceled (RFC 8446 §6.1).
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
/// A fatal alert's level (RFC 5246 §7.2).
const FATAL: u8 = 2;

/// The next step for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All received bytes were handled.
    Done,
    /// Plaintext stands at this range of the received bytes.
    Plaintext(Range<usize>),
    /// The body of a NewSessionTicket stands here. Who has no use for it goes on.
    Ticket(Range<usize>),
    /// From here on the received bytes are the start of a record: they are to be kept (`HeldRecord`).
    Hold,
    /// The peer said that it sends nothing more. What may stand behind that is ignored.
    Closed,
    /// The peer ended the connection with this alert.
    Alert(u8),
}

/// The answers that received records demand of the sending direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwedAnswers {
    /// The peer changed its keys, and wants ringgate's to change.
    pub key_update: bool,
    /// The peer wants another handshake (TLS 1.2), and is to be told that there is none.
    pub no_renegotiation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
    Alerted(u8),
    Broken(RecordFault),
}

/// The receiving direction of one leg.
#[derive(Debug)]
pub struct Inbound {
    pub(super) opener: Opener,
    role: Role,
    phase: Phase,
    messages: Messages,
    without_content: u8,
    /// Tickets that came.
    tickets: u32,
    /// Whether the peer was asked for new keys, and has not changed them.
    is_update_asked: bool,
}

impl Inbound {
    /// Goes on where `state` stands. `role` is ringgate's.
    pub fn new(state: DirectionState, role: Role) -> Self {
        Self {
            opener: Opener::new(state),
            role,
            phase: Phase::Open,
            messages: Messages::default(),
            without_content: 0,
            tickets: 0,
            is_update_asked: false,
        }
    }

    /// The direction's state.
    pub fn state(&self) -> &DirectionState {
        self.opener.state()
    }

    /// Drops what can be made again.
    pub fn rest(&mut self) {
        self.opener.rest();
    }

    /// Whether the peer ended what it sends in good order. A stream that ends otherwise is truncated (RFC 8446 §6.1).
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Tickets that came, given out or not.
    pub fn tickets(&self) -> u32 {
        self.tickets
    }

    /// Whether the peer's key has protected as much as it should and it was not asked for another. Asks once for each key.
    pub(super) fn take_update_wish(&mut self) -> bool {
        let state = self.opener.state();
        let is_due = state.suite().version == Version::Tls13 && state.is_worn() && !self.is_update_asked;
        self.is_update_asked |= is_due;
        is_due
    }

    /// The next step in `received` from `at`, which moves behind what was handled. `asked` gathers what is to be answered.
    ///
    /// Steps are asked for until one is `Done`, `Hold`, `Closed` or `Alert`; the bytes of the others stay as they are meanwhile.
    ///
    /// # Errors
    /// The peer broke a rule: it is told by [`RecordFault::alert`], and nothing more is read. The fault stays.
    pub fn next(
        &mut self,
        received: &mut [u8],
        at: &mut usize,
        asked: &mut OwedAnswers,
    ) -> Result<Step, RecordFault> {
        match self.phase {
            Phase::Open => {}
            Phase::Closed => return Ok(Step::Closed),
            Phase::Alerted(code) => return Ok(Step::Alert(code)),
            Phase::Broken(fault) => return Err(fault),
        }
        let step = self.read(received, at, asked);
        if let Err(fault) = step {
            self.phase = Phase::Broken(fault);
        }
        step
    }

    fn read(
        &mut self,
        received: &mut [u8],
        at: &mut usize,
        asked: &mut OwedAnswers,
    ) -> Result<Step, RecordFault> {
        while *at < received.len() {
            let rest = &mut received[*at..];
            let Parsed::Record(record_bytes) = parse_header(rest, self.state().suite())? else {
                return Ok(Step::Hold);
            };
            let Some(record) = rest.get_mut(..record_bytes) else { return Ok(Step::Hold) };
            let opened = self.opener.open_in_place(record)?;
            let start = *at + opened.content.start;
            *at += record_bytes;
            let content = &received[start..start + opened.content.len()];
            if opened.content_type != ContentType::Handshake && self.messages.is_inside() {
                return Err(RecordFault::RecordInsideMessage);
            }
            if opened.content_type == ContentType::ApplicationData && !content.is_empty() {
                self.without_content = 0;
                return Ok(Step::Plaintext(start..start + content.len()));
            }
            if self.without_content == RECORDS_WITHOUT_CONTENT_MAX {
                return Err(RecordFault::TooManyWithoutContent);
            }
            self.without_content += 1;
            let step = match opened.content_type {
                ContentType::ApplicationData => None,
                ContentType::Alert => self.read_alert(content)?,
                ContentType::Handshake => self.read_messages(start, content, asked)?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
        Ok(Step::Done)
    }

    fn read_alert(&mut self, content: &[u8]) -> Result<Option<Step>, RecordFault> {
        if content.is_empty() {
            return Err(RecordFault::EmptyRecord);
        }
        let &[level, code] = content else { return Err(RecordFault::MalformedAlert) };
        let is_fatal = match self.state().suite().version {
            // RFC 8446 §6: the level means nothing; all but these two are errors, unknown ones included.
            Version::Tls13 => code != USER_CANCELED,
            Version::Tls12 => level == FATAL,
        };
        if code == CLOSE_NOTIFY {
            self.phase = Phase::Closed;
            Ok(Some(Step::Closed))
        } else if is_fatal {
            self.phase = Phase::Alerted(code);
            Ok(Some(Step::Alert(code)))
        } else {
            Ok(None)
        }
    }

    /// Reads all of a handshake record. Of several whole tickets in it, the last one is given out.
    fn read_messages(
        &mut self,
        start: usize,
        content: &[u8],
        asked: &mut OwedAnswers,
    ) -> Result<Option<Step>, RecordFault> {
        if content.is_empty() {
            return Err(RecordFault::EmptyRecord);
        }
        let (mut at, mut step) = (0, None);
        let version = self.state().suite().version;
        while let Some(message) = self.messages.next(self.role, version, content, &mut at)? {
            match message {
                Message::Ticket(body) => {
                    self.tickets = self.tickets.saturating_add(1);
                    step = body.map(|body| Step::Ticket(start + body.start..start + body.end)).or(step);
                }
                Message::KeyUpdate { is_answer_wanted } => {
                    self.opener.advance();
                    self.is_update_asked = false;
                    asked.key_update |= is_answer_wanted;
                }
                Message::Renegotiation => asked.no_renegotiation = true,
            }
        }
        Ok(step)
    }

    /// Writes everything but the role and the suite; says whether there is something to write: nothing more is read from a leg that
    /// broke, or that an alert has ended.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) -> bool {
        let Self { opener, role: _, phase, messages, without_content, tickets, is_update_asked } = self;
        let is_closed = match phase {
            Phase::Open => false,
            Phase::Closed => true,
            Phase::Alerted(_) | Phase::Broken(_) => return false,
        };
        opener.state().export_fields(writer);
        writer.bool("is_closed", is_closed);
        messages.export_fields(writer);
        writer.u8("without_content", *without_content);
        writer.u32("tickets", *tickets);
        writer.bool("is_update_asked", *is_update_asked);
        true
    }

    /// Reads what [`Self::export_fields`] wrote of a leg of `suite`.
    pub(super) fn import_fields(
        reader: &mut FieldReader<'_>,
        role: Role,
        suite: Suite,
    ) -> Result<Self, ExportFault> {
        let inbound = Self {
            opener: Opener::new(DirectionState::import_fields(reader, suite)?),
            role,
            phase: if reader.bool("is_closed")? { Phase::Closed } else { Phase::Open },
            messages: Messages::import_fields(reader)?,
            without_content: reader.u8("without_content")?,
            tickets: reader.u32("tickets")?,
            is_update_asked: reader.bool("is_update_asked")?,
        };
        reader.check("without_content", inbound.without_content <= RECORDS_WITHOUT_CONTENT_MAX)?;
        reader.check("is_update_asked", !inbound.is_update_asked || suite.version == Version::Tls13)?;
        Ok(inbound)
    }
}
