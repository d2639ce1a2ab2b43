//! Makes a syntax tree of an expression's tokens, with C#'s precedence.
//!
//! The first fault ends parsing: the rest cannot be interpreted reliably. Depth is bounded here, for all code that walks the tree
//! afterwards.
//!
//! Not here: names and types (`checker`). Constructs of C# that this language lacks are refused by name where they occur.

mod statements;

use super::fault::{At, Fault};
use super::lexer::{Lexed, Piece, Token, tokens};
use super::syntax::{Expr, ExprKind, InterpolatedPiece, Statement, TypeName};
use crate::limits::EXPRESSION_DEPTH_MAX;

/// `@(…)`: one expression; `@{…}`: statements.
#[derive(Debug)]
pub(super) enum Syntax {
    Single(Expr),
    Block(Vec<Statement>),
}

/// Parses the whole text of an expression, `@(` and `)` included.
pub(super) fn parse(text: &str) -> Result<Syntax, Fault> {
    let start = text.len() - text.trim_start().len();
    let end = text.trim_end().len();
    let (closing, is_single) = match text.get(start..start + 2) {
        Some("@(") => (')', true),
        Some("@{") => ('}', false),
        Some(_) | None => return Err(Fault::new(start as At, "an expression begins with @( or @{")),
    };
    if end < start + 3 || !text[..end].ends_with(closing) {
        return Err(Fault::new(
            end as At,
            format!("an expression that begins with {} ends with {closing}", &text[start..start + 2]),
        ));
    }
    let mut parser = Parser::new(text, start + 2, end - 1)?;
    if is_single {
        let expression = parser.expression()?;
        parser.expect_end()?;
        Ok(Syntax::Single(expression))
    } else {
        let statements = parser.statements()?;
        parser.expect_end()?;
        Ok(Syntax::Block(statements))
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Lexed>,
    at: usize,
    /// Levels of nesting around this place.
    nesting: usize,
}

/// Binary operators and how tightly they bind; C#'s order. `??` binds to the right, `is` and `as` have a type on theirs.
const PRECEDENCE: [(&str, u8); 19] = [
    ("??", 1),
    ("||", 2),
    ("&&", 3),
    ("|", 4),
    ("^", 5),
    ("&", 6),
    ("==", 7),
    ("!=", 7),
    ("<", 8),
    (">", 8),
    ("<=", 8),
    (">=", 8),
    ("is", 8),
    ("as", 8),
    ("+", 10),
    ("-", 10),
    ("*", 11),
    ("/", 11),
    ("%", 11),
];

const COALESCE: u8 = 1;

/// Words that no variable, member or type is called.
const KEYWORDS: [&str; 40] = [
    "null",
    "true",
    "false",
    "new",
    "return",
    "if",
    "else",
    "foreach",
    "for",
    "while",
    "do",
    "switch",
    "case",
    "try",
    "catch",
    "finally",
    "throw",
    "is",
    "as",
    "out",
    "ref",
    "in",
    "typeof",
    "default",
    "checked",
    "unchecked",
    "sizeof",
    "using",
    "lock",
    "goto",
    "break",
    "continue",
    "const",
    "static",
    "class",
    "this",
    "base",
    "stackalloc",
    "await",
    "delegate",
];

impl<'t> Parser<'t> {
    fn new(text: &'t str, start: usize, end: usize) -> Result<Self, Fault> {
        Ok(Self { text, tokens: tokens(text, start, end)?, at: 0, nesting: 0 })
    }

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)].token
    }

    /// Where the next token begins.
    fn start(&self) -> At {
        self.tokens[self.at.min(self.tokens.len() - 1)].start
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(next) if *next == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(next) if next == word)
    }

    fn eat_sign(&mut self, sign: &str) -> bool {
        let is_there = self.is_sign(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(word);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), Fault> {
        if self.eat_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    fn expect_end(&self) -> Result<(), Fault> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected("the end of the expression")) }
    }

    fn expect_name(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let token = &self.tokens[self.at.min(self.tokens.len() - 1)];
        let found = match &token.token {
            Token::End => "the end".to_owned(),
            Token::Word(_)
            | Token::Number(_)
            | Token::Text(_)
            | Token::Char(_)
            | Token::Interpolated(_)
            | Token::Sign(_) => {
                let written: String =
                    self.text[token.start as usize..token.end as usize].chars().take(40).collect();
                format!("'{written}'")
            }
        };
        Fault::new(token.start, format!("{wanted} is expected here, not {found}"))
    }

    /// `kind` above parts of which the deepest is `below` levels deep.
    fn node(&self, at: At, below: usize, kind: ExprKind) -> Result<Expr, Fault> {
        if below >= EXPRESSION_DEPTH_MAX {
            return Err(Self::too_deep(at));
        }
        Ok(Expr { at, depth: below + 1, kind })
    }

    fn too_deep(at: At) -> Fault {
        Fault::new(at, format!("too much within one another: at most {EXPRESSION_DEPTH_MAX} levels"))
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            return Err(Self::too_deep(self.start()));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn expression(&mut self) -> Result<Expr, Fault> {
        self.nested(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Expr, Fault> {
        if let Some(lambda) = self.lambda()? {
            return Ok(lambda);
        }
        if self.is_word("throw") {
            return self.throw();
        }
        let condition = self.binary(COALESCE)?;
        let at = self.start();
        if !self.eat_sign("?") {
            return Ok(condition);
        }
        let then = self.expression()?;
        self.expect_sign(":")?;
        let otherwise = self.expression()?;
        let below = condition.depth.max(then.depth).max(otherwise.depth);
        let (condition, then, otherwise) = (Box::new(condition), Box::new(then), Box::new(otherwise));
        self.node(at, below, ExprKind::Conditional { condition, then, otherwise })
    }

    fn throw(&mut self) -> Result<Expr, Fault> {
        let at = self.start();
        self.at += 1;
        if !self.eat_word("new") {
            return Err(self.unexpected("'new', and an exception"));
        }
        let exception = self.type_name()?;
        self.expect_sign("(")?;
        let arguments = self.arguments(")")?;
        self.node(at, deepest(&arguments), ExprKind::Throw { exception, arguments })
    }

    /// `x => body` or `(x) => body`, if that is what comes.
    fn lambda(&mut self) -> Result<Option<Expr>, Fault> {
        let is_bare = matches!(self.peek(), Token::Word(_)) && *self.peek_at(1) == Token::Sign("=>");
        let is_enclosed = self.is_sign("(")
            && matches!(self.peek_at(1), Token::Word(_))
            && *self.peek_at(2) == Token::Sign(")")
            && *self.peek_at(3) == Token::Sign("=>");
        if !is_bare && !is_enclosed {
            return Ok(None);
        }
        let at = self.start();
        self.at += usize::from(is_enclosed);
        let parameter = self.expect_name()?;
        self.at += usize::from(is_enclosed);
        self.expect_sign("=>")?;
        if self.is_sign("{") {
            return Err(Fault::new(self.start(), "a lambda is one expression here: x => x.Length"));
        }
        let body = self.expression()?;
        self.node(at, body.depth, ExprKind::Lambda { parameter, body: Box::new(body) }).map(Some)
    }

    /// Operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Result<Expr, Fault> {
        let mut left = self.unary()?;
        loop {
            let next = match self.peek() {
                Token::Sign(sign) => *sign,
                Token::Word(word) if word == "is" => "is",
                Token::Word(word) if word == "as" => "as",
                _ => return Ok(left),
            };
            if next == "<<" || (next == ">" && *self.peek_at(1) == Token::Sign(">")) {
                return Err(Fault::new(self.start(), "shifts are not supported"));
            }
            let Some(&(sign, binds)) = PRECEDENCE.iter().find(|(sign, _)| *sign == next) else {
                return Ok(left);
            };
            if binds < least {
                return Ok(left);
            }
            let at = self.start();
            self.at += 1;
            left = match sign {
                "is" => self.is(at, left)?,
                "as" => {
                    let to = self.type_name()?;
                    let below = left.depth;
                    self.node(at, below, ExprKind::As { operand: Box::new(left), to })?
                }
                _ => {
                    let right = if binds == COALESCE && self.is_word("throw") {
                        self.throw()?
                    } else if binds == COALESCE {
                        // It binds to the right: a ?? b ?? c is a ?? (b ?? c).
                        self.nested(|parser| parser.binary(binds))?
                    } else {
                        self.nested(|parser| parser.binary(binds + 1))?
                    };
                    let below = left.depth.max(right.depth);
                    self.node(
                        at,
                        below,
                        ExprKind::Binary { sign, left: Box::new(left), right: Box::new(right) },
                    )?
                }
            };
        }
    }

    fn is(&mut self, at: At, operand: Expr) -> Result<Expr, Fault> {
        let below = operand.depth;
        let operand = Box::new(operand);
        if self.eat_word("null") {
            return self.node(at, below, ExprKind::IsNull { operand });
        }
        let to = self.type_name()?;
        let name = match self.peek() {
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => Some(self.expect_name()?),
            _ => None,
        };
        self.node(at, below, ExprKind::Is { operand, to, name })
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        let at = self.start();
        for sign in ["!", "-", "+"] {
            if self.eat_sign(sign) {
                let operand = self.nested(Self::unary)?;
                return self.node(at, operand.depth, ExprKind::Unary { sign, operand: Box::new(operand) });
            }
        }
        if self.is_sign("++") || self.is_sign("--") || self.is_sign("~") {
            return Err(Fault::new(at, "this operator is not supported in an expression"));
        }
        if self.is_cast() {
            self.at += 1;
            let to = self.type_name()?;
            self.expect_sign(")")?;
            let operand = self.nested(Self::unary)?;
            return self.node(at, operand.depth, ExprKind::Cast { to, operand: Box::new(operand) });
        }
        self.postfix()
    }

    /// Whether `(` begins a cast (C# §12.9.7): a type in parentheses, and behind it what can only begin an operand.
    fn is_cast(&mut self) -> bool {
        if !self.is_sign("(") {
            return false;
        }
        let before = self.at;
        self.at += 1;
        let is_predefined = matches!(self.peek(), Token::Word(word) if PREDEFINED.contains(&word.as_str()));
        let is_type = self.type_name().is_ok() && self.eat_sign(")");
        let is_operand = match self.peek() {
            Token::Word(word) => word != "is" && word != "as",
            Token::Number(_) | Token::Text(_) | Token::Char(_) | Token::Interpolated(_) => true,
            Token::Sign(sign) => is_predefined && *sign == "-" || matches!(*sign, "(" | "!" | "~"),
            Token::End => false,
        };
        self.at = before;
        is_type && is_operand
    }

    /// A primary expression and the members, calls and indexes behind it.
    fn postfix(&mut self) -> Result<Expr, Fault> {
        let primary = self.primary()?;
        self.postfix_of(primary)
    }

    fn postfix_of(&mut self, mut target: Expr) -> Result<Expr, Fault> {
        loop {
            let at = self.start();
            if self.eat_sign(".") {
                target = self.member(target)?;
            } else if self.eat_sign("(") {
                if !matches!(target.kind, ExprKind::Name(_) | ExprKind::Member { .. }) {
                    return Err(Fault::new(at, "only a member can be called"));
                }
                let arguments = self.arguments(")")?;
                let below = target.depth.max(deepest(&arguments));
                target =
                    self.node(target.at, below, ExprKind::Call { target: Box::new(target), arguments })?;
            } else if self.eat_sign("[") {
                let arguments = self.arguments("]")?;
                let below = target.depth.max(deepest(&arguments));
                target = self.node(at, below, ExprKind::Index { target: Box::new(target), arguments })?;
            } else if self.is_sign("?.") || self.is_sign("?[") {
                return self.access(target);
            } else if self.is_sign("++") || self.is_sign("--") {
                return Err(Fault::new(at, "++ and -- stand as a statement of their own"));
            } else if self.is_sign("!") && *self.peek_at(1) == Token::Sign(".") {
                return Err(Fault::new(at, "the null-forgiving operator came after C# 7"));
            } else {
                return Ok(target);
            }
        }
    }

    fn member(&mut self, target: Expr) -> Result<Expr, Fault> {
        let at = self.start();
        let name = self.expect_name()?;
        let types = self.type_arguments_of_call();
        let below = target.depth;
        self.node(at, below, ExprKind::Member { target: Box::new(target), name, types })
    }

    /// `target?.rest`: all that follows is skipped when `target` is null.
    fn access(&mut self, target: Expr) -> Result<Expr, Fault> {
        self.nested(|parser| {
            let at = parser.start();
            let is_index = parser.is_sign("?[");
            parser.at += 1;
            let it = parser.node(at, 0, ExprKind::It)?;
            let first = if is_index {
                let arguments = parser.arguments("]")?;
                let below = deepest(&arguments).max(1);
                parser.node(at, below, ExprKind::Index { target: Box::new(it), arguments })?
            } else {
                parser.member(it)?
            };
            let rest = parser.postfix_of(first)?;
            let below = target.depth.max(rest.depth);
            parser.node(at, below, ExprKind::Access { target: Box::new(target), rest: Box::new(rest) })
        })
    }

    /// `<T, …>` if a call follows; nothing is taken otherwise.
    fn type_arguments_of_call(&mut self) -> Vec<TypeName> {
        let before = self.at;
        if self.is_sign("<")
            && let Some(types) = self.type_arguments().ok().filter(|_| self.is_sign("("))
        {
            return types;
        }
        self.at = before;
        Vec::new()
    }

    fn type_arguments(&mut self) -> Result<Vec<TypeName>, Fault> {
        self.expect_sign("<")?;
        let mut types = vec![self.type_name()?];
        while self.eat_sign(",") {
            types.push(self.type_name()?);
        }
        self.expect_sign(">")?;
        Ok(types)
    }

    fn type_name(&mut self) -> Result<TypeName, Fault> {
        self.nested(|parser| {
            let at = parser.start();
            let mut name = parser.expect_name()?;
            while parser.is_sign(".") && matches!(parser.peek_at(1), Token::Word(_)) {
                parser.at += 1;
                name.push('.');
                name.push_str(&parser.expect_name()?);
            }
            let parameters = if parser.is_sign("<") { parser.type_arguments()? } else { Vec::new() };
            // `x is T ? a : b` is a conditional: the `?` of a type is followed by what ends a type.
            let is_nullable = parser.is_sign("?")
                && matches!(parser.peek_at(1), Token::Sign(")" | ">" | "[" | ",") | Token::Word(_))
                && !parser.is_conditional_ahead();
            parser.at += usize::from(is_nullable);
            let is_array = parser.is_sign("[") && *parser.peek_at(1) == Token::Sign("]");
            parser.at += if is_array { 2 } else { 0 };
            Ok(TypeName { at, name, parameters, is_nullable, is_array })
        })
    }

    /// At a `?`: whether a `:` of its own follows, so that it is a conditional's.
    fn is_conditional_ahead(&self) -> bool {
        matches!(self.peek_at(1), Token::Word(_))
            && !matches!(self.peek_at(2), Token::Sign("=" | ";" | ","))
            && !matches!(self.peek_at(2), Token::Word(word) if word == "in")
    }

    /// Expressions up to `closing`, which is taken.
    fn arguments(&mut self, closing: &str) -> Result<Vec<Expr>, Fault> {
        let mut arguments = Vec::new();
        if self.eat_sign(closing) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.argument()?);
            if self.eat_sign(closing) {
                return Ok(arguments);
            }
            if !self.eat_sign(",") {
                return Err(self.unexpected(&format!("',' or '{closing}'")));
            }
        }
    }

    fn argument(&mut self) -> Result<Expr, Fault> {
        if matches!(self.peek(), Token::Word(_)) && *self.peek_at(1) == Token::Sign(":") {
            return Err(Fault::new(
                self.start(),
                "named arguments are not supported: give them in their order",
            ));
        }
        let at = self.start();
        if !self.eat_word("out") {
            return self.expression();
        }
        let is_inferred = self.is_word("var") && matches!(self.peek_at(1), Token::Word(_));
        let of = if is_inferred {
            self.at += 1;
            None
        } else if matches!(self.peek_at(1), Token::Sign(")" | ",")) {
            let name = self.expect_name()?;
            return self.node(at, 0, ExprKind::Out { of: None, name });
        } else {
            Some(self.type_name()?)
        };
        let name = self.expect_name()?;
        self.node(at, 0, ExprKind::Out { of, name })
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let at = self.start();
        let kind = match self.peek().clone() {
            Token::Number(number) => ExprKind::Number(number),
            Token::Text(text) => ExprKind::Text(text),
            Token::Char(character) => ExprKind::Char(character),
            Token::Interpolated(pieces) => {
                self.at += 1;
                return self.interpolated(at, pieces);
            }
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.expect_sign(")")?;
                return Ok(inner);
            }
            Token::Word(word) => match word.as_str() {
                "null" => ExprKind::Null,
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                "new" => return self.new_object(),
                "throw" => {
                    return Err(Fault::new(at, "throw stands as a statement, behind ?? or in a conditional"));
                }
                "typeof" | "default" | "checked" | "unchecked" | "sizeof" | "stackalloc" | "await"
                | "delegate" | "this" | "base" | "ref" | "out" | "switch" => {
                    return Err(Fault::new(at, format!("{word} is not supported")));
                }
                _ => {
                    let name = self.expect_name()?;
                    return self.node(at, 0, ExprKind::Name(name));
                }
            },
            Token::Sign(_) | Token::End => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        self.node(at, 0, kind)
    }

    fn interpolated(&mut self, at: At, pieces: Vec<Piece>) -> Result<Expr, Fault> {
        let mut parsed = Vec::with_capacity(pieces.len());
        let mut below = 0;
        for piece in pieces {
            match piece {
                Piece::Text(text) => parsed.push(InterpolatedPiece::Text(text)),
                Piece::Hole { start, end, format } => {
                    let mut hole = Parser::new(self.text, start as usize, end as usize)?;
                    hole.nesting = self.nesting;
                    let value = hole.expression()?;
                    let alignment = if hole.eat_sign(",") { hole.alignment()? } else { 0 };
                    hole.expect_end()?;
                    below = below.max(value.depth);
                    parsed.push(InterpolatedPiece::Hole { value, alignment, format });
                }
            }
        }
        self.node(at, below, ExprKind::Interpolated(parsed))
    }

    fn alignment(&mut self) -> Result<i32, Fault> {
        let is_negative = self.eat_sign("-");
        match self.advance() {
            Token::Number(super::lexer::Number::Int(width)) if width <= 1000 => {
                Ok(if is_negative { -width } else { width })
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected("a width of at most 1000"))
            }
        }
    }

    fn new_object(&mut self) -> Result<Expr, Fault> {
        let at = self.start();
        self.at += 1;
        if self.eat_sign("[") {
            self.expect_sign("]")?;
            self.expect_sign("{")?;
            let elements = self.arguments("}")?;
            return self.node(at, deepest(&elements), ExprKind::NewArray { of: None, elements });
        }
        if self.is_sign("{") {
            return Err(Fault::new(at, "objects without a type are not supported"));
        }
        let mut of = self.type_name()?;
        if of.is_array {
            of.is_array = false;
            self.expect_sign("{")?;
            let elements = self.arguments("}")?;
            return self.node(at, deepest(&elements), ExprKind::NewArray { of: Some(of), elements });
        }
        self.expect_sign("(")?;
        let arguments = self.arguments(")")?;
        self.node(at, deepest(&arguments), ExprKind::New { of, arguments })
    }
}

/// Types that are words of the language.
const PREDEFINED: [&str; 9] =
    ["string", "bool", "int", "long", "double", "char", "object", "decimal", "byte"];

fn deepest(parts: &[Expr]) -> usize {
    parts.iter().map(|part| part.depth).max().unwrap_or(0)
}
