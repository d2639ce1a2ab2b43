//! Expressions, by precedence: `or`, `and`, comparisons, `+ -`, `* / %`, minus, members and calls.

use super::super::fault::{Checked, Fault};
use super::super::lexer::Token;
use super::super::syntax::{
    ArithmeticOperator, CompareOperator, Expression, ExpressionKind, List, Name, TextOperator,
};
use super::{Parser, literal_word};

/// Most terms of one chain of operators. Over it: a fault.
const CHAIN_MAX: usize = 100;

/// Most items of a list in parentheses. Over it: a fault.
const LIST_ITEMS_MAX: usize = 1_000;

const COMPARISONS: [(&str, CompareOperator); 9] = [
    ("==", CompareOperator::Equal),
    ("!=", CompareOperator::NotEqual),
    ("<>", CompareOperator::NotEqual),
    ("<", CompareOperator::Less),
    ("<=", CompareOperator::LessOrEqual),
    (">", CompareOperator::Greater),
    (">=", CompareOperator::GreaterOrEqual),
    ("=~", CompareOperator::EqualIgnoringCase),
    ("!~", CompareOperator::NotEqualIgnoringCase),
];

const ARITHMETIC: [(&str, ArithmeticOperator, u8); 5] = [
    ("+", ArithmeticOperator::Add, 1),
    ("-", ArithmeticOperator::Subtract, 1),
    ("*", ArithmeticOperator::Multiply, 2),
    ("/", ArithmeticOperator::Divide, 2),
    ("%", ArithmeticOperator::Modulo, 2),
];

impl Parser {
    pub(super) fn expression(&mut self) -> Checked<Expression> {
        self.deeper(|parser| parser.chain("or", |parser| parser.chain("and", Self::comparison)))
    }

    /// Terms with `and` or `or` between them.
    fn chain(
        &mut self,
        word: &'static str,
        mut term: impl FnMut(&mut Self) -> Checked<Expression>,
    ) -> Checked<Expression> {
        let first = term(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let at = self.place();
        let mut terms = vec![first];
        while self.take_word(word) {
            if terms.len() == LIST_ITEMS_MAX {
                return Err(self.fault(format!("at most {LIST_ITEMS_MAX} terms are joined by `{word}`")));
            }
            terms.push(term(self)?);
        }
        let kind = if word == "or" { ExpressionKind::Or(terms) } else { ExpressionKind::And(terms) };
        Ok(Expression { at, kind })
    }

    fn comparison(&mut self) -> Checked<Expression> {
        let left = self.arithmetic(1)?;
        let at = self.place();
        for (sign, operator) in COMPARISONS {
            if self.take_sign(sign) {
                let right = self.arithmetic(1)?;
                self.refuse_chained_comparison()?;
                let kind = ExpressionKind::Compare(operator, Box::new(left), Box::new(right));
                return Ok(Expression { at, kind });
            }
        }
        // `!has` is one word.
        let is_negated = self.is_sign("!");
        let Token::Name(word) = self.peek_behind(usize::from(is_negated)).clone() else {
            return match self.peek() {
                Token::Sign("=") => Err(self.fault("`=` does not compare").known(
                    "use `==` to compare; `=` gives a name to the expression behind it, as in X = count()",
                )),
                _ => Ok(left),
            };
        };
        let text = TextOperator::WORDS.iter().find(|(known, _)| *known == word);
        if is_negated && text.is_none() && !["in", "between"].contains(&word.as_str()) {
            return Err(self.fault("this is not an operator").known("use not(x) to negate a condition"));
        }
        let start = self.at;
        if is_negated {
            self.next();
        }
        self.next();
        let left = Box::new(left);
        let kind = match (word.as_str(), text) {
            (_, Some((_, operator))) => {
                let right = Box::new(self.arithmetic(1)?);
                ExpressionKind::Text { operator: *operator, is_negated, left, right }
            }
            ("matches", _) => {
                self.expect_word("regex")?;
                let right = Box::new(self.arithmetic(1)?);
                ExpressionKind::Text { operator: TextOperator::MatchesRegex, is_negated, left, right }
            }
            ("in", _) => {
                let ignores_case = self.take_sign("~");
                ExpressionKind::In { is_negated, ignores_case, value: left, list: self.items()? }
            }
            ("has_any", _) => ExpressionKind::HasAny { value: left, list: self.items()? },
            ("between", _) => {
                self.expect_sign("(")?;
                let low = Box::new(self.expression()?);
                self.expect_sign("..")?;
                let high = Box::new(self.expression()?);
                self.expect_sign(")")?;
                ExpressionKind::Between { is_negated, value: left, low, high }
            }
            ("has_all" | "hasprefix" | "hassuffix" | "like", _) => {
                let fault = Fault::new(at, format!("the operator `{word}` is not supported"));
                return Err(
                    fault.known("there are has, contains, startswith, endswith, matches regex, in, has_any")
                );
            }
            _ => {
                self.at = start;
                return Ok(*left);
            }
        };
        self.refuse_chained_comparison()?;
        Ok(Expression { at, kind })
    }

    fn refuse_chained_comparison(&self) -> Checked<()> {
        let is_sign = |(sign, _): &(&str, CompareOperator)| self.is_sign(sign);
        if COMPARISONS.iter().any(is_sign) {
            return Err(self.fault("comparisons are not chained").known("join them by `and`"));
        }
        Ok(())
    }

    fn arithmetic(&mut self, level: u8) -> Checked<Expression> {
        let mut left = if level == 2 { self.unary()? } else { self.arithmetic(level + 1)? };
        let mut terms = 1;
        'terms: loop {
            for (sign, operator, its_level) in ARITHMETIC {
                let at = self.place();
                if its_level != level || !self.take_sign(sign) {
                    continue;
                }
                terms += 1;
                if terms > CHAIN_MAX {
                    return Err(Fault::new(
                        at,
                        format!("a calculation has at most {CHAIN_MAX} terms in a row"),
                    ));
                }
                let right = if level == 2 { self.unary()? } else { self.arithmetic(level + 1)? };
                let kind = ExpressionKind::Arithmetic(operator, Box::new(left), Box::new(right));
                left = Expression { at, kind };
                continue 'terms;
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Checked<Expression> {
        let at = self.place();
        if self.take_sign("-") {
            let inner = self.deeper(Self::unary)?;
            return Ok(Expression { at, kind: ExpressionKind::Minus(Box::new(inner)) });
        }
        if self.take_sign("+") {
            return self.deeper(Self::unary);
        }
        let mut value = self.value()?;
        let mut steps = 0;
        loop {
            let at = value.at;
            steps += 1;
            if steps > CHAIN_MAX {
                return Err(self.fault(format!("a path has at most {CHAIN_MAX} steps")));
            }
            if self.take_sign(".") {
                let key = self.any_name()?;
                value = Expression { at, kind: ExpressionKind::Member(Box::new(value), key) };
            } else if self.take_sign("[") {
                let index = self.expression()?;
                self.expect_sign("]")?;
                value = Expression { at, kind: ExpressionKind::Index(Box::new(value), Box::new(index)) };
            } else {
                return Ok(value);
            }
        }
    }

    fn value(&mut self) -> Checked<Expression> {
        let at = self.place();
        let kind = match self.peek().clone() {
            Token::Literal(literal) => {
                self.next();
                ExpressionKind::Literal(literal)
            }
            Token::Now => {
                self.next();
                ExpressionKind::Now
            }
            Token::Sign("(") => {
                self.next();
                let inner = self.expression()?;
                self.expect_sign(")")?;
                return Ok(inner);
            }
            Token::Sign("*") => {
                self.next();
                ExpressionKind::Star
            }
            Token::Name(word) if *self.peek_behind(1) == Token::Sign("(") => self.call(word)?,
            Token::Name(word) => {
                self.next();
                match literal_word(&word) {
                    Some(literal) => ExpressionKind::Literal(literal),
                    None => ExpressionKind::Name(word),
                }
            }
            Token::Bracketed(name) => {
                self.next();
                ExpressionKind::Name(name)
            }
            Token::Sign("!") => {
                return Err(self.fault("`!` cannot stand before an expression").known("write not(x)"));
            }
            Token::Sign(_) | Token::End => return Err(self.fault("an expression is missing")),
        };
        Ok(Expression { at, kind })
    }

    fn call(&mut self, word: String) -> Checked<ExpressionKind> {
        if word == "typeof" {
            return Ok(ExpressionKind::TypeOf(self.type_of()?));
        }
        let name = Name { text: word, at: self.place() };
        self.next();
        self.next();
        let mut arguments = Vec::new();
        if !self.take_sign(")") {
            arguments = self.list(Self::expression)?;
            if arguments.len() > CHAIN_MAX {
                return Err(Fault::new(name.at, format!("a call has at most {CHAIN_MAX} arguments")));
            }
            if !self.is_sign(")") {
                return Err(self.fault("`)` or `,` is missing"));
            }
            self.next();
        }
        Ok(ExpressionKind::Call(name, arguments))
    }

    /// The parentheses of `in` and `has_any`.
    fn items(&mut self) -> Checked<List> {
        self.expect_sign("(")?;
        if self.begins_pipeline() {
            let table = self.pipeline()?;
            self.expect_sign(")")?;
            return Ok(List::Table(Box::new(table)));
        }
        let at = self.place();
        let values = if self.is_sign(")") { Vec::new() } else { self.list(Self::expression)? };
        self.expect_sign(")")?;
        if values.len() > LIST_ITEMS_MAX {
            let fault =
                Fault::new(at, format!("a list has at most {LIST_ITEMS_MAX} values, not {}", values.len()));
            return Err(fault.known("a table takes more: in ((T | project X))"));
        }
        if values.is_empty() {
            return Err(Fault::new(at, "this list is empty"));
        }
        Ok(List::Values(values))
    }
}
