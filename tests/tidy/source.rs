//! Reads a source file as tokens: the words and paths in it, without comments, strings, and its own tests.
//!
//! It reads tokens, not types: what a macro of another package makes is not seen.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `::`.
    Colons,
    Sign(char),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Colons | Self::Sign(_) => None,
        }
    }
}

/// Words and signs with their lines; comments, strings and characters left out.
pub(super) fn tokens(source: &str) -> Vec<(Token, usize)> {
    let mut tokens = Vec::new();
    let chars: Vec<char> = source.chars().collect();
    let (mut at, mut line) = (0, 1);
    while let Some(&char) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let start = at;
        if char == '/' && next == Some('/') {
            at = find(&chars, at, '\n');
        } else if char == '/' && next == Some('*') {
            at = end_of_block_comment(&chars, at);
        } else if char == '"' {
            at = end_of_string(&chars, at + 1);
        } else if let Some(end) = end_of_raw_string(&chars, at) {
            at = end;
        } else if char == '\'' {
            at = end_of_character(&chars, at);
        } else if char.is_alphanumeric() || char == '_' {
            while chars.get(at).is_some_and(|char| char.is_alphanumeric() || *char == '_') {
                at += 1;
            }
            tokens.push((Token::Word(chars[start..at].iter().collect()), line));
        } else if char == ':' && next == Some(':') {
            tokens.push((Token::Colons, line));
            at += 2;
        } else {
            if !char.is_whitespace() {
                tokens.push((Token::Sign(char), line));
            }
            at += 1;
        }
        line += chars[start..at].iter().filter(|char| **char == '\n').count();
    }
    tokens
}

fn find(chars: &[char], from: usize, wanted: char) -> usize {
    chars[from..].iter().position(|char| *char == wanted).map_or(chars.len(), |at| from + at)
}

fn end_of_block_comment(chars: &[char], from: usize) -> usize {
    let end = chars[from..].windows(2).position(|pair| pair == ['*', '/']);
    end.map_or(chars.len(), |at| from + at + 2)
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw_string(chars: &[char], from: usize) -> Option<usize> {
    if chars[from] != 'r' {
        return None;
    }
    let quote = find(chars, from, '"');
    let hashes = chars.get(from + 1..quote)?;
    if hashes.iter().any(|char| *char != '#') {
        return None;
    }
    let closing: Vec<char> = std::iter::once(&'"').chain(hashes).copied().collect();
    let end = chars[quote + 1..].windows(closing.len()).position(|window| window == closing);
    Some(end.map_or(chars.len(), |at| quote + 1 + at + closing.len()))
}

/// Behind a character, or behind the tick of a lifetime.
fn end_of_character(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => find(chars, from + 3, '\'') + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// A path with its line, as far as it is written out in one piece.
pub(super) type WrittenPath = (Vec<String>, usize);

/// All paths of the `use` declarations (braces multiplied out), and all others.
pub(super) fn paths(tokens: &[(Token, usize)]) -> (Vec<WrittenPath>, Vec<WrittenPath>) {
    let (mut used, mut inline) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        // `use<…>` is a bound, not a declaration.
        let is_bound = tokens.get(at + 1).is_some_and(|(token, _)| *token == Token::Sign('<'));
        if tokens[at].0.word() == Some("use") && !is_bound {
            at = read_use_tree(tokens, at + 1, &[], &mut used);
        } else if tokens[at].0.word().is_some() {
            let line = tokens[at].1;
            let mut path = Vec::new();
            while let Some(word) = tokens.get(at).and_then(|(token, _)| token.word()) {
                path.push(word.to_owned());
                at += 1;
                if tokens.get(at).is_none_or(|(token, _)| *token != Token::Colons) {
                    break;
                }
                at += 1;
            }
            if path.len() > 1 {
                inline.push((path, line));
            }
        } else {
            at += 1;
        }
    }
    (used, inline)
}

/// Reads one tree behind `prefix`; gives where it ends.
fn read_use_tree(
    tokens: &[(Token, usize)],
    mut at: usize,
    prefix: &[String],
    into: &mut Vec<WrittenPath>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |(_, line)| *line);
    while let Some((token, _)) = tokens.get(at) {
        match token {
            // `as name` renames: the path is whole before it.
            Token::Word(word) if word == "as" => at += 1,
            Token::Word(word) => path.push(word.clone()),
            Token::Colons => {}
            Token::Sign('*') => path.push("*".to_owned()),
            Token::Sign('{') => {
                at += 1;
                while tokens.get(at).is_some_and(|(token, _)| *token != Token::Sign('}')) {
                    at = read_use_tree(tokens, at, &path, into);
                    if tokens.get(at).is_some_and(|(token, _)| *token == Token::Sign(',')) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Token::Sign(_) => break,
        }
        at += 1;
    }
    into.push((path, line));
    at
}

/// The source without its own tests: modules behind `#[cfg(test)]`. Whatever else is for tests only keeps to the rules.
pub(super) fn without_tests(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        let is_module = next.trim_start_matches("pub(crate) ").starts_with("mod ");
        if line != "#[cfg(test)]" || !is_module {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // A module of its own file is one line; one in braces is the rest of the file.
        if !next.ends_with(';') {
            break;
        }
        lines.next();
        kept.push_str("\n\n");
    }
    kept
}

/// `src/session/life.rs` is `session`, `life`.
pub(super) fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').map(str::to_owned).collect()
}
