//! One leg of a session: what becomes of what it sends, and what may still be sent to it.
//!
//! | intake | |
//! |---|---|
//! | `Relayed` | scanned and passed on to the other leg's outlet |
//! | `Dropped` | scanned for its Close frame only, and dropped |
//! | `Ignored` | dropped unread: its Close frame came, or its framing is broken |
//! | `Over` | its FIN or reset came |
//!
//! | outlet | |
//! |---|---|
//! | `Open` | takes what the other leg sends |
//! | `ClosingAt` | takes it to the end of the current frame; a Close frame of ours goes there |
//! | `Closed` | a Close frame, ours or the other endpoint's, is the last thing queued |
//! | `Finishing` | nothing more is queued; FIN when all is sent |
//! | `Shut` | FIN is sent, or nobody takes anything any more |
//!
//! Invariant: a leg's intake is `Relayed` only while the other leg's outlet is `Open` or `ClosingAt`.

use crate::session::Moment;
use crate::websocket::close::CloseCode;
use crate::websocket::frame::Sender;
use crate::websocket::scanner::Scanner;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Relayed,
    Dropped,
    Ignored,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlet {
    Open,
    ClosingAt { code: CloseCode },
    Closed,
    Finishing,
    Shut,
}

#[derive(Clone, Debug)]
pub(super) struct LegState {
    /// Scans what this leg sends.
    pub(super) scanner: Scanner,
    pub(super) intake: Intake,
    pub(super) outlet: Outlet,
    /// Bytes queued towards this leg and not sent.
    pub(super) owed_bytes: u64,
    /// This leg is not read because the other one is owed too much.
    pub(super) is_paused: bool,
    pub(super) close_received: bool,
    /// This leg broke the framing rules: it cannot be understood any more.
    pub(super) is_broken: bool,
    /// Since when a record of this leg is incomplete, while it was read.
    pub(super) cut_since: Option<Moment>,
}

impl LegState {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            scanner: Scanner::new(sender),
            intake: Intake::Relayed,
            outlet: Outlet::Open,
            owed_bytes: 0,
            is_paused: false,
            close_received: false,
            is_broken: false,
            cut_since: None,
        }
    }
}
