//! One leg of a session: the treatment of the bytes that it sends, and what may still be sent to it.
//!
//! | intake | |
//! |---|---|
//! | `Relayed` | scanned and passed on to the other leg's outlet |
//! | `Dropped` | scanned for its Close frame only, and dropped |
//! | `Ignored` | dropped unread: its Close frame came, or its framing is broken |
//! | `Over` | its FIN or reset came |
//!
//! ```text
//! Relayed ──Close of ours goes to the other leg, or that is lost──► Dropped ──its Close, or a fault──┐
//!  │ │                                                                 │                             ▼
//!  │ └──its Close, a fault, or a plain end for the other leg───────────┼──────────────────────────► Ignored
//!  └──its end─────────────────► Over ◄──its end────────────────────────┴───────────────────its end───┘
//! ```
//!
//! | outlet | |
//! |---|---|
//! | `Open` | takes what the other leg sends |
//! | `ClosingAt` | takes it to the end of the current frame; a Close frame of ours goes there |
//! | `Closed` | a Close frame, ours or the other endpoint's, is the last thing queued |
//! | `Finishing` | nothing more is queued; when all is sent, the stream's end is said (plain) or not (bare), then FIN |
//! | `Saying` | all is sent, the end of the records (close_notify) is being queued; then `Finishing`, bare |
//! | `Shut` | FIN is sent, or nobody takes anything any more |
//!
//! ```text
//! Open ──Close due──► ClosingAt ──boundary──► Closed ──it is done too──► Finishing ──all sent──► Shut
//!  │ │                    └──the other leg's end──────────────────────────►▲   │ ▲
//!  │ └──other leg's end, or fault of a client──────────────────────────────┘   ▼ │
//!  └──other leg's Close, or boundary at hand──► Closed                        Saying
//! Any ──reset, nobody takes anything──► Shut
//! ```
//!
//! `tests/golden/directions.txt` lists every event in every state of an intake and the outlet that it feeds.
//!
//! Invariant: a leg's intake is `Relayed` only while the other leg's outlet is `Open` or `ClosingAt`.

use crate::session::{Cause, Moment};
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
    ClosingAt { code: CloseCode, cause: Cause },
    Closed,
    Finishing(Ending),
    Saying,
    Shut,
}

/// The end of a leg's stream: whether a close_notify comes before the FIN. Both are the same on a plain connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The records say that they end (close_notify).
    Plain,
    /// Nothing.
    Bare,
}

#[derive(Clone, Debug)]
pub(super) struct LegState {
    /// Scans what this leg sends.
    pub(super) scanner: Scanner,
    pub(super) intake: Intake,
    pub(super) outlet: Outlet,
    /// Its bytes are wrapped in records, which have an end of their own.
    pub(super) is_wrapped: bool,
    /// Bytes queued towards this leg and not sent.
    pub(super) owed_bytes: u64,
    /// Bytes of this leg that were queued towards the other one, heads of frames included.
    pub(super) relayed_bytes: u64,
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
            is_wrapped: false,
            owed_bytes: 0,
            relayed_bytes: 0,
            is_paused: false,
            close_received: false,
            is_broken: false,
            cut_since: None,
        }
    }
}
