//! The values of expressions, and their text.
//!
//! A value is three words; text and lists are shared, so that passing them on copies nothing.

use std::sync::Arc;

use super::pattern::{Found, Pattern};
use super::uri::Uri;
use crate::policy::date_time::{DateTime, TimeSpan};
use crate::policy::jwt::Jwt;

/// Text, shared.
pub type Text = Arc<str>;

/// One value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `byte`.
    Byte(u8),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `double`.
    Double(f64),
    /// `char`, of those that are one unit of UTF-16.
    Char(char),
    /// `string`.
    Text(Text),
    /// `DateTime`.
    DateTime(DateTime),
    /// `TimeSpan`.
    TimeSpan(TimeSpan),
    /// `Guid`.
    Guid(Guid),
    /// `Uri`.
    Uri(Arc<Uri>),
    /// `Jwt`.
    Jwt(Arc<Jwt>),
    /// `BasicAuthCredentials`.
    Basic(Arc<BasicCredentials>),
    /// An array, a `List` or any `IEnumerable`.
    List(Arc<[Value]>),
    /// Values that no variable keeps: parts of the context, enums, regular expressions.
    Inner(Inner),
}

/// Values that live within one evaluation.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub enum Inner {
    /// A part of the context.
    Part(Part),
    /// `StringComparison`.
    Comparison(Comparison),
    /// `DayOfWeek`, from Sunday.
    DayOfWeek(u8),
    /// `RegexOptions`.
    RegexOptions(u8),
    /// `Regex`.
    Pattern(Arc<Pattern>),
    /// `Match`.
    Match(Arc<Found>),
    /// `Match.Groups`.
    Groups(Arc<Found>),
    /// `Group`: the text, if it took part.
    Group(Option<Text>),
    /// `Jwt.Claims`.
    Claims(Arc<Jwt>),
    /// `Random`.
    Random,
    /// `Encoding`.
    Encoding(Encoding),
}

/// Parts of the context: what stands for them is looked up where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Part {
    Context,
    Request,
    Response,
    RequestHeaders,
    ResponseHeaders,
    Url,
    OriginalUrl,
    Query,
    OriginalQuery,
    MatchedParameters,
    Certificate,
    Variables,
    Api,
    Operation,
    Product,
    Subscription,
    User,
    Deployment,
    Gateway,
    LastError,
}

/// How texts are compared: with or without case. Cultures are all the invariant one, which compares like ordinals here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Comparison {
    Exact,
    IgnoreCase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Encoding {
    Utf8,
    Ascii,
}

/// A globally unique id, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// A random one (RFC 9562, version 4) of 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        let mut bytes = bits.to_be_bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Reads the formats D, N, B and P.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (text, is_bare) = match text.as_bytes() {
            [b'{', .., b'}'] | [b'(', .., b')'] => (&text[1..text.len() - 1], false),
            _ => (text, true),
        };
        let digits: Vec<u8> = match text.len() {
            32 if is_bare => text.bytes().collect(),
            36 if [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-') => {
                text.bytes().filter(|byte| *byte != b'-').collect()
            }
            _ => return None,
        };
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self(bytes))
    }

    /// As `format` asks for: D, N, B or P.
    pub(super) fn written(self, format: &str) -> Option<String> {
        let hex = format!("{:032x}", u128::from_be_bytes(self.0));
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Some(match format {
            "" | "D" | "d" => parts.join("-"),
            "N" | "n" => hex,
            "B" | "b" => format!("{{{}}}", parts.join("-")),
            "P" | "p" => format!("({})", parts.join("-")),
            _ => return None,
        })
    }
}

/// The content of an `Authorization: Basic` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicCredentials {
    /// Before the first colon.
    pub user_id: Text,
    /// Behind it.
    pub password: Text,
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn part(part: Part) -> Self {
        Self::Inner(Inner::Part(part))
    }

    /// Returns the result of `ToString()`; `None` for values without a text of their own here.
    pub fn written(&self) -> Option<Text> {
        Some(match self {
            Self::Text(text) => Arc::clone(text),
            Self::Null => "".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Byte(number) => number.to_string().into(),
            Self::Int(number) => number.to_string().into(),
            Self::Long(number) => number.to_string().into(),
            Self::Double(number) => super::number::shortest(*number).into(),
            Self::Char(character) => character.encode_utf8(&mut [0; 4]).into(),
            Self::DateTime(time) => time.written("G").ok()?.into(),
            Self::TimeSpan(span) => span.written().into(),
            Self::Guid(guid) => guid.written("D")?.into(),
            Self::Uri(uri) => uri.text().into(),
            Self::Inner(Inner::Match(found)) => found.text(),
            Self::Inner(Inner::Group(text)) => text.clone().unwrap_or_default(),
            Self::Inner(Inner::DayOfWeek(day)) => {
                crate::policy::date_time::DAYS.get(usize::from(*day))?.to_owned().into()
            }
            Self::Inner(Inner::Pattern(pattern)) => pattern.text().into(),
            Self::Jwt(_) | Self::Basic(_) | Self::List(_) | Self::Inner(_) => return None,
        })
    }

    /// Whether `==` holds between values of one type.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Byte(one), Self::Byte(two)) => one == two,
            (Self::Int(one), Self::Int(two)) => one == two,
            (Self::Long(one), Self::Long(two)) => one == two,
            (Self::Double(one), Self::Double(two)) => one == two,
            (Self::Char(one), Self::Char(two)) => one == two,
            (Self::Text(one), Self::Text(two)) => one == two,
            (Self::DateTime(one), Self::DateTime(two)) => one.ticks() == two.ticks(),
            (Self::TimeSpan(one), Self::TimeSpan(two)) => one == two,
            (Self::Guid(one), Self::Guid(two)) => one == two,
            (Self::Uri(one), Self::Uri(two)) => one.text() == two.text(),
            (Self::Jwt(one), Self::Jwt(two)) => Arc::ptr_eq(one, two),
            (Self::Basic(one), Self::Basic(two)) => Arc::ptr_eq(one, two),
            (Self::List(one), Self::List(two)) => Arc::ptr_eq(one, two),
            (Self::Inner(Inner::DayOfWeek(one)), Self::Inner(Inner::DayOfWeek(two))) => one == two,
            (Self::Inner(Inner::Comparison(one)), Self::Inner(Inner::Comparison(two))) => one == two,
            _ => false,
        }
    }
}
