//! Time in CORE: always an argument, never read from a clock.

use crate::export::{ExportFault, FieldReader, FieldWriter};
use core::num::NonZeroU64;

/// A point in time: milliseconds since an origin that the shell chose. Only shells make one from a clock.
///
/// A moment may be before the origin: what a session that came from another process knows of its past is.
///
/// It is milliseconds since the beginning of time, which is 2^63 - 1 of them before the origin. That is never 0, so that a moment
/// that may be absent, of which a session has many, is no larger than one that is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

// Every session has several.
const _: () = assert!(size_of::<Option<Moment>>() == size_of::<u64>());

/// The origin, as milliseconds since the beginning of time and one.
const ORIGIN: u64 = 1 << 63;

/// As milliseconds from the origin: so people read it in reports of bugs.
impl core::fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_tuple("Moment").field(&self.signed()).finish()
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Moment {
    /// The origin.
    pub const ZERO: Self = Self(NonZeroU64::MIN.saturating_add(ORIGIN - 1));

    /// Milliseconds from the origin, negative before it.
    fn signed(self) -> i64 {
        (self.0.get() ^ ORIGIN) as i64
    }

    fn from_signed(millis: i64) -> Self {
        Self(NonZeroU64::new(millis as u64 ^ ORIGIN).unwrap_or(NonZeroU64::MIN))
    }

    /// So many milliseconds after the origin.
    pub fn from_millis(millis: u64) -> Self {
        Self::ZERO.after_millis(millis)
    }

    /// Milliseconds since the origin; 0 if it is later.
    pub fn as_millis(self) -> u64 {
        self.millis_since(Self::ZERO)
    }

    /// So many milliseconds later; the end of time at most.
    pub fn after_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// So many milliseconds earlier; the beginning of time at most.
    pub fn before_millis(self, millis: u64) -> Self {
        Self(NonZeroU64::new(self.0.get().saturating_sub(millis)).unwrap_or(NonZeroU64::MIN))
    }

    /// Milliseconds from `earlier` to this; 0 if `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// Writes this moment as milliseconds from `now` to it, which are negative if it is past.
    ///
    /// Clocks of two processes differ in their origin, so a moment is exported relative to `now` of the process that exports, and
    /// imported relative to `now` of the one that imports. Time stands still in between: whoever wants the journey to count adds its
    /// duration to the second one. All moments of one session have the same `now`, so what lies between them stays the same.
    pub fn export(self, writer: &mut FieldWriter, field: &'static str, now: Self) {
        writer.i64(field, self.signed().saturating_sub(now.signed()));
    }

    /// Reads what [`Moment::export`] wrote. `now` is that of the importing process.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn import(reader: &mut FieldReader<'_>, field: &'static str, now: Self) -> Result<Self, ExportFault> {
        Ok(Self::from_signed(now.signed().saturating_add(reader.i64(field)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::ExportKind;

    fn at(millis: i64) -> Moment {
        Moment::from_signed(millis)
    }

    #[test]
    fn a_moment_keeps_its_distance_from_now_whatever_the_origins_are() {
        for distance in [0, 1, -1, 60_000, -60_000, 1 << 40, -(1 << 40)] {
            for (here, there) in [(0, 0), (5, 1_000_000), (1_000_000, 5), (1 << 41, 0)] {
                let mut writer = FieldWriter::new(ExportKind::Session);
                at(here + distance).export(&mut writer, "moment", at(here));
                let bytes = writer.finish();
                let mut reader = FieldReader::new(ExportKind::Session, &bytes).expect("an export");
                assert_eq!(Moment::import(&mut reader, "moment", at(there)), Ok(at(there + distance)));
            }
        }
    }

    #[test]
    fn time_has_a_beginning_and_an_end() {
        let end = Moment::ZERO.after_millis(u64::MAX);
        assert_eq!((end.after_millis(1), end), (end, at(i64::MAX)));
        let beginning = Moment::ZERO.before_millis(u64::MAX);
        assert_eq!((beginning.before_millis(1), beginning), (beginning, at(-i64::MAX)));
        assert_eq!(at(i64::MIN), beginning, "nothing is before the beginning");
        assert_eq!(end.millis_since(beginning), u64::MAX - 1);
        assert_eq!((beginning.millis_since(end), beginning.as_millis()), (0, 0));
        // An end of time that is exported stays one where the clock is later.
        let mut writer = FieldWriter::new(ExportKind::Session);
        end.export(&mut writer, "moment", Moment::ZERO);
        let bytes = writer.finish();
        let mut reader = FieldReader::new(ExportKind::Session, &bytes).expect("an export");
        assert_eq!(Moment::import(&mut reader, "moment", at(7)), Ok(end));
    }

    #[test]
    fn moments_are_ordered_across_the_origin() {
        let moments = [i64::MIN, -5, -1, 0, 1, 5, i64::MAX].map(at);
        assert!(moments.is_sorted() && moments.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!((Moment::default(), Moment::from_millis(3)), (at(0), at(3)));
        assert_eq!(format!("{:?} {:?}", at(-5), at(3)), "Moment(-5) Moment(3)");
    }

    #[test]
    fn what_is_past_is_0_milliseconds_away() {
        assert_eq!((at(5).millis_since(at(3)), at(3).millis_since(at(5)), at(-5).as_millis()), (2, 0, 0));
        assert_eq!((at(-5).after_millis(7), at(2).before_millis(7)), (at(2), at(-5)));
    }
}
