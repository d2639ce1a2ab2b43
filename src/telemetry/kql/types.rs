//! The types of a query's values, and values that are written out.

use core::fmt;

use crate::observe::tables::ColumnType;

/// A scalar type of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// True or false.
    Bool,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// A floating-point number.
    Real,
    /// Text, never null.
    String,
    /// A point in time, in units of 100 ns since 0001-01-01 UTC.
    Datetime,
    /// A length of time, in units of 100 ns.
    Timespan,
    /// JSON.
    Dynamic,
}

impl Type {
    /// Its name in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Real => "real",
            Self::String => "string",
            Self::Datetime => "datetime",
            Self::Timespan => "timespan",
            Self::Dynamic => "dynamic",
        }
    }

    /// The type of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "bool" | "boolean" => Self::Bool,
            "int" => Self::Int,
            "long" => Self::Long,
            "real" | "double" => Self::Real,
            "string" => Self::String,
            "datetime" | "date" => Self::Datetime,
            "timespan" | "time" => Self::Timespan,
            "dynamic" => Self::Dynamic,
            _ => return None,
        })
    }

    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Int | Self::Long)
    }

    pub(super) fn is_number(self) -> bool {
        self.is_integer() || self == Self::Real
    }
}

impl From<ColumnType> for Type {
    fn from(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Datetime => Self::Datetime,
            ColumnType::String => Self::String,
            ColumnType::Int => Self::Int,
            ColumnType::Long => Self::Long,
            ColumnType::Real => Self::Real,
            ColumnType::Bool => Self::Bool,
            ColumnType::Dynamic => Self::Dynamic,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A value that is written out in a query, or known before it runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null(Type),
    Bool(bool),
    Int(i32),
    Long(i64),
    Real(f64),
    Text(String),
    Datetime(i64),
    Timespan(i64),
    /// Compact JSON, not null.
    Dynamic(String),
}

impl Literal {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Null(kind) => *kind,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Long(_) => Type::Long,
            Self::Real(_) => Type::Real,
            Self::Text(_) => Type::String,
            Self::Datetime(_) => Type::Datetime,
            Self::Timespan(_) => Type::Timespan,
            Self::Dynamic(_) => Type::Dynamic,
        }
    }

    /// The whole number that it is.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(i64::from(*number)),
            Self::Long(number) => Some(*number),
            Self::Null(_)
            | Self::Bool(_)
            | Self::Real(_)
            | Self::Text(_)
            | Self::Datetime(_)
            | Self::Timespan(_)
            | Self::Dynamic(_) => None,
        }
    }

    /// The units of an integer, a point in time or a length of time.
    pub(super) fn units(&self) -> Option<i64> {
        match self {
            Self::Datetime(ticks) | Self::Timespan(ticks) => Some(*ticks),
            other => other.integer(),
        }
    }
}
