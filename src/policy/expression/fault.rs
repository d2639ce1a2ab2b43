//! Faults of an expression with their positions, and the exceptions that it throws.
//!
//! A fault is found at publish and keeps a catalogue from being published. A [`Thrown`] is an exception, as in C#: the expression
//! was right and its input was not.

use core::fmt;
use std::borrow::Cow;

/// A place in the text that was compiled, `@(` included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Characters before it on its line, plus 1.
    pub column: usize,
}

impl Position {
    /// The place `offset` bytes into `text`; its end, if it has no more.
    pub(super) fn within(text: &str, offset: At) -> Self {
        let mut offset = (offset as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            offset,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// Bytes before a place in the text of an expression.
pub(super) type At = u32;

/// One thing that is wrong with the text of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionFault {
    /// Where.
    pub position: Position,
    /// What, in one line: lower case, without a full stop.
    pub message: String,
}

impl fmt::Display for ExpressionFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.position, self.message)
    }
}

/// A fault whose place is not yet a line and a column.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The fault as its reader sees it: control characters escaped, since it quotes the text.
    pub(super) fn placed(self, text: &str) -> ExpressionFault {
        let mut message = String::with_capacity(self.message.len());
        for character in self.message.chars() {
            if character.is_control() {
                message.extend(character.escape_default());
            } else {
                message.push(character);
            }
        }
        ExpressionFault { position: Position::within(text, self.at), message }
    }
}

/// The kind of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exception {
    /// `Exception`, by a `throw` of the expression's own.
    Plain,
    /// `ArgumentException`.
    Argument,
    /// `ArgumentNullException`.
    ArgumentNull,
    /// `ArgumentOutOfRangeException`.
    ArgumentOutOfRange,
    /// `DivideByZeroException`.
    DivideByZero,
    /// `FormatException`.
    Format,
    /// `IndexOutOfRangeException`.
    IndexOutOfRange,
    /// `InvalidCastException`.
    InvalidCast,
    /// `InvalidOperationException`.
    InvalidOperation,
    /// `KeyNotFoundException`.
    KeyNotFound,
    /// `NotSupportedException`: C# would go on here, ringgate does not.
    NotSupported,
    /// `NullReferenceException`.
    NullReference,
    /// `OverflowException`.
    Overflow,
    /// `UriFormatException`.
    UriFormat,
    /// Not of C#: the expression took more steps or more memory than one may (`limits`).
    Budget,
}

impl Exception {
    /// The exceptions that an expression may `throw new`.
    pub(super) const THROWABLE: [Self; 5] =
        [Self::Plain, Self::Argument, Self::InvalidOperation, Self::Format, Self::NotSupported];

    /// The name of its type in C#.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "Exception",
            Self::Argument => "ArgumentException",
            Self::ArgumentNull => "ArgumentNullException",
            Self::ArgumentOutOfRange => "ArgumentOutOfRangeException",
            Self::DivideByZero => "DivideByZeroException",
            Self::Format => "FormatException",
            Self::IndexOutOfRange => "IndexOutOfRangeException",
            Self::InvalidCast => "InvalidCastException",
            Self::InvalidOperation => "InvalidOperationException",
            Self::KeyNotFound => "KeyNotFoundException",
            Self::NotSupported => "NotSupportedException",
            Self::NullReference => "NullReferenceException",
            Self::Overflow => "OverflowException",
            Self::UriFormat => "UriFormatException",
            Self::Budget => "ExpressionBudgetException",
        }
    }
}

/// An exception that an expression ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// Its type.
    pub exception: Exception,
    /// Its message. It may quote what a client sent.
    pub message: Cow<'static, str>,
    /// Where in the expression.
    pub position: Position,
}

impl fmt::Display for Thrown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.position, self.exception.name(), self.message)
    }
}

/// An exception on its way out of the evaluation.
#[derive(Debug)]
pub(super) struct Raised {
    pub(super) exception: Exception,
    pub(super) message: Cow<'static, str>,
    /// `None` until it leaves the member that raised it.
    pub(super) at: Option<At>,
}

impl Raised {
    pub(super) fn new(exception: Exception, message: impl Into<Cow<'static, str>>) -> Self {
        Self { exception, message: message.into(), at: None }
    }

    /// As raised at `at`, unless it came from further within.
    pub(super) fn at(mut self, at: At) -> Self {
        self.at.get_or_insert(at);
        self
    }

    pub(super) fn null_reference() -> Self {
        Self::new(Exception::NullReference, "object reference not set to an instance of an object")
    }

    pub(super) fn argument_null(name: &'static str) -> Self {
        Self::new(Exception::ArgumentNull, format!("{name} cannot be null"))
    }

    pub(super) fn out_of_range(what: &'static str) -> Self {
        Self::new(Exception::ArgumentOutOfRange, what)
    }

    pub(super) fn placed(self, text: &str) -> Thrown {
        Thrown {
            exception: self.exception,
            message: self.message,
            position: Position::within(text, self.at.unwrap_or(0)),
        }
    }
}
