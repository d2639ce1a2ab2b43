//! Time as the core knows it: handed in, never asked for.

use crate::export::{ExportFault, FieldReader, FieldWriter};

/// A point in time: milliseconds since an origin that the shell chose. Only shells make one from a clock.
///
/// A moment may be before the origin: what a session that came from another process knows of its past is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The origin.
    pub const ZERO: Self = Self(0);

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
        Self(self.0.saturating_add_unsigned(millis))
    }

    /// So many milliseconds earlier; the beginning of time at most.
    pub fn before_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(millis))
    }

    /// Milliseconds from `earlier` to this; 0 if `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u64 {
        if earlier < self { self.0.abs_diff(earlier.0) } else { 0 }
    }

    /// Writes this moment as milliseconds from `now` to it, which are negative if it is past.
    ///
    /// Clocks of two processes differ in their origin, so a moment is exported relative to `now` of the process that exports, and
    /// imported relative to `now` of the one that imports. Time stands still in between: whoever wants the journey to count adds its
    /// duration to the second one. All moments of one session have the same `now`, so what lies between them stays the same.
    pub fn export(self, writer: &mut FieldWriter, field: &'static str, now: Self) {
        writer.i64(field, self.0.saturating_sub(now.0));
    }

    /// Reads what [`Moment::export`] wrote. `now` is that of the importing process.
    ///
    /// # Errors
    /// The export ends within it.
    pub fn import(reader: &mut FieldReader<'_>, field: &'static str, now: Self) -> Result<Self, ExportFault> {
        Ok(Self(now.0.saturating_add(reader.i64(field)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::ExportKind;

    fn at(millis: i64) -> Moment {
        Moment(millis)
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
        assert_eq!((beginning.before_millis(1), beginning), (beginning, at(i64::MIN)));
        assert_eq!(end.millis_since(beginning), u64::MAX);
        assert_eq!((beginning.millis_since(end), beginning.as_millis()), (0, 0));
        // An end of time that is exported stays one where the clock is later.
        let mut writer = FieldWriter::new(ExportKind::Session);
        end.export(&mut writer, "moment", Moment::ZERO);
        let bytes = writer.finish();
        let mut reader = FieldReader::new(ExportKind::Session, &bytes).expect("an export");
        assert_eq!(Moment::import(&mut reader, "moment", at(7)), Ok(end));
    }

    #[test]
    fn what_is_past_is_0_milliseconds_away() {
        assert_eq!((at(5).millis_since(at(3)), at(3).millis_since(at(5)), at(-5).as_millis()), (2, 0, 0));
        assert_eq!((at(-5).after_millis(7), at(2).before_millis(7)), (at(2), at(-5)));
    }
}
