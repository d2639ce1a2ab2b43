//! Regular expressions in .NET's syntax, on a matcher that takes linear time.
//!
//! Patterns that need backtracking are refused: lookaround, backreferences, atomic groups, balancing groups, conditionals. Syntax
//! that .NET and the matcher read differently is translated (brackets and `&&` within a class), or refused (subtraction of
//! classes). One difference stays: `$` is the very end (or the end of a line with `Multiline`), not also before a last line feed.

use std::borrow::Cow;
use std::sync::Arc;

use regex_syntax::hir::{Hir, HirKind};

use super::value::Text;
use crate::limits::EXPRESSION_PATTERN_COMPILED_BYTES_MAX;

/// Longest regular expression, in bytes. Over it: a fault at publish, or `ArgumentException` if it is made at a handshake.
const EXPRESSION_PATTERN_BYTES_MAX: usize = 2 * 1024;

/// The same for one that is made at a handshake, possibly of what a client sent. Over it: `ArgumentException`.
const EXPRESSION_PATTERN_MADE_BYTES_MAX: usize = 32 * 1024;

/// `RegexOptions.IgnoreCase`, and so on, by .NET's values.
pub(super) const IGNORE_CASE: u8 = 1;
pub(super) const MULTILINE: u8 = 2;
pub(super) const COMPILED: u8 = 8;
pub(super) const SINGLELINE: u8 = 16;
pub(super) const IGNORE_PATTERN_WHITESPACE: u8 = 32;
/// `CultureInvariant`, 512 in .NET: everything is invariant here.
pub(super) const CULTURE_INVARIANT: u8 = 64;

/// A compiled regular expression.
#[derive(Debug)]
#[doc(hidden)]
pub struct Pattern {
    text: Text,
    regex: regex::Regex,
    /// .NET's group numbers to the matcher's: .NET counts the named groups after the others.
    groups: Vec<usize>,
    /// The named groups, and their numbers as .NET counts.
    names: Arc<[(String, usize)]>,
    /// The number of states with repetitions written out: so many may be active at each byte of input.
    states: usize,
}

/// One match, with the text of each group that took part.
#[derive(Debug)]
#[doc(hidden)]
pub struct Found {
    pub(super) is_success: bool,
    /// By .NET's numbers.
    pub(super) groups: Vec<Option<Text>>,
    pub(super) names: Arc<[(String, usize)]>,
    /// Where it begins, in units of UTF-16.
    pub(super) index: i32,
}

impl Found {
    pub(super) fn text(&self) -> Text {
        self.groups.first().cloned().flatten().unwrap_or_default()
    }
}

impl Pattern {
    /// Compiles a pattern of .NET's that stands in a policy.
    ///
    /// # Errors
    /// The part that is not supported.
    pub(super) fn written_out(text: &str, options: u8) -> Result<Self, String> {
        Self::new(text, options, EXPRESSION_PATTERN_COMPILED_BYTES_MAX)
    }

    /// The same with a pattern that may hold what a client sent.
    pub(super) fn made_at_run_time(text: &str, options: u8) -> Result<Self, String> {
        Self::new(text, options, EXPRESSION_PATTERN_MADE_BYTES_MAX)
    }

    fn new(text: &str, options: u8, compiled_bytes_max: usize) -> Result<Self, String> {
        if text.len() > EXPRESSION_PATTERN_BYTES_MAX {
            return Err(format!("a regular expression has at most {EXPRESSION_PATTERN_BYTES_MAX} bytes"));
        }
        let translated = translated(text)?;
        let regex = regex::RegexBuilder::new(&translated)
            .case_insensitive(options & IGNORE_CASE != 0)
            .multi_line(options & MULTILINE != 0)
            .dot_matches_new_line(options & SINGLELINE != 0)
            .ignore_whitespace(options & IGNORE_PATTERN_WHITESPACE != 0)
            .size_limit(compiled_bytes_max)
            .dfa_size_limit(EXPRESSION_PATTERN_COMPILED_BYTES_MAX)
            .nest_limit(50)
            .build()
            .map_err(|error| reason(&error))?;
        let names: Vec<bool> = regex.capture_names().map(|name| name.is_some()).collect();
        let numbered =
            |is_named: bool| (0..names.len()).filter(|group| names[*group] == is_named).collect::<Vec<_>>();
        let groups = [numbered(false), numbered(true)].concat();
        let names = regex.capture_names().enumerate().filter_map(|(group, name)| {
            Some((name?.to_owned(), groups.iter().position(|number| *number == group)?))
        });
        let names = names.collect();
        let ignores_space = options & IGNORE_PATTERN_WHITESPACE != 0;
        let parsed =
            regex_syntax::ParserBuilder::new().ignore_whitespace(ignores_space).build().parse(&translated);
        let states = parsed.as_ref().map_or(usize::MAX, states_of);
        Ok(Self { text: text.into(), regex, groups, names, states })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Bytes that looking through `input` counts as: a few states are taken along as fast as one.
    pub(super) fn bytes_to_look_through(&self, input: &str) -> usize {
        input.len().saturating_mul(1 + self.states / 4)
    }

    pub(super) fn is_match(&self, input: &str) -> bool {
        self.regex.is_match(input)
    }

    /// The first match; one without success if there is none.
    pub(super) fn first(&self, input: &str) -> Found {
        let none = Found { is_success: false, groups: Vec::new(), names: Arc::default(), index: 0 };
        self.all(input).next().unwrap_or(none)
    }

    /// Every match, in order.
    pub(super) fn all<'i>(&'i self, input: &'i str) -> impl Iterator<Item = Found> + 'i {
        let (mut counted, mut index) = (0, 0);
        self.regex.captures_iter(input).map(move |captures| {
            let start = captures.get(0).map_or(counted, |whole| whole.start());
            // From the match before on: from the start each time would take the square of the time.
            index += input[counted..start].encode_utf16().count();
            counted = start;
            self.found(&captures, index)
        })
    }

    fn found(&self, captures: &regex::Captures<'_>, index: usize) -> Found {
        let groups =
            self.groups.iter().map(|group| captures.get(*group).map(|found| found.as_str().into())).collect();
        Found { is_success: true, groups, names: Arc::clone(&self.names), index: index as i32 }
    }

    /// `input` between the matches.
    pub(super) fn split<'i>(&self, input: &'i str) -> impl Iterator<Item = &'i str> {
        self.regex.split(input)
    }

    /// Replaces every match; `None` when the result would have more than `bytes_max`, each piece of a replacement counted as
    /// one byte at least: one that is empty takes time too.
    pub(super) fn replace<'i>(
        &self,
        input: &'i str,
        replacement: &Replacement,
        bytes_max: usize,
    ) -> Option<Cow<'i, str>> {
        let known: Vec<_> = replacement.pieces.iter().map(|piece| self.known(piece)).collect();
        let mut made = String::new();
        let (mut behind, mut pieces) = (0, 0);
        for captures in self.regex.captures_iter(input) {
            let Some(whole) = captures.get(0) else { continue };
            made.push_str(&input[behind..whole.start()]);
            behind = whole.end();
            for piece in &known {
                match piece {
                    Known::Text(text) => made.push_str(text),
                    Known::Group(group) => {
                        made.push_str(captures.get(*group).map_or("", |found| found.as_str()));
                    }
                }
                pieces += 1;
                if made.len().max(pieces) > bytes_max {
                    return None;
                }
            }
        }
        if behind == 0 && made.is_empty() {
            return Some(Cow::Borrowed(input));
        }
        made.push_str(&input[behind..]);
        (made.len() <= bytes_max).then_some(Cow::Owned(made))
    }

    /// Resolves a piece of a replacement.
    fn known<'p>(&self, piece: &'p Piece) -> Known<'p> {
        let (number, written) = match piece {
            Piece::Text(text) => return Known::Text(text),
            Piece::Group(number, written) => (Some(*number), written),
            Piece::Named(name, written) => {
                (self.names.iter().find(|(known, _)| known == name).map(|(_, number)| *number), written)
            }
        };
        let group = number.and_then(|number| self.groups.get(number));
        group.map_or(Known::Text(written), |group| Known::Group(*group))
    }
}

/// A piece of a replacement, for one pattern.
enum Known<'p> {
    Text(&'p str),
    /// By the matcher's number.
    Group(usize),
}

/// States of a pattern. A class is one, as few of those that Unicode makes of it are taken along at once.
fn states_of(pattern: &Hir) -> usize {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Capture(capture) => states_of(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(states_of).fold(0, usize::saturating_add)
        }
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min).max(1) as usize;
            states_of(&repetition.sub).saturating_mul(copies)
        }
    }
}

/// The replacement of matches: `$1`, `${name}`, `$$`, `$&` in .NET's syntax.
pub(super) struct Replacement {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    /// And how it is written, which it stays if there is no such group.
    Group(usize, String),
    Named(String, String),
}

impl Replacement {
    /// Reads a replacement.
    ///
    /// # Errors
    /// The part that is not supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            pieces.push(Piece::Text(rest[..at].to_owned()));
            rest = &rest[at..];
            let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
            let taken = match rest.as_bytes().get(1) {
                Some(b'$') => {
                    pieces.push(Piece::Text("$".to_owned()));
                    2
                }
                Some(b'&') => {
                    pieces.push(Piece::Group(0, String::new()));
                    2
                }
                Some(b'`' | b'\'' | b'+' | b'_') => {
                    return Err(format!("{} is not supported in a replacement", &rest[..2]));
                }
                Some(b'{') if rest.contains('}') => {
                    let end = rest.find('}').unwrap_or(2);
                    let (name, written) = (&rest[2..end], rest[..=end].to_owned());
                    pieces.push(match name.parse() {
                        Ok(number) => Piece::Group(number, written),
                        Err(_) => Piece::Named(name.to_owned(), written),
                    });
                    end + 1
                }
                Some(_) if digits > 0 => {
                    let number = rest[1..=digits].parse().unwrap_or(usize::MAX);
                    pieces.push(Piece::Group(number, rest[..=digits].to_owned()));
                    digits + 1
                }
                Some(_) | None => {
                    pieces.push(Piece::Text("$".to_owned()));
                    1
                }
            };
            rest = &rest[taken..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }
}

/// A pattern of .NET's in the matcher's syntax.
fn translated(text: &str) -> Result<String, String> {
    let mut made = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    // Within a class: whether its next character is the first, where `]` is a character like others.
    let mut class: Option<bool> = None;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        if character == '\\' {
            made.push('\\');
            match next {
                Some('Z' | 'G') => return Err(format!("\\{} is not supported", next.unwrap_or_default())),
                Some('k' | '1'..='9') if class.is_none() => {
                    return Err("backreferences are not supported".to_owned());
                }
                Some('e') => {
                    made.push_str("x1B");
                    characters.next();
                }
                Some(
                    '/' | '"' | '\'' | ':' | ',' | ' ' | '@' | '=' | '!' | '<' | '>' | '%' | ';' | '_' | '`',
                ) => {
                    // Escapes of what needs none: the matcher knows only those of signs with a meaning.
                    made.pop();
                    made.extend(characters.next());
                }
                Some(_) => made.extend(characters.next()),
                None => return Err("it ends with \\".to_owned()),
            }
            class = class.map(|_| false);
            continue;
        }
        match class {
            None if character == '[' => {
                made.push('[');
                if next == Some('^') {
                    made.push('^');
                    characters.next();
                }
                class = Some(true);
            }
            None => {
                made.push(character);
                if character == '(' && next == Some('?') {
                    characters.next();
                    made.push('?');
                    group_start(&mut characters, &mut made)?;
                }
            }
            Some(false) if character == ']' => {
                made.push(']');
                class = None;
            }
            Some(is_first) => {
                match (character, next) {
                    ('-', Some('[')) if !is_first => {
                        return Err("subtraction of classes ([a-z-[aeiou]]) is not supported".to_owned());
                    }
                    ('[' | '&' | '~' | ']', _) => made.push('\\'),
                    ('-', Some('-')) => made.push('\\'),
                    _ => {}
                }
                made.push(character);
                class = Some(false);
            }
        }
    }
    Ok(made)
}

/// Parses the text behind `(?`.
fn group_start(
    characters: &mut core::iter::Peekable<core::str::Chars<'_>>,
    made: &mut String,
) -> Result<(), String> {
    match characters.peek() {
        Some('=' | '!') => Err("lookahead is not supported".to_owned()),
        Some('>') => Err("atomic groups are not supported".to_owned()),
        Some('(') => Err("conditionals are not supported".to_owned()),
        Some('#') => Err("comments are not supported".to_owned()),
        Some(quote @ ('<' | '\'')) => {
            let closing = if *quote == '<' { '>' } else { '\'' };
            characters.next();
            if matches!(characters.peek(), Some('=' | '!')) {
                return Err("lookbehind is not supported".to_owned());
            }
            made.push('<');
            for character in characters.by_ref() {
                if character == closing {
                    made.push('>');
                    return Ok(());
                }
                if character == '-' {
                    return Err("balancing groups are not supported".to_owned());
                }
                made.push(character);
            }
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// An error of the matcher in one line.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(bytes) => {
            format!("it takes more than {bytes} bytes when it is compiled")
        }
        other => {
            let text = other.to_string();
            let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it cannot be read");
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_classes_as_dotnet_does() {
        for (pattern, input, expected) in [
            ("^[[]$", "[", true),
            ("^[a&&b]+$", "a&b", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]+$", "b", true),
            ("^[~~]$", "~", true),
            (r"^[\w.-]+$", "a-b.c", true),
            (r"^\/a\-b$", "/a-b", true),
            (r"^[a\]b]+$", "a]b", true),
            ("^a$", "a\n", false),
            (r"\d{3}", "x123", true),
        ] {
            assert_eq!(
                Pattern::written_out(pattern, 0).expect(pattern).is_match(input),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn refuses_what_takes_backtracking_by_name() {
        for (pattern, expected) in [
            ("(?=a)", "lookahead"),
            ("(?<!a)b", "lookbehind"),
            (r"(a)\1", "backreferences"),
            (r"(?<a>x)\k<a>", "backreferences"),
            ("(?>a)", "atomic"),
            ("(?<a-b>x)", "balancing"),
            ("[a-z-[aeiou]]", "subtraction"),
            (r"a\Z", "not supported"),
            ("(", "unclosed group"),
            ("a{9999}{9999}", "compiled"),
            ("a\\", "ends with"),
        ] {
            let fault = Pattern::written_out(pattern, 0).expect_err(pattern);
            assert!(fault.contains(expected) && !fault.contains('\n'), "{pattern}: {fault}");
        }
    }

    #[test]
    fn has_as_many_states_as_its_repetitions_come_to() {
        for (pattern, states) in [
            ("abc", 3),
            (r"^Bearer\s+\S+$", 10),
            (r"\p{L}+|[0-9]{2,}", 3),
            ("a{32}", 32),
            ("a{3,}b?", 4),
            ("[ab]*a[ab]{1000}[cd]", 1003),
            ("(?:(a{1,10}){20}b){3}", 603),
        ] {
            assert_eq!(Pattern::written_out(pattern, 0).expect(pattern).states, states, "{pattern}");
        }
        let spaced = Pattern::written_out("a b # c", IGNORE_PATTERN_WHITESPACE).expect("a pattern");
        assert_eq!(spaced.states, 2);
    }

    #[test]
    fn counts_named_groups_after_the_others() {
        let found =
            Pattern::written_out(r"(?<scheme>\w+)://(\w+)", 0).expect("a pattern").first("wss://host");
        assert_eq!(found.groups[1].as_deref(), Some("host"));
        assert_eq!(found.groups[2].as_deref(), Some("wss"));
        assert_eq!(&*found.names, &[("scheme".to_owned(), 2)]);
    }

    #[test]
    fn replaces_as_dotnet_does() {
        let pattern = Pattern::written_out(r"(\w)(\d)(?<n>x)", 0).expect("a pattern");
        for (replacement, expected) in [
            ("$2$1", "<1a>"),
            ("${n}!", "<x!>"),
            ("$$", "<$>"),
            ("$9", "<$9>"),
            ("[$&]", "<[a1x]>"),
            ("${2}0", "<10>"),
            ("$", "<$>"),
        ] {
            let replacement = Replacement::parse(replacement).expect("a replacement");
            assert_eq!(pattern.replace("<a1x>", &replacement, 100).as_deref(), Some(expected));
            assert_eq!(pattern.replace("none", &replacement, 100).as_deref(), Some("none"));
        }
        assert!(pattern.replace("a1xa1x", &Replacement::parse(&"y".repeat(60)).expect("one"), 100).is_none());
    }
}
