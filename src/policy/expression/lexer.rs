//! Cuts the text of an expression into C#'s tokens.
//!
//! Every token knows where it begins and ends in the text. Holes of interpolated strings are located here and parsed by the
//! parser, so that nothing is lexed twice in two ways.
//!
//! Not here: which words are keywords; a word is a word until the parser needs it.

use super::fault::{At, Fault};

/// How deep interpolated strings of a policy expression may stand within one another. Over it: a fault at publish. Each
/// level is read once more.
const EXPRESSION_INTERPOLATIONS_NESTED_MAX: usize = 4;

/// A number as it is written, and the type its suffix and size give it (C# §6.4.5.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i32),
    Long(i64),
    /// `2147483648` and `9223372036854775808`, which only a sign in front makes an int or a long.
    TooLargeByOne(i64),
    Double(f64),
}

/// A part of an interpolated string.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// `{expression,alignment:format}`; the expression and the alignment as a range of the text.
    Hole {
        start: At,
        end: At,
        format: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Number(Number),
    Text(String),
    Char(char),
    Interpolated(Vec<Piece>),
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Lexed {
    pub(super) token: Token,
    pub(super) start: At,
    pub(super) end: At,
}

/// Operators and punctuation, a longer one before those it begins with.
const SIGNS: &[&str] = &[
    "=>", "==", "!=", "<=", ">=", "&&", "||", "??", "?[", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=",
    "<<", "(", ")", "[", "]", "{", "}", ".", ",", ";", ":", "?", "+", "-", "*", "/", "%", "<", ">", "=", "!",
    "&", "|", "^", "~",
];

/// The tokens of `text[start..end]`, with an `End` behind them.
pub(super) fn tokens(text: &str, start: usize, end: usize) -> Result<Vec<Lexed>, Fault> {
    let mut lexer = Lexer { text: &text[..end], at: start, nested: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let start = lexer.at as At;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        tokens.push(Lexed { token, start, end: lexer.at as At });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Interpolated strings around this place.
    nested: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        if is_there {
            self.at += wanted.len();
        }
        is_there
    }

    fn fault(&self, at: usize, message: impl Into<String>) -> Fault {
        Fault::new(at as At, message)
    }

    fn skip_blanks(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(self.fault(self.at, "the comment has no end: */ is missing"));
                };
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if self.eat("$@\"") || self.eat("@$\"") {
            return self.interpolated(start, true);
        }
        if self.eat("$\"") {
            return self.interpolated(start, false);
        }
        if self.eat("@\"") {
            return self.verbatim_text(start);
        }
        match first {
            '"' => self.text(),
            '\'' => self.character(),
            '0'..='9' => self.number(),
            '.' if self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            _ if is_word_start(first) => Ok(Token::Word(self.word())),
            '@' if self.rest()[1..].starts_with(is_word_start) => {
                self.at += 1;
                Ok(Token::Word(self.word()))
            }
            _ => self.sign(),
        }
    }

    fn sign(&mut self) -> Result<Token, Fault> {
        for sign in SIGNS {
            // `a?.5:1` is a conditional with a number.
            let is_number = *sign == "?."
                && self
                    .rest()
                    .strip_prefix("?.")
                    .is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
            if !is_number && self.eat(sign) {
                return Ok(Token::Sign(sign));
            }
        }
        let unknown = self.peek().unwrap_or_default();
        Err(self.fault(self.at, format!("'{unknown}' means nothing here")))
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|next: char| !is_word_start(next) && !next.is_numeric()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn text(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => {
                    return Err(self.fault(start, "the string has no end: \" is missing"));
                }
                Some('"') => {
                    self.at += 1;
                    return Ok(Token::Text(text));
                }
                Some(_) => text.push(self.escaped_character()?),
            }
        }
    }

    fn verbatim_text(&mut self, start: usize) -> Result<Token, Fault> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(self.fault(start, "the string has no end: \" is missing")),
                Some('"') if self.eat("\"") => text.push('"'),
                Some('"') => return Ok(Token::Text(text)),
                Some(character) => text.push(character),
            }
        }
    }

    fn character(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        if matches!(self.peek(), None | Some('\'' | '\n')) {
            return Err(self.fault(start, "a character literal holds one character: 'a'"));
        }
        let character = self.escaped_character()?;
        if !self.eat("'") {
            return Err(self.fault(start, "a character literal holds one character: 'a'"));
        }
        if character.len_utf16() != 1 {
            return Err(self.fault(start, "this character is two of C#'s: write it as a string"));
        }
        Ok(Token::Char(character))
    }

    /// One character of a regular literal, behind a `\` or not.
    fn escaped_character(&mut self) -> Result<char, Fault> {
        let start = self.at;
        let unfinished = || Fault::new(start as At, "the literal has no end");
        let first = self.next().ok_or_else(unfinished)?;
        if first != '\\' {
            return Ok(first);
        }
        let code = match self.next().ok_or_else(unfinished)? {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            '0' => return Ok('\0'),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'v' => return Ok('\u{b}'),
            same @ ('\\' | '"' | '\'') => return Ok(same),
            'u' => self.hex(4, 4),
            'U' => self.hex(8, 8),
            'x' => self.hex(1, 4),
            other => {
                let message =
                    format!("\\{other} is no escape of C#: write \\\\{other}, or the string as @\"…\"");
                return Err(self.fault(start, message));
            }
        };
        // One half of a pair of UTF-16 is followed by the other.
        let code = match code {
            Some(high @ 0xD800..=0xDBFF) if self.eat("\\u") => match self.hex(4, 4) {
                Some(low @ 0xDC00..=0xDFFF) => Some(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)),
                Some(_) | None => None,
            },
            code => code,
        };
        code.and_then(char::from_u32).ok_or_else(|| self.fault(start, "this escape gives no character"))
    }

    fn hex(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.rest().bytes().take(most).take_while(u8::is_ascii_hexdigit).count();
        let value = u32::from_str_radix(&self.rest()[..digits], 16).ok().filter(|_| digits >= least);
        self.at += digits;
        value
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let rest = self.rest();
        let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
        if is_hex || rest.starts_with("0b") || rest.starts_with("0B") {
            let radix = if is_hex { 16 } else { 2 };
            self.at += 2;
            let digits = self.digits(|next| next.is_digit(radix));
            let value = u64::from_str_radix(&digits, radix)
                .map_err(|_| self.fault(start, "this is no number that fits a long"))?;
            return self.whole(start, value);
        }
        let mut digits = self.digits(|next| next.is_ascii_digit());
        let mut is_real = false;
        if self.rest().starts_with('.') && self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) {
            self.at += 1;
            is_real = true;
            digits.push('.');
            digits.push_str(&self.digits(|next| next.is_ascii_digit()));
        }
        let exponent = self.rest();
        if exponent.starts_with(['e', 'E'])
            && exponent[1..].trim_start_matches(['+', '-']).starts_with(|next: char| next.is_ascii_digit())
        {
            self.at += 1;
            is_real = true;
            digits.push('e');
            if let Some(sign) = self.peek().filter(|sign| matches!(sign, '+' | '-')) {
                self.at += 1;
                digits.push(sign);
            }
            digits.push_str(&self.digits(|next| next.is_ascii_digit()));
        }
        if self.rest().starts_with(['d', 'D']) {
            self.at += 1;
            is_real = true;
        } else if self.rest().starts_with(['m', 'M', 'f', 'F']) {
            return Err(self.fault(start, "decimal and float are not supported here: use double (1.5)"));
        }
        if is_real {
            self.end_of_number(start)?;
            let value: f64 = digits.parse().map_err(|_| self.fault(start, "this is no number"))?;
            if value.is_infinite() {
                return Err(self.fault(start, "this number does not fit a double"));
            }
            return Ok(Token::Number(Number::Double(value)));
        }
        let value = digits.parse().map_err(|_| self.fault(start, "this number does not fit a long"))?;
        self.whole(start, value)
    }

    /// Digits, with `_` between them left out (C# 7).
    fn digits(&mut self, is_digit: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|next: char| !is_digit(next) && next != '_').unwrap_or(rest.len());
        self.at += end;
        rest[..end].chars().filter(|digit| *digit != '_').collect()
    }

    fn whole(&mut self, start: usize, value: u64) -> Result<Token, Fault> {
        let mut is_long = false;
        let mut is_unsigned = false;
        while let Some(suffix @ ('l' | 'L' | 'u' | 'U')) = self.peek() {
            self.at += 1;
            is_long |= matches!(suffix, 'l' | 'L');
            is_unsigned |= matches!(suffix, 'u' | 'U');
        }
        self.end_of_number(start)?;
        if is_unsigned {
            return Err(self.fault(start, "unsigned numbers are not supported here: use int or long"));
        }
        Ok(Token::Number(match (i32::try_from(value), i64::try_from(value)) {
            (Ok(value), _) if !is_long => Number::Int(value),
            (_, Ok(2_147_483_648)) if !is_long => Number::TooLargeByOne(2_147_483_648),
            (_, Ok(value)) => Number::Long(value),
            (_, Err(_)) if value == 1 << 63 => Number::TooLargeByOne(i64::MIN),
            (_, Err(_)) => return Err(self.fault(start, "this number does not fit a long")),
        }))
    }

    fn end_of_number(&self, start: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(next) if is_word_start(next) || next.is_numeric() => {
                Err(self.fault(start, "a number ends where a letter begins"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn interpolated(&mut self, start: usize, is_verbatim: bool) -> Result<Token, Fault> {
        if self.nested == EXPRESSION_INTERPOLATIONS_NESTED_MAX {
            return Err(self.fault(start, "too many interpolated strings within one another"));
        }
        self.nested += 1;
        let pieces = self.interpolated_pieces(start, is_verbatim);
        self.nested -= 1;
        pieces.map(Token::Interpolated)
    }

    fn interpolated_pieces(&mut self, start: usize, is_verbatim: bool) -> Result<Vec<Piece>, Fault> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            if self.eat("{{") {
                text.push('{');
            } else if self.eat("}}") {
                text.push('}');
            } else if is_verbatim && self.eat("\"\"") {
                text.push('"');
            } else {
                match self.peek() {
                    None => return Err(self.fault(start, "the string has no end: \" is missing")),
                    Some('\n' | '\r') if !is_verbatim => {
                        return Err(self.fault(start, "the string has no end: \" is missing"));
                    }
                    Some('"') => {
                        self.at += 1;
                        if !text.is_empty() {
                            pieces.push(Piece::Text(text));
                        }
                        return Ok(pieces);
                    }
                    Some('{') => {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(core::mem::take(&mut text)));
                        }
                        pieces.push(self.hole(is_verbatim)?);
                    }
                    Some('}') => return Err(self.fault(self.at, "a } of the text is written }}")),
                    Some(_) if is_verbatim => text.extend(self.next()),
                    Some(_) => text.push(self.escaped_character()?),
                }
            }
        }
    }

    /// From `{` to behind its `}`.
    fn hole(&mut self, is_verbatim: bool) -> Result<Piece, Fault> {
        let open = self.at;
        self.at += 1;
        let start = self.at;
        let mut nesting = 0_usize;
        loop {
            self.skip_blanks()?;
            match self.peek() {
                None => return Err(self.fault(open, "} is missing")),
                Some('"' | '\'') => {
                    self.token()?;
                }
                Some('@' | '$') => {
                    self.token()?;
                }
                Some('(' | '[' | '{') => {
                    nesting += 1;
                    self.at += 1;
                }
                Some(')' | ']') => {
                    nesting = nesting.saturating_sub(1);
                    self.at += 1;
                }
                Some('}') if nesting > 0 => {
                    nesting -= 1;
                    self.at += 1;
                }
                Some('}') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Piece::Hole { start: start as At, end: end as At, format: None });
                }
                Some(':') if nesting == 0 => {
                    let end = self.at;
                    self.at += 1;
                    let format = self.hole_format(open, is_verbatim)?;
                    return Ok(Piece::Hole { start: start as At, end: end as At, format: Some(format) });
                }
                Some(other) => self.at += other.len_utf8(),
            }
        }
    }

    fn hole_format(&mut self, open: usize, is_verbatim: bool) -> Result<String, Fault> {
        let mut format = String::new();
        loop {
            match self.peek() {
                None | Some('"' | '{' | '\n') => return Err(self.fault(open, "} is missing")),
                Some('}') => {
                    self.at += 1;
                    return Ok(format);
                }
                Some(_) if is_verbatim => format.extend(self.next()),
                Some(_) => format.push(self.escaped_character()?),
            }
        }
    }
}

fn is_word_start(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}
