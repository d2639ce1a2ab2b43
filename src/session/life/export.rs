//! Moves a session to another process: exports its whole state, and imports it.
//!
//! Every type is destructured with a pattern that names all its fields. So a field that is added to a session does not compile
//! until it is exported too (`crate::export` lists the other steps).
//!
//! The property to trust: a session that was exported between two calls and imported goes on as if nothing had happened. The same
//! calls have the same effects, at the same distance from now. An imported session keeps the invariants that its methods rely on.
//!
//! Not here: bytes that wait to be sent, the records around them, and the descriptors (they belong to the carriers); the permit.

use zeroize::Zeroizing;

use super::ending::{Linger, SessionEnd};
use super::leg::{Ending, Intake, LegState, Outlet};
use super::{Session, SessionLimits};
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};
use crate::session::signs_of_life::SignsOfLife;
use crate::session::termination::Cause;
use crate::session::{Leg, Moment};
use crate::websocket::close::CloseCode;
use crate::websocket::frame::Sender;
use crate::websocket::scanner::{FrameRules, Scanner};

/// Longest name of a cause that is read, in bytes.
const CAUSE_NAME_BYTES_MAX: usize = 64;

impl Session {
    /// The session as it is at `now`, between two calls and with all effects carried out. `None`: it is over, and only waits for its
    /// last completions.
    ///
    /// It has the mask of the session's own frames: whoever carries the bytes keeps them secret.
    pub fn export(&self, now: Moment) -> Option<Zeroizing<Vec<u8>>> {
        let mut writer = FieldWriter::new(ExportKind::Session);
        self.export_fields(&mut writer, now).then(|| writer.finish())
    }

    /// Imports the bytes that [`Session::export`] returned, at `now` by the clock of this process. The session is due at its
    /// [`Session::next_deadline`], and reads from each leg that is not [`Session::is_paused`].
    ///
    /// # Errors
    /// The bytes are no session that any version exported.
    pub fn import(bytes: &[u8], now: Moment) -> Result<Self, ExportFault> {
        let mut reader = FieldReader::new(ExportKind::Session, bytes)?;
        let session = Self::import_fields(&mut reader, now)?;
        reader.finish()?;
        Ok(session)
    }

    /// Writes all that it is; says whether there is something to write: nothing is left of a session that is over.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter, now: Moment) -> bool {
        let Self {
            legs,
            limits,
            mask,
            life_until,
            signs,
            active_at,
            end,
            closed_first,
            reports_progress,
            is_over,
        } = self;
        writer.section("limits");
        limits.export_fields(writer);
        writer.section("session");
        writer.array("mask", *mask);
        writer.option("life_until", *life_until, |writer, field, until| until.export(writer, field, now));
        active_at.export(writer, "active_at", now);
        writer.option("closed_first", *closed_first, |writer, field, leg| writer.u8(field, leg as u8));
        writer.bool("reports_progress", *reports_progress);
        writer.option("end", end.as_ref(), |writer, _, end| end.export_fields(writer, now));
        writer.section("signs of life");
        signs.export_fields(writer, now);
        for leg in Leg::BOTH {
            writer.section(leg.name());
            legs[leg as usize].export_fields(writer, now);
        }
        !is_over
    }

    fn import_fields(reader: &mut FieldReader<'_>, now: Moment) -> Result<Self, ExportFault> {
        let session = Self {
            limits: SessionLimits::import_fields(reader)?,
            mask: reader.array("mask")?,
            life_until: reader.option("life_until", |reader, field| Moment::import(reader, field, now))?,
            active_at: Moment::import(reader, "active_at", now)?,
            closed_first: reader.option("closed_first", import_leg)?,
            reports_progress: reader.bool("reports_progress")?,
            end: reader.option("end", |reader, _| SessionEnd::import_fields(reader, now))?,
            signs: SignsOfLife::import_fields(reader, now)?,
            legs: [
                LegState::import_fields(reader, Sender::Client, now)?,
                LegState::import_fields(reader, Sender::Server, now)?,
            ],
            is_over: false,
        };
        for leg in Leg::BOTH {
            let (state, other) = (&session.legs[leg as usize], &session.legs[leg.other() as usize]);
            let is_taken = matches!(other.outlet, Outlet::Open | Outlet::ClosingAt { .. });
            reader.check("intake", is_taken || state.intake != Intake::Relayed)?;
            // An opaque session knows no boundary at which a Close could stand.
            let awaits_boundary = matches!(state.outlet, Outlet::ClosingAt { .. });
            reader.check("outlet", !awaits_boundary || session.limits.frames.is_some())?;
        }
        Ok(session)
    }
}

impl SessionLimits {
    fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { frames, idle_timeout_ms, longest_life_ms, linger_ms } = self;
        writer.option("frames", frames.as_ref(), |writer, _, rules| rules.export_fields(writer));
        writer.u64("idle_timeout_ms", *idle_timeout_ms);
        writer.option("longest_life_ms", *longest_life_ms, FieldWriter::u64);
        writer.u64("linger_ms", *linger_ms);
    }

    fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        Ok(Self {
            frames: reader.option("frames", |reader, _| FrameRules::import_fields(reader))?,
            idle_timeout_ms: reader.u64("idle_timeout_ms")?,
            longest_life_ms: reader.option("longest_life_ms", FieldReader::u64)?,
            linger_ms: reader.u64("linger_ms")?,
        })
    }
}

impl SessionEnd {
    fn export_fields(&self, writer: &mut FieldWriter, now: Moment) {
        let Self { cause, by, linger } = self;
        writer.text("cause", cause.name());
        writer.option("by", *by, |writer, field, leg| writer.u8(field, leg as u8));
        let until = match linger {
            Linger::WhileBytesMove => None,
            Linger::Until(until) => Some(*until),
        };
        writer.option("linger_until", until, |writer, field, until| until.export(writer, field, now));
    }

    fn import_fields(reader: &mut FieldReader<'_>, now: Moment) -> Result<Self, ExportFault> {
        let cause = import_cause(reader, "cause")?;
        let by = reader.option("by", import_leg)?;
        let until = reader.option("linger_until", |reader, field| Moment::import(reader, field, now))?;
        Ok(Self { cause, by, linger: until.map_or(Linger::WhileBytesMove, Linger::Until) })
    }
}

impl LegState {
    fn export_fields(&self, writer: &mut FieldWriter, now: Moment) {
        let Self {
            scanner,
            intake,
            outlet,
            is_wrapped,
            owed_bytes,
            relayed_bytes,
            is_paused,
            close_received,
            is_broken,
            cut_since,
        } = self;
        writer.u8("intake", intake.number());
        outlet.export_fields(writer);
        writer.bool("is_wrapped", *is_wrapped);
        writer.u64("owed_bytes", *owed_bytes);
        writer.u64("relayed_bytes", *relayed_bytes);
        writer.bool("is_paused", *is_paused);
        writer.bool("close_received", *close_received);
        writer.bool("is_broken", *is_broken);
        writer.option("cut_since", *cut_since, |writer, field, since| since.export(writer, field, now));
        scanner.export_fields(writer);
    }

    /// A leg whose endpoint is `sender`.
    fn import_fields(reader: &mut FieldReader<'_>, sender: Sender, now: Moment) -> Result<Self, ExportFault> {
        let intake = reader.u8("intake")?;
        let state = Self {
            intake: Intake::from_number(intake).ok_or(reader.impossible("intake"))?,
            outlet: Outlet::import_fields(reader)?,
            is_wrapped: reader.bool("is_wrapped")?,
            owed_bytes: reader.count("owed_bytes")?,
            relayed_bytes: reader.count("relayed_bytes")?,
            is_paused: reader.bool("is_paused")?,
            close_received: reader.bool("close_received")?,
            is_broken: reader.bool("is_broken")?,
            cut_since: reader.option("cut_since", |reader, field| Moment::import(reader, field, now))?,
            scanner: Scanner::import_fields(reader)?,
        };
        reader.check("sender", state.scanner.sender() == sender)?;
        Ok(state)
    }
}

impl Intake {
    fn number(self) -> u8 {
        match self {
            Self::Relayed => 0,
            Self::Dropped => 1,
            Self::Ignored => 2,
            Self::Over => 3,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Relayed),
            1 => Some(Self::Dropped),
            2 => Some(Self::Ignored),
            3 => Some(Self::Over),
            _ => None,
        }
    }
}

impl Outlet {
    fn export_fields(self, writer: &mut FieldWriter) {
        let number = match self {
            Self::Open => 0,
            Self::ClosingAt { .. } => 1,
            Self::Closed => 2,
            Self::Finishing(Ending::Plain) => 3,
            Self::Finishing(Ending::Bare) => 4,
            Self::Saying => 5,
            Self::Shut => 6,
        };
        writer.u8("outlet", number);
        if let Self::ClosingAt { code, cause } = self {
            writer.u16("closing_code", code.number());
            writer.text("closing_cause", cause.name());
        }
    }

    fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        Ok(match reader.u8("outlet")? {
            0 => Self::Open,
            1 => {
                let code = reader.u16("closing_code")?;
                let code = CloseCode::from_number(code).ok_or(reader.impossible("closing_code"))?;
                Self::ClosingAt { code, cause: import_cause(reader, "closing_cause")? }
            }
            2 => Self::Closed,
            3 => Self::Finishing(Ending::Plain),
            4 => Self::Finishing(Ending::Bare),
            5 => Self::Saying,
            6 => Self::Shut,
            _ => return Err(reader.impossible("outlet")),
        })
    }
}

fn import_leg(reader: &mut FieldReader<'_>, field: &'static str) -> Result<Leg, ExportFault> {
    match reader.u8(field)? {
        0 => Ok(Leg::Downstream),
        1 => Ok(Leg::Upstream),
        _ => Err(reader.impossible(field)),
    }
}

fn import_cause(reader: &mut FieldReader<'_>, field: &'static str) -> Result<Cause, ExportFault> {
    let name = reader.text(field, CAUSE_NAME_BYTES_MAX)?;
    Cause::from_name(name).ok_or(reader.impossible(field))
}
