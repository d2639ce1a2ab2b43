//! What a `trace` policy says, and its form as one line.

use crate::limits::POLICY_TEXT_BYTES_MAX;
use crate::policy::expression::Text;

/// How much a line in the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Not to be looked at every day.
    Verbose,
    /// A change of state.
    Information,
    /// To be read next morning.
    Error,
}

impl Severity {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verbose => "verbose",
            Self::Information => "information",
            Self::Error => "error",
        }
    }
}

/// What a `trace` policy says. It shows no value of it, as it may quote a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceLine {
    /// How much it matters.
    pub severity: Severity,
    /// The source that the document names.
    pub source: Text,
    /// The message.
    pub message: String,
    /// Names and values.
    pub metadata: Vec<(Text, String)>,
}

impl core::fmt::Debug for TraceLine {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "TraceLine({}, {})", self.severity.name(), self.source)
    }
}

impl TraceLine {
    /// The same with its texts changed by `mask`.
    #[must_use]
    pub fn masked(self, mask: impl Fn(&str) -> String) -> Self {
        let Self { severity, source, message, metadata } = self;
        let masked = |(name, value): (Text, String)| (mask(&name).into(), mask(&value));
        let metadata = metadata.into_iter().map(masked).collect();
        Self { severity, source: mask(&source).into(), message: mask(&message), metadata }
    }

    /// Message and metadata on one line, with control characters escaped, and in bounds.
    pub fn on_one_line(&self) -> String {
        let mut line = String::new();
        push_escaped(&mut line, &self.message);
        for (name, value) in &self.metadata {
            line.push_str(", ");
            push_escaped(&mut line, name);
            line.push('=');
            push_escaped(&mut line, value);
        }
        if line.len() > POLICY_TEXT_BYTES_MAX {
            line.truncate(line.floor_char_boundary(POLICY_TEXT_BYTES_MAX));
            line.push('…');
        }
        line
    }
}

/// Adds text with its control characters escaped.
fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}
