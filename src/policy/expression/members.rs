//! The one table of members: names, types and functions. Checking and evaluation both use it, and so does the list that users
//! read (`tests/golden/expression-members.txt`).
//!
//! A row gets only arguments of its own types: the checker has converted them. It may get `null` where the type has it.
//!
//! Not here: operators, casts, and how an overload is chosen (`checker`).

mod collection;
mod context;
mod number;
mod regex;
mod text;
mod time;
mod token;

use core::fmt;
use std::sync::Arc;

use super::code::Lambda;
use super::fault::{Exception, Raised};
use super::run::{Outcome, Run};
use super::types::{Kind, Type};
use super::value::{Comparison, Guid, Inner, Part, Text, Value};
use crate::policy::date_time::{DateTime, TimeSpan};

/// The types that a member takes at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    A(Type),
    /// A lambda from the collection's element to this.
    Lambda(Kind),
    /// `out` a variable of this type: what the row gives goes there, and the call is whether it is not null.
    Out(Type),
    /// Any number of these: `params`.
    Rest(Type),
    /// The text of a regular expression, compiled at publish if it is written out. `RegexOptions` behind it belong to it.
    Pattern,
}

/// A member of a type.
pub(super) struct Member {
    /// The type that it is a member of; [`Type::Class`] for static ones.
    pub(super) on: Type,
    /// `[]` for an indexer, `new` for a constructor.
    pub(super) name: &'static str,
    /// `None` for properties.
    pub(super) takes: Option<&'static [Takes]>,
    pub(super) gives: Type,
    pub(super) run: fn(&mut Run<'_>, &Call<'_>) -> Outcome,
    /// Whether it gives the same for the same arguments, always.
    pub(super) is_pure: bool,
    /// Whether it may be called on `null`, as extension methods may.
    pub(super) takes_null: bool,
    /// Checks these arguments where they are constants.
    pub(super) check: Option<CheckOfArguments>,
}

/// Says what is wrong with arguments that are written out.
pub(super) type CheckOfArguments = fn(&[Value]) -> Result<(), String>;

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.on, self.name)
    }
}

const fn property(
    on: Type,
    name: &'static str,
    gives: Type,
    run: fn(&mut Run<'_>, &Call<'_>) -> Outcome,
) -> Member {
    Member { on, name, takes: None, gives, run, is_pure: true, takes_null: false, check: None }
}

const fn method(
    on: Type,
    name: &'static str,
    takes: &'static [Takes],
    gives: Type,
    run: fn(&mut Run<'_>, &Call<'_>) -> Outcome,
) -> Member {
    Member { on, name, takes: Some(takes), gives, run, is_pure: true, takes_null: false, check: None }
}

impl Member {
    /// It depends on the context or on chance.
    const fn varies(mut self) -> Self {
        self.is_pure = false;
        self
    }

    const fn on_null(mut self) -> Self {
        self.takes_null = true;
        self
    }

    const fn checked(mut self, check: fn(&[Value]) -> Result<(), String>) -> Self {
        self.check = Some(check);
        self
    }

    pub(super) fn is_static(&self) -> bool {
        matches!(self.on, Type::Class(_))
    }
}

/// The row as users read it.
impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |takes: &[Takes]| takes.iter().map(Takes::to_string).collect::<Vec<_>>().join(", ");
        let takes = self.takes.unwrap_or_default();
        let kind = if self.is_static() { "static " } else { "" };
        match (self.name, self.takes) {
            ("new", _) => write!(formatter, "new {}({})", self.on, list(takes)),
            ("[]", _) => write!(formatter, "{}[{}]: {}", self.on, list(takes), self.gives),
            (name, None) => write!(formatter, "{kind}{}.{name}: {}", self.on, self.gives),
            (name, Some(_)) => {
                let gives = if takes.iter().any(|takes| matches!(takes, Takes::Out(_))) {
                    Type::One(Kind::Bool)
                } else {
                    self.gives
                };
                write!(formatter, "{kind}{}.{name}({}): {gives}", self.on, list(takes))
            }
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(taken) => write!(formatter, "{taken}"),
            Self::Lambda(Kind::Made) => formatter.write_str("T => U"),
            Self::Lambda(result) => write!(formatter, "T => {}", result.name()),
            Self::Out(given) => write!(formatter, "out {given}"),
            Self::Rest(taken) => write!(formatter, "params {taken}[]"),
            Self::Pattern => formatter.write_str("string pattern"),
        }
    }
}

/// Every row.
pub(super) fn all() -> impl Iterator<Item = &'static Member> {
    [
        context::MEMBERS,
        text::MEMBERS,
        collection::MEMBERS,
        number::MEMBERS,
        time::MEMBERS,
        regex::MEMBERS,
        token::MEMBERS,
    ]
    .into_iter()
    .flatten()
}

/// The rows that a value of type `on` has, or a class.
pub(super) fn of(on: Type) -> impl Iterator<Item = &'static Member> {
    all().filter(move |member| belongs(member.on, on))
}

fn belongs(member: Type, on: Type) -> bool {
    match (member, on) {
        (Type::Class(member), Type::Class(on)) => member == on,
        (Type::One(member), Type::One(on)) => member == on,
        (Type::Nullable(_), Type::Nullable(_)) => true,
        (Type::Array(_), Type::Array(_)) | (Type::List(_), Type::List(_)) => true,
        (Type::Sequence(_), Type::Array(_) | Type::List(_) | Type::Sequence(_)) => true,
        _ => false,
    }
}

/// The arguments of a call.
pub(super) struct Call<'c> {
    /// The value before the dot; `null` for static members.
    pub(super) on: Value,
    pub(super) arguments: Vec<Value>,
    pub(super) lambda: Option<&'c Lambda>,
    /// The type in `<…>`.
    pub(super) made: Option<Kind>,
}

/// A value of another type than the row's: the checker let something through.
fn mistyped() -> Raised {
    Raised::new(Exception::InvalidCast, "a value is not of the type that was checked")
}

impl Call<'_> {
    fn argument(&self, index: usize) -> &Value {
        self.arguments.get(index).unwrap_or(&Value::Null)
    }

    /// The text that it is called on.
    fn on_text(&self) -> Result<&Text, Raised> {
        if let Value::Text(text) = &self.on { Ok(text) } else { Err(mistyped()) }
    }

    fn on_list(&self) -> Result<&Arc<[Value]>, Raised> {
        match &self.on {
            Value::List(list) => Ok(list),
            Value::Null => Err(Raised::argument_null("source")),
            _ => Err(mistyped()),
        }
    }

    fn on_time(&self) -> Result<DateTime, Raised> {
        if let Value::DateTime(time) = self.on { Ok(time) } else { Err(mistyped()) }
    }

    fn on_span(&self) -> Result<TimeSpan, Raised> {
        if let Value::TimeSpan(span) = self.on { Ok(span) } else { Err(mistyped()) }
    }

    fn on_part(&self) -> Result<Part, Raised> {
        if let Value::Inner(Inner::Part(part)) = self.on { Ok(part) } else { Err(mistyped()) }
    }

    /// A text that may not be null.
    fn text(&self, index: usize) -> Result<&Text, Raised> {
        self.text_or_null(index).ok_or_else(|| Raised::argument_null("value"))
    }

    fn text_or_null(&self, index: usize) -> Option<&Text> {
        if let Value::Text(text) = self.argument(index) { Some(text) } else { None }
    }

    fn int(&self, index: usize) -> Result<i32, Raised> {
        if let Value::Int(number) = self.argument(index) { Ok(*number) } else { Err(mistyped()) }
    }

    fn long(&self, index: usize) -> Result<i64, Raised> {
        if let Value::Long(number) = self.argument(index) { Ok(*number) } else { Err(mistyped()) }
    }

    fn double(&self, index: usize) -> Result<f64, Raised> {
        if let Value::Double(number) = self.argument(index) { Ok(*number) } else { Err(mistyped()) }
    }

    fn char(&self, index: usize) -> Result<char, Raised> {
        if let Value::Char(character) = self.argument(index) { Ok(*character) } else { Err(mistyped()) }
    }

    fn time(&self, index: usize) -> Result<DateTime, Raised> {
        if let Value::DateTime(time) = self.argument(index) { Ok(*time) } else { Err(mistyped()) }
    }

    fn span(&self, index: usize) -> Result<TimeSpan, Raised> {
        if let Value::TimeSpan(span) = self.argument(index) { Ok(*span) } else { Err(mistyped()) }
    }

    fn guid(&self, index: usize) -> Result<Guid, Raised> {
        if let Value::Guid(guid) = self.argument(index) { Ok(*guid) } else { Err(mistyped()) }
    }

    fn list(&self, index: usize) -> Result<&Arc<[Value]>, Raised> {
        match self.argument(index) {
            Value::List(list) => Ok(list),
            Value::Null => Err(Raised::argument_null("values")),
            _ => Err(mistyped()),
        }
    }

    /// How to compare; exactly where nothing is said.
    fn comparison(&self, index: usize) -> Comparison {
        if let Value::Inner(Inner::Comparison(comparison)) = self.argument(index) {
            *comparison
        } else {
            Comparison::Exact
        }
    }
}

/// Returns the value of a variable of this type before anything is assigned to it.
pub(super) fn default_of_type(of: Type) -> Value {
    if let Type::One(kind) = of { default_of(kind) } else { Value::Null }
}

/// The same of a kind.
pub(super) fn default_of(kind: Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(false),
        Kind::Byte => Value::Byte(0),
        Kind::Int => Value::Int(0),
        Kind::Long => Value::Long(0),
        Kind::Double => Value::Double(0.0),
        Kind::Char => Value::Char('\0'),
        Kind::DateTime => Value::DateTime(DateTime::MIN),
        Kind::TimeSpan => Value::TimeSpan(TimeSpan(0)),
        Kind::Guid => Value::Guid(Guid([0; 16])),
        Kind::DayOfWeek => Value::Inner(Inner::DayOfWeek(0)),
        Kind::RegexOptions => Value::Inner(Inner::RegexOptions(0)),
        Kind::Comparison => Value::Inner(Inner::Comparison(Comparison::Exact)),
        _ => Value::Null,
    }
}

/// Types by short names, for the rows.
mod short {
    use super::{Kind, Type};

    pub(super) const TEXT: Type = Type::One(Kind::Text);
    pub(super) const BOOL: Type = Type::One(Kind::Bool);
    pub(super) const INT: Type = Type::One(Kind::Int);
    pub(super) const LONG: Type = Type::One(Kind::Long);
    pub(super) const DOUBLE: Type = Type::One(Kind::Double);
    pub(super) const CHAR: Type = Type::One(Kind::Char);
    pub(super) const OBJECT: Type = Type::One(Kind::Object);
    pub(super) const TIME: Type = Type::One(Kind::DateTime);
    pub(super) const SPAN: Type = Type::One(Kind::TimeSpan);
    pub(super) const GUID: Type = Type::One(Kind::Guid);
    pub(super) const URI: Type = Type::One(Kind::Uri);
    pub(super) const COMPARISON: Type = Type::One(Kind::Comparison);
    pub(super) const TEXTS: Type = Type::Array(Kind::Text);
    pub(super) const BYTES: Type = Type::Array(Kind::Byte);
}
