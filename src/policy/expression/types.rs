//! The types of the language, and their conversions.
//!
//! A type is small and copied. There are no collections of collections: nothing in a handshake needs one, and their absence
//! keeps every type one word.

use core::fmt;

/// The kind of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Bool,
    Byte,
    Int,
    Long,
    Double,
    Char,
    Text,
    DateTime,
    TimeSpan,
    Guid,
    Comparison,
    RegexOptions,
    DayOfWeek,
    Object,
    Uri,
    Regex,
    Match,
    Group,
    Groups,
    Jwt,
    Basic,
    Random,
    Encoding,
    Exception,
    // Parts of the context, which no expression can keep.
    Context,
    Request,
    Response,
    Url,
    Headers,
    Query,
    Claims,
    Pairs,
    Variables,
    Api,
    Operation,
    Product,
    Subscription,
    User,
    Deployment,
    Gateway,
    LastError,
    Certificate,
    // Names of classes that have static members only.
    Convert,
    Math,
    /// The element of the collection that a member belongs to; in the table of members only.
    Element,
    /// The result of a member's lambda; in the table of members only.
    Made,
}

impl Kind {
    /// The name in C#, and in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Byte => "byte",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::Char => "char",
            Self::Text => "string",
            Self::DateTime => "DateTime",
            Self::TimeSpan => "TimeSpan",
            Self::Guid => "Guid",
            Self::Comparison => "StringComparison",
            Self::RegexOptions => "RegexOptions",
            Self::DayOfWeek => "DayOfWeek",
            Self::Object => "object",
            Self::Uri => "Uri",
            Self::Regex => "Regex",
            Self::Match => "Match",
            Self::Group => "Group",
            Self::Groups => "GroupCollection",
            Self::Jwt => "Jwt",
            Self::Basic => "BasicAuthCredentials",
            Self::Random => "Random",
            Self::Encoding => "Encoding",
            Self::Exception => "Exception",
            Self::Context => "context",
            Self::Request => "context.Request",
            Self::Response => "context.Response",
            Self::Url => "context.Request.Url",
            Self::Headers => "Headers",
            Self::Query => "Url.Query",
            Self::Claims => "Jwt.Claims",
            Self::Pairs => "context.Request.MatchedParameters",
            Self::Variables => "context.Variables",
            Self::Api => "context.Api",
            Self::Operation => "context.Operation",
            Self::Product => "context.Product",
            Self::Subscription => "context.Subscription",
            Self::User => "context.User",
            Self::Deployment => "context.Deployment",
            Self::Gateway => "context.Deployment.Gateway",
            Self::LastError => "context.LastError",
            Self::Certificate => "context.Request.Certificate",
            Self::Convert => "Convert",
            Self::Math => "Math",
            Self::Element => "T",
            Self::Made => "U",
        }
    }

    /// Whether it is a struct or an enum: never null, unless as `T?`.
    pub(super) fn is_struct(self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Byte
                | Self::Int
                | Self::Long
                | Self::Double
                | Self::Char
                | Self::DateTime
                | Self::TimeSpan
                | Self::Guid
                | Self::Comparison
                | Self::RegexOptions
                | Self::DayOfWeek
        )
    }

    /// Whether a value may outlive its evaluation, in a variable.
    pub(super) fn can_be_kept(self) -> bool {
        self.is_struct() || matches!(self, Self::Text | Self::Object | Self::Uri | Self::Jwt | Self::Basic)
    }

    /// Its place among the numbers that convert to the next wider one.
    pub(super) fn width(self) -> Option<u8> {
        match self {
            Self::Byte | Self::Char => Some(0),
            Self::Int => Some(1),
            Self::Long => Some(2),
            Self::Double => Some(3),
            _ => None,
        }
    }
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Type {
    /// `null`.
    Null,
    /// A call without a value.
    Void,
    /// `throw`: it fits everything.
    Never,
    One(Kind),
    /// `T?` of a struct.
    Nullable(Kind),
    /// `T[]`.
    Array(Kind),
    /// `List<T>`.
    List(Kind),
    /// `IEnumerable<T>`.
    Sequence(Kind),
    /// The name of a class, for its static members.
    Class(Kind),
}

impl Type {
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::One(kind) | Self::Nullable(kind) => Some(kind),
            Self::Null
            | Self::Void
            | Self::Never
            | Self::Array(_)
            | Self::List(_)
            | Self::Sequence(_)
            | Self::Class(_) => None,
        }
    }

    /// Returns the type of a collection's elements.
    pub(super) fn element(self) -> Option<Kind> {
        match self {
            Self::Array(kind) | Self::List(kind) | Self::Sequence(kind) => Some(kind),
            Self::Null | Self::Void | Self::Never | Self::One(_) | Self::Nullable(_) | Self::Class(_) => None,
        }
    }

    /// Whether `null` is one of its values.
    pub(super) fn can_be_null(self) -> bool {
        match self {
            Self::One(kind) => !kind.is_struct(),
            Self::Null
            | Self::Nullable(_)
            | Self::Array(_)
            | Self::List(_)
            | Self::Sequence(_)
            | Self::Never => true,
            Self::Void | Self::Class(_) => false,
        }
    }

    /// Returns the type that `?.` and a lifted operator make of it.
    pub(super) fn or_null(self) -> Self {
        match self {
            Self::One(kind) if kind.is_struct() => Self::Nullable(kind),
            same => same,
        }
    }

    /// The same without `?`.
    pub(super) fn not_null(self) -> Self {
        match self {
            Self::Nullable(kind) => Self::One(kind),
            same => same,
        }
    }

    /// Fills a type of the table of members in with the types of the lambda and the element.
    pub(super) fn filled(self, element: Option<Kind>, made: Option<Kind>) -> Self {
        let fill = |kind| match kind {
            Kind::Element => element.unwrap_or(kind),
            Kind::Made => made.unwrap_or(kind),
            other => other,
        };
        match self {
            Self::One(kind) => Self::One(fill(kind)),
            Self::Nullable(kind) => Self::Nullable(fill(kind)),
            Self::Array(kind) => Self::Array(fill(kind)),
            Self::List(kind) => Self::List(fill(kind)),
            Self::Sequence(kind) => Self::Sequence(fill(kind)),
            Self::Class(kind) => Self::Class(fill(kind)),
            same @ (Self::Null | Self::Void | Self::Never) => same,
        }
    }

    /// How far `self` is from `to` by C#'s implicit conversions; 0 is the same type. `None`: there is none.
    pub(super) fn distance(self, to: Self) -> Option<u8> {
        if self == to || self == Self::Never {
            return Some(0);
        }
        match (self, to) {
            (Self::Null, _) if to.can_be_null() => Some(1),
            (Self::Void | Self::Class(_) | Self::Null, _) => None,
            (_, Self::One(Kind::Object)) => Some(20),
            (Self::One(from), Self::Nullable(to)) if from == to => Some(1),
            (Self::One(from) | Self::Nullable(from), Self::Nullable(to)) => {
                widening(from, to).map(|steps| steps + 1)
            }
            (Self::One(from), Self::One(to)) => widening(from, to),
            (Self::Array(from) | Self::List(from), Self::Sequence(to)) if from == to => Some(1),
            (Self::Array(from) | Self::List(from) | Self::Sequence(from), Self::Sequence(Kind::Object)) => {
                // Only collections of classes are covariant.
                (!from.is_struct()).then_some(2)
            }
            _ => None,
        }
    }

    pub(super) fn converts_to(self, to: Self) -> bool {
        self.distance(to).is_some()
    }

    /// The type both convert to, for `?:`, `??` and the elements of an array.
    pub(super) fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Null, Self::One(kind)) | (Self::One(kind), Self::Null) if kind.is_struct() => None,
            _ if self.converts_to(other) => Some(other),
            _ if other.converts_to(self) => Some(self),
            _ => None,
        }
    }
}

fn widening(from: Kind, to: Kind) -> Option<u8> {
    match (from.width()?, to.width()?) {
        // Nothing converts to a char or a byte by itself.
        (from, to) if from < to => Some(to - from),
        _ if from == to => Some(0),
        _ => None,
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Void => formatter.write_str("void"),
            Self::Never => formatter.write_str("throw"),
            Self::One(kind) | Self::Class(kind) => formatter.write_str(kind.name()),
            Self::Nullable(kind) => write!(formatter, "{}?", kind.name()),
            Self::Array(kind) => write!(formatter, "{}[]", kind.name()),
            Self::List(kind) => write!(formatter, "List<{}>", kind.name()),
            Self::Sequence(kind) => write!(formatter, "IEnumerable<{}>", kind.name()),
        }
    }
}

/// Every type that an expression can name, under its short name.
pub(super) const NAMED: [(&str, Kind); 37] = [
    ("string", Kind::Text),
    ("String", Kind::Text),
    ("bool", Kind::Bool),
    ("Boolean", Kind::Bool),
    ("byte", Kind::Byte),
    ("Byte", Kind::Byte),
    ("int", Kind::Int),
    ("Int32", Kind::Int),
    ("long", Kind::Long),
    ("Int64", Kind::Long),
    ("double", Kind::Double),
    ("Double", Kind::Double),
    ("char", Kind::Char),
    ("Char", Kind::Char),
    ("object", Kind::Object),
    ("Object", Kind::Object),
    ("DateTime", Kind::DateTime),
    ("TimeSpan", Kind::TimeSpan),
    ("DayOfWeek", Kind::DayOfWeek),
    ("Guid", Kind::Guid),
    ("StringComparison", Kind::Comparison),
    ("Uri", Kind::Uri),
    ("Regex", Kind::Regex),
    ("RegexOptions", Kind::RegexOptions),
    ("Match", Kind::Match),
    ("Group", Kind::Group),
    ("Jwt", Kind::Jwt),
    ("BasicAuthCredentials", Kind::Basic),
    ("Random", Kind::Random),
    ("Encoding", Kind::Encoding),
    ("Convert", Kind::Convert),
    ("Math", Kind::Math),
    ("Exception", Kind::Exception),
    ("ArgumentException", Kind::Exception),
    ("InvalidOperationException", Kind::Exception),
    ("FormatException", Kind::Exception),
    ("NotSupportedException", Kind::Exception),
];

/// The namespaces in which those types are.
pub(super) const NAMESPACES: [&str; 6] = [
    "System",
    "System.Text",
    "System.Text.RegularExpressions",
    "System.Linq",
    "System.Collections",
    "System.Collections.Generic",
];

/// Types of Azure API Management's list that this language has not, so that they are refused by name.
pub(super) const UNSUPPORTED: [&str; 22] = [
    "JObject",
    "JToken",
    "JArray",
    "JProperty",
    "JValue",
    "JsonConvert",
    "XElement",
    "XDocument",
    "XNode",
    "SHA256",
    "SHA512",
    "SHA1",
    "MD5",
    "HMACSHA256",
    "HMACSHA512",
    "StringBuilder",
    "Dictionary",
    "HashSet",
    "DateTimeOffset",
    "decimal",
    "float",
    "Stopwatch",
];
