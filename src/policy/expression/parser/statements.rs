//! Statements of a block: `@{ … }`.

use super::super::fault::Fault;
use super::super::lexer::Token;
use super::super::syntax::{Statement, StatementKind};
use super::{KEYWORDS, Parser};

/// Statements of C# that this language has not.
const REFUSED: [(&str, &str); 11] = [
    ("for", "for is not supported: use foreach, Where or Select"),
    ("while", "while is not supported: use foreach, Where or Select"),
    ("do", "do is not supported: use foreach, Where or Select"),
    ("switch", "switch is not supported: use if and else"),
    ("try", "try is not supported: an exception ends the expression and goes to on-error"),
    ("using", "using is not supported"),
    ("lock", "lock is not supported"),
    ("goto", "goto is not supported"),
    ("break", "break is not supported: put the rest of the loop into an if"),
    ("continue", "continue is not supported: put the rest of the loop into an if"),
    ("const", "const is not supported: declare a variable"),
];

impl Parser<'_> {
    /// Statements up to a `}` or the end.
    pub(super) fn statements(&mut self) -> Result<Vec<Statement>, Fault> {
        let mut statements = Vec::new();
        while !self.is_sign("}") && *self.peek() != Token::End {
            if !self.eat_sign(";") {
                statements.push(self.statement()?);
            }
        }
        Ok(statements)
    }

    fn statement(&mut self) -> Result<Statement, Fault> {
        self.nested(|parser| {
            let at = parser.start();
            let (below, kind) = parser.statement_kind()?;
            if below >= crate::limits::EXPRESSION_DEPTH_MAX {
                return Err(Self::too_deep(at));
            }
            Ok(Statement { at, depth: below + 1, kind })
        })
    }

    /// A statement and how deep its parts go.
    fn statement_kind(&mut self) -> Result<(usize, StatementKind), Fault> {
        if self.eat_sign("{") {
            let statements = self.statements()?;
            self.expect_sign("}")?;
            let below = statements.iter().map(|statement| statement.depth).max().unwrap_or(0);
            return Ok((below, StatementKind::Block(statements)));
        }
        let word = match self.peek() {
            Token::Word(word) => word.clone(),
            _ => String::new(),
        };
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == word) {
            return Err(Fault::new(self.start(), *reason));
        }
        match word.as_str() {
            "if" => self.if_else(),
            "foreach" => self.for_each(),
            "return" => {
                self.at += 1;
                if self.is_sign(";") {
                    return Err(Fault::new(self.start(), "return needs a value"));
                }
                let value = self.expression()?;
                self.expect_sign(";")?;
                Ok((value.depth, StatementKind::Return(value)))
            }
            "throw" => {
                let thrown = self.throw()?;
                self.expect_sign(";")?;
                Ok((thrown.depth, StatementKind::Do(thrown)))
            }
            _ if self.is_declaration() => self.declaration(),
            _ => self.assignment_or_call(),
        }
    }

    fn if_else(&mut self) -> Result<(usize, StatementKind), Fault> {
        self.at += 1;
        self.expect_sign("(")?;
        let condition = self.expression()?;
        self.expect_sign(")")?;
        let then = Box::new(self.statement()?);
        let otherwise = if self.eat_word("else") { Some(Box::new(self.statement()?)) } else { None };
        let below =
            condition.depth.max(then.depth).max(otherwise.as_ref().map_or(0, |otherwise| otherwise.depth));
        Ok((below, StatementKind::If { condition, then, otherwise }))
    }

    fn for_each(&mut self) -> Result<(usize, StatementKind), Fault> {
        self.at += 1;
        self.expect_sign("(")?;
        let of = if self.eat_word("var") { None } else { Some(self.type_name()?) };
        let name = self.expect_name()?;
        if !self.eat_word("in") {
            return Err(self.unexpected("'in'"));
        }
        let list = self.expression()?;
        self.expect_sign(")")?;
        let body = Box::new(self.statement()?);
        Ok((list.depth.max(body.depth), StatementKind::ForEach { of, name, list, body }))
    }

    /// Whether a type and a name come.
    fn is_declaration(&mut self) -> bool {
        let before = self.at;
        let is_type = self.type_name().is_ok();
        let is_name = matches!(self.peek(), Token::Word(word) if !KEYWORDS.contains(&word.as_str()));
        self.at = before;
        is_type && is_name
    }

    fn declaration(&mut self) -> Result<(usize, StatementKind), Fault> {
        let of = if self.is_word("var") {
            self.at += 1;
            None
        } else {
            Some(self.type_name()?)
        };
        let mut names = Vec::new();
        let mut below = 0;
        loop {
            let at = self.start();
            let name = self.expect_name()?;
            let value = if self.eat_sign("=") { Some(self.expression()?) } else { None };
            below = below.max(value.as_ref().map_or(0, |value| value.depth));
            names.push((at, name, value));
            if !self.eat_sign(",") {
                break;
            }
        }
        self.expect_sign(";")?;
        Ok((below, StatementKind::Declare { of, names }))
    }

    fn assignment_or_call(&mut self) -> Result<(usize, StatementKind), Fault> {
        if let (Token::Word(name), Token::Sign(sign)) = (self.peek().clone(), self.peek_at(1).clone()) {
            let operator = match sign {
                "=" => Some(None),
                "+=" => Some(Some("+")),
                "-=" => Some(Some("-")),
                "*=" => Some(Some("*")),
                "/=" => Some(Some("/")),
                "%=" => Some(Some("%")),
                "++" | "--" => return self.count(name, if sign == "++" { "+" } else { "-" }),
                _ => None,
            };
            if let Some(sign) = operator {
                self.expect_name()?;
                self.at += 1;
                let value = self.expression()?;
                self.expect_sign(";")?;
                return Ok((value.depth, StatementKind::Assign { name, sign, value }));
            }
        }
        let called = self.expression()?;
        if self.is_sign("=") {
            return Err(Fault::new(self.start(), "only a local variable can be assigned to"));
        }
        self.expect_sign(";")?;
        Ok((called.depth, StatementKind::Do(called)))
    }

    /// `name++;`
    fn count(&mut self, name: String, sign: &'static str) -> Result<(usize, StatementKind), Fault> {
        let at = self.start();
        self.expect_name()?;
        self.at += 1;
        self.expect_sign(";")?;
        let one = super::super::syntax::ExprKind::Number(super::super::lexer::Number::Int(1));
        let value = self.node(at, 0, one)?;
        Ok((1, StatementKind::Assign { name, sign: Some(sign), value }))
    }
}
