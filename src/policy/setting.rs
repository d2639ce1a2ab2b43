//! The compiled form of an attribute or an element's text: a value, or an expression that gives one.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what an expression was compiled to give is one or two kinds of values, or null"
)]

use super::contract::{Evaluation, Running};
use super::exchange::fields::ExistsAction;
use super::expression::{Text, Value, Wanted};
use super::failure::Failure;

/// A value that can be given as text.
pub(crate) trait Literal: Sized + Clone + Send + Sync {
    /// The allowed texts, in words.
    const ALLOWED: &'static str;
    /// The type that an expression for it has to return.
    const WANTED: Wanted;

    /// Reads it.
    fn parse(text: &str) -> Option<Self>;

    /// Takes what an expression gave.
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Self::parse(if value { "true" } else { "false" }),
            Value::Int(value) => Self::parse(&value.to_string()),
            Value::Text(text) => Self::parse(&text),
            _ => Self::parse(""),
        }
    }
}

impl Literal for Text {
    const ALLOWED: &'static str = "text";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            // `null`.
            _ => Some("".into()),
        }
    }
}

impl Literal for bool {
    const ALLOWED: &'static str = "true or false";
    const WANTED: Wanted = Wanted::Bool;

    fn parse(text: &str) -> Option<Self> {
        match text {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// The status of an answer that opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16);

impl Literal for Status {
    const ALLOWED: &'static str = "a status from 200 to 599";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        let status = text.parse().ok()?;
        // A policy cannot make a session of nothing, so it gives no 101.
        (200..=599).contains(&status).then_some(Self(status))
    }
}

impl Literal for ExistsAction {
    const ALLOWED: &'static str = "override, skip, append or delete";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "override" => Some(Self::Override),
            "skip" => Some(Self::Skip),
            "append" => Some(Self::Append),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// A value, or where it comes from.
#[derive(Debug)]
pub(crate) enum Setting<T> {
    /// The same for every handshake.
    Fixed(T, Shown),
    /// Evaluated at each.
    Evaluated(Evaluation),
}

/// How a setting is shown: its text, secrets masked.
pub(crate) type Shown = Box<str>;

impl<T> Setting<T> {
    /// How it is shown.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Fixed(_, shown) => shown,
            Self::Evaluated(evaluation) => &evaluation.shown,
        }
    }

    /// The value, if it is the same for every handshake.
    pub(crate) fn fixed(&self) -> Option<&T> {
        match self {
            Self::Fixed(value, _) => Some(value),
            Self::Evaluated(_) => None,
        }
    }
}

impl<T: Literal> Setting<T> {
    /// The value for this handshake.
    pub(crate) fn value(&self, running: &mut Running<'_>) -> Result<T, Failure> {
        match self {
            Self::Fixed(value, _) => Ok(value.clone()),
            Self::Evaluated(evaluation) => {
                let value = running.evaluate(evaluation)?;
                T::of(value).ok_or_else(|| {
                    Failure::evaluation(format!("The value of an expression is not {}.", T::ALLOWED))
                })
            }
        }
    }

    /// The value for this handshake; `None` if an expression gave `null`.
    pub(crate) fn value_or_null(&self, running: &mut Running<'_>) -> Result<Option<T>, Failure> {
        if let Self::Evaluated(evaluation) = self
            && T::WANTED == Wanted::Text
        {
            return match running.evaluate(evaluation)? {
                Value::Null => Ok(None),
                value => Ok(T::of(value)),
            };
        }
        self.value(running).map(Some)
    }
}

/// How an optional setting is shown.
/// The settings of a list, each as it is shown, with commas between them.
pub(crate) fn shown_list<T>(settings: &[Setting<T>]) -> String {
    settings.iter().map(Setting::shown).collect::<Vec<_>>().join(", ")
}

/// The same behind a colon; nothing if there are none.
pub(crate) fn shown_behind_colon<T>(settings: &[Setting<T>]) -> String {
    if settings.is_empty() { String::new() } else { format!(": {}", shown_list(settings)) }
}

pub(crate) fn shown_or<'s, T>(setting: Option<&'s Setting<T>>, absent: &'s str) -> &'s str {
    setting.map_or(absent, Setting::shown)
}
